"""A queue of work for the kernel's main thread; a front end runs each job in turn among the cells."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from letta_kernel.errors import LettaError, NotFoundError
from letta_kernel.ids import new_id
from letta_kernel.notebook.output import AgentError, Stopped

_MOST_JOBS = 100  # kept for front ends that may never come for them


class _Job:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work: Callable[[], Any] | None = work
        self.value: Any = None
        self.error: LettaError | None = None


class JobError(LettaError):
    """Work for the main thread ended with an error, which the text tells in one line."""


class MainThreadQueue:
    """One per session. Everything here may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def submit(self, work: Callable[[], Any]) -> dict[str, str]:
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
