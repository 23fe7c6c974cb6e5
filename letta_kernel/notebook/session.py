"""One notebook's dealings with its project: the current agent, its functions, the commands it runs."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from letta_kernel import isolation, settings
from letta_kernel.api import service_for
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError, nearest
from letta_kernel.hooks import tool_hosts, turn_begins
from letta_kernel.models.registry import get_ready
from letta_kernel.notebook import (
    agent_file_commands,
    block_commands,
    commands,
    event_commands,
    file_commands,
    help_commands,
    mcp_commands,
    memory_commands,
    model_commands,
    plot_commands,
    registry,
    rule_commands,
    run,
    run_commands,
    tool_commands,
)
from letta_kernel.notebook.approvals import Approvals
from letta_kernel.notebook.completion import complete
from letta_kernel.notebook.fill import fill
from letta_kernel.notebook.functions import Functions
from letta_kernel.notebook.host import NotebookHost
from letta_kernel.notebook.line import parse
from letta_kernel.notebook.main_thread import MainThreadQueue
from letta_kernel.notebook.memory_panel import show_memory
from letta_kernel.notebook.quiet import AgentError, Stopped, details, say, show
from letta_kernel.notebook.timers import Timers
from letta_kernel.notebook.words import WORDS
from letta_kernel.project import project_folder, settle
from letta_kernel.records import AgentState
from letta_kernel.remedies import Do, remedy
from letta_kernel.service import AgentService, Decision, Opened

# The modules of commands register themselves.
__all__ = [
    "Session",
    "agent_file_commands",
    "block_commands",
    "commands",
    "event_commands",
    "file_commands",
    "help_commands",
    "mcp_commands",
    "memory_commands",
    "model_commands",
    "plot_commands",
    "rule_commands",
    "run_commands",
    "tool_commands",
]

FIRST_NAME = "agent"
_DATABASE = "letta.duckdb"


class Session:
    """What ``%agent`` and ``%%agent`` of one shell share.

    Parameters
    ----------
    shell
        The IPython shell.
    cells_without
        Ids of the cells that ran before and define no function.
    """

    def __init__(self, shell: Any, cells_without: set[str]) -> None:
        self.shell = shell
        self.shared_tools: list[str] = []  # ids of the tools every agent made here gets
        self.tape = ""  # what is being recorded or replayed, in a sentence
        self.used = False  # an agent has been spoken of in this notebook
        self.last_error = ""  # the traceback of the last thing that went wrong inside
        self._home = project_folder()
        self._agent_id: str | None = None
        self._known = False  # the store has been asked for this notebook's last agent
        self.functions = Functions(self, cells_without)
        self.host = NotebookHost(self.functions)
        tool_hosts.append(self.functions.live_function)
        turn_begins.append(self.functions.load)
        self.timers = Timers(self)
        self.approvals = Approvals()
        self.main_thread = MainThreadQueue()
        self.agent_changed: Callable[[], None] = lambda: None  # tells panels whom it talks to

    # -- where we are --------------------------------------------------------------------------------

    @property
    def service(self) -> AgentService:
        """The one door to the project's agents; opening it makes the project folder."""
        return service_for(self.home)

    @property
    def home(self) -> Path:
        """The project folder; `LETTA_HOME` may move it until the first agent command."""
        found = project_folder()
        if found != self._home:
            self._home = found
            self._agent_id, self._known, self.shared_tools = None, False, []
            self.functions.moved()
        return found

    @property
    def has_project(self) -> bool:
        """Is there anything yet? Looking must not make a folder in a notebook without agents."""
        return (self.home / _DATABASE).exists()

    @property
    def notebook(self) -> str:
        """Which notebook this is: its path beside the project folder; empty where nothing says."""
        named = os.environ.get("JPY_SESSION_NAME") or self.shell.user_ns.get("__vsc_ipynb_file__")
        if not isinstance(named, str) or not named:
            return ""
        return self.beside(Path(named))

    def beside(self, path: Path) -> str:
        """Return *path* as it is from beside the project folder, so that it is the same when that moves."""
        beside = self.home.parent
        if path.is_absolute() and path.is_relative_to(beside):
            path = path.relative_to(beside)
        return path.as_posix()

    def host_of(self, agent_id: str) -> NotebookHost:
        """Return where the functions behind this agent's tools are found."""
        return NotebookHost(self.functions, agent_id)

    # -- the current agent ---------------------------------------------------------------------------

    def current(self) -> AgentState | None:
        """Return the agent this notebook talks to; after a restart it is the last one."""
        there = self.has_project  # first: another project has other agents
        if not self._known and there:
            self._known = True
            stored = json.loads(self.service.settings.get(self._key) or "{}")
            self._agent_id = self._agent_id or stored.get("agent")
            self.shared_tools += stored.get("tools", [])
            with suppress(LettaError):
                if self._agent_id is not None:
                    self.service.agents.prepare(self._agent_id)
        if self._agent_id is None:
            return None
        try:
            return self.service.agents.retrieve(self._agent_id)
        except NotFoundError:  # deleted by someone else
            self._agent_id = None
            return None

    def agent(self, name: str | None = None, *, renamed: bool = True) -> AgentState:
        """Return the agent called *name*, or the current one; with *renamed* also one called so before.

        Raises
        ------
        NotFoundError
            There is none; the text says what to do.
        """
        if name is not None:
            if not self.has_project:
                raise NotFoundError(
                    f"There is no agent {name!r}: {self.home} holds none.",
                    remedy(Do.MAKE_AGENT, name),
                )
            return self.service.agents.retrieve(name, renamed=renamed)
        found = self.current()
        if found is None:
            names = self.agent_names()
            known = f"%agent use {names[0]}, or " if names else ""
            raise NotFoundError(f"This notebook has no agent yet: {known}%agent new NAME.")
        return found

    def choose(self, agent: AgentState) -> None:
        """Talk to *agent* from now on, and after a restart too."""
        self.current()
        self._agent_id = agent.id
        self._keep()
        self.agent_changed()
        self.service.agents.prepare(agent.id)
        self._get_ready(agent)

    def _get_ready(self, agent: AgentState | None) -> None:
        """Begin importing what the agent's next message needs; returns at once."""
        if agent is not None:
            threading.Thread(
                target=get_ready, args=(agent.model,), name="get-ready", daemon=True
            ).start()

    def make(self, name: str, **options: Any) -> tuple[Opened, list[str]]:
        """Open an agent, made if there is none, with the functions that wait for one, and talk to it.

        Returns it and the names of the functions that it got.
        """
        self.current()
        opened = self.service.agents.open(name, **options)
        given = self.functions.give_to(opened.agent.id, opened.made)
        self.choose(opened.agent)
        return opened, given

    def opened(self, service: AgentService, agent: AgentState, made: bool) -> None:
        """Take note of an agent that ``Agent(...)`` opened in this notebook."""
        self.used = True
        if service.home != self.home:
            return
        settle()
        service.runs.notebook = self.notebook or None
        if made:
            self.functions.give_to(agent.id)
        if self.current() is None:
            self.choose(agent)

    def talk(self, agent_id: str, text: str) -> None:
        """Send a message to an agent without a cell."""
        run.talk(self, agent_id, text)

    def resume(self, agent_id: str, decisions: Sequence[Decision]) -> None:
        """Go on, without a cell, with a run that waited for approval."""
        run.resume(self, agent_id, decisions)

    def show_memory(self, service: AgentService, agent: AgentState) -> bool:
        """Show an agent's memory where this shell shows things; always True."""
        show_memory(self.shell, service, agent)
        return True

    def forget(self, agent: AgentState) -> None:
        """Talk to nobody if *agent* was the current one."""
        if self._agent_id == agent.id:
            self._agent_id = None
            self._keep()
            self.agent_changed()

    def forget_shared(self, tool_id: str) -> None:
        """Do not give this tool to agents made later."""
        if tool_id in self.shared_tools:
            self.shared_tools.remove(tool_id)
            self._keep()

    def agent_names(self) -> list[str]:
        """Return the names of the project's agents."""
        return [agent.name for agent in self.service.agents.list()] if self.has_project else []

    @property
    def _key(self) -> str:
        return f"notebook:{self.notebook}"

    def _keep(self) -> None:
        kept = {"agent": self._agent_id, "tools": self.shared_tools}
        self.service.settings.put(self._key, json.dumps(kept))

    # -- what the magics call ------------------------------------------------------------------------

    def line(self, line: str) -> None:
        """Run ``%agent`` *line*."""
        self._guarded(lambda: self._line(line))

    def cell(self, line: str, cell: str) -> None:
        """Run ``%%agent`` *line* with the message *cell*."""
        self._guarded(lambda: self._cell(line, cell))

    def after_cell(self, result: Any, marked: Sequence[Callable[..., Any]] = ()) -> None:
        """Keep the tools in step with a cell that ran; never fails the cell.

        *marked* is what ``tool(…)`` was called with meanwhile.
        """
        try:
            self.functions.after_cell(result, marked)
        except LettaError as error:
            say(self.shell, error.in_words(WORDS), "warning")
        except Exception as error:
            self.last_error = details(error)
            say(self.shell, _inside(error), "warning")

    def complete(self, before: str) -> tuple[str, list[str]]:
        """Return the part of a word before the cursor, and the words that may stand there."""
        try:
            return complete(self, before)
        except Exception as error:  # Tab must not get in the way
            self.last_error = details(error)
            return "", []

    def fill(self, text: str) -> str:
        """Fill ``{expressions}`` from the notebook; a quiet line names what is not defined."""
        filled = fill(text, self.shell.user_ns)
        if filled.note:
            say(self.shell, filled.note)
        return filled.text

    def _line(self, line: str) -> None:
        self.used = True
        settle()
        self.functions.load()
        self._get_ready(self.current())
        command, rest = registry.find(line.strip() or "show", self.agent_names)
        given = command.parse(rest)
        for argument in command.arguments:
            if argument.rest and argument.name in given.words:
                given.words[argument.name] = self.fill(given.words[argument.name])
        for option in command.options:
            if option.kind == "text" and option.key in given.options:
                given.options[option.key] = self.fill(given.options[option.key])
        answer = command.handler(self, given)
        if isinstance(answer, str):
            say(self.shell, answer)
        elif answer is not None:
            show(self.shell, answer)

    def _cell(self, line: str, cell: str) -> None:
        self.used = True
        given = parse(
            line, registry.CELL_ARGUMENTS, registry.CELL_OPTIONS, usage=registry.CELL_USAGE
        )
        text = cell.strip("\n") if given.option("raw") else self.fill(cell.strip("\n"))
        if not text.strip():
            raise InvalidInputError("There is nothing to send: the cell is empty.")
        settle()
        self.functions.load()
        agent = self._addressed(given.get("name"))
        run.send(
            self,
            agent.id,
            text,
            max_steps=given.option("max_steps"),
            model=given.option("model"),
        )

    def _addressed(self, name: str | None) -> AgentState:
        """Return the agent a cell is for; a notebook without one gets one."""
        current = self.current()
        if name is None:
            return current or self._first(self._free_name())
        names = self.agent_names()
        if current is None and name not in names and not nearest(name, names):
            return self._first(name)
        agent = self.agent(name)
        if current is None or agent.id != current.id:
            self.choose(agent)
        return agent

    def _first(self, name: str) -> AgentState:
        others = self.agent_names()
        opened, given = self.make(name)
        more = f", with {', '.join(given)}" if given else ""
        hint = f"; %agent use {others[0]} talks to one that is there" if others else ""
        say(self.shell, f"Made the agent {opened.agent.name!r} for this notebook{more}{hint}.")
        return opened.agent

    def _free_name(self) -> str:
        taken = set(self.agent_names())
        number, name = 1, FIRST_NAME
        while name in taken:
            number += 1
            name = f"{FIRST_NAME}-{number}"
        return name

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run *work*; whatever goes wrong ends the cell with one line."""
        problem: BaseException
        try:
            return work()
        except (AgentError, Stopped) as error:
            problem = error
        except LettaError as error:
            problem = AgentError(error.in_words(WORDS))
        except KeyboardInterrupt:
            problem = Stopped()
        except Exception as error:
            self.last_error = details(error)
            if settings.DEBUG():
                raise
            problem = AgentError(_inside(error))
        # Raised here, outside the handlers, so that it does not drag our own frames along.
        raise problem.with_traceback(None)


def _inside(error: Exception) -> str:
    if hidden := isolation.hidden_line(isolation.hidden()):
        return hidden
    lines = str(error).splitlines()
    said = f": {lines[0]}" if lines else ""
    return (
        f"Something went wrong inside letta-kernel ({type(error).__name__}{said}). "
        "%agent traceback shows where."
    )
