"""Calling a live function: on the calling thread, with a time limit, its output and its progress passed on.

``async`` functions run on a thread with a loop of its own, in the caller's context, so that what they print
finds its way. On the main thread a time limit ends a call anywhere; elsewhere (parallel calls) only between
Python instructions, so that a call that blocks outside Python ends late. A function that catches
`BaseException` is asked again every second; one that does so for ever cannot be ended.

The loop stays, so that clients and sessions an async tool keeps between calls go on working. A tool that
blocks it is left behind with it, and the next call gets a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import signal
import sys
import threading
import time
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NoReturn

from letta_kernel import isolation
from letta_kernel.hooks import users_code
from letta_kernel.models.base import Cancel
from letta_kernel.tools.error_text import holds
from letta_kernel.tools.outcome import Outcome, ReportedError, failure, interrupted
from letta_kernel.tools.output import OutputFunction, captured
from letta_kernel.tools.references import Reference, StaleToolError
from letta_kernel.tools.results import Presented, present

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
    if sys.platform == "win32":  # it has no alarms
        raise NotImplementedError
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

    asked = False

    def ask(kind: type[BaseException]) -> None:
        nonlocal asked
        asked = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(target), ctypes.py_object(kind))

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
        _take(lock, done, lambda: asked)


def _take(lock: threading.Lock, done: threading.Event, asked: Callable[[], bool]) -> None:
    """Set *done*; let an exception that was asked for and not raised yet be raised here, not later.

    It cannot be taken back instead: where it is, Python 3.11 hangs as soon as a debugger traces this process.
    """
    while True:
        try:
            with lock:
                done.set()
            for _ in range(2 if asked() else 0):  # where Python looks for it
                pass
            return
        except (CancelledCallError, TimeUpError):
            continue


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


ITEMS = 10_000
"""Items a generator may yield; then it is stopped, and what it yielded is its result."""


def run_function(
    function: Callable[..., Any],
    kwargs: Mapping[str, Any],
    *,
    limit: int = 50_000,
    time_limit: float | None = None,
    on_output: OutputFunction = lambda stream, text: None,
    cancel: Cancel | None = None,
    agent_state: Any = None,
) -> Outcome:
    """Call a live function on this thread (async ones on the loop thread) and return how it ended."""
    cancel = cancel or Cancel()
    started = perf_counter()
    try:
        with captured(on_output), isolation.absent(), users_code.runs():
            value = _called(function, kwargs, time_limit, cancel, on_output, agent_state)
            made = value.presented(limit) if isinstance(value, _Items) else present(value, limit)
        outcome = Outcome("ok", made.text, made.display, pictures=[*made.pictures])
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and the like must not end the kernel
        if holds(error, KeyboardInterrupt):  # task groups wrap it
            raise KeyboardInterrupt from None
        if holds(error, CancelledCallError):
            outcome = interrupted()
        elif holds(error, TimeUpError):
            took = f"took longer than its limit of {time_limit:g} seconds and was stopped"
            text = f"TimeoutError: the tool {took}"
            outcome = Outcome("error", text, error=text)
        else:
            outcome = failure(error, limit)
    outcome.seconds = perf_counter() - started
    return outcome


def callable_now(reference: Reference) -> Callable[..., Any]:
    """Return the callable as it is now; where it is stale, one that fails with the line that says so."""
    try:
        return reference.now()
    except StaleToolError as error:
        text = str(error)

    def stale(**arguments: Any) -> NoReturn:
        raise ReportedError(text)

    return stale


def asks_for_state(function: Callable[..., Any]) -> bool:
    """Return whether *function* has a parameter ``agent_state``, which we fill in."""
    try:
        return "agent_state" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def bind(
    function: Callable[..., Any], kwargs: Mapping[str, Any], agent_state: Any = None
) -> tuple[list[Any], dict[str, Any]]:
    """Sort checked arguments into positional and keyword ones; fill in ``agent_state``."""
    named = dict(kwargs)
    positional: list[Any] = []
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return positional, named
    # What follows ``*`` can only be given if all before it are given by place too.
    rest = next((named.get(one.name) for one in parameters if one.kind is one.VAR_POSITIONAL), None)
    for one in parameters:
        wanted = agent_state is not None or one.default is one.empty
        if one.name == "agent_state" and one.name not in named and wanted:
            named[one.name] = agent_state
        by_place = one.kind is one.POSITIONAL_ONLY or (
            bool(rest) and one.kind is one.POSITIONAL_OR_KEYWORD
        )
        if by_place and (one.name in named or one.default is not one.empty):
            # Left out: those after it can only be given if it is passed too.
            positional.append(named.pop(one.name, one.default))
        elif one.kind is one.VAR_POSITIONAL:
            positional += named.pop(one.name, ())
        elif one.kind is one.VAR_KEYWORD and isinstance(named.get(one.name), dict):
            named.update(named.pop(one.name))
    return positional, named


def _called(
    function: Callable[..., Any],
    kwargs: Mapping[str, Any],
    time_limit: float | None,
    cancel: Cancel,
    on_output: OutputFunction,
    agent_state: Any,
) -> Any:
    positional, named = bind(function, kwargs, agent_state)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return _awaited(function(*positional, **named), time_limit, cancel, on_output)
    with ended_by(time_limit, cancel):
        value = function(*positional, **named)
        if _gives_items(value):
            return _drained(value, on_output)
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        return _awaited(value, time_limit, cancel, on_output)
    return value


@dataclass(slots=True)
class _Items:
    """What a generator yielded that returned nothing, and the last display among it."""

    values: list[Any] = field(default_factory=list)
    display: dict[str, Any] | None = None

    def take(self, item: Any, on_output: OutputFunction) -> bool:
        """Pass an item on as progress and keep it; return whether there may be more."""
        made = present(item, 2_000)
        on_output("progress", made.text)
        self.values.append(item)
        self.display = made.display or self.display
        if len(self.values) < ITEMS:
            return True
        self.values.append(f"… the generator was stopped after {ITEMS:,} items")
        return False

    def presented(self, limit: int) -> Presented:
        """Return them as a list."""
        made = present(self.values, limit)
        return Presented(made.text, self.display or made.display, made.pictures)


def _drained(iterator: Iterator[Any], on_output: OutputFunction) -> Any:
    """Pass on what a generator yields as progress; its result is what it returns, else its items."""
    items = _Items()
    while True:
        try:
            item = next(iterator)
        except StopIteration as end:
            return items if end.value is None else end.value
        if not items.take(item, on_output):
            getattr(iterator, "close", lambda: None)()
            return items


def _gives_items(value: Any) -> bool:
    """Return whether *value* is a generator, or an iterator such as those of ``map`` and itertools."""
    lazy = isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools")
    return isinstance(value, types.GeneratorType) or lazy


def _awaited(
    awaitable: Any, time_limit: float | None, cancel: Cancel, on_output: OutputFunction
) -> Any:
    from letta_kernel.tools.live import run_async  # asyncio, for those who need it

    if inspect.isasyncgen(awaitable):
        awaitable = _drained_async(awaitable, on_output)
    return run_async(awaitable, time_limit, cancel)


async def _drained_async(generator: Any, on_output: OutputFunction) -> _Items:
    items = _Items()
    async for item in generator:
        if not items.take(item, on_output):
            await generator.aclose()
            break
    return items
