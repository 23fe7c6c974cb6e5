"""One run of an agent in a cell: its events to the live view, stop, approvals, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

from letta_kernel.agent.beside import BesideSource
from letta_kernel.api.added_tools import added_to
from letta_kernel.commands.approvals import NOBODY
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.display.live import LiveView
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    RunEnded,
    RunQueued,
    RunStarted,
    StepEnded,
    ToolCall,
    worded,
)
from letta_kernel.notebook.approvals import PREFERENCES, Approvals, Question, ask
from letta_kernel.notebook.beside.pictures import with_named
from letta_kernel.notebook.beside.source import NotebookContext
from letta_kernel.notebook.debugger import Debugging
from letta_kernel.notebook.document.grants import Grants, has_own
from letta_kernel.notebook.executed import ExecutedCells
from letta_kernel.notebook.figures import Figures
from letta_kernel.notebook.functions import Functions, NotebookHost
from letta_kernel.notebook.output import AgentError, Stopped, say
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.notebook.turn import Turn
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import Tool
from letta_kernel.service import AgentService, Decision
from letta_kernel.stop_reasons import failed
from letta_kernel.tools.answers import AnswerForm, last_answer
from letta_kernel.tools.notebook import NAMES

Start = Callable[..., Iterator[Event]]

STOPPED = "Stopped; what was said and done so far is kept."
_MOST_EVENTS = 20  # that tools may post in a chain before somebody has to look


class RunContext(NotebookContext, Protocol):
    """What a run asks of the notebook it is shown in."""

    functions: Functions
    approvals: Approvals
    debugger: Debugging
    grants: Grants
    executed: ExecutedCells
    seen: dict[tuple[str, str], str]

    def host_of(self, agent_id: str, turn: Turn | None = None) -> NotebookHost:
        """Return where the functions behind this agent's tools are found."""

    def beside_of(self, text: str = "", mode: str | None = None) -> BesideSource:
        """Return what gives what stands beside a message."""


# A run that ends like this has not done what it was asked to; the cell fails, so that Run All stops.
def send(
    session: RunContext,
    agent_id: str,
    text: str,
    *,
    role: Literal["user", "event"] = "user",
    max_steps: int | None = None,
    model: str | None = None,
    ask_person: bool = True,
    form: AnswerForm | None = None,
    take: Callable[[Any], None] = lambda value: None,
    pictures: Sequence[Picture] = (),
    names: str = "",
    context: str | None = None,
    step: bool = False,
) -> None:
    """Send *text*, with *pictures*, to an agent and show the run in the cell until it has ended.

    Events that its tools posted meanwhile (`letta_kernel.Agent.event`) follow, each with a run of its own.
    With *ask_person* False, calls that need a person's word are left waiting for it. *names* is the text in
    which ``@names`` mean something: as the person wrote it, without what was filled in. *context* says what
    of the notebook goes beside it: off, on, whole. With *step* the run stops at each step. *take* is given the
    answer, if there is one: its text, or the value it stands for where it was to have a *form*.
    """
    beside = session.beside_of(names, context)
    text, pictures = with_named(session, names, text, pictures)
    session.grants.turn_begins(agent_id)
    options: dict[str, Any] = {"max_steps": max_steps, "model": model}

    def start(**given: Any) -> Iterator[Event]:
        return session.service.runs.send(
            agent_id, text, role=role, pictures=pictures, beside=beside, **options, **given
        )

    answer = _follow(session, agent_id, start, text, ask_person, form=form, step=step, **options)
    if answer is not None:
        take(answer if form is None else form.read(answer))
    _follow_events(session, agent_id, ask_person)


def decide(session: RunContext, agent_id: str, decisions: Sequence[Decision]) -> None:
    """Go on with a run that waited for a person's word."""
    decisions = granted(session.service, session.grants, agent_id, decisions)

    def start(**given: Any) -> Iterator[Event]:
        return session.service.runs.approve(agent_id, decisions, **given)

    _follow(session, agent_id, start, "")
    _follow_events(session, agent_id)


def talk(
    session: RunContext,
    agent_id: str,
    text: str,
    pictures: Sequence[Picture] = (),
    conversation: str | None = None,
) -> None:
    """Send *text*, with *pictures*, to an agent without a cell: those who follow the service see it.

    Calls that need a person's word are left waiting for it, so that the notebook is free meanwhile.
    """
    session.grants.turn_begins(agent_id)
    said, shown = with_named(session, text, text, pictures)

    def start(**given: Any) -> Iterator[Event]:
        beside = session.beside_of(text)
        return session.service.runs.send(
            agent_id,
            said,
            conversation=conversation,
            beside=beside,
            pictures=shown,
            **given,
        )

    _follow(session, agent_id, start, text, ask_person=False, shown=False)
    _follow_events(session, agent_id, ask_person=False, shown=False)


def resume(
    session: RunContext,
    agent_id: str,
    decisions: Sequence[Decision],
    conversation: str | None = None,
) -> None:
    """Go on, without a cell, with a run that waited for a person's word."""
    decisions = granted(session.service, session.grants, agent_id, decisions, conversation)

    def start(**given: Any) -> Iterator[Event]:
        return session.service.runs.approve(agent_id, decisions, conversation=conversation, **given)

    _follow(session, agent_id, start, "", ask_person=False, shown=False)
    _follow_events(session, agent_id, ask_person=False, shown=False)


def granted(
    service: AgentService,
    grants: Grants,
    agent_id: str,
    decisions: Sequence[Decision],
    conversation: str | None = None,
) -> list[Decision]:
    """Keep what was granted beside *decisions*, and return them with a yes for calls that never ask."""
    waiting = service.runs.pending(agent_id, conversation)
    grants.note(service, agent_id, waiting, decisions)
    decided = {one.call_id for one in decisions}
    left = [call for call in waiting if call.id not in decided]
    return [*decisions, *free_calls(left, grants.offered(service, agent_id))]


def free_calls(calls: Sequence[ToolCall], offered: Sequence[Tool]) -> list[Decision]:
    """Return a yes for those *calls* of notebook tools that only wait because others do."""
    free = {tool.name for tool in offered if not tool.requires_approval}
    return [Decision(call.id, approve=True) for call in calls if call.name in free]


def _follow_events(
    session: RunContext, agent_id: str, ask_person: bool = True, shown: bool = True
) -> None:
    for _ in range(_MOST_EVENTS):
        text = session.service.runs.next_event(agent_id)
        if text is None:
            return
        session.grants.turn_begins(agent_id)

        def start(text: str = text, **given: Any) -> Iterator[Event]:
            beside = session.beside_of()
            return session.service.runs.send(agent_id, text, role="event", beside=beside, **given)

        _follow(session, agent_id, start, text, ask_person, shown)
    say(session.shell, f"{_MOST_EVENTS} events in a row; more wait for the next run.", "warning")


def _follow(
    session: RunContext,
    agent_id: str,
    start: Start,
    prompt: str,
    ask_person: bool = True,
    shown: bool = True,
    form: AnswerForm | None = None,
    step: bool = False,
    **options: Any,
) -> str | None:
    """Follow a run to its end; return what was answered at last, None where it waits or was cut short.

    *options* are those that it was begun with and goes on with after a person's word.
    """
    # Stays unseen until the first event.
    view = LiveView(prompt, shell=session.shell, streaming=PREFERENCES.streaming, shown=shown)

    figures = Figures(session.shell)

    stopped = STOPPED

    def live(event: Event) -> None:
        nonlocal stopped
        # Here, before a person sees it: the stop button may be pressed at once.
        if isinstance(event, RunQueued):
            stopped = "Stopped waiting; nothing was sent."
        elif isinstance(event, RunStarted):
            stopped = STOPPED
        event = worded(event, WORDS, named=True)
        view.handle(figures.at_its_call(event) if shown else event)

    session.functions.load()
    added_to(agent_id).refresh(session.service)
    service, turn = session.service, Turn(session, agent_id)
    host = session.host_of(agent_id, turn)
    offered = session.grants.offered(service, agent_id)
    debug = session.debugger.of(service, agent_id, view, step) if ask_person and shown else None
    events = start(host=host, live=live, wait=True, turn_tools=offered, form=form, debug=debug)
    ended: RunEnded | None = None
    answer: str | None = None
    try:
        while True:
            waiting: list[ToolCall] = []
            for event in events:  # the view has had it through `live` already
                if isinstance(event, RunStarted):
                    turn.run_id = event.run_id
                elif isinstance(event, StepEnded):
                    answer = last_answer(event.messages)
                elif isinstance(event, ApprovalRequested):
                    waiting = event.calls
                elif isinstance(event, RunEnded):
                    ended = worded(event, WORDS, named=True)
            if not waiting:
                break
            stopped = "The run waits for your word: %agent approve, or %agent deny REASON."
            free = free_calls(waiting, offered)
            passed = {one.call_id for one in free}
            asked = [call for call in waiting if call.id not in passed]
            decisions = asked_person(session, agent_id, asked, view, turn) if ask_person else None
            if decisions is None:
                if shown:
                    say(session.shell, stopped)
                break
            session.grants.note(service, agent_id, asked, decisions)
            stopped = STOPPED
            offered = session.grants.offered(service, agent_id)
            events = service.runs.approve(
                agent_id,
                [*decisions, *free],
                host=host,
                live=live,
                wait=True,
                turn_tools=offered,
                form=form,
                debug=debug,
                **options,
            )
    except KeyboardInterrupt:
        raise Stopped(stopped) from None
    finally:
        with Uninterrupted():
            close(events)
            figures.close()
            view.close()
    ended_here = ended.stop_reason == "cancelled" if ended else not waiting
    if (
        shown and ended_here
    ):  # from the panel; a cell ends as the stop button ends it, and Run All with it
        raise Stopped(stopped)
    if ended is not None and failed(ended.stop_reason):
        text = ended.error or f"The run ended with {ended.stop_reason}."
        raise AgentError(text, f"The run failed ({ended.stop_reason}); the agent is ready again.")
    return answer if ended is not None and ended.stop_reason == "end_turn" else None


def asked_person(
    session: RunContext, agent_id: str, calls: Sequence[ToolCall], view: LiveView, turn: Turn
) -> list[Decision] | None:
    """Ask the person in front about *calls*; None leaves them waiting."""
    ours = any(call.name in NAMES for call in calls)
    # The agent's own policy for the notebook goes before what JupyterLab's settings say of all calls.
    own = ours and has_own(session.service.agents.retrieve(agent_id))

    def nobody() -> str:
        turn.propose(calls)
        return f"{NOBODY}; it is shown as a proposal" if ours else NOBODY

    policy = "ask" if own else PREFERENCES.approval
    return ask(Question(agent_id, calls), view, session.approvals, policy, nobody)


def close(events: Iterator[Event]) -> None:
    """End a run that nobody follows any more."""
    end = getattr(events, "close", None)
    if end is not None:
        end()
