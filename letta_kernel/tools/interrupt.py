"""Ending a function that runs on this thread: when its time is up, or when the run is cancelled.

On the main thread of a POSIX system an alarm does it, which also ends sleeps and reads. On another thread
(or on Windows) Python can only be asked to raise at the thread's next instruction, so that a call that
blocks outside Python ends late. A function that catches `BaseException` is asked again every second.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from letta_kernel.models.base import Cancel

_AGAIN = 1.0  # seconds until a function that caught the exception is asked again


class TimeUpError(BaseException):
    """The call took longer than its time limit; no ``except Exception`` of a tool catches it."""


class CancelledCallError(BaseException):
    """The run was cancelled while the call ran."""


@contextlib.contextmanager
def ended_by(time_limit: float | None, cancel: Cancel) -> Iterator[None]:
    """Raise `TimeUpError` or `CancelledCallError` inside the block when its end has come.

    *time_limit* is in seconds; None means none.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and hasattr(signal, "setitimer"):
        with _alarm(time_limit, cancel):
            yield
    else:
        with _request(time_limit, cancel):
            yield


@contextlib.contextmanager
def _alarm(time_limit: float | None, cancel: Cancel) -> Iterator[None]:
    started = time.monotonic()
    armed = True

    def ring(signum: int, frame: Any) -> None:
        if armed and cancel.cancelled:
            raise CancelledCallError
        if armed and time_limit is not None and time.monotonic() - started >= time_limit:
            raise TimeUpError
        if callable(before):  # an alarm of the user's own
            before(signum, frame)

    def wake() -> None:  # called in the cancelling thread
        if armed:
            signal.setitimer(signal.ITIMER_REAL, 0.001, _AGAIN)

    before = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    try:
        if time_limit is not None:
            signal.setitimer(signal.ITIMER_REAL, time_limit, _AGAIN)
        cancel.on_cancel(wake)
        yield
    finally:
        armed = False
        # An alarm the user had set goes on as if we had not been here.
        rest = max(0.001, left - (time.monotonic() - started)) if left else 0
        signal.setitimer(signal.ITIMER_REAL, rest, interval)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _request(time_limit: float | None, cancel: Cancel) -> Iterator[None]:
    target = threading.get_ident()
    done = threading.Event()
    lock = threading.Lock()

    def ask(kind: type[BaseException] | None) -> None:
        raised = ctypes.py_object(kind) if kind else None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(target), raised)

    def watch() -> None:
        end = None if time_limit is None else time.monotonic() + time_limit
        wake = threading.Event()
        cancel.on_cancel(wake.set)
        while not done.is_set():
            late = end is not None and time.monotonic() >= end
            if cancel.cancelled or late:
                with lock:
                    if done.is_set():
                        return
                    ask(CancelledCallError if cancel.cancelled else TimeUpError)
                done.wait(_AGAIN)
                continue
            # Short waits, since two things may end this one.
            done.wait(0.05 if end is None else min(0.05, max(0.0, end - time.monotonic())))

    watcher = threading.Thread(target=watch, name="tool-limit", daemon=True)
    try:
        watcher.start()
        yield
    finally:
        with lock:
            done.set()
            ask(None)  # an exception asked for but not raised yet must not hit what follows
