"""One run of somebody else's agent in a cell: its events to the live view, stop, approvals, and how it ends.

The run goes on at the server that ``LETTA_SERVER`` names. Nothing of the notebook goes along but the message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from letta_kernel.agent.decisions import Decision
from letta_kernel.commands.door import Shared
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.display.live import LiveView
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    RunEnded,
    RunQueued,
    RunStarted,
    ToolCall,
)
from letta_kernel.notebook.approvals import PREFERENCES, Approvals, Question, ask
from letta_kernel.notebook.output import AgentError, Stopped, say
from letta_kernel.notebook.panel.shared_runs import Followed, SharedRuns
from letta_kernel.notebook.run import STOPPED, close
from letta_kernel.pictures.picture import Picture
from letta_kernel.remote import consent_once
from letta_kernel.remote.run import Ended
from letta_kernel.stop_reasons import failed

_OWN_ALONE = {
    "model": "--model",
    "as_": "--as",
    "notebook_context": "--notebook-context",
    "step": "--step",
}
"""What a cell may ask of own agents alone."""


class SharedContext(Protocol):
    """What a run asks of the notebook it is shown in."""

    shell: Any
    shared_runs: SharedRuns


def send(
    session: SharedContext,
    shared: Shared,
    text: str,
    given: Mapping[str, Any],
    pictures: Sequence[Picture] = (),
) -> None:
    """Send *text*, with *pictures*, to a shared agent and show the run in the cell until it has ended.

    Parameters
    ----------
    given : what else the cell's line asks for.

    Raises
    ------
    InvalidInputError
        Something of it is for own agents alone; nothing is sent.
    """
    for key, option in _OWN_ALONE.items():
        if given.get(key):
            raise InvalidInputError(
                f"{option} is for agents of your own: {shared.ref} is {shared.owner}'s."
            )
    if told := consent_once(shared.server, shared.ref):
        say(session.shell, told)

    def start(live: Callable[[Event], None], ending: threading.Event) -> Iterator[Event]:
        most = given.get("max_steps")
        return shared.server.send(
            shared.ref, text, max_steps=most, pictures=pictures, live=live, ending=ending
        )

    _follow(session, shared, start, text)


def decide(session: SharedContext, shared: Shared, decisions: Sequence[Decision]) -> None:
    """Go on with a run that waited for a person's word."""

    def start(live: Callable[[Event], None], ending: threading.Event) -> Iterator[Event]:
        return shared.server.approve(shared.ref, decisions, live=live, ending=ending)

    _follow(session, shared, start, "")


def _follow(
    session: SharedContext,
    shared: Shared,
    start: Callable[[Callable[[Event], None], threading.Event], Iterator[Event]],
    prompt: str,
) -> None:
    view = LiveView(prompt, shell=session.shell, streaming=PREFERENCES.streaming)
    stopped = STOPPED

    def live(event: Event) -> None:
        nonlocal stopped
        if isinstance(event, RunQueued):
            stopped = "Stopped waiting; nothing was sent."
        elif isinstance(event, RunStarted):
            stopped = STOPPED
        view.handle(event)
        if not isinstance(event, ApprovalRequested):  # the cell asks, nobody else
            told.take(event)

    told = Followed(session.shared_runs, shared.ref)
    events = start(live, told.ending)
    ended: RunEnded | None = None
    waiting: list[ToolCall] = []
    try:
        while True:
            waiting = []
            for event in events:  # the view has had it through `live` already
                if isinstance(event, ApprovalRequested):
                    waiting = event.calls
                elif isinstance(event, RunEnded):
                    ended = event
            if not waiting:
                break
            stopped = f"The run waits for your word: %agent approve --agent {shared.ref}, or deny."
            # Own ones of a kernel are also asked in panels, which know nothing of other people's agents.
            question = Question(shared.ref, waiting)
            decisions = ask(question, view, Approvals(), PREFERENCES.approval)
            if decisions is None:
                say(session.shell, stopped)
                break
            stopped = STOPPED
            told.leave()
            told = Followed(session.shared_runs, shared.ref)
            events = shared.server.approve(shared.ref, decisions, live=live, ending=told.ending)
    except (KeyboardInterrupt, Ended):  # the stop button here, or in a panel
        raise Stopped(stopped) from None
    finally:
        with Uninterrupted():
            close(events)
            view.close()
            told.leave()
    if ended is not None and ended.stop_reason == "cancelled" and not waiting:
        raise Stopped(stopped)
    if ended is not None and failed(ended.stop_reason):
        text = ended.error or f"The run ended with {ended.stop_reason}."
        raise AgentError(
            text, f"The run failed ({ended.stop_reason}); {shared.ref} is ready again."
        )
