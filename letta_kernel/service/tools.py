"""Tools: what agents can call, where they come from, how they fared, and trying one by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from letta_kernel import project, settings
from letta_kernel.agent.settings import AgentSettings, timezone_of
from letta_kernel.errors import (
    ConflictError,
    InvalidInputError,
    LettaError,
    NotFoundError,
    nearest,
)
from letta_kernel.ids import new_id, now
from letta_kernel.memory.blocks import CoreMemory
from letta_kernel.memory.folders import AgentFiles
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Block, Tool, ToolRule
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.tool_sources import (
    FREE,
    best_of,
    changed_tool,
    check_ours,
    from_source,
    namesake,
)
from letta_kernel.store import agents, blocks, run_figures, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import builtin, core
from letta_kernel.tools.agent_state import StateCopy
from letta_kernel.tools.arguments import ToolArgumentError, parse_arguments
from letta_kernel.tools.context import ToolContext
from letta_kernel.tools.execute import Executor, ToolHost
from letta_kernel.tools.mcp import Connections
from letta_kernel.tools.outcome import Outcome
from letta_kernel.tools.sandbox import View
from letta_kernel.totals import ToolStats


class Tools:
    """The tools of a project, each named by its id or name; agents have some of them."""

    from_source = staticmethod(from_source)

    def __init__(self, core: Core, memories: Memories, connections: Connections) -> None:
        self._core = core
        self._memories = memories
        self._connections = connections

    def create(self, tool: Tool, *, replace: bool = False) -> Tool:
        """Keep a tool made from source; with *replace* it takes the place, id and tags of its namesake.

        Raises
        ------
        ConflictError
            There is a tool of that name made from source, and *replace* was not asked for.
        """

        def work(tx: Tx) -> Tool:
            known = namesake(tx, tool.name)
            if known is None:
                return tools.save(tx, tool)
            if not replace:
                raise ConflictError(
                    f"There is a tool {tool.name!r} already: upsert or update it, or rename the function."
                )
            same = {"id": known.id, "tags": tool.tags or known.tags}
            return tools.save(tx, tool.model_copy(update=same))

        return self._core.do(work)

    def upsert(self, tool: Tool, *, agent: str | None = None) -> Tool:
        """Keep a tool; one of the same name from the same notebook is replaced and keeps its id.

        With *agent*, one that takes other arguments and that other agents have stays theirs.
        """

        def work(tx: Tx) -> Tool:
            known = tools.get(tx, tool.id) or tools.find(tx, tool.name, notebook=tool.notebook)
            if agent is not None:
                own = [one for one in tools.of_agent(tx, agent) if one.name == tool.name]
                known = next((one for one in own if one.notebook == tool.notebook), known)
                if known is not None and known.parameters != tool.parameters:
                    known = None if set(tools.agents_with(tx, known.id)) - {agent} else known
            kept = (
                tool
                if known is None or builtin.is_outside(known.id)
                else tool.model_copy(update={"id": known.id, "created_at": known.created_at})
            )
            return tools.save(tx, kept.model_copy(update={"updated_at": now()}))

        return self._core.do(work)

    def retrieve(self, ref: str) -> Tool:
        """Return one tool, by id or name; `NotFoundError` names the nearest."""
        found = self._core.do(lambda tx: self._find_tool(tx, ref))
        return builtin.current(found)

    def update(
        self,
        ref: str,
        *,
        source: str | None = None,
        schema: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Tool:
        """Change a tool in what is given; a new source is read as `from_source` reads it.

        Raises
        ------
        InvalidInputError
            It is a built-in tool, or the source of one whose source is not ours to change.
        """
        known = self.retrieve(ref)
        check_ours(known, "changed")
        fields = {name: value for name, value in fields.items() if value is not None}
        if source is None and schema is None and parameters is None:
            changed = changed_tool(known, fields)
        elif known.kind != "source":
            where = "its notebook" if known.kind == "notebook" else "its MCP server"
            raise InvalidInputError(
                f"The source and schema of {known.name!r} come from {where}: change them there."
            )
        else:
            kept = {name: getattr(known, name) for name in FREE if name != "description"}
            if source is None and schema is None:
                schema = {"name": known.name, "description": known.description}
            made = from_source(
                known.source if source is None else source,
                schema=schema,
                parameters=parameters,
                **{**kept, **fields},
            )
            changed = made.model_copy(update={"id": known.id})

        def work(tx: Tx) -> Tool:
            other = namesake(tx, changed.name) if changed.kind == "source" else None
            if other is not None and other.id != changed.id:
                raise ConflictError(f"There is another tool {changed.name!r}: rename the function.")
            return tools.save(tx, changed)

        return self._core.do(work)

    def delete(self, ref: str) -> Tool:
        """Delete a tool, taking it from every agent."""
        found = self.retrieve(ref)
        check_ours(found, "deleted")
        self._core.do(lambda tx: tools.delete(tx, found.id))
        return found

    def attach(self, tool: str, *, agent: str) -> Tool:
        """Give an agent a tool, named by id or name; it replaces one of the same name."""

        def work(tx: Tx) -> Tool:
            state = self._core.agent(tx, agent)
            found = self._find_tool(tx, tool)
            tools.attach(tx, state.id, found.id)
            return found

        return self._core.do(work)

    def detach(self, tool: str, *, agent: str) -> Tool:
        """Take a tool off an agent; it stays in the project's toolbox."""

        def work(tx: Tx) -> Tool:
            state = self._core.agent(tx, agent)
            found = self._own_tool(tx, state, tool)
            tools.detach(tx, state.id, found.id)
            return found

        return self._core.do(work)

    def agents(self, tool: str) -> list[str]:
        """Return the ids of the agents that have a tool."""
        return self._core.do(lambda tx: tools.agents_with(tx, self._find_tool(tx, tool).id))

    def stats(self, agent: str) -> dict[str, ToolStats]:
        """Return per tool name: calls, failures, last error, total seconds."""
        return self._core.do(lambda tx: run_figures.tool_stats(tx, self._core.agent(tx, agent).id))

    def ids(self, **filters: Any) -> list[tuple[str, str, str]]:
        """Return id, kind and name of tools, the built-in ones among them; filters as the store's."""

        def work(tx: Tx) -> list[tuple[str, str, str]]:
            known = tools.ids(tx)
            there = {tool_id for tool_id, _, _ in known}
            taken = {name for _, _, name in known}
            for tool in map(builtin.record, builtin.NAMES):
                hidden = builtin.is_outside(tool.id) and tool.name in taken
                if tool.id not in there and not hidden:
                    tools.save(tx, tool)
            return tools.ids(tx, **filters)

        return self._core.do(work)

    def search(
        self, query: str, *, tags: Sequence[str] = (), limit: int = 50
    ) -> list[tuple[Tool, float]]:
        """Return the tools that fit *query* best, by words and meaning, each with a score from 0 to 1.

        Without a query: all of them, newest first.
        """
        known = self.list(ids=[tool_id for tool_id, _, _ in self.ids(newest_first=True)])
        found = [tool for tool in known if not tags or set(tags) & set(tool.tags)]
        return best_of(found, query, limit)

    def run(
        self,
        tool: str | Tool,
        arguments: dict[str, Any],
        *,
        agent: str | None = None,
        host: ToolHost | None = None,
        environment: Mapping[str, str] | None = None,
        on_output: Callable[[str, str], None] = lambda stream, text: None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Call a tool by hand, validated just as a model's call is.

        Parameters
        ----------
        tool : one of *agent*'s tools by name or id; or, for no agent, one that need not be kept.
        host : where functions of a notebook live; without one they run from source in the sandbox.
        environment : variables of the sandbox, for a tool that is run for no agent.
        """
        state = None if agent is None else self._core.find_agent(agent)
        if state is not None and isinstance(tool, str):
            name = tool
            tool = self._core.do(lambda tx: self._own_tool(tx, state, name))
        elif isinstance(tool, str):
            tool = self.retrieve(tool)
        executor = self.executor(host, state, environment)
        try:
            if tool.kind == "core" and state is not None:
                kwargs = parse_arguments(tool, json.dumps(arguments), core.FUNCTIONS[tool.name])
                return core.run(tool, kwargs, self.context(state))
            function = None if state is None else executor.function(tool)
            kwargs = parse_arguments(tool, json.dumps(arguments), function)
        except ToolArgumentError as error:
            return Outcome(status="error", text=str(error), error=str(error))
        outcome = executor.run(
            tool, kwargs, call_id=new_id("call"), on_output=on_output, cancel=cancel or Cancel()
        )
        if outcome.written and state is not None:
            try:
                self.context(state).keep(outcome.written, tool.name)
            except LettaError as error:
                outcome.status, outcome.error = "error", str(error)
                outcome.text = f"{outcome.text}\n(It could not write to memory: {error})"
        return outcome

    def require_approval(self, name: str, required: bool, *, agent: str) -> None:
        """Say whether a person must approve every call of a tool by this agent, whatever the tool says."""

        def work(tx: Tx) -> None:
            state = self._core.agent(tx, agent)
            tool = self._own_tool(tx, state, name)
            tools.set_asking(tx, state.id, tool.id, None if required else False)
            rules = [
                rule
                for rule in state.tool_rules
                if (rule.type, rule.tool_name) != ("requires_approval", tool.name)
            ]
            if required:
                rules.append(ToolRule(type="requires_approval", tool_name=tool.name))
            agents.save(tx, state.model_copy(update={"tool_rules": rules}))

        self._core.do(work)

    def context(self, state: AgentState) -> ToolContext:
        """Return what core tools work on when an agent calls them."""
        archive, recall = self._memories.of(state)
        return ToolContext(
            state.id,
            None,
            CoreMemory(self._core.database, state.id),
            archive,
            recall,
            AgentFiles(self._core.database, state.id, archive),
            timezone_of(state.settings),
        )

    def executor(
        self,
        host: ToolHost | None,
        state: AgentState | None,
        environment: Mapping[str, str] | None = None,
    ) -> Executor:
        """Return what runs tools of an agent, or (None) of nobody with *environment*."""
        if state is not None:
            environment = AgentSettings.model_validate(state.settings).environment
        return Executor(
            host,
            environment=environment or {},
            agent_state=lambda: None if state is None else self._copy(state),
            context=None if state is None else self.context(state),
            servers=self._connections,
            view=self._view(),
        )

    def _copy(self, state: AgentState) -> StateCopy:
        """Return an agent's state for one call of a tool, with its memory blocks and tools."""

        def work(tx: Tx) -> tuple[list[Block], list[Tool]]:
            return blocks.of_agent(tx, state.id), self.of(tx, state)

        memory, own = self._core.do(work)
        made: StateCopy = StateCopy.of(
            {
                **state.model_dump(exclude={"conversation"}),
                "system": state.instructions,
                "memory": {"blocks": [block.model_dump() for block in memory]},
                "tools": [
                    {
                        **tool.model_dump(include={"id", "name", "description", "tags"}),
                        "json_schema": {
                            "name": tool.name,
                            "description": tool.description,
                            "parameters": tool.parameters,
                        },
                    }
                    for tool in own
                ],
            }
        )
        return made

    def _view(self) -> View:
        """Return what sandboxed tools see: the notebook's folder and what is allowed; no agents, no secrets."""
        home = self._core.home
        beside = home.parent if home.name == project.FOLDER else project.start()
        return View(
            folders=(str(beside), *settings.SANDBOX_READ()),
            writable=settings.SANDBOX_WRITE(),
            hidden=(str(home), *settings.secret_files()),
        )

    def of(self, tx: Tx, state: AgentState) -> list[Tool]:
        """Return the tools of an agent, core tools first."""
        attached = self._core.kept(
            tx,
            ("tools", state.id),
            ("tools", "agent_tools"),
            lambda: tools.of_agent(tx, state.id),
        )
        current = [builtin.current(tool) for tool in attached]
        return sorted(current, key=lambda tool: tool.kind != "core")

    def _own_tool(self, tx: Tx, state: AgentState, name: str) -> Tool:
        own = self.of(tx, state)
        for tool in own:
            if name in (tool.name, tool.id):
                return tool
        names = [tool.name for tool in own]
        raise NotFoundError(
            f"{state.name} has no tool {name!r}.{nearest(name, names)} "
            f"It has: {', '.join(names) or 'none'}."
        )

    def _find_tool(self, tx: Tx, name: str) -> Tool:
        found = tools.get(tx, name) or tools.find(tx, name)
        if found is None and (built_in := builtin.named(name)) is not None:
            found = built_in if tx.read_only else tools.save(tx, built_in)
        if found is None:
            names = sorted({tool.name for tool in tools.list_all(tx)} | set(builtin.NAMES))
            raise NotFoundError(f"There is no tool {name!r}.{nearest(name, names)}")
        return found

    # Last, so that `list` in the annotations above is Python's.
    def list(self, agent: str | None = None, *, ids: Sequence[str] | None = None) -> list[Tool]:
        """Return an agent's tools, core tools first; or those of *ids* that exist; or all, by their names.

        All are those the project keeps and the built-in ones, which any agent can be given.
        """

        def work(tx: Tx) -> list[Tool]:
            if agent is not None:
                return self.of(tx, self._core.agent(tx, agent))
            found = tools.get_many(tx, ids) if ids is not None else tools.list_all(tx)
            return [builtin.current(tool) for tool in found]

        found = self._core.do(work)
        if agent is not None or ids is not None:
            return found
        there = {tool.id for tool in found}
        built_in = (tool for tool in map(builtin.record, builtin.NAMES) if tool.id not in there)
        return sorted([*found, *built_in], key=lambda tool: (tool.name, tool.id))
