"""One notebook's dealings with its project: the current agent, its functions, the commands it runs."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from letta_kernel import errors, isolation
from letta_kernel.api.agent import service_for
from letta_kernel.api.plots import plot_of
from letta_kernel.commands.door import Notebook, Shared
from letta_kernel.commands.spec import DoorName
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError, ReadOnlyError
from letta_kernel.hooks import consent_told, tool_hosts, turn_begins, users_code
from letta_kernel.models import registry
from letta_kernel.notebook import failures, run, shared_run
from letta_kernel.notebook.approvals import Approvals
from letta_kernel.notebook.beside import NotebookBeside, Seen, offered, visible
from letta_kernel.notebook.beside.look import Look
from letta_kernel.notebook.debugger import Debugging
from letta_kernel.notebook.document import Document, FrontEnds, OpenDocument, SavedDocument
from letta_kernel.notebook.document.grants import Grants
from letta_kernel.notebook.document.proposals import Proposals
from letta_kernel.notebook.executed import ExecutedCells
from letta_kernel.notebook.functions import Functions, NotebookHost
from letta_kernel.notebook.live_panels import show_memory, show_timeline
from letta_kernel.notebook.main_thread import MainThreadQueue
from letta_kernel.notebook.output import details, progress, say, show
from letta_kernel.notebook.panel.registry import RequestContext
from letta_kernel.notebook.panel.shared_runs import SharedRuns
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.notebook.template import Filled, fill
from letta_kernel.notebook.timers import Timers, seconds_of
from letta_kernel.notebook.turn import Turn, called
from letta_kernel.pictures.picture import Picture
from letta_kernel.project import is_there, project_folder, settle, start
from letta_kernel.records import AgentState, Tool
from letta_kernel.remedies import Do, remedy
from letta_kernel.service import AgentService, Decision, Opened


class Session(Notebook):
    """What ``%agent`` and ``%%agent`` of one shell share; the door that commands come through here.

    Parameters
    ----------
    shell
        The IPython shell.
    cells_without
        Ids of the cells that ran before and define no function.
    executed
        What ran in the shell.
    """

    at: DoorName = "notebook"
    words = WORDS

    def __init__(self, shell: Any, cells_without: set[str], executed: ExecutedCells) -> None:
        self.shell = shell
        self.executed = executed
        self.told: dict[str, Seen] = {}  # what agents know of the notebook, by thread
        self.sent_to: set[str] = set()  # to whom its cells go, as far as the person was told
        self.shared_tools: list[str] = []  # ids of the tools every agent made here gets
        self.recording = ""  # what is being recorded or replayed, in a sentence
        self.used = False  # an agent has been spoken of in this notebook
        self.last_error = ""  # the traceback of the last thing that went wrong inside
        self._home = project_folder()
        self._agent_id: str | None = None
        self._shared = ""  # or whom of other people's it talks to instead
        self._knowing = threading.RLock()  # a Tab asks in a thread of its own
        self._known = False  # the store has been asked for this notebook's last agent
        self._read_only = ""  # why tools cannot be kept, once that has been said
        self.functions = Functions(self, cells_without)
        self.host = NotebookHost(self.functions)
        tool_hosts.append(self.functions.live_function)
        turn_begins.append(self.functions.load)
        consent_told.append(self.say)
        self.timers = Timers(self)
        self.approvals = Approvals()
        self.debugger = Debugging()
        self.main_thread = MainThreadQueue()
        self.front_ends = FrontEnds()
        self.shared_runs = SharedRuns()
        self.grants = Grants()
        self.seen: dict[tuple[str, str], str] = {}  # cells as agents have read them
        self.agent_changed: Callable[[], None] = lambda: None  # tells panels whom it talks to

    # -- where we are --------------------------------------------------------------------------------

    @property
    def service(self) -> AgentService:
        """The one door to the project's agents; opening it makes the project folder."""
        service = service_for(self.home)
        service.sleeptime.watch()
        return service

    @property
    def home(self) -> Path:
        """The project folder; `LETTA_HOME` may move it until the first agent command."""
        found = project_folder()
        if found != self._home:
            self._home = found
            self._agent_id, self._known, self.shared_tools = None, False, []
            self._shared = ""
            self.functions.moved()
        return found

    @property
    def has_project(self) -> bool:
        """Is there anything yet?"""
        return is_there(self.home)

    @property
    def notebook(self) -> str:
        """Which notebook this is: its path beside the project folder; empty where nothing says."""
        return self.beside(Path(self._named)) if self._named else ""

    @property
    def _named(self) -> str:
        named = os.environ.get("JPY_SESSION_NAME") or self.shell.user_ns.get("__vsc_ipynb_file__")
        return named if isinstance(named, str) else ""

    def beside(self, path: Path) -> str:
        """Return *path* as it is from beside the project folder, so that it is the same when that moves."""
        beside = self.home.parent
        if path.is_absolute() and path.is_relative_to(beside):
            path = path.relative_to(beside)
        return path.as_posix()

    def host_of(self, agent_id: str, turn: Turn | None = None) -> NotebookHost:
        """Return where the functions behind this agent's tools are found, and in a *turn* the notebook's."""
        return NotebookHost(self.functions, agent_id, turn)

    @property
    def document(self) -> Document:
        """The notebook as it can be reached now: open in a front end of ours, or else its file."""
        key = self.front_ends.current()
        if key is not None:
            return OpenDocument(self.front_ends, key)
        return SavedDocument(self.file, self.executed, Proposals(self.shell))

    @property
    def file(self) -> Path | None:
        """The notebook's file; None where nothing says which it is."""
        named = self._named
        if not named.endswith(".ipynb"):
            return None
        return Path(named) if Path(named).is_absolute() else start() / Path(named).name

    # -- the current agent ---------------------------------------------------------------------------

    def current(self) -> AgentState | None:
        """Return the agent this notebook talks to; after a restart it is the last one."""
        there = self.has_project  # first: another project has other agents
        with self._knowing:
            if not self._known and there:
                self._remember()
        if self._agent_id is None:
            return None
        try:
            return self.service.agents.retrieve(self._agent_id)
        except NotFoundError:  # deleted by someone else
            self._agent_id = None
            return None

    def _remember(self) -> None:
        """Read whom this notebook talked to last; where the store cannot be read, the next time."""
        stored = json.loads(self.service.settings.get(self._key) or "{}")
        self._known = True
        if not self._agent_id and not self._shared:
            self._agent_id, self._shared = stored.get("agent"), stored.get("shared") or ""
        self.shared_tools += stored.get("tools", [])
        with suppress(LettaError):
            if self._agent_id is not None:
                self.service.agents.prepare(self._agent_id)
                if self.service.sleeptime.group_of(self._agent_id) is not None:
                    self.service.sleeptime.nudge(self._agent_id)

    def agent(self, name: str | None = None, *, renamed: bool = True) -> AgentState:
        """Return the agent called *name*, or the current one; with *renamed* also one called so before.

        Raises
        ------
        NotFoundError
            There is none; the text says what to do.
        """
        if (shared := self.shared(name)) is not None:
            raise shared.not_here()
        if name is not None:
            if not self.has_project:
                raise NotFoundError(
                    f"There is no agent {name!r}: {self.where} holds none.",
                    remedy(Do.MAKE_AGENT, name),
                )
            return self.service.agents.retrieve(name, renamed=renamed)
        found = self.current()
        if found is None:
            names = self.agent_names()
            known = f"%agent use {names[0]}, or " if names else ""
            raise NotFoundError(
                f"This notebook has no agent yet: {known}%agent new NAME.", page="no-agent"
            )
        return found

    def choose(self, agent: AgentState) -> None:
        """Talk to *agent* from now on, and after a restart too."""
        self.current()
        self._agent_id, self._shared = agent.id, ""
        self._keep()
        self.agent_changed()
        self.service.agents.prepare(agent.id)
        self.get_ready(agent)

    def choose_shared(self, shared: Shared) -> None:
        """Talk to an agent of somebody else's from now on, and after a restart too."""
        self.current()
        self._agent_id, self._shared = None, shared.ref
        self._keep()
        self.agent_changed()

    def shared(self, name: str | None) -> Shared | None:
        """Return the agent of somebody else's that is meant, or talked to; None if an own one is."""
        if name is not None:
            return super().shared(name)
        self.current()
        return super().shared(self._shared) if self._shared else None

    def get_ready(self, agent: AgentState | None) -> None:
        """Begin importing what the agent's next message needs, and delivering messages; returns at once."""
        if agent is not None:
            self.service.deliveries.start()
            threading.Thread(
                target=registry.get_ready, args=(agent.model,), name="get-ready", daemon=True
            ).start()

    def open_agent(self, name: str, **options: Any) -> tuple[Opened, list[str]]:
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

    def show_memory(self, service: AgentService, agent: AgentState) -> bool:
        """Show an agent's memory where this shell shows things; always True."""
        show_memory(self.shell, service, agent)
        return True

    def lent(self, agent: AgentState) -> Sequence[Tool]:
        """Return the notebook tools of the agent's next turn."""
        return self.grants.offered(self.service, agent.id)

    def beside_of(self, text: str = "", mode: str | None = None) -> NotebookBeside:
        """Return what gives what stands beside the message *text*; *mode* wins over the agent's setting."""
        return NotebookBeside(self, text, mode)

    def names(self, begun: str) -> list[dict[str, str]]:
        """Return the ``@names`` that begin like that, with what they are."""
        return offered(begun, visible(self.shell))

    def context(self, page: str) -> RequestContext:
        """Return where requests of panels are answered."""
        return RequestContext(self.service, self, shared=self.shared_runs)

    def talk(
        self,
        agent_id: str,
        text: str,
        pictures: Sequence[Picture] = (),
        conversation: str | None = None,
    ) -> None:
        """Send a message to an agent without a cell."""
        run.talk(self, agent_id, text, pictures, conversation)

    def resume(
        self, agent_id: str, decisions: Sequence[Decision], conversation: str | None = None
    ) -> None:
        """Go on, without a cell, with a run that waited for approval."""
        run.resume(self, agent_id, decisions, conversation)

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
        kept = {"agent": self._agent_id, "tools": self.shared_tools, "shared": self._shared}
        with suppress(ReadOnlyError):  # this kernel knows it all the same
            self.service.settings.put(self._key, json.dumps(kept))

    # -- what commands ask of it ---------------------------------------------------------------------

    def say(self, text: str, level: str = "info") -> None:
        """Show one quiet line in the cell."""
        say(self.shell, text, level)

    def show(self, panel: Any) -> None:
        """Show a panel in the cell."""
        show(self.shell, panel)

    def fill(self, text: str) -> str:
        """Fill ``{expressions}`` from the notebook; a quiet line names what is not defined."""
        return self.filled(text).text

    def filled(self, text: str) -> Filled:
        """Do the same and return the pictures among them too."""
        with users_code.runs():
            filled = fill(text, self.shell.user_ns)
        if filled.note:
            say(self.shell, filled.note)
        return filled

    def confirmed(self, question: str, yes: bool) -> bool:
        """Ask the person; *yes* answers for them.

        Raises
        ------
        InvalidInputError
            Nobody can be asked.
        """
        if yes:
            return True
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except KeyboardInterrupt:
            raise
        except Exception:  # a front end without stdin has an error of its own
            raise InvalidInputError(
                "Nobody can be asked here; add --yes if you mean it.", page="nobody-to-ask"
            ) from None

    def progress(self) -> AbstractContextManager[Callable[[float, str], None]]:
        """Give a function that draws a share (0 to 1) and a text into the cell."""
        return progress(self.shell)

    def show_blocks(self, agent: AgentState) -> None:
        """Show the memory of *agent*, live where that can be."""
        show_memory(self.shell, self.service, agent)

    def show_timeline(self, agent: AgentState) -> None:
        """Show the timeline of *agent*, live where that can be."""
        show_timeline(self.shell, self.service, agent)

    def figure(self, agent: AgentState, what: str, limit: int | None, query: str) -> Any:
        """Return a plot of an agent."""
        return plot_of(self.service, agent.id, what, limit, query)

    def runs_here(self, agent: AgentState, tool: Tool) -> bool:
        """Whether the function behind *tool* is in this kernel."""
        return self.host_of(agent.id).lookup(tool) is not None

    def run_tool(self, agent: AgentState, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Call a tool by hand; what it prints comes out in the cell."""
        # Taken now: while the tool runs, what is printed goes to `output`.
        cell, aside = sys.stdout, sys.stderr

        def output(stream: str, text: str) -> None:
            end = "" if stream != "progress" else "\n"
            print(text, end=end, file=aside if stream == "stderr" else cell)

        host = self.host_of(agent.id)
        return self.service.tools.run(
            tool.id, arguments, agent=agent.id, host=host, on_output=output
        )

    def notebook_call(
        self, tool: str, arguments: dict[str, Any], agent_id: str, run_id: str
    ) -> dict[str, Any]:
        """Carry out a call of a notebook tool for an agent that talks elsewhere; return its outcome."""
        return called(Turn(self, agent_id, run_id), tool, arguments)

    def decide(self, agent: AgentState, decisions: Sequence[Decision]) -> None:
        """Go on with a run that waits for a person's word."""
        run.decide(self, agent.id, decisions)

    def decide_shared(self, shared: Shared, decisions: Sequence[Decision]) -> None:
        """Go on with a run of somebody else's agent that waits for a person's word."""
        shared_run.decide(self, shared, decisions)

    def send(self, agent: AgentState, text: str) -> None:
        """Send a message and show the run."""
        run.send(self, agent.id, text)

    def debugging(self, agent: AgentState, on: bool | None) -> bool:
        """Stop the agent's runs at each step, or do not (None: as it is); return whether they do."""
        if on is not None:
            (self.debugger.on.add if on else self.debugger.on.discard)(agent.id)
        return agent.id in self.debugger.on

    def about_error(self, cell: str | None, wish: str) -> str:
        """Return a message about the cell that failed last, or how that *cell* did."""
        look = Look(self.shell, self.executed, self.document)
        return failures.message(self.executed, look, cell, wish)

    def next_cell(self, source: str) -> None:
        """Put *source* into the next cell, where the front end has such, or the next line."""
        self.shell.set_next_input(source, replace=False)

    def undo_cells(self, run: str, force: bool) -> tuple[Sequence[str], Sequence[str]]:
        """Take back what a run changed in cells; return the ids of those, and of those changed since."""
        done = self.document.undo(run, force)
        return done.undone, done.changed

    def send_event(
        self, agent: AgentState, text: str, after: str | None, every: str | None
    ) -> None:
        """Step *agent* by an event, now or by a timer."""
        if after is None and every is None:
            run.send(self, agent.id, text, role="event")
            return
        pause = seconds_of(every) if every is not None else None
        self.timers.add(agent, text, seconds_of(after) if after else pause or 0.0, pause)

    # -- after a cell --------------------------------------------------------------------------------

    def after_cell(self, result: Any, marked: Sequence[Callable[..., Any]] = ()) -> None:
        """Keep the tools in step with a cell that ran; never fails the cell.

        *marked* is what ``tool(…)`` was called with meanwhile.
        """
        try:
            self.functions.after_cell(result, marked)
        except ReadOnlyError as error:  # the same in each cell that defines a function
            if error.text != self._read_only:
                self._read_only = error.text
                say(self.shell, error.told(WORDS), "warning")
        except LettaError as error:
            say(self.shell, error.told(WORDS), "warning")
        except Exception as error:
            self.last_error = details(error)
            say(self.shell, inside(error), "warning")


def inside(error: Exception) -> str:
    """Return one line about what went wrong within."""
    if hidden := isolation.hidden_line(isolation.hidden()):
        return hidden
    return f"{errors.inside(error)} %agent traceback shows where."
