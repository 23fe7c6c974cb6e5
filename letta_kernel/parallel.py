"""Calls at the same time, in threads, that the stop button ends together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
Watch = Callable[[float, str], None]
"""Is told how far work has come: a share (0 to 1) and a text. Called on the thread that waits for it."""

_LOOK = 0.1  # seconds between two looks: the stop button must reach us


def at_once(
    calls: Sequence[Callable[[], T]],
    most: int,
    name: str,
    *,
    stop: Callable[[], object],
    ending: float | None,
    look: Callable[[], object] = lambda: None,
) -> list[T]:
    """Do all *calls*, up to *most* at the same time, and return what they return, in their order.

    What a call raises is raised when all are over. The stop button, or what *look* raises, ends them before:
    *stop* is called, calls that have not begun never do, and the others have *ending* seconds (None: as long
    as they take).

    Parameters
    ----------
    name : of the threads.
    look : called on this thread about ten times a second.
    """
    pool = ThreadPoolExecutor(max(1, min(most, len(calls))), thread_name_prefix=name)
    futures: list[Future[T]] = []
    try:
        futures += [pool.submit(copy_context().run, call) for call in calls]
        pending = set(futures)
        while pending:
            look()
            pending = wait(pending, timeout=_LOOK, return_when=FIRST_COMPLETED).not_done
        return [one.result() for one in futures]
    except BaseException:
        if any(not one.done() for one in futures):
            stop()
        pool.shutdown(wait=False, cancel_futures=True)
        wait([one for one in futures if not one.cancelled()], timeout=ending)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
