"""What goes on in this kernel, for the desks: calls that wait for a word, work for the main thread."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.ids import new_id
from letta_kernel.messages import ToolCall
from letta_kernel.notebook.quiet import AgentError, Stopped

_MOST_JOBS = 100  # kept for front ends that may never come for them


class Question:
    """Calls of an agent that a cell of this kernel waits with, until somebody has decided about them."""

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


class _Job:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work: Callable[[], Any] | None = work
        self.value: Any = None
        self.error: LettaError | None = None


class JobError(LettaError):
    """Work for the main thread ended with an error, which the text tells in one line."""


class Floor:
    """One per session. Everything here may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._questions: dict[str, Question] = {}
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self.desks = 0  # open ones: somebody who could answer
        self.asking_changed: Callable[[], None] = lambda: None
        self.agent_changed: Callable[[], None] = lambda: None  # whom the notebook talks to

    # -- calls that wait -----------------------------------------------------------------------------

    @contextmanager
    def asking(self, question: Question) -> Iterator[None]:
        """Let desks answer *question* meanwhile."""
        try:
            with self._lock:
                self._questions[question.agent_id] = question
            self.asking_changed()
            yield
        finally:
            with self._lock:
                self._questions.pop(question.agent_id, None)
            self.asking_changed()

    def question(self, agent_id: str) -> Question | None:
        """Return what a cell of this kernel waits with for that agent, if one does."""
        with self._lock:
            return self._questions.get(agent_id)

    def asking_now(self) -> list[str]:
        """Return the ids of the agents that cells of this kernel wait for a word with."""
        with self._lock:
            return list(self._questions)

    # -- work for the main thread --------------------------------------------------------------------

    def later(self, work: Callable[[], Any]) -> dict[str, str]:
        """Keep *work* for the main thread, in its turn among the cells.

        Only the front end can put it there: it executes the code returned as ``execute`` (silently, not
        in the history) and then asks ``job`` for what came of the ``ticket``.
        """
        ticket = new_id("job")
        with self._lock:
            self._jobs[ticket] = _Job(work)
            while len(self._jobs) > _MOST_JOBS:
                self._jobs.popitem(last=False)
        code = f"get_ipython()._letta_magics.do({json.dumps(ticket)})"
        return {"execute": code, "ticket": ticket}

    def do(self, ticket: str) -> None:
        """Do the work of *ticket*; whatever goes wrong is kept for whoever asks for the result."""
        job = self._jobs.get(ticket)
        if job is None or job.work is None:
            return
        work, job.work = job.work, None
        try:
            job.value = work()
        except LettaError as error:
            job.error = error
        except KeyboardInterrupt as error:
            text = str(error) if isinstance(error, Stopped) else "Stopped."
            job.error = JobError(text or "Stopped.")
        except AgentError as error:
            job.error = JobError(str(error))
        except Exception as error:
            job.error = JobError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")

    def result(self, ticket: str) -> Any:
        """Return what came of a ticket, once.

        Raises
        ------
        NotFoundError
            It was never given out, has been asked for already, or its work was not done.
        LettaError
            What the work ended with.
        """
        with self._lock:
            job = self._jobs.pop(ticket, None)
        if job is None or job.work is not None:
            raise NotFoundError("This was not done: the kernel was restarted or had to skip it.")
        if job.error is not None:
            raise job.error
        return job.value


def check_calls(calls: Sequence[ToolCall], decisions: Sequence[Decision]) -> None:
    """Refuse decisions about calls that do not wait."""
    known = {call.id for call in calls}
    for decision in decisions:
        if decision.call_id not in known:
            raise InvalidInputError(
                f"No call {decision.call_id!r} waits; these do: {', '.join(sorted(known)) or 'none'}."
            )
