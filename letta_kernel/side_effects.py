"""The process is the user's: what our work says to logs and warnings stays out of it, without changing either.

Levels, handlers and filters are read by the user's code and set by it at any moment, from any thread. So none
is ever set here. What is logged or warned of is looked at where it arises: work of ours goes nowhere, all else
goes its way (`isolation.is_ours` tells the two apart).
"""

from __future__ import annotations

import functools
import logging
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from letta_kernel.isolation import is_ours, present

_PACKAGE = "letta_kernel"
_SPEAKS = "letta_kernel.api.agent"  # what it warns of itself is meant for a person
_lock = threading.Lock()
_depth = 0  # how many blocks of `unwarned` are open
_importer: int | None = None  # the thread that imports libraries now


class _Ours:
    """The pattern of a warnings' filter that matches what our own work warns of."""

    def match(self, text: str) -> bool:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__") == "warnings":
            frame = frame.f_back
        return is_ours(frame) and not (frame and frame.f_globals.get("__name__") == _SPEAKS)


_FILTER: Any = ("ignore", _Ours(), Warning, None, 0)


@contextmanager
def unwarned() -> Iterator[None]:
    """Ignore what our own work warns of in this block, also where the user made warnings errors.

    The filter stands in the list of filters meanwhile. It matches nothing that the user's code does.
    """
    global _depth
    with _lock:
        _depth += 1
        if _FILTER not in warnings.filters[:1]:
            warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                while _FILTER in warnings.filters:
                    warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]


@contextmanager
def at_work() -> Iterator[None]:
    """Do work of ours in this block: what it warns of is ignored, and its libraries are all there."""
    with unwarned(), present():
        yield


def keep_logs_apart() -> None:
    """Drop, from now on, what other libraries log while they work for us; the user's calls log as ever."""
    if getattr(logging.Logger.handle, "__module__", "") == __name__:
        return
    handle = logging.Logger.handle

    @functools.wraps(handle, assigned=())
    def handle_others(self: logging.Logger, record: logging.LogRecord) -> None:
        if self.name.partition(".")[0] == _PACKAGE or not is_ours(sys._getframe(1)):
            handle(self, record)

    logging.Logger.handle = handle_others  # type: ignore[method-assign]


@contextmanager
def importing() -> Iterator[None]:
    """Let libraries that this thread imports in this block set up nothing but themselves."""
    global _importer
    _importer = threading.get_ident()
    undo = [_replaced(*one) for one in _SETTERS]
    try:
        with at_work():
            yield
    finally:
        _importer = None
        for one in undo:
            one()


def _replaced(
    owner: Any, name: str, allowed: Callable[..., bool], instead: Callable[..., Any]
) -> Callable[[], None]:
    original = getattr(owner, name)

    @functools.wraps(original)
    def unless_importing(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != _importer or allowed(sys._getframe(1), *args):
            return original(*args, **kwargs)
        return instead(*args, **kwargs)

    setattr(owner, name, unless_importing)

    def undo() -> None:
        if (
            getattr(owner, name) is unless_importing
        ):  # else somebody wrapped it: ours passes everything on
            setattr(owner, name, original)

    return undo


def _never(frame: Any, *args: Any) -> bool:
    return False


def _on_its_own(frame: Any, logger: Any, *args: Any) -> bool:
    """Whether a library sets up a logger of its own."""
    if not isinstance(logger, logging.Logger):
        return True
    library = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return logger.name.lower().startswith(library.lower())


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


_random = (
    random.Random()
)  # some libraries throw dice when they are imported; the user's stay as they lie
_SETTERS: tuple[tuple[Any, str, Callable[..., bool], Callable[..., Any]], ...] = (
    (warnings, "filterwarnings", _never, _nothing),
    (warnings, "simplefilter", _never, _nothing),
    (logging, "basicConfig", _never, _nothing),
    (logging.Logger, "setLevel", _on_its_own, _nothing),
    (logging.Logger, "addHandler", _on_its_own, _nothing),
    (logging.Filterer, "addFilter", _on_its_own, _nothing),
    *(
        (random, name, _never, getattr(_random, name))
        for name in ("random", "randint", "randrange", "uniform", "choice", "getrandbits", "seed")
    ),
)
