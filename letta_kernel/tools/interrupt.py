"""Ending a call when its time is up or the run is cancelled: on its own thread, or on that of async tools.

On the main thread of a POSIX system an alarm does it, which also ends sleeps and reads. On another thread
(or on Windows) Python can only be asked to raise at the thread's next instruction, so that a call that
blocks outside Python ends late. A function that catches `BaseException` is asked again every second.

Async tools have a thread with an event loop: the notebook's own loop is busy running the cell. It stays, so
that clients and sessions an async tool keeps between calls go on working. A tool that blocks it is left behind
with it, and the next call gets a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import copy_context
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


_GRACE = 1.0  # seconds a cancelled coroutine has to end


class LoopThread(threading.Thread):
    """A thread with an event loop of its own, started at once."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        # Jupyter's choice of loop on Windows cannot start processes.
        self.loop: asyncio.AbstractEventLoop
        if sys.platform == "win32":
            self.loop = asyncio.ProactorEventLoop()
        else:
            self.loop = asyncio.new_event_loop()
        self.start()

    def run(self) -> None:
        """Run the loop until `end`."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def end(self) -> None:
        """Stop the loop, as soon as nothing blocks it."""
        self.loop.call_soon_threadsafe(self.loop.stop)


_lock = threading.Lock()
_current: LoopThread | None = None


def _thread() -> LoopThread:
    global _current
    with _lock:
        if _current is None or not _current.is_alive():
            _current = LoopThread("letta-async-tools")
        return _current


def _abandon(thread: LoopThread) -> None:
    """Leave a blocked loop behind; should it come back, it ends itself."""
    global _current
    with _lock:
        if _current is thread:
            _current = None
    thread.end()


def run_async(awaitable: Awaitable[Any], time_limit: float | None, cancel: Cancel) -> Any:
    """Run *awaitable* on the loop thread in the caller's context, and return its result.

    *time_limit* is in seconds. The caller waits interruptibly.

    Raises
    ------
    TimeUpError, CancelledCallError
        When its end came from outside.
    KeyboardInterrupt
        The stop button; the coroutine has been cancelled.
    """
    thread = _thread()
    done = threading.Event()
    state: dict[str, Any] = {}

    async def work() -> None:
        try:
            state["value"] = await awaitable
        except BaseException as error:  # handed to the caller, KeyboardInterrupt and SystemExit too
            state["error"] = error
        finally:
            done.set()

    def begin() -> None:
        state["task"] = thread.loop.create_task(work(), context=context)

    def stop() -> None:
        task = state.get("task")
        if task is not None:
            task.cancel()

    def wake() -> None:
        cancelled.set()
        done.set()

    context = copy_context()
    cancelled = threading.Event()
    cancel.on_cancel(wake)
    end = None if time_limit is None else time.monotonic() + time_limit
    thread.loop.call_soon_threadsafe(begin)
    try:
        left = 0.1  # a wait with an end lets signals in on every platform
        while not done.wait(max(0.0, left)):
            left = 0.1 if end is None else min(0.1, end - time.monotonic())
            if left <= 0:
                break
    except KeyboardInterrupt:
        _end(thread, stop, state)
        raise
    if "error" in state:
        raise state["error"]
    if "value" in state:
        return state["value"]
    _end(thread, stop, state)
    raise CancelledCallError if cancelled.is_set() else TimeUpError


def _end(thread: LoopThread, stop: Callable[[], None], state: dict[str, Any]) -> None:
    """Cancel the task; if it does not end soon, leave its loop behind."""
    thread.loop.call_soon_threadsafe(stop)
    waited = threading.Event()
    for _ in range(int(_GRACE / 0.02)):
        if "error" in state or "value" in state:
            return
        waited.wait(0.02)
    _abandon(thread)
