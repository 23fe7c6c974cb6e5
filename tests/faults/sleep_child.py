"""A process that tidies an agent's memory, and is killed at a chosen point."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection

from letta_kernel.agent import journal
from letta_kernel.models.scripted import scripted
from letta_kernel.service import AgentService

TIDY = """\
say: The boat is a detail.
call: archival_memory_insert(content="Her first boat was called Terna.")
call: memory_replace(label="human", old_string="Bergen", new_string="Oslo since 3 May 2025")

call: memory_insert(label="instructions", new_string="Answer in English.")

call: memory_finish_edits()
"""


def tidy(home: str, kill_at: int, told: Connection) -> None:
    """Tidy, and die at point *kill_at* of its steps; without so many it says how many there were."""
    passed = 0

    def passing(point: str) -> None:
        nonlocal passed
        passed += 1
        if passed == kill_at:
            told.send(point)
            os.kill(os.getpid(), signal.SIGKILL)

    scripted(TIDY, "sleep")
    journal.passing = passing
    with AgentService(home) as service:
        done = service.sleeptime.now("ada")
        assert done is not None
        assert done.status == "done"
        told.send(passed)
