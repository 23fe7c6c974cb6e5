"""Tools: what an agent can call, where they come from, how they fared, and trying one by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from letta_kernel.agent.settings import AgentSettings, timezone_of
from letta_kernel.errors import NotFoundError, nearest
from letta_kernel.ids import new_id, now
from letta_kernel.memory.blocks import CoreMemory
from letta_kernel.memory.folders import FileShelf
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Tool
from letta_kernel.service.base import ServiceBase
from letta_kernel.store import runs, tools
from letta_kernel.store.database import Tx
from letta_kernel.tools import builtin, core
from letta_kernel.tools.arguments import ToolArgumentError, parse_arguments
from letta_kernel.tools.context import ToolContext
from letta_kernel.tools.execute import Executor, ToolHost
from letta_kernel.tools.outcome import Outcome


class Toolbox(ServiceBase):
    """The part of the service that deals with tools."""

    def tools(self, ref: str) -> list[Tool]:
        """Return the tools of an agent, core tools first."""
        return self.do(lambda tx: self._tools(tx, self._agent(tx, ref)))

    def tool_news(self, agent_id: str) -> list[str]:
        """Return, once, what an agent's person is to be told of its tools, a line each."""
        return []

    def all_tools(self) -> list[Tool]:
        """Return every tool the project keeps."""
        return self.do(tools.list_all)

    def attachable_tools(self) -> list[Tool]:
        """Return every tool an agent could be given, the built-in ones too, in the order of their names."""
        stored = [builtin.current(tool) for tool in self.all_tools()]
        there = {tool.id for tool in stored}
        built_in = (tool for tool in map(builtin.record, builtin.NAMES) if tool.id not in there)
        return sorted([*stored, *built_in], key=lambda tool: (tool.name, tool.id))

    def save_tool(self, tool: Tool, agent_id: str | None = None) -> Tool:
        """Keep a tool; one of the same name from the same notebook is replaced and keeps its id.

        With *agent_id*, one that takes other arguments and that other agents have stays theirs.
        """

        def work(tx: Tx) -> Tool:
            known = tools.get(tx, tool.id) or tools.find(tx, tool.name, notebook=tool.notebook)
            if agent_id is not None:
                own = [one for one in tools.of_agent(tx, agent_id) if one.name == tool.name]
                known = next((one for one in own if one.notebook == tool.notebook), known)
                if known is not None and known.parameters != tool.parameters:
                    known = None if set(tools.agents_with(tx, known.id)) - {agent_id} else known
            kept = (
                tool
                if known is None or builtin.is_outside(known.id)
                else tool.model_copy(update={"id": known.id, "created_at": known.created_at})
            )
            return tools.save(tx, kept.model_copy(update={"updated_at": now()}))

        return self.do(work)

    def attach_tool(self, ref: str, tool: str) -> Tool:
        """Give an agent a tool, named by id or name; it replaces one of the same name."""

        def work(tx: Tx) -> Tool:
            state = self._agent(tx, ref)
            found = self._find_tool(tx, tool)
            tools.attach(tx, state.id, found.id)
            return found

        return self.do(work)

    def detach_tool(self, ref: str, tool: str) -> Tool:
        """Take a tool off an agent; it stays in the project's toolbox."""

        def work(tx: Tx) -> Tool:
            state = self._agent(tx, ref)
            found = self._own_tool(tx, state, tool)
            tools.detach(tx, state.id, found.id)
            return found

        return self.do(work)

    def agents_with_tool(self, tool: str) -> list[str]:
        """Return the ids of the agents that have a tool."""
        return self.do(lambda tx: tools.agents_with(tx, self._find_tool(tx, tool).id))

    def tool_stats(self, ref: str) -> dict[str, runs.ToolStats]:
        """Return per tool name: calls, failures, last error, total seconds."""
        return self.do(lambda tx: runs.tool_stats(tx, self._agent(tx, ref).id))

    def run_tool(
        self,
        ref: str,
        name: str,
        arguments: dict[str, Any],
        *,
        host: ToolHost | None = None,
        on_output: Callable[[str, str], None] = lambda stream, text: None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Call one of an agent's tools by hand, validated just as a model's call is."""
        state = self.agent(ref)
        tool = self.do(lambda tx: self._own_tool(tx, state, name))
        executor = self._executor(host, state)
        try:
            if tool.kind == "core":
                kwargs = parse_arguments(tool, json.dumps(arguments), core.FUNCTIONS[tool.name])
                return core.run(tool, kwargs, self._context(state))
            kwargs = parse_arguments(tool, json.dumps(arguments), executor.function(tool))
        except ToolArgumentError as error:
            return Outcome(status="error", text=str(error), error=str(error))
        return executor.run(
            tool, kwargs, call_id=new_id("call"), on_output=on_output, cancel=cancel or Cancel()
        )

    def _context(self, state: AgentState) -> ToolContext:
        archive, recall = self._memory_of(state)
        return ToolContext(
            state.id,
            None,
            CoreMemory(self.database, state.id),
            archive,
            recall,
            FileShelf(self.database, state.id, archive),
            timezone_of(state.settings),
        )

    def _executor(self, host: ToolHost | None, state: AgentState) -> Executor:
        environment = AgentSettings.model_validate(state.settings).environment
        return Executor(host, environment=environment, agent_state=state)

    def _tools(self, tx: Tx, state: AgentState) -> list[Tool]:
        attached = self._kept(
            tx,
            ("tools", state.id),
            ("tools", "agent_tools"),
            lambda: tools.of_agent(tx, state.id),
        )
        current = [builtin.current(tool) for tool in attached]
        return sorted(current, key=lambda tool: tool.kind != "core")

    def _own_tool(self, tx: Tx, state: AgentState, name: str) -> Tool:
        own = self._tools(tx, state)
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
            found = tools.save(tx, built_in)
        if found is None:
            names = sorted({tool.name for tool in tools.list_all(tx)} | set(builtin.NAMES))
            raise NotFoundError(f"There is no tool {name!r}.{nearest(name, names)}")
        return found
