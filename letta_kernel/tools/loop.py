"""A thread with an event loop for async tools: the notebook's own loop is busy running the cell.

The loop stays, so that clients and sessions an async tool keeps between calls go on working. A tool that
blocks it is left behind with it, and the next call gets a new one.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

from letta_kernel.models.base import Cancel
from letta_kernel.tools.interrupt import CancelledCallError, TimeUpError

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
