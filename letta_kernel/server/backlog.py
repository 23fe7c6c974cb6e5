"""How many edits the vector indexes of a project have not taken in: looked at now and then, beside all else."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Hashable
from dataclasses import dataclass

from letta_kernel.errors import LettaError
from letta_kernel.service import AgentService

_EVERY = 15.0  # seconds between two looks

log = logging.getLogger("letta_kernel")


@dataclass(slots=True)
class _Known:
    rows: int | None = None
    stamp: Hashable = None
    looked: float = float("-inf")
    looking: bool = False


_known: weakref.WeakKeyDictionary[AgentService, _Known] = weakref.WeakKeyDictionary()


def of(service: AgentService) -> int | None:
    """Return how many edits wait in the outbox, as far as that is known: the last look's result.

    The store is asked only if it has changed since: a look would take it from others.
    """
    known = _known.setdefault(service, _Known())
    if not known.looking and time.monotonic() - known.looked > _EVERY:
        known.looking = True
        threading.Thread(target=_look, args=(service, known), daemon=True, name="backlog").start()
    return known.rows


def _look(service: AgentService, known: _Known) -> None:
    try:
        stamp = service.database.changed()
        if known.rows is None or stamp != known.stamp:
            known.rows = service.store.backlog() if service.database.exists() else 0
            known.stamp = stamp
    except LettaError as error:
        log.info("how far the index is behind is not known: %s", error)
    finally:
        known.looked = time.monotonic()
        known.looking = False
