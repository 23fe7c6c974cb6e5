"""One run of an agent in a cell: its events to the live view, stop, approvals, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

from letta_kernel.api_tools import added_to
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
from letta_kernel.notebook.figures import Figures
from letta_kernel.notebook.functions import Functions, NotebookHost
from letta_kernel.notebook.output import AgentError, Stopped, say
from letta_kernel.notebook.words import WORDS
from letta_kernel.service import AgentService, Decision
from letta_kernel.stop_reasons import failed
from letta_kernel.tools.answers import AnswerForm, last_answer

Start = Callable[..., Iterator[Event]]

_STOPPED = "Stopped; what was said and done so far is kept."
_MOST_EVENTS = 20  # that tools may post in a chain before somebody has to look


class RunContext(Protocol):
    """What a run asks of the notebook it is shown in."""

    shell: Any
    functions: Functions
    approvals: Approvals

    @property
    def service(self) -> AgentService:
        """The project's agents."""

    def host_of(self, agent_id: str) -> NotebookHost:
        """Return where the functions behind this agent's tools are found."""


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
) -> None:
    """Send *text* to an agent and show the run in the cell until it has ended.

    Events that its tools posted meanwhile (`letta_kernel.Agent.event`) follow, each with a run of its own.
    With *ask_person* False, calls that need a person's word are left waiting for it. *take* is given the
    answer, if there is one: its text, or the value it stands for where it was to have a *form*.
    """

    def start(**given: Any) -> Iterator[Event]:
        return session.service.runs.send(
            agent_id, text, role=role, max_steps=max_steps, model=model, **given
        )

    answer = _follow(session, agent_id, start, text, ask_person, form=form)
    if answer is not None:
        take(answer if form is None else form.read(answer))
    _follow_events(session, agent_id, ask_person)


def decide(session: RunContext, agent_id: str, decisions: Sequence[Decision]) -> None:
    """Go on with a run that waited for a person's word."""

    def start(**given: Any) -> Iterator[Event]:
        return session.service.runs.approve(agent_id, decisions, **given)

    _follow(session, agent_id, start, "")
    _follow_events(session, agent_id)


def talk(session: RunContext, agent_id: str, text: str) -> None:
    """Send *text* to an agent without a cell: what happens is seen by those who follow the service.

    Calls that need a person's word are left waiting for it, so that the notebook is free meanwhile.
    """

    def start(**given: Any) -> Iterator[Event]:
        return session.service.runs.send(agent_id, text, **given)

    _follow(session, agent_id, start, text, ask_person=False, shown=False)
    _follow_events(session, agent_id, ask_person=False, shown=False)


def resume(session: RunContext, agent_id: str, decisions: Sequence[Decision]) -> None:
    """Go on, without a cell, with a run that waited for a person's word."""

    def start(**given: Any) -> Iterator[Event]:
        return session.service.runs.approve(agent_id, decisions, **given)

    _follow(session, agent_id, start, "", ask_person=False, shown=False)
    _follow_events(session, agent_id, ask_person=False, shown=False)


def _follow_events(
    session: RunContext, agent_id: str, ask_person: bool = True, shown: bool = True
) -> None:
    for _ in range(_MOST_EVENTS):
        text = session.service.runs.next_event(agent_id)
        if text is None:
            return

        def start(text: str = text, **given: Any) -> Iterator[Event]:
            return session.service.runs.send(agent_id, text, role="event", **given)

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
) -> str | None:
    """Follow a run to its end; return what was answered at last, None where it waits or was cut short."""
    # Stays unseen until the first event.
    view = LiveView(prompt, shell=session.shell, streaming=PREFERENCES.streaming, shown=shown)

    figures = Figures(session.shell)

    def live(event: Event) -> None:
        event = worded(event, WORDS)
        view.handle(figures.at_its_call(event) if shown else event)

    session.functions.load()
    added_to(agent_id).refresh(session.service)
    host = session.host_of(agent_id)
    events = start(host=host, live=live, wait=True, form=form)
    ended: RunEnded | None = None
    answer: str | None = None
    stopped = _STOPPED
    try:
        while True:
            waiting: list[ToolCall] = []
            for event in events:  # the view has had it through `live` already
                if isinstance(event, RunQueued):
                    stopped = "Stopped waiting; nothing was sent."
                elif isinstance(event, RunStarted):
                    stopped = _STOPPED
                elif isinstance(event, StepEnded):
                    answer = last_answer(event.messages)
                elif isinstance(event, ApprovalRequested):
                    waiting = event.calls
                elif isinstance(event, RunEnded):
                    ended = worded(event, WORDS)
            if not waiting:
                break
            stopped = "The run waits for your word: %agent approve, or %agent deny REASON."
            question = Question(agent_id, waiting)
            decisions = ask(question, view, session.approvals) if ask_person else None
            if decisions is None:
                if shown:
                    say(session.shell, stopped)
                break
            stopped = _STOPPED
            events = session.service.runs.approve(
                agent_id, decisions, host=host, live=live, wait=True, form=form
            )
    except KeyboardInterrupt:
        raise Stopped(stopped) from None
    finally:
        with Uninterrupted():
            _close(events)
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


def _close(events: Iterator[Event]) -> None:
    close = getattr(events, "close", None)
    if close is not None:
        close()
