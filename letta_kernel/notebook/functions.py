"""Functions of the notebook as tools: found after each cell, kept up to date, looked up for a call."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache
from types import FunctionType
from typing import Any, Protocol

from letta_kernel import lazy_import
from letta_kernel.api.added_tools import added_to
from letta_kernel.errors import ToolError
from letta_kernel.notebook.output import say
from letta_kernel.notebook.turn import Turn
from letta_kernel.records import AgentState, Tool
from letta_kernel.service import AgentService
from letta_kernel.tools import core
from letta_kernel.tools.callables import is_method
from letta_kernel.tools.discovery import (
    Discovery,
    Found,
    Skipped,
    Tracked,
    definitions,
    discover,
    found_in,
)
from letta_kernel.tools.live import callable_now
from letta_kernel.tools.references import (
    Reference,
    StaleToolError,
    reference_by_name,
    reference_to,
    same,
    snapshot,
)
from letta_kernel.tools.sandbox import default_sandbox

_Made = tuple[Found, Reference, str | None]  # and the cell it belongs to
_NOT_PYTHON = re.compile(r"\s*%%agent\b")


@cache
def _warm_sandbox() -> None:
    """Start the sandbox in the background, once, after the imports that everybody waits for."""

    def start() -> None:
        while lazy_import.busy():
            time.sleep(0.1)
        with suppress(ToolError):  # the call that needs it will say why
            default_sandbox().warm()

    threading.Thread(target=start, name="warm-sandbox", daemon=True).start()


class NotebookState(Protocol):
    """What functions ask of the notebook they are in."""

    shell: Any
    shared_tools: list[str]

    @property
    def service(self) -> AgentService:
        """The project's agents."""

    @property
    def has_project(self) -> bool:
        """Is there anything yet?"""

    @property
    def notebook(self) -> str:
        """Which notebook this is."""

    def current(self) -> AgentState | None:
        """Return the agent the notebook talks to."""

    def forget_shared(self, tool_id: str) -> None:
        """Do not give this tool to agents made later."""


class Functions:
    """The notebook's functions, as tools of its agents.

    Functions found before the notebook has an agent belong to every agent it makes later; those found
    afterwards to the agent that is current when their cell runs.
    """

    def __init__(self, session: NotebookState, cells_without: set[str]) -> None:
        self._session = session
        self._live: dict[str, Tracked] = {}  # by the tool's name
        self._told: dict[str, str] = {}  # what was said of those that are none, by name
        self._unsaid: dict[str, str] = {}  # what will be once there is an agent
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
        return callable_now(live.reference)

    def after_cell(self, result: Any, marked: Sequence[Callable[..., Any]] = ()) -> None:
        """Register what a cell defined, take away what it removed, and say so in one line.

        *marked* is what ``tool(…)`` was called with while the cell ran.
        """
        # A cell that failed half way has defined some of its functions: these count, but nothing is taken
        # away for what it did not reach.
        said = self._load()
        source, cell_id = result.info.raw_cell, result.info.cell_id
        discovery = Discovery()
        if "def " in source and not _NOT_PYTHON.match(source):
            discovery = discover(source, self._names, self._earlier())
        found = [
            (one, reference_by_name(self._names, one.name), cell_id)
            for one in discovery.found
            if callable(self._names.get(one.name)) and (result.success or self._is_new(one))
        ]
        skipped = discovery.skipped if result.success else []
        made, failed = self._marked(marked, discovery.functions, cell_id)
        said += self._register([*found, *made])
        said += self._problems([*skipped, *failed])
        kept = {one.tool_name for one, _, _ in (*found, *made)}
        said += self.refresh(kept)
        gone: list[str] = []
        if result.success and cell_id:
            known = {**(self._stored or {}), **self._shared}
            known.update((name, live.tool) for name, live in self._live.items())
            gone += [n for n, t in known.items() if t.cell_id == cell_id and n not in kept]
            (self._cells_without.discard if kept else self._cells_without.add)(cell_id)
        said += self._remove(dict.fromkeys(gone))
        if said:
            say(self._session.shell, " · ".join(said))

    def refresh(self, but: Collection[str] = ()) -> list[str]:
        """Keep the tools in step with functions that changed otherwise; return what there is to say.

        A name may have been bound anew, a function patched, a module reloaded. *but* are tools that are right.
        """
        agent, changed, said = self._session.current(), [], []
        gone: dict[str, None] = {}
        for name, live in list(self._live.items()):
            if name in but:
                continue
            try:
                tool = live.changed(self._names, self._earlier())
            except StaleToolError as error:
                if error.gone:
                    gone[name] = None
                else:
                    said += self._problems([Skipped(name, str(error))])
                continue
            except ToolError as error:
                gone[name] = None
                said += self._problems([Skipped(name, _reason(error, name))])
                continue
            if tool is not None:
                live.tool = tool
                changed.append(tool)
        named = []
        for tool in changed:
            if tool.name in self._shared:
                self._shared[tool.name] = tool
            else:
                saved = self._live[tool.name].tool = self._session.service.tools.upsert(tool)
                said += self._changed_for(saved, agent.id if agent else "")
                self._remember(saved)
            named.append(_called(tool))
        if named and agent is not None:
            said.insert(0, f"{agent.name} can call: {', '.join(named)}")
        return said + self._remove(gone)

    def load(self) -> None:
        """Learn which tools of this notebook the store holds, and which have changed; say so in one line."""
        said = [*self._load(), *self.refresh()]
        if said:
            say(self._session.shell, " · ".join(said))

    def _load(self) -> list[str]:
        """Learn, once, which tools of this notebook the store holds.

        Cells that ran before now and no longer define their function take it away.
        """
        if self._stored is not None or not self._session.has_project:
            return []
        self._stored = {
            tool.name: tool
            for tool in self._session.service.tools.list()
            if tool.notebook == self._session.notebook and tool.kind == "notebook"
        }
        gone = [
            name
            for name, tool in self._stored.items()
            if tool.cell_id in self._cells_without and name not in self._live
        ]
        if any(name not in self._live for name in self._stored):
            _warm_sandbox()  # they run there until their cell has run
        return self._remove(dict.fromkeys(gone))

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
            saved = service.tools.upsert(tool)
            self._remember(saved)
            new.append(saved.id)
            if tool.name in self._live:
                self._live[tool.name].tool = saved
            if saved.id not in self._session.shared_tools:
                self._session.shared_tools.append(saved.id)
        self._shared.clear()
        problems = [f"not a tool: {name} ({why})" for name, why in self._unsaid.items()]
        self._told.update(self._unsaid)
        self._unsaid.clear()
        if problems:
            say(self._session.shell, " · ".join(problems))
        known = {tool.id: tool.name for tool in (self._stored or {}).values()}
        for tool_id in self._session.shared_tools if made else new:
            if tool_id in known:
                service.tools.attach(tool_id, agent=agent_id)
                given.append(known[tool_id])
        return given

    def _register(self, found: list[_Made]) -> list[str]:
        if not found:
            return []
        agent = self._session.current()
        said, named = [], []
        for one, reference, cell_id in found:
            if one.tool_name in core.FUNCTIONS:
                said += self._problems([Skipped(one.name, "a built-in tool has this name")])
                continue
            tool = one.record(notebook=self._session.notebook, cell_id=cell_id)
            if agent is None:
                self._shared[tool.name] = tool
            else:
                tool = self._session.service.tools.upsert(tool)
                said += self._changed_for(tool, agent.id)
                self._session.service.tools.attach(tool.id, agent=agent.id)
                self._remember(tool)
            self._live[tool.name] = Tracked.of(reference, one.name, tool)
            self._told.pop(one.name, None)
            self._unsaid.pop(one.name, None)
            if tool.runs_in == "sandbox":
                _warm_sandbox()
            named.append(_called(tool))
        if named and agent is not None:
            said.insert(0, f"{agent.name} can call: {', '.join(named)}")
        return said

    def _marked(
        self, marked: Sequence[Callable[..., Any]], defined: Collection[str], cell_id: str | None
    ) -> tuple[list[_Made], list[Skipped]]:
        """Return what ``tool(…)`` made a tool beside the functions the cell defines, and what it could not."""
        made: dict[str, _Made] = {}
        failed: list[Skipped] = []
        here = [self._names.get(name) for name in defined]
        for function in marked:
            if any(function is one for one in here) or is_method(function):
                continue  # it is looked at by its name, or belongs to a class
            name = getattr(function, "__name__", "") or type(function).__name__
            try:
                one = found_in(function, name, self._names, self._earlier())
            except ToolError as error:
                failed.append(Skipped(name, _reason(error, name)))
                continue
            reference = reference_to(function, self._names)
            made[one.tool_name] = one, reference, self._cell_of(one.tool_name, function) or cell_id
        return list(made.values()), failed

    def _cell_of(self, name: str, function: Callable[..., Any]) -> str | None:
        """Return the cell whose ``def`` made *function*, if that is a tool of this name already."""
        live = self._live.get(name)
        if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
            return None
        with suppress(StaleToolError):
            if live is not None and live.reference.now() is function:
                return live.tool.cell_id
        return None

    def _problems(self, skipped: Sequence[Skipped]) -> list[str]:
        """Return why functions are no tools: each reason once, and only if there is an agent."""
        said = []
        for one in skipped:
            if self._told.get(one.name) == one.reason:
                continue
            if self._session.current() is None:
                self._unsaid[one.name] = one.reason
                continue
            self._told[one.name] = one.reason
            stale = one.reason.startswith(f"{one.name} is stale")
            said.append(one.reason if stale else f"not a tool: {one.name} ({one.reason})")
        return said

    def _changed_for(self, tool: Tool, agent_id: str) -> list[str]:
        """Say which other agents have a tool that is another one now."""
        known = (self._stored or {}).get(tool.name)
        if known is None or known.source == tool.source:
            return []
        service = self._session.service
        others = [
            service.agents.retrieve(owner).name
            for owner in service.tools.agents(tool.id)
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
                    service.agents.retrieve(owner).name for owner in service.tools.agents(stored.id)
                ]
                for owner in owners:
                    service.tools.detach(stored.id, agent=owner)
                self._session.forget_shared(stored.id)
            if owners:
                verb = "has" if len(owners) == 1 else "have"
                said.append(f"{', '.join(owners)} no longer {verb} {name}")
            elif (waiting or live) and stored is None and self._session.current() is not None:
                said.append(f"{name} is no longer a tool")
        return said

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

    def _is_new(self, one: Found) -> bool:
        """Return whether a cell that failed came as far as defining this function."""
        live = self._live.get(one.tool_name)
        return live is None or not same(snapshot(self._names[one.name]), live.seen)

    @property
    def _names(self) -> dict[str, Any]:
        names: dict[str, Any] = self._session.shell.user_ns
        return names


def _called(tool: Tool) -> str:
    return f"{tool.name}({', '.join(tool.parameters.get('properties', {}))})"


def _reason(error: ToolError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")


class NotebookHost:
    """Looks tools up in the user's namespace (a `letta_kernel.tools.execute.ToolHost`).

    Parameters
    ----------
    functions
        The notebook's.
    agent_id
        Whose tools: what `Agent.add_tool` gave this agent is found too.
    turn
        What the notebook tools of its turn do.
    """

    def __init__(
        self, functions: Functions, agent_id: str | None = None, turn: Turn | None = None
    ) -> None:
        self._functions = functions
        self._agent_id = agent_id
        self.turn = turn

    @property
    def notebook(self) -> str | None:
        """The notebook whose runs these are, for counting costs; None where nothing names it."""
        return self._functions.notebook or None

    def of(self, agent_id: str) -> NotebookHost:
        """Return the host of another agent, which an agent here asks."""
        return NotebookHost(self._functions, agent_id)

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the live function behind *tool*; None if its cell has not run in this kernel.

        A tool another notebook defined, or whose source has changed elsewhere since, is not ours.
        """
        if tool.kind == "turn":
            return self.turn.function(tool.name) if self.turn is not None else None
        found = self._functions.live_function(tool)
        if found is None and self._agent_id is not None:
            found = added_to(self._agent_id).given(tool)
        return found
