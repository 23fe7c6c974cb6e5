"""Functions of the notebook as tools: found after each cell, kept in step with what the cells say."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from letta_kernel import warm
from letta_kernel.errors import ToolError
from letta_kernel.notebook.quiet import say
from letta_kernel.records import Tool
from letta_kernel.tools import core
from letta_kernel.tools.discovery import Found, definitions, discover
from letta_kernel.tools.sandbox import default_sandbox

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

_NOT_PYTHON = re.compile(r"\s*%%agent\b")


@cache
def _warm_sandbox() -> None:
    """Start the sandbox in the background, once, after the imports that everybody waits for."""

    def start() -> None:
        while warm.busy():
            time.sleep(0.1)
        with suppress(ToolError):  # the call that needs it will say why
            default_sandbox().warm()

    threading.Thread(target=start, name="warm-sandbox", daemon=True).start()


@dataclass(slots=True)
class _Live:
    """A function of this kernel that is a tool; ``function`` is its name in the namespace."""

    function: str
    tool: Tool


class Functions:
    """The notebook's functions, as tools of its agents.

    Functions found before the notebook has an agent belong to every agent it makes later; those found
    afterwards to the agent that is current when their cell runs.
    """

    def __init__(self, session: Session, cells_without: set[str]) -> None:
        self._session = session
        self._live: dict[str, _Live] = {}  # by the tool's name
        self._cells_without = cells_without  # cells that ran in this kernel and hold no function
        self._stored: dict[str, Tool] | None = None  # this notebook's tools in the store, by name
        self._shared: dict[str, Tool] = {}  # for every agent made here; not in the store yet
        self._definitions: dict[str, str] = {}  # what earlier cells defined, by name
        self._inputs_read = 0

    @property
    def notebook(self) -> str:
        """Which notebook this is; empty where nothing says."""
        return self._session.notebook

    def live_function(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the function behind *tool* if its cell ran in this kernel with this very source."""
        live = self._live.get(tool.name)
        if live is None or live.tool.source != tool.source:
            return None
        if tool.notebook != self._session.notebook:
            return None
        found = self._session.shell.user_ns.get(live.function)
        return found if callable(found) else None

    def after_cell(self, result: Any) -> None:
        """Register what a cell defined, take away what it removed, and say so in one line."""
        said: list[str] = []
        source, cell_id = result.info.raw_cell, result.info.cell_id
        found: list[Found] = []
        if "def " in source and not _NOT_PYTHON.match(source):
            discovery = discover(source, self._session.shell.user_ns, self._earlier())
            found = [one for one in discovery.found if self._is_defined(one.name)]
            said += self._register(found, cell_id)
            if result.success:
                said += [f"not a tool: {skip.name} ({skip.reason})" for skip in discovery.skipped]
        gone = [name for name, live in self._live.items() if not self._is_defined(live.function)]
        if result.success and cell_id:
            kept = {one.tool_name for one in found}
            known = {**(self._stored or {}), **self._shared}
            known.update((name, live.tool) for name, live in self._live.items())
            gone += [n for n, t in known.items() if t.cell_id == cell_id and n not in kept]
            (self._cells_without.discard if found else self._cells_without.add)(cell_id)
        said += self._remove(dict.fromkeys(gone))
        if said:
            say(self._session.shell, " · ".join(said))

    def load(self) -> None:
        """Learn, once, which tools of this notebook the store holds.

        Cells that ran before now and no longer define their function take it away.
        """
        if self._stored is not None or not self._session.has_project:
            return
        self._stored = {
            tool.name: tool
            for tool in self._session.service.all_tools()
            if tool.notebook == self._session.notebook and tool.kind == "notebook"
        }
        gone = [
            name
            for name, tool in self._stored.items()
            if tool.cell_id in self._cells_without and name not in self._live
        ]
        if said := self._remove(dict.fromkeys(gone)):
            say(self._session.shell, " · ".join(said))
        if any(name not in self._live for name in self._stored):
            _warm_sandbox()  # they run there until their cell has run

    def moved(self) -> None:
        """Begin anew in another project: what this kernel has defined waits for an agent there."""
        self._stored = None
        self._shared = {name: live.tool for name, live in self._live.items()}

    def give_to(self, agent_id: str, made: bool = True) -> list[str]:
        """Give an agent the functions that wait for one; return their names.

        One that was *made* now gets those too that agents made here before have got.
        """
        self._session.current()  # learns which functions wait
        self.load()
        service, given, new = self._session.service, [], []
        for tool in self._shared.values():
            saved = service.save_tool(tool)
            self._remember(saved)
            new.append(saved.id)
            if saved.id not in self._session.shared_tools:
                self._session.shared_tools.append(saved.id)
        self._shared.clear()
        known = {tool.id: tool.name for tool in (self._stored or {}).values()}
        for tool_id in self._session.shared_tools if made else new:
            if tool_id in known:
                service.attach_tool(agent_id, tool_id)
                given.append(known[tool_id])
        return given

    def _register(self, found: list[Found], cell_id: str | None) -> list[str]:
        if not found:
            return []
        agent = self._session.current()
        said, named = [], []
        for one in found:
            if one.tool_name in core.FUNCTIONS:
                said.append(f"not a tool: {one.name} (a built-in tool has this name)")
                continue
            tool = self._record(one, cell_id)
            if agent is None:
                self._shared[tool.name] = tool
            else:
                tool = self._session.service.save_tool(tool)
                said += self._changed_for(tool, agent.id)
                self._session.service.attach_tool(agent.id, tool.id)
                self._remember(tool)
            self._live[tool.name] = _Live(one.name, tool)
            if tool.runs_in == "sandbox":
                _warm_sandbox()
            named.append(f"{tool.name}({', '.join(tool.parameters.get('properties', {}))})")
        if named:
            owner = f"{agent.name} can call" if agent else "tools for the next agent"
            said.insert(0, f"{owner}: {', '.join(named)}")
        return said

    def _changed_for(self, tool: Tool, agent_id: str) -> list[str]:
        """Say which other agents have a tool that is another one now."""
        known = (self._stored or {}).get(tool.name)
        if known is None or known.source == tool.source:
            return []
        service = self._session.service
        others = [
            service.agent(owner).name
            for owner in service.agents_with_tool(tool.id)
            if owner != agent_id
        ]
        return [f"{tool.name} has changed for {', '.join(others)} too"] if others else []

    def _remove(self, names: dict[str, None]) -> list[str]:
        """Take the named tools off every agent that has them."""
        said = []
        for name in names:
            live = self._live.pop(name, None)
            waiting = self._shared.pop(name, None)
            stored = (self._stored or {}).pop(name, None)
            owners = []
            if stored is not None:
                service = self._session.service
                owners = [
                    service.agent(owner).name for owner in service.agents_with_tool(stored.id)
                ]
                for owner in owners:
                    service.detach_tool(owner, stored.id)
                self._session.forget_shared(stored.id)
            if owners:
                verb = "has" if len(owners) == 1 else "have"
                said.append(f"{', '.join(owners)} no longer {verb} {name}")
            elif waiting is not None or (live is not None and stored is None):
                said.append(f"{name} is no longer a tool")
        return said

    def _record(self, one: Found, cell_id: str | None) -> Tool:
        return Tool(
            name=one.tool_name,
            description=one.schema["description"],
            parameters=one.schema["parameters"],
            source=one.source,
            notebook=self._session.notebook,
            cell_id=cell_id,
            metadata={"own_source": one.own_source, "dependencies": list(one.options.dependencies)},
            **one.options.record_fields(),
        )

    def _earlier(self) -> dict[str, str]:
        """Return what the cells before this one defined, for tools that need it to run alone."""
        manager = self._session.shell.history_manager
        inputs = manager.input_hist_raw[:-1] if manager is not None else []
        for source in inputs[self._inputs_read :]:
            self._definitions.update(definitions(source))
        self._inputs_read = max(self._inputs_read, len(inputs))
        return self._definitions

    def _remember(self, tool: Tool) -> None:
        if self._stored is None:
            self._stored = {}
        self._stored[tool.name] = tool

    def _is_defined(self, name: str) -> bool:
        return callable(self._session.shell.user_ns.get(name))
