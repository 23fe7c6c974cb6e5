"""What an agent may be and begins with: name, style, models, numbers; how it differs from what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from letta_kernel.agent import prompts
from letta_kernel.agent.settings import check_settings
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.ids import hidden_sign
from letta_kernel.memory.blocks import check_label
from letta_kernel.models import registry
from letta_kernel.records import AgentState, Block, default_limit
from letta_kernel.store import blocks, identities, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import builtin

MAX_NAME = 100  # characters
CHANGEABLE = (
    "name",
    "description",
    "model",
    "embedding",
    "style",
    "instructions",
    "max_steps",
    "settings",
    "tool_rules",
    "tags",
    "metadata",
    "set_aside",
)


def first_blocks(
    persona: str | None,
    human: str | None,
    more: dict[str, str] | Sequence[Block] | None,
    own: bool,
    limit: int | None,
) -> list[Block]:
    """Return the blocks a new agent begins with: persona and human where it has its *own*, and *more*."""
    values: dict[str, str | Block] = {}
    if own:
        values["persona"] = prompts.PERSONA if persona is None else persona
        values["human"] = prompts.HUMAN if human is None else human
    if isinstance(more, dict):
        values.update(more)
    else:
        values.update((block.label, block) for block in more or ())
    made = []
    for label, value in values.items():
        check_label(label)
        block = (
            value
            if isinstance(value, Block)
            else Block(
                label=label,
                value=value,
                description=prompts.BLOCK_DESCRIPTIONS.get(label, ""),
                limit=default_limit(label) if limit is None else limit,
            )
        )
        if len(block.value) > block.limit:
            raise InvalidInputError(
                f"The block {label!r} may hold {block.limit:,} characters; "
                f"this has {len(block.value):,}.",
                page="block-full",
            )
        made.append(block)
    return made


def fallbacks(state: AgentState) -> list[str]:
    """Return the models that answer where an agent's own does not."""
    return [str(name) for name in state.settings.get("fallbacks") or ()]


def check_models(state: AgentState, before: AgentState | None = None) -> None:
    """Refuse models that cannot be; what an agent had *before* it may keep."""
    if state.model and (before is None or state.model != before.model):
        registry.check_model(state.model)
    if state.embedding and (before is None or state.embedding != before.embedding):
        registry.check_embedding(state.embedding)
    for name in fallbacks(state):
        if before is None or name not in fallbacks(before):
            registry.check_model(name)


def check_name(name: str) -> str:
    """Return *name* if it can name an agent."""
    if not isinstance(name, str) or not name.strip() or name != name.strip():
        raise InvalidInputError(f"An agent needs a name without spaces around it, not {name!r}.")
    if len(name) > MAX_NAME or hidden_sign(name) is not None or name.startswith("-"):
        raise InvalidInputError(
            f"An agent's name has at most {MAX_NAME} printable characters and no dash in front."
        )
    return name


def check_style(style: str) -> Literal["native", "heartbeat"]:
    """Return *style* if it is one."""
    if style == "native" or style == "heartbeat":
        return style  # type: ignore[return-value]
    raise InvalidInputError(f"The style is 'native' or 'heartbeat', not {style!r}.")


def check_max_steps(count: int) -> int:
    """Return *count* if it is a sensible number of steps."""
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1000:
        raise InvalidInputError(f"max_steps is a whole number from 1 to 1000, not {count!r}.")
    return count


def check_changes(state: AgentState, changes: dict[str, Any]) -> dict[str, Any]:
    """Return what is to become of fields of an agent, settings merged into those it has.

    Raises
    ------
    InvalidInputError
        A field cannot be changed, or not to this.
    """
    for key in changes:
        if key not in CHANGEABLE:
            raise InvalidInputError(f"{key!r} cannot be changed; one of: {', '.join(CHANGEABLE)}.")
    fresh = dict(changes)
    for key, check in (
        ("name", check_name),
        ("style", check_style),
        ("max_steps", check_max_steps),
    ):
        if key in fresh:
            check(fresh[key])
    if "settings" in fresh:
        merged = {**state.settings, **fresh["settings"]}
        fresh["settings"] = check_settings(
            {key: value for key, value in merged.items() if value is not None}
        )
    return fresh


def give(
    tx: Tx,
    agent_id: str,
    block_ids: Sequence[str],
    tool_refs: Sequence[str],
    identity_ids: Sequence[str],
) -> None:
    """Give an agent blocks, tools (by id or name) and identities that are there already."""
    for block_id in block_ids:
        if blocks.get(tx, block_id) is None:
            raise InvalidInputError(f"block_ids: there is no block {block_id!r}.")
        blocks.attach(tx, agent_id, block_id)
    for ref in tool_refs:
        known = tools.get(tx, ref) or tools.find(tx, ref)
        if known is not None:
            tools.attach(tx, agent_id, known.id)
        elif (built_in := builtin.named(ref)) is not None:
            tools.give(tx, agent_id, built_in)
        else:
            raise InvalidInputError(
                f"tools: there is no tool {ref!r}.{nearest(ref, builtin.NAMES)}"
            )
    for identity_id in identity_ids:
        identities.attach(tx, "agent", agent_id, identity_id)


def differing(tx: Tx, state: AgentState, options: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options an agent does not have: to what it has and what was given."""
    differs = {}
    for option, given in options.items():
        if option in ("persona", "human"):
            block = blocks.find(tx, state.id, option)
            has = block.value if block is not None else ""
            same = given == has or (block is not None and given == _by_hand(tx, block))
        else:
            has = getattr(state, option)
            same = list(given) == has if isinstance(has, list) else given == has
        if not same:
            differs[option] = (has, given)
    return differs


def _by_hand(tx: Tx, block: Block) -> str | None:
    """Return what a person wrote into a block last: at its making, by hand, or back to by undo."""
    known = blocks.versions(tx, block.id)
    first = {version.value: version for version in reversed(known)}
    for version in reversed(known):
        if first[version.value].step_id is None:
            return version.value
    return None
