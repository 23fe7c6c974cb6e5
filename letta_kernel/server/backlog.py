"""How many edits the vector indexes have not taken in: looked at now and then, by a thread nobody waits for."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Hashable, Sequence

from letta_kernel.errors import LettaError
from letta_kernel.service import AgentService

_EVERY = 15.0  # seconds between two looks

log = logging.getLogger("letta_kernel")

_lock = threading.Lock()
_known: weakref.WeakKeyDictionary[AgentService, tuple[Hashable, int]] = weakref.WeakKeyDictionary()
_looked = float("-inf")
_looking = False


def rows(services: Sequence[AgentService]) -> int | None:
    """Return how many edits wait in the outboxes of these projects, at the last look; None before the first.

    A project is asked only if it has changed since: a look would take its file from other processes.
    """
    global _looking
    with _lock:
        if not _looking and time.monotonic() - _looked > _EVERY:
            _looking = True
            threading.Thread(target=_look, args=(services,), daemon=True, name="backlog").start()
        found = [known[1] for one in services if (known := _known.get(one)) is not None]
    return sum(found) if found else None


def _look(services: Sequence[AgentService]) -> None:
    global _looked, _looking
    try:
        for service in services:
            try:
                stamp = service.database.changed()
                known = _known.get(service)
                if known is None or known[0] != stamp:
                    count = service.store.backlog() if service.database.exists() else 0
                    with _lock:
                        _known[service] = stamp, count
            except LettaError as error:
                log.info("how far an index is behind is not known: %s", error)
    finally:
        with _lock:
            _looked, _looking = time.monotonic(), False
