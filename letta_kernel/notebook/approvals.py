"""Calls that wait for the person at the notebook, who is asked in the cell and in panels.

And `PREFERENCES`: what JupyterLab's settings say about asking, and about streaming.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from letta_kernel.agent.decisions import Decision
from letta_kernel.commands.approvals import NOBODY, answered, by_policy, described, ways
from letta_kernel.display.live import Choice, LiveView
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import ToolCall

_ELSEWHERE = "Waiting for your word: in JupyterLab's notification, or in the Agents panel."


class Question:
    """Calls of an agent that wait in a cell of this kernel, until somebody has decided about them."""

    def __init__(self, agent_id: str, calls: Sequence[ToolCall]) -> None:
        self.agent_id = agent_id
        self.calls = list(calls)
        self._decided = threading.Event()
        self._decisions: list[Decision] | None = None

    def decide(self, decisions: Sequence[Decision]) -> None:
        """Answer it; the cell goes on. Calls without a decision count as denied.

        Raises
        ------
        InvalidInputError
            It was answered already, or does not ask about one of these calls.
        """
        if self._decided.is_set():
            raise InvalidInputError("Somebody has answered this already.")
        check_calls(self.calls, decisions)
        given = {one.call_id: one for one in decisions}
        self._decisions = [
            given.get(call.id, Decision(call.id, approve=False)) for call in self.calls
        ]
        self._decided.set()

    def decided(self) -> list[Decision] | None:
        """Return what was decided; None so far."""
        return self._decisions if self._decided.is_set() else None

    def wait(self) -> list[Decision]:
        """Wait, interruptibly, until it is answered."""
        while not self._decided.wait(0.1):  # short: the stop button gets through
            pass
        assert self._decisions is not None
        return self._decisions


class Approvals:
    """One per session. Everything here may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._questions: dict[str, Question] = {}
        self.panels = 0  # open ones: somebody who could answer
        self.changed: Callable[[], None] = lambda: None

    @contextmanager
    def asking(self, question: Question) -> Iterator[None]:
        """Let panels answer *question* meanwhile."""
        try:
            with self._lock:
                self._questions[question.agent_id] = question
            self.changed()
            yield
        finally:
            with self._lock:
                self._questions.pop(question.agent_id, None)
            self.changed()

    def question(self, agent_id: str) -> Question | None:
        """Return the question of that agent that a cell of this kernel waits with, if there is one."""
        with self._lock:
            return self._questions.get(agent_id)

    def waiting(self) -> list[str]:
        """Return the ids of the agents whose calls wait in cells of this kernel."""
        with self._lock:
            return list(self._questions)


def ask(
    question: Question,
    view: LiveView,
    approvals: Approvals,
    policy: str,
    nobody: Callable[[], str] = lambda: NOBODY,
) -> list[Decision] | None:
    """Ask about each call; None leaves them waiting.

    By buttons in the view where the front end shows it, and by those of a panel, whichever is pressed
    first; where there is neither, by a line to type in. Where a front end takes no input (a notebook run
    without a person), the policy decides, which is to deny unless ``LETTA_APPROVAL`` says otherwise.
    Nobody is asked where *policy*, that of JupyterLab's settings, says what to do.

    Parameters
    ----------
    nobody
        Called where nobody can be asked; returns why a call is denied then.

    Raises
    ------
    KeyboardInterrupt
        The stop button; the calls go on waiting.
    """
    if policy != "ask":
        why = "the approval policy of JupyterLab's settings is to deny"
        return by_policy(question.calls, policy, why)

    def elsewhere() -> list[Choice] | None:
        given = question.decided()
        if given is None:
            return None
        return [
            Choice(one.call_id, one.approve, one.reason, one.arguments, one.scope) for one in given
        ]

    with approvals.asking(question):
        # A page may take its time to load what shows the buttons: the question waits for it.
        alone = (lambda: print(_ELSEWHERE, flush=True)) if approvals.panels else None
        choices = view.ask_approval(question.calls, elsewhere, alone)
        if choices is not None:
            return [
                Decision(one.call_id, one.approve, one.reason, one.arguments, scope=one.scope)
                for one in choices
            ]
        if approvals.panels:
            print(_ELSEWHERE, flush=True)
            return question.wait()
    return _ask_in_words(question.calls, nobody)


def _ask_in_words(calls: Sequence[ToolCall], nobody: Callable[[], str]) -> list[Decision] | None:
    decisions = []
    for call in calls:
        try:
            answer = input(f"Allow {described(call)}?  {ways(call)}: ")
        except KeyboardInterrupt:
            raise
        except Exception:  # EOF, or a front end without stdin, each with an error of its own
            return by_policy(calls, why_not=nobody())
        decisions.append(answered(call, answer))
    return decisions


def check_calls(calls: Sequence[ToolCall], decisions: Sequence[Decision]) -> None:
    """Refuse decisions about calls that do not wait."""
    known = {call.id for call in calls}
    for decision in decisions:
        if decision.call_id not in known:
            raise InvalidInputError(
                f"No call {decision.call_id!r} waits; these do: {', '.join(sorted(known)) or 'none'}."
            )


Policy = Literal["ask", "approve", "deny", "wait"]


@dataclass(slots=True)
class Preferences:
    """Held by the kernel's process; without a front end that sets them the defaults stand."""

    approval: Policy = "ask"
    streaming: bool = True


PREFERENCES = Preferences()
"""The one of this process: a kernel has one notebook, and what is chosen holds for all notebooks."""
