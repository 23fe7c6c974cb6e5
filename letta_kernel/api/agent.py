"""`Agent`: an agent by its name.

from letta_kernel import Agent
ada = Agent("ada")
ada.send("My name is Kim.")
ada.memory["human"].value
"""

from __future__ import annotations

import atexit
import inspect
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from letta_kernel.api.added_tools import added_to
from letta_kernel.api.explained import Explained
from letta_kernel.api.memory import MemoryView
from letta_kernel.api.past import Past
from letta_kernel.api.plots import plot_of
from letta_kernel.api.remedies import WORDS, speaks_python
from letta_kernel.api.run import Run
from letta_kernel.api.shared import SharedAgent
from letta_kernel.display.live import running_shell
from letta_kernel.errors import (
    InvalidInputError,
    LettaError,
    NotFoundError,
    ToolError,
    nearest,
)
from letta_kernel.hooks import agent_opened, turn_begins
from letta_kernel.memory.origins import Origin
from letta_kernel.messages import Event, Message, worded
from letta_kernel.pictures.values import pictures_of
from letta_kernel.project import is_there, project_folder
from letta_kernel.records import AgentState, Grant, Passage, Tool, WholeRun
from letta_kernel.remote import shared_agents
from letta_kernel.service import AgentService, ContextReport, Reason
from letta_kernel.tools import core
from letta_kernel.tools.answers import of_type
from letta_kernel.tools.discovery import Tracked, found_in
from letta_kernel.tools.references import reference_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from letta_kernel.api.comparison import Compared
    from letta_kernel.memory.dates import Moment

_services: dict[Path, AgentService] = {}
_MOST_EVENTS = 20  # that tools may post in a chain


def service_for(home: Path | str | None = None) -> AgentService:
    """Return the service of a project folder, one per folder and process."""
    folder = project_folder(home)
    if folder not in _services:
        _services[folder] = AgentService(folder)
    return _services[folder]


@atexit.register
def _close() -> None:
    for service in _services.values():
        service.close()


@speaks_python
class Agent(Past):
    """An agent by name: opened if the project has it, made if not.

    Parameters
    ----------
    name : its name, or the id of one whose name is not enough.
    home : the project folder (default ``LETTA_HOME`` or ``.letta`` beside the notebook).
    fresh : set one of that name aside and make a new one.
    **settings : for an agent that is made now, as `AgentService.agents.create` takes them; for one that is
        there already, ``model`` and other changeable fields are updated, its ``persona`` and ``human`` only
        where another text is given than a person wrote last: what it has learned stays.

    Raises
    ------
    InvalidInputError
        A setting is out of range, or several agents have that name; nothing is made or changed then.
    NotFoundError
        There is no such model. A model that only lacks its key is a warning.
    """

    def __new__(cls, name: str, *, home: Path | str | None = None, **settings: Any) -> Any:
        """Return an agent of the project, or one that somebody shares (``owner/name``) if it has none such."""
        if cls is Agent and "/" in name and home is None and not settings:
            server = shared_agents()
            there = server is not None and is_there(project_folder())
            own = there and service_for().agents.list(name=name, set_aside=True)
            if server is not None and not own:
                return SharedAgent(name, server)
        return super().__new__(cls)

    def __init__(
        self, name: str, *, home: Path | str | None = None, fresh: bool = False, **settings: Any
    ) -> None:
        self.service = service_for(home)
        made = fresh
        if not fresh:
            try:
                found = self.service.agents.retrieve(name)
            except NotFoundError:
                made = True
            else:
                state = self._changed(found, settings)
        if made:
            known = list(inspect.signature(self.service.agents.create).parameters)
            for key in settings:
                if key not in known:
                    hint = nearest(key, known)
                    raise InvalidInputError(f"An agent has no setting {key!r}.{hint}")
            state = self.service.agents.create(
                name, namesakes="set_aside" if fresh else "refuse", **settings
            )
        if {"model", "embedding", "settings"} & settings.keys():
            for line in self.service.agents.doubts(state):
                warnings.warn(line, stacklevel=3)  # whoever called the wrapped `__init__`
        self.id = state.id
        self._host = added_to(self.id)
        if not made:
            self.service.agents.prepare(self.id)
        for tell in agent_opened:  # a notebook gives it its functions
            tell(self.service, state, made)

    def _changed(self, state: AgentState, settings: dict[str, Any]) -> AgentState:
        """Give an agent that is there the settings it was asked for with."""
        given = {key: value for key, value in settings.items() if value is not None}
        blocks: dict[str, Any] = {
            key: given.pop(key) for key in ("persona", "human") if key in given
        }
        if given:
            state = self.service.agents.update(state.id, **given)
        # What the agent has learned since stays where a person's text is the same.
        for label, (_, value) in self.service.agents.differing(state.id, blocks).items():
            self.service.blocks.upsert(label, value, agent=state.id, reason="Agent(…)")
        return state

    # -- talking -------------------------------------------------------------------------------------

    def stream(
        self, text: str, *, as_type: Any = None, pictures: Sequence[Any] = (), **options: Any
    ) -> Iterator[Event]:
        """Send *text* and yield typed events (`letta_kernel.messages`) as they happen.

        Parameters
        ----------
        as_type : the answer is JSON of that type (see `ask`).
        pictures : figures, images, and files or bytes of PNG, JPEG, GIF or WebP that go with it.
        """
        if pictures:
            options["pictures"] = pictures_of(pictures)
        options.setdefault("host", self._host)
        if as_type is not None and as_type is not str:
            options["form"] = of_type(as_type)
        self._host.refresh(self.service)
        for tell in turn_begins:
            tell()
        return _in_python(self.service.runs.send(self.id, text, **options))

    def ask(self, text: str, *, as_type: Any = str, **options: Any) -> Any:
        """Send *text* and return the answer as a value of a type, validated.

        A model that can is held to the type by its provider, another by a tool that it must call; an answer
        that does not fit goes back once, with what is wrong with it.

        Parameters
        ----------
        as_type : a pydantic model, dataclass or TypedDict, ``list[Model]``, ``int``, ``Literal["a", "b"]``
            and what else pydantic reads from JSON; a DataFrame of pandas or polars; ``str`` is the plain text.
        **options : as `send` takes them.

        Raises
        ------
        AnswerError
            The answer did not fit twice, or there is none.
        InvalidInputError
            The type cannot be written as JSON; nothing is sent.
        """
        return self.send(text, as_type=as_type, **options).value

    def send(self, text: str, *, as_type: Any = None, **options: Any) -> Run:
        """Send *text*, wait for the end of the turn, and return the run, which displays itself.

        With *as_type* (see `ask`) its ``value`` is the answer as that type. Other *options* are those of
        `stream`: ``pictures=[figure, "photo.jpg"]`` go with it.
        """
        if as_type is not None and as_type is not str:
            options["form"] = of_type(as_type)
        run = self._send(text, **options)
        # What its tools posted meanwhile; each event may post more, so there is an end to it.
        options = {"role": "event", "host": options.get("host", self._host)}
        for _ in range(_MOST_EVENTS):
            posted = self.service.runs.next_event(self.id)
            if posted is None:
                break
            self._send(posted, **options)
        return run

    def _send(self, text: str, **options: Any) -> Run:
        # Where a person can stop it, it waits for a run in another notebook; a program is told at once.
        options.setdefault("wait", running_shell() is not None)
        return Run.of(text, self.stream(text, **options), options.get("form"))

    def compare(self, text: str, **options: Any) -> Compared:
        """Send *text* to forks of the agent, which stays as it is, and return the answers side by side.

        *options* are those of `letta_kernel.api.comparison.compared`: ``models=["a", "b"], repeat=3``.
        """
        from letta_kernel.api.comparison import compared  # few ask for it

        self._host.refresh(self.service)
        return compared(self.service, [self.id], text, host=added_to, **options)

    def event(self, text: str, **options: Any) -> Run | None:
        """Tell the agent of a system event, which steps it without a user message.

        While the agent runs, the event waits until that run has ended, and None is returned: so a tool can
        post one for its own agent.
        """
        if self.service.runs.post_event(self.id, text):
            return None
        return self.send(text, role="event", **options)

    # -- what it is and knows ------------------------------------------------------------------------

    @property
    def state(self) -> AgentState:
        """The agent as the store has it now."""
        return self.service.agents.retrieve(self.id)

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.state.name

    @property
    def memory(self) -> MemoryView:
        """Core memory: a mapping from label to block; as a cell's result, the panel to edit it in."""
        return MemoryView(self.service, self.id)

    @property
    def tools(self) -> list[Tool]:
        """What the agent can call."""
        return self.service.tools.list(self.id)

    @property
    def messages(self) -> list[Message]:
        """The newest 50 messages, oldest first (`AgentService.messages.history` pages further)."""
        return self.service.messages.history(self.id)

    @property
    def runs(self) -> list[WholeRun]:
        """The newest runs, newest first; one that went on after an approval is one."""
        return self.service.runs.whole(self.id)

    @property
    def context(self) -> ContextReport:
        """What the model would see now."""
        return self.service.runs.context(self.id)

    def explain(self, step: str | int | None = None) -> Explained:
        """Return a step explained: its request, what each part took, what came of it; a cell shows it.

        Parameters
        ----------
        step : the id of a step, or of a run for its last one, or how that begins; the number of a step in
            the last run; the last step if not given.

        Raises
        ------
        NotFoundError
            There is no such step.
        """
        return Explained.of(self.service.explain.step(step, agent=self.id))

    def why(self, label: str, words: str) -> list[Reason]:
        """Return why *words* stand in a memory block: the sentences, and the step that wrote each.

        Raises
        ------
        NotFoundError
            They do not stand there; the text says in which versions they did.
        """
        return self.service.explain.why(label, words, agent=self.id)

    def plot(self, what: str = "tokens", query: str = "", *, limit: int | None = None) -> Figure:
        """Return a matplotlib figure, to be shown or changed.

        Parameters
        ----------
        what : ``tokens`` or ``cost`` of each step, ``memory`` (blocks and archive, step by step), ``context``
            (what filled the window), ``retrieval`` (why passages rank as they do) or ``branches``.
        query : of ``retrieval``, what is searched for; what was looked at for the last message, if not given.
        limit : how many of the last runs (50), or passages (15).
        """
        return plot_of(self.service, self.id, what, limit, query)

    def remember(
        self, text: str, tags: Sequence[str] = (), *, supersedes: Sequence[str] = ()
    ) -> list[Passage]:
        """Put *text* into archival memory, once: the same text again returns the passages that are there.

        Passages of the ids *supersedes* are replaced by it: kept, but found only when asked for.
        """
        return self.service.passages.remember(
            text, tags, agent=self.id, reason="Agent.remember", supersedes=supersedes
        )[0]

    def forget(self, *ids: str, now: bool = False) -> list[Passage]:
        """Forget passages: `restore` brings them back for 30 days, then, or *now*, they are gone for good."""
        return self.service.passages.forget(ids, agent=self.id, now=now)

    def restore(self, *ids: str) -> list[Passage]:
        """Bring forgotten passages back, and let superseded ones stand again."""
        return self.service.passages.restore(ids, agent=self.id)

    def search(
        self,
        query: str,
        *,
        tags: Sequence[str] | None = None,
        match: Literal["any", "all"] = "any",
        top_k: int = 10,
        page: int = 0,
        start: Moment = None,
        end: Moment = None,
        timezone: str | tzinfo | None = None,
        as_of: Moment = None,
        include_superseded: bool = False,
        at: str | None = None,
    ) -> list[Passage]:
        """Search archival memory by meaning and words; best first.

        Parameters
        ----------
        query : words or a question; empty for the newest passages.
        tags, match : only passages with any, or all, of these tags.
        top_k, page : how many at most, and which page of so many; the first page is 0.
        start, end : only passages from *start* on and up to *end*; a day as *end* is meant as a whole.
        timezone : where moments without a zone are meant; the agent's own if not given.
        as_of : as the archive stood then; a day is meant as its end.
        include_superseded : what other passages have replaced, too.
        at : a step, run or branch: what the agent would have found there.

        Raises
        ------
        InvalidInputError
            A date, zone, page or match that makes no sense.
        """
        hits = self.service.passages.search(
            query,
            agent=self.id,
            at=at,
            tags=tags,
            match=match,
            top_k=top_k,
            page=page,
            start=start,
            end=end,
            timezone=timezone,
            as_of=as_of,
            include_superseded=include_superseded,
        )
        return [hit.passage for hit in hits]

    def origins(self, passages: Sequence[Passage]) -> list[Origin]:
        """Return where passages, found by `search`, come from: who, how, after which message, which file."""
        return self.service.passages.origins(passages)

    def add_tool(self, function: Callable[..., Any]) -> Tool:
        """Give the agent a Python function as a tool; its docstring and type hints make the schema.

        Methods of objects, partials, builtins and objects with ``__call__`` do too. The agent always calls what
        the function is now: redefined, reloaded or patched.

        Raises
        ------
        ToolError
            It cannot be a tool: it has no name, does not tell its parameters, or needs what no JSON can say.
        """
        names = vars(sys.modules["__main__"])
        found = found_in(function, getattr(function, "__name__", type(function).__name__), names)
        if found.tool_name in core.FUNCTIONS:
            raise ToolError(
                f"{found.tool_name} is the name of a built-in tool: rename the function."
            )
        saved = self.service.tools.upsert(found.record(notebook=""), agent=self.id)
        self.service.tools.attach(saved.id, agent=self.id)
        self._host.add(Tracked.of(reference_to(function, names), found.name, saved))
        return saved

    def grant(self, user: str, *rights: str, tools: Sequence[str] | None = None) -> Grant:
        """Let another person use the agent through a server: ``ada.grant("bob", "talk")``.

        Parameters
        ----------
        rights : ``read``, ``talk`` (in threads of their own), ``write`` (both, and its memory).
        tools : the names of tools that run for them, too; None keeps those granted before.

        Raises
        ------
        InvalidInputError
            The name, a right or a tool cannot be.
        """
        return self.service.grants.grant(self.id, user, *rights, tools=tools)

    def grants(self) -> list[Grant]:
        """Return what other people may with the agent."""
        return self.service.grants.list(self.id)

    def revoke(self, user: str) -> Grant:
        """Take back what another person may; `NotFoundError` if that was nothing."""
        return self.service.grants.revoke(self.id, user)

    def delete(self) -> None:
        """Delete the agent with its conversation and archive."""
        self.service.agents.delete(self.id)

    def __repr__(self) -> str:
        return f"Agent({self.name!r})"


def _in_python(events: Iterator[Event]) -> Iterator[Event]:
    """Yield a run's events; what goes wrong says what to do in Python."""
    try:
        for event in events:
            yield worded(event, WORDS)
    except LettaError as error:
        error.words = WORDS
        raise
    finally:
        if isinstance(events, Generator):
            events.close()
