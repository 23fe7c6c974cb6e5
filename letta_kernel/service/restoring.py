"""Giving an agent what it had at a point in time: settings, rules, tools, archives, folders, blocks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from letta_kernel.ids import new_id, now
from letta_kernel.records import AgentState, Block, Configuration, Tool, ToolUse
from letta_kernel.service.points import BlockThen, Point
from letta_kernel.store import agents, attachments, blocks, configurations, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import builtin
from letta_kernel.users import current_user

OF_AGENT = ("model", "embedding", "style", "instructions", "max_steps", "tool_rules")
"""Fields of an agent that its configuration has, beside its settings."""
_SECRET = ("environment",)
_SET_FOR_IT = (*_SECRET, "budget", "budget_tokens", "budget_total", "notebook_tools")
"""Settings that whoever may change one agent alone does not set."""


@dataclass(slots=True)
class Restored:
    """Labels of blocks with another text now; what was left, and what else is as it was, each in a line."""

    blocks: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def configure(
    state: AgentState, config: Configuration | None, stays: Collection[str] = _SECRET
) -> list[str]:
    """Give *state* the model, settings, rules and so on of a configuration; return the names of what changed.

    The settings of *stays* are left as they are, secrets always: no configuration has them.
    """
    if config is None:
        return []
    fresh: dict[str, Any] = {name: getattr(config, name) for name in OF_AGENT}
    then = {key: value for key, value in config.settings.items() if key not in stays}
    left = {key: value for key, value in state.settings.items() if key in stays}
    fresh["settings"] = {**then, **left}
    changed = [name for name, value in fresh.items() if getattr(state, name) != value]
    for name in changed:
        setattr(state, name, fresh[name])
    return changed


def attach(
    tx: Tx,
    state: AgentState,
    point: Point,
    told: Restored | None = None,
    *,
    source_id: str,
    alone: bool = False,
) -> None:
    """Give an agent exactly the tools, archives and folders of a point, as far as they are there.

    They were those of the agent *source_id*: archives and folders are seen as they were then (`attachments`).
    *alone*: it is given none that it has not got.
    """
    told, config = told if told is not None else Restored(), point.configuration
    if config is None:
        return
    if not alone:
        _tools(tx, state, config, told)
    elif _uses(tx, state) != [(one.id, one.version, one.asks) for one in config.tools]:
        told.left.append(
            "Tools: those of then are not given back to who may change one agent alone."
        )
    kinds: tuple[tuple[attachments.What, list[str]], ...] = (
        ("archive", config.archives),
        ("folder", config.folders),
    )
    for what, wanted in kinds:
        if alone and set(wanted) != set(attachments.ids(tx, what, state.id)):
            told.left.append(
                f"{what.capitalize()}s: those of then are not given back to who may change one agent alone."
            )
            continue
        gone, changed = attachments.inherit(
            tx, what, wanted, source_id, state.id, point.line, point.moment, point.steps
        )
        if gone:
            number = f"{len(gone)} {what}{'s' if len(gone) > 1 else ''}"
            told.left.append(f"{number} of then: deleted meanwhile.")
        if changed:
            told.changed.append(f"{what}s")


def _tools(tx: Tx, state: AgentState, config: Configuration, told: Restored) -> None:
    now_has = tools.attached(tx, state.id)
    if _uses(tx, state) == [(one.id, one.version, one.asks) for one in config.tools]:
        return
    then = configurations.tools_of(tx, {one.version for one in config.tools})
    ids = [one.id for one in config.tools] + [_beside(one) for one in config.tools]
    there = {tool.id: tool for tool in tools.get_many(tx, ids)}
    wanted: list[tuple[Tool, ToolUse]] = []
    for use in config.tools:
        tool = _as_then(there, use, then.get(use.version))
        if tool is None:
            told.left.append(f"The tool {use.name}: what it was is not known any more.")
        else:
            wanted.append((tool, use))
    tools.replace(tx, state.id, [(tool, use.asks) for tool, use in wanted])
    told.changed += [f"the source of {tool.name}" for tool, use in wanted if tool.id != use.id]
    before = {tool.name for tool, _ in now_has}
    after = {use.name for _, use in wanted}
    if before != after:
        told.changed.append(f"tools ({', '.join(sorted(before ^ after))})")


def _uses(tx: Tx, state: AgentState) -> list[tuple[str, str, bool | None]]:
    """Return the tools an agent has, as a configuration names them."""
    return [
        (tool.id, configurations.version(tool), asks) for tool, asks in tools.attached(tx, state.id)
    ]


def names(tx: Tx, table: Literal["archives", "folders"], ids: Sequence[str]) -> list[str]:
    """Return the names of archives or folders; of those that are gone, the ids."""
    rows = tx.query(f"SELECT id, name FROM {table} WHERE id = ANY($1::text[])", (list(ids),))
    known = {str(row[0]): str(row[1]) for row in rows}
    return [known.get(one, one) for one in ids]


def tools_then(tx: Tx, config: Configuration) -> list[Tool]:
    """Return the tools of a configuration as they were; those of which nothing is known are left out."""
    then = configurations.tools_of(tx, {one.version for one in config.tools})
    # What no step ran with yet is kept nowhere else.
    rest = [one.id for one in config.tools if one.version not in then]
    then |= {configurations.version(tool): tool for tool in tools.get_many(tx, rest)}
    return [then[one.version] for one in config.tools if one.version in then]


def _beside(use: ToolUse) -> str:
    """Return the id of a tool that is kept beside the one there is now, with the content it had."""
    return f"tool-{use.version[-36:]}"


def _as_then(there: dict[str, Tool], use: ToolUse, then: Tool | None) -> Tool | None:
    """Return a tool with the content it had: the one that is there, or one of its own beside it.

    The function of an older cell is not in the notebook any more: its source runs in the sandbox.
    """
    now_is = there.get(use.id)
    if now_is is not None and configurations.version(now_is) == use.version:
        return now_is
    if now_is is not None and (now_is.kind in ("core", "mcp") or builtin.is_outside(now_is.id)):
        return now_is  # what these are their program says
    if then is None:
        return now_is
    if then.kind == "core" or builtin.is_outside(then.id) or (then.kind == "mcp" and not now_is):
        return then if then.kind != "mcp" else None
    if now_is is None:
        return _in_sandbox(then)
    fresh = _in_sandbox(then).model_copy(update={"id": _beside(use)})
    beside = there.get(fresh.id)
    if beside is None or configurations.version(beside) == configurations.version(fresh):
        return beside or fresh
    return fresh.model_copy(update={"id": new_id("tool")})  # somebody has changed that one


def _in_sandbox(then: Tool) -> Tool:
    if then.kind != "notebook":
        return then
    fresh = {"kind": "source", "runs_in": "sandbox", "notebook": None, "cell_id": None}
    return then.model_copy(update=fresh)


def copied(then: BlockThen, old: Block | None) -> Block:
    """Return a new block with the text one had; what else it is comes from the *old* one, if that is there."""
    block = Block(label=then.label, value=then.value)
    if old is not None:
        block.limit, block.description = old.limit, old.description
        block.read_only, block.tags, block.metadata = old.read_only, old.tags, old.metadata
    block.limit = max(block.limit, len(block.value))
    block.created_at = block.updated_at = now()
    return block


def restore(
    tx: Tx,
    state: AgentState,
    point: Point,
    shared: bool,
    leave: Collection[str] = (),
    alone: bool = False,
) -> Restored:
    """Give an agent what it had at *point*, but for the blocks to *leave*; the caller writes *state*.

    *alone*: for somebody who may change this agent alone, and be told of no other.
    """
    told = Restored()
    told.changed += configure(state, point.configuration, _SET_FOR_IT if alone else _SECRET)
    agents.save(tx, state)
    attach(tx, state, point, told, source_id=state.id, alone=alone)
    own = blocks.of_agent(tx, state.id)
    wanted = _same(tx, state, point, own)
    labels, config = {*point.blocks}, point.configuration
    unknown = {label for _, label in config.blocks} - labels - {*leave} if config else set()
    told.left += [
        f"The block {label}: what it was is not known any more." for label in sorted(unknown)
    ]
    stay = {one.id for one in wanted.values() if one is not None}
    for block in own:
        off = config is not None or block.label in labels
        if off and block.id not in stay and block.label not in {*leave, *unknown}:
            blocks.detach(tx, state.id, block.id)
            told.changed.append(f"the block {block.label} is off")
    has = {block.id for block in own}
    for label, one in wanted.items():  # two may have changed names: none stands in another's way
        if one is not None and one.id in has and one.label != label:
            blocks.detach(tx, state.id, one.id)
    for label, then in point.blocks.items():
        _block(tx, state, point, wanted[label], has, then, shared, told, alone)
    return told


def _same(tx: Tx, state: AgentState, point: Point, own: Sequence[Block]) -> dict[str, Block | None]:
    """Return the block that each of a point's is now, by its label then; None for one that is nowhere.

    It is the very block, whatever it is called now. Where that is gone, or another agent's that this one was
    forked from, it is the agent's block of that label.
    """
    by_label = {block.label: block for block in own}
    known: dict[str, Block] = {}
    if point.owner == state.id:
        ids = [then.id for then in point.blocks.values()]
        known = {one.id: one for one in blocks.get_many(tx, ids)}
    found: dict[str, Block | None] = {}
    for label, then in point.blocks.items():
        there = by_label.get(label)
        if there is not None and there.id in known and there.id != then.id:
            there = None  # it was another then
        found[label] = known.get(then.id) or there
    return found


def _block(
    tx: Tx,
    state: AgentState,
    point: Point,
    now_is: Block | None,
    has: Collection[str],
    then: BlockThen,
    shared: bool,
    told: Restored,
    alone: bool,
) -> None:
    reason = f"rewind to {point.name}"
    if not then.known:
        told.left.append(
            f"The block {then.label}: what it was is not known any more; it has the earliest text that is."
        )
    if now_is is None:
        now_is = copied(then, blocks.get(tx, then.id))
        blocks.add(tx, now_is, reason=reason)
    others = [one for one in blocks.agents_with(tx, now_is.id) if one != state.id]
    free = shared or not others
    if alone and others:
        if now_is.id not in has:
            told.left.append(f"The block {then.label}: it is another agent's now.")
            return
        free = free and not now_is.read_only and now_is.label == then.label
    renamed = now_is.label != then.label and free
    if renamed:
        told.changed.append(f"the block {now_is.label} is called {then.label}")
        now_is.label = then.label
        blocks.update(tx, now_is)
    if now_is.id not in has or now_is.label != then.label or renamed:
        blocks.attach(tx, state.id, now_is.id)
    if now_is.id not in has:
        told.changed.append(f"the block {then.label} is back")
    if now_is.value == then.value and now_is.label == then.label:
        return
    if not free:
        names = [found.name for one in others[:3] if (found := agents.get(tx, one)) is not None]
        if alone:
            names = ["another agent"]
        told.left.append(
            f"The block {then.label}: {', '.join(names)} has it too: it is left as it is."
        )
        return
    if now_is.value != then.value:
        if now_is.limit < len(then.value):  # it was made smaller since
            now_is.limit = len(then.value)
            blocks.update(tx, now_is)
        blocks.write(tx, now_is.id, then.value, actor=current_user(), reason=reason)
        told.blocks.append(then.label)
