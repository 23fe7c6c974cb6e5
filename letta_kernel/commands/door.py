"""What commands ask of the door they come through, and what they give it to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from letta_kernel import project, settings
from letta_kernel.commands.arguments import quoted
from letta_kernel.commands.spec import TABLE, DoorName, argument, option
from letta_kernel.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.agent.beside import BesideSource
    from letta_kernel.records import AgentState, Tool
    from letta_kernel.remedies import Words
    from letta_kernel.remote import SharedAgent, SharedAgents
    from letta_kernel.service import AgentService, Decision, Opened

_WHOSE = "An agent's name or id; in a notebook the current one, if not given"
AGENT = option(_WHOSE, notebook="--agent", terminal="", values="agent", whose=True)
"""The agent that a command is about."""
ANY_AGENT = option(_WHOSE, notebook="--agent", terminal="--agent -a", values="agent", whose=True)
"""The same; at the terminal there need not be one."""
PLACED_AGENT = argument(_WHOSE, None, values="agent", whose=True, shown="NAME")
"""The same, a word by position in a notebook too."""

# Options of several commands.
LIMIT = option("How many to show", terminal="--limit -n", least=1)
YES = option("Do not ask", terminal="--yes -y")
TAGS = option("Words to find it by", terminal="--tag -t")
MODEL = option("The model that answers", terminal="--model -m", values="model")
MAX_STEPS = option("Model calls a run may take", least=1, most=1000)


@dataclass(slots=True)
class Rows:
    """A table for the terminal, tab-separated in a pipe; *empty* is said where there are no rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    empty: str = "None."


@dataclass(slots=True)
class Answer:
    """What a command has to show: a door takes of it what it can show best.

    A terminal shows *rows*, else *diff*, else *text*, else *panel*; a notebook *panel*, else *bundle*, else
    *text*. A program at the terminal gets *data*.
    """

    text: str = ""
    data: Any = None  # for --json: records, or what JSON holds
    panel: Callable[[], Any] | None = None
    rows: Callable[[], Rows] | None = None
    diff: tuple[str, str] | None = None  # two texts that are compared
    bundle: dict[str, Any] | None = None  # by MIME type, for a front end
    notes: Sequence[str] = ()  # what may not be meant, or was left undone: at a terminal on stderr
    plain: bool = False  # a notebook shows the text as a program's output, not as a quiet line
    raw: bool = False  # a terminal prints the text as it is, control characters included
    problem: str = ""  # what went wrong: it ends a cell, and a terminal's command with 1
    traceback: str = ""  # where in a tool that was
    code: int = 0  # a terminal's exit code without a problem


@dataclass(frozen=True, slots=True)
class Shared:
    """An agent of somebody else's, as it was named here (``owner/name``), and the server it is at."""

    ref: str
    server: SharedAgents

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.ref.partition("/")[0]

    def not_here(self) -> InvalidInputError:
        """Return that what was asked for is not done with an agent of somebody else's."""
        return InvalidInputError(
            f"{self.ref} is {self.owner}'s agent: from here it can be talked to, and shown (show, memory, "
            f"history). Ask {self.owner} for the rest."
        )


class Door(Protocol):
    """A notebook or a terminal, as commands see it; by itself one that has no current agent."""

    at: DoorName
    words: Words

    @property
    def service(self) -> AgentService:
        """The project's agents."""

    @property
    def home(self) -> Path:
        """The project folder, which may not be there yet."""

    @property
    def has_project(self) -> bool:
        """Whether there is a project, there or where ``LETTA_STORE`` says.

        Raises
        ------
        StoreError
            The server that would have it cannot be asked.
        """

    @property
    def where(self) -> str:
        """Where the agents are or would be, for messages."""
        return project.where(self.home)

    def agent(self, name: str | None = None, *, renamed: bool = True) -> AgentState:
        """Return the agent of that name or id, or the current one; with *renamed* also one called so before."""

    def shared(self, name: str | None) -> Shared | None:
        """Return the agent of somebody else's that is meant; None if an own one is."""
        if name is None or "/" not in name.strip("/") or not settings.SERVER():
            return None
        if self.has_project and self.service.agents.list(name=name, set_aside=True):
            return None
        from letta_kernel.remote import shared_agents  # few have shared agents

        server = shared_agents()
        return Shared(name, server) if server is not None else None

    def shared_with_me(self) -> tuple[Sequence[SharedAgent], str]:
        """Return the agents that others share here, and in one line why that cannot be said."""
        from letta_kernel.remote import SharedAgentError, shared_agents

        server = shared_agents()
        try:
            return (server.list() if server is not None else (), "")
        except SharedAgentError as error:
            return (), str(error)

    def current(self) -> AgentState | None:
        """Return the agent that is talked to."""
        return None

    def open_agent(self, name: str, **options: Any) -> tuple[Opened, list[str]]:
        """Open an agent, made if there is none, and talk to it; return the names of tools it got, too."""
        return self.service.agents.open(name, **options), []

    def choose(self, agent: AgentState) -> None:
        """Talk to *agent* from now on."""
        return

    def choose_shared(self, shared: Shared) -> None:
        """Talk to an agent of somebody else's from now on."""
        return

    def forget(self, agent: AgentState) -> None:
        """Talk to nobody if that was the current one."""
        return

    def text(self, given: str) -> str:
        """Return a text as it is meant: at a terminal ``-`` is what comes in by the pipe."""
        return given

    def fill(self, text: str) -> str:
        """Fill in a notebook's ``{expressions}``."""
        return text

    def lent(self, agent: AgentState) -> Sequence[Tool]:
        """Return the tools that an agent's next turn is lent here."""
        return ()

    def beside_of(self, text: str = "", mode: str | None = None) -> BesideSource | None:
        """Return what gives what a notebook places beside the next message; None at a terminal."""
        return None

    def runs_here(self, agent: AgentState, tool: Tool) -> bool:
        """Whether the function behind a tool of a notebook is at hand."""
        return False

    def confirmed(self, question: str, yes: bool) -> bool:
        """Ask the person; *yes* answers for them.

        Raises
        ------
        InvalidInputError
            Nobody can be asked.
        """

    def progress(self) -> AbstractContextManager[Callable[[float, str], None]]:
        """Show how far work has come: its share (0 to 1) and a text; a stop says that it can go on."""

    def say(self, text: str, level: str = "info") -> None:
        """Say something beside the answer, at once."""

    def run_tool(self, agent: AgentState, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Call a tool by hand and show its output as it comes; return the outcome."""


class Notebook(Door, Protocol):
    """A notebook, for commands that are its alone."""

    recording: str
    last_error: str
    timers: Any  # letta_kernel.notebook.timers.Timers
    server: Any  # letta_kernel.server.serving.Serving

    @property
    def notebook(self) -> str:
        """Which notebook this is; empty where nothing says."""

    def beside(self, path: Path) -> str:
        """Return *path* as it is from beside the project folder."""

    def show(self, panel: Any) -> None:
        """Show a panel at once."""

    def show_blocks(self, agent: AgentState) -> None:
        """Show the memory of *agent*, live where that can be."""

    def show_timeline(self, agent: AgentState) -> None:
        """Show the timeline of *agent*, live where that can be."""

    def figure(self, agent: AgentState, what: str, limit: int | None, query: str) -> Any:
        """Return a plot of an agent."""

    def send_event(
        self, agent: AgentState, text: str, after: str | None, every: str | None
    ) -> None:
        """Step *agent* by an event, now or by a timer."""

    def decide(self, agent: AgentState, decisions: Sequence[Decision]) -> None:
        """Go on with a run that waits for a person's word and show it."""

    def decide_shared(self, shared: Shared, decisions: Sequence[Decision]) -> None:
        """The same with an agent of somebody else's."""

    def send(self, agent: AgentState, text: str) -> None:
        """Send a message and show the run."""

    def debugging(self, agent: AgentState, on: bool | None) -> bool:
        """Stop the agent's runs at each step, or do not (None: as it is); return whether they do."""

    def about_error(self, cell: str | None, wish: str) -> str:
        """Return a message about the cell that failed last, or how that *cell* did, which ends with *wish*.

        Raises
        ------
        NotFoundError
            None failed.
        """

    def next_cell(self, source: str) -> None:
        """Put *source* into the next cell, where the front end has such, or the next line."""

    def undo_cells(self, run: str, force: bool) -> tuple[Sequence[str], Sequence[str]]:
        """Take back what a run changed in cells; return the ids of those, and of those changed since.

        With *force* the latter are taken back too.
        """


class Terminal(Door, Protocol):
    """A terminal, for commands that are its alone."""

    def own(self, function: str, **given: Any) -> Any:
        """Do what only a terminal can: call ``module.function`` of `letta_kernel.cli`, imported for it."""

    def secret(self, name: str) -> str:
        """Ask for a secret without showing it, or read it from a pipe."""


def how(door: Door, notebook: str, *words: str, agent: AgentState | None = None) -> str:
    """Return how a command is typed at *door*, whatever it is called there.

    Parameters
    ----------
    notebook
        Its name in a notebook.
    agent
        Whom it is about: a terminal has to be told.
    """
    found = next(one for one in TABLE if one.notebook == notebook)
    first = found.takes(door.at)[:1]
    named = agent is not None and bool(first) and first[0].takes.whose and not first[0].spelled
    whom = [quoted(agent.name)] if agent is not None and named and door.at == "terminal" else []
    return found.written(door.at, *whom, *words)


def gone(door: Door, work: Callable[[], Answer]) -> Answer:
    """Return what *work* answers; in a notebook it is no error that there is nothing to take away.

    A cell may run a second time.
    """
    try:
        return work()
    except NotFoundError as error:
        if door.at == "terminal":
            raise
        return Answer(f"Nothing to do. {error}")
