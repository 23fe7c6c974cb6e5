"""Making, finding, changing and deleting agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from letta_kernel.agent import prompts
from letta_kernel.agent.settings import check_settings
from letta_kernel.errors import InvalidInputError, NameTakenError, nearest
from letta_kernel.ids import hidden_sign, now
from letta_kernel.memory.blocks import check_label
from letta_kernel.models import naming
from letta_kernel.records import DEFAULT_BLOCK_LIMIT, AgentState, Block, ToolRule
from letta_kernel.service.base import RENAMED, ServiceBase
from letta_kernel.store import agents, blocks, conversations, identities, messages, tools
from letta_kernel.store import settings as kept
from letta_kernel.store.database import Tx
from letta_kernel.tools import builtin, core

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


class Agents(ServiceBase):
    """The part of the service that deals with agents as a whole."""

    def create_agent(
        self,
        name: str,
        *,
        model: str | None = None,
        persona: str | None = None,
        human: str | None = None,
        blocks: dict[str, str] | Sequence[Block] | None = None,
        instructions: str | None = None,
        style: Literal["native", "heartbeat"] = "native",
        embedding: str | None = None,
        description: str = "",
        max_steps: int = 50,
        settings: dict[str, Any] | None = None,
        tags: Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
        tool_rules: Sequence[ToolRule] = (),
        block_ids: Sequence[str] = (),
        tool_refs: Sequence[str] = (),
        identity_ids: Sequence[str] = (),
        own_blocks: bool = True,
        block_limit: int = DEFAULT_BLOCK_LIMIT,
        core_tools: bool = True,
        set_aside: bool = False,
        namesakes: Literal["refuse", "find", "keep", "set_aside"] = "refuse",
        known_models: bool = True,
    ) -> AgentState:
        """Make an agent with the blocks ``persona`` and ``human``, any others, and the memory tools.

        Parameters
        ----------
        name : what it is called.
        model : a litellm name such as ``openai/gpt-5-mini``; None chooses what the machine has at each run.
        blocks : further blocks, as label to value or as whole records.
        instructions : replaces the style's own instructions; memory blocks are added to them.
        block_ids, tool_refs, identity_ids : what there is already and the agent gets too; tools by id or name.
        own_blocks, core_tools : False leaves out persona and human, or the memory tools.
        block_limit : characters that blocks given as text may hold.
        set_aside : it is found by its id alone.
        namesakes : what becomes of agents of that name: with ``refuse`` this one is not made, with ``find``
            neither if an agent had the name before it was renamed, with ``keep`` ids tell them apart, with
            ``set_aside`` they are found by their ids alone from now on.
        known_models : False takes names of models as they are, as for the copy of an agent.

        Raises
        ------
        NameTakenError
            There is an agent of that name, and *namesakes* says ``refuse`` or ``find``. Nothing is made.
        InvalidInputError
            It is no name, or a value is out of range. Nothing is made.
        NotFoundError
            There is no such model. Nothing is made.
        """
        state = AgentState(
            name=check_name(name),
            description=description,
            model=model,
            embedding=embedding,
            style=check_style(style),
            instructions=instructions or "",
            max_steps=check_max_steps(max_steps),
            settings=check_settings(settings or {}),
            tags=list(tags),
            metadata=dict(metadata or {}),
            tool_rules=list(tool_rules),
            set_aside=set_aside,
        )
        if known_models:
            _check_models(state)
        made = _blocks(persona, human, blocks, own_blocks, block_limit)

        def work(tx: Tx) -> AgentState:
            if namesakes != "keep":
                self._free(tx, state.name, namesakes == "set_aside")
                for one in self._renamed(tx, state.name):
                    if namesakes == "find":
                        raise NameTakenError(f"{one.name!r} was called {state.name!r} before.")
                    if namesakes == "set_aside":  # so that a cell may give the new one its new name
                        agents.save(tx, one.model_copy(update={"set_aside": True}))
                kept.put(tx, f"{RENAMED}{state.name}", None)
            agents.add(tx, state)
            for block in made:
                self_written = block.model_copy(update={"created_by": state.created_by})
                self._add_block(tx, self_written, state.id)
            for tool_name in core.DEFAULT if core_tools else ():
                tools.give(tx, state.id, core.record(tool_name))
            self._give(tx, state.id, block_ids, tool_refs, identity_ids)
            return state

        return self.do(work)

    @staticmethod
    def _free(tx: Tx, name: str, set_aside: bool) -> list[AgentState]:
        """Make sure that no agent in use has this name: set those that have it aside, or refuse."""
        taken = agents.named(tx, name)
        if taken and not set_aside:
            raise NameTakenError(
                f"There is an agent {name!r} already: use that one, or choose another name."
            )
        return [agents.save(tx, one.model_copy(update={"set_aside": True})) for one in taken]

    def agents(self, *, set_aside: bool = False) -> list[AgentState]:
        """Return the agents of the project, oldest first; with *set_aside* those too that are."""
        return self.do(lambda tx: agents.list_all(tx, set_aside=set_aside))

    def update_agent(
        self,
        ref: str,
        *,
        block_ids: Sequence[str] | None = None,
        tool_refs: Sequence[str] | None = None,
        identity_ids: Sequence[str] | None = None,
        namesakes: Literal["refuse", "keep"] = "refuse",
        **changes: Any,
    ) -> AgentState:
        """Change fields of an agent: name, model, description, style, settings and so on.

        ``settings`` are merged into those it has; a value of None removes one. *block_ids*, *tool_refs* and
        *identity_ids*, where given, replace all it has of these. A name that another agent has is refused
        unless *namesakes* says to keep both.
        """
        for key in changes:
            if key not in CHANGEABLE:
                raise InvalidInputError(
                    f"{key!r} cannot be changed; one of: {', '.join(CHANGEABLE)}."
                )

        def work(tx: Tx) -> AgentState:
            state = self._agent(tx, ref)
            fresh = dict(changes)
            if "name" in fresh:
                check_name(fresh["name"])
                if namesakes == "refuse" and fresh["name"] != state.name:
                    self._free(tx, fresh["name"], False)
                    kept.put(tx, f"{RENAMED}{state.name}", state.id)
            if "style" in fresh:
                check_style(fresh["style"])
            if "max_steps" in fresh:
                check_max_steps(fresh["max_steps"])
            if "settings" in fresh:
                merged = {**state.settings, **fresh["settings"]}
                fresh["settings"] = check_settings(
                    {key: value for key, value in merged.items() if value is not None}
                )
            changed = AgentState.model_validate(
                {**state.model_dump(), **fresh, "updated_at": now()}
            )
            _check_models(changed, state)
            agents.save(tx, changed)
            if block_ids is not None:
                for block in blocks.of_agent(tx, state.id):
                    blocks.detach(tx, state.id, block.id)
            if tool_refs is not None:
                for tool in tools.of_agent(tx, state.id):
                    tools.detach(tx, state.id, tool.id)
            if identity_ids is not None:
                for identity in identities.list_all(tx, owned=("agent", state.id)):
                    identities.detach(tx, "agent", state.id, identity.id)
            self._give(tx, state.id, block_ids or (), tool_refs or (), identity_ids or ())
            return changed

        changed = self.do(work)
        if "embedding" in changes:
            for memory in self._memory_of(changed):
                memory.follow(changed.id)  # everything anew, in the background
        return changed

    def doubts(self, state: AgentState) -> list[str]:
        """Return why models an agent names would not answer now (a key that is missing), a line each."""
        named = (state.model, state.embedding, *_fallbacks(state))
        found = [naming.doubt(name) for name in named]
        if not state.model:
            found.insert(0, naming.doubt_of_environment())
        return list(filter(None, dict.fromkeys(found)))

    def reset_agent(self, ref: str) -> AgentState:
        """Forget what was said to an agent in every thread; its memory blocks, archive and tools stay."""

        def work(tx: Tx) -> AgentState:
            state = self._agent(tx, ref)
            agents.check_idle(tx, state.id)
            conversations.check_idle(tx, state.id)
            last = messages.last(tx, state.id)
            messages.clear(tx, state.id)
            # The window begins anew after the last message ever, so that nobody takes it for the old one.
            begin = last.seq + 1 if last else 0
            agents.set_window(tx, state.id, begin, None)
            conversations.forget_history(tx, state.id, begin)
            return self._agent(tx, state.id)

        return self.do(work)

    def delete_agent(self, ref: str) -> None:
        """Delete an agent with its conversations, archive and the blocks nobody else has."""

        def work(tx: Tx) -> None:
            state = self._agent(tx, ref, renamed=False)
            agents.check_idle(tx, state.id)
            conversations.check_idle(tx, state.id)
            agents.delete(tx, state.id)

        self.do(work)

    @staticmethod
    def _add_block(tx: Tx, block: Block, agent_id: str) -> None:
        blocks.add(tx, block, agent_id)

    def _give(
        self,
        tx: Tx,
        agent_id: str,
        block_ids: Sequence[str],
        tool_refs: Sequence[str],
        identity_ids: Sequence[str],
    ) -> None:
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


def _blocks(
    persona: str | None,
    human: str | None,
    more: dict[str, str] | Sequence[Block] | None,
    own: bool,
    limit: int,
) -> list[Block]:
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
                limit=limit,
            )
        )
        if len(block.value) > block.limit:
            raise InvalidInputError(
                f"The block {label!r} may hold {block.limit:,} characters; "
                f"this has {len(block.value):,}."
            )
        made.append(block)
    return made


def _fallbacks(state: AgentState) -> list[str]:
    return [str(name) for name in state.settings.get("fallbacks") or ()]


def _check_models(state: AgentState, before: AgentState | None = None) -> None:
    """Refuse models that cannot be; what an agent had *before* it may keep."""
    if state.model and (before is None or state.model != before.model):
        naming.check_model(state.model)
    if state.embedding and (before is None or state.embedding != before.embedding):
        naming.check_embedding(state.embedding)
    for name in _fallbacks(state):
        if before is None or name not in _fallbacks(before):
            naming.check_model(name)


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
