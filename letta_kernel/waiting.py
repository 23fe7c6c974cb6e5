"""How long a request may wait for the store, counted from its own beginning, and whom it tells meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

TELLS_AFTER = 1.0
"""Seconds after which whoever waits is told for whom."""

Tell = Callable[[str], None]

_log = logging.getLogger("letta_kernel")


@dataclass(slots=True)
class Request:
    """What somebody asked for: when (`time.monotonic`), how they are told of a delay, what they were told."""

    tell: Tell | None = None
    began: float = field(default_factory=time.monotonic)
    told: str = ""
    copied: bool = False  # some of it was answered from a copy of the store
    patience: float | None = (
        None  # seconds that it waits for the store at most; None as that is set up
    )


_current: ContextVar[Request | None] = ContextVar("letta_kernel_request", default=None)


def current() -> Request | None:
    """Return the request that this code serves, if a door began one."""
    return _current.get()


@contextmanager
def request(
    tell: Tell | None = None, *, part: bool = False, patience: float | None = None
) -> Iterator[Request]:
    """Serve a request in this block, which begins now unless it is *part* of the one that goes on.

    Parameters
    ----------
    tell : is given one line when the store lets it wait; None is silent.
    patience : seconds that it waits for the store at most; None as that is set up.
    """
    outer = _current.get()
    inner = Request(tell, outer.began) if part and outer is not None else Request(tell)
    inner.patience = patience
    _current.set(inner)
    try:
        yield inner
    finally:
        _current.set(outer)  # no token: a generator may end in another context


def answered_from_copy() -> None:
    """Take note that some of the request was answered from a copy of the store."""
    asked = _current.get()
    if asked is not None:
        asked.copied = True


def tell(text: str) -> None:
    """Tell whoever made the request that it waits, once; by the log where no door says how."""
    asked = _current.get()
    if asked is None:
        if threading.current_thread() is threading.main_thread():
            _log.warning("%s", text)
    elif asked.told != text:
        asked.told = text
        if asked.tell is not None:
            asked.tell(text)
