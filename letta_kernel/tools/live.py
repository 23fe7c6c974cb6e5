"""Calling a live function: on the calling thread, with a time limit, its output and its progress passed on.

``async`` functions run on a thread with a loop of its own, in the caller's context, so that what they print
finds its way. On the main thread a time limit ends a call anywhere; elsewhere (parallel calls) only between
Python instructions. A function that catches `BaseException` for ever cannot be ended.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from letta_kernel.models.base import Cancel
from letta_kernel.tools.error_text import holds
from letta_kernel.tools.interrupt import CancelledCallError, TimeUpError, ended_by
from letta_kernel.tools.outcome import Outcome, failure, interrupted
from letta_kernel.tools.output import OutputFunction, captured
from letta_kernel.tools.results import present


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
        with captured(on_output):
            value = _called(function, kwargs, time_limit, cancel, on_output, agent_state)
            made = present(value, limit)
        outcome = Outcome("ok", made.text, made.display)
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


def bind(
    function: Callable[..., Any], kwargs: Mapping[str, Any], agent_state: Any = None
) -> tuple[list[Any], dict[str, Any]]:
    """Sort checked arguments into positional and keyword ones; fill in ``agent_state``."""
    named = dict(kwargs)
    positional: list[Any] = []
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return positional, named
    for one in parameters:
        wanted = agent_state is not None or one.default is one.empty
        if one.name == "agent_state" and one.name not in named and wanted:
            named[one.name] = agent_state
        if one.kind is one.POSITIONAL_ONLY and one.name in named:
            positional.append(named.pop(one.name))
        elif one.kind is one.POSITIONAL_ONLY:
            # Left out: those after it can only be given if it is passed too.
            positional.append(one.default)
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
        if isinstance(value, types.GeneratorType):
            return _drained(value, on_output)
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        return _awaited(value, time_limit, cancel, on_output)
    return value


def _drained(generator: types.GeneratorType[Any, Any, Any], on_output: OutputFunction) -> Any:
    """Pass on what a generator yields as progress; its result is what it returns, or yielded last."""
    last: Any = None
    while True:
        try:
            last = next(generator)
        except StopIteration as end:
            return last if end.value is None else end.value
        on_output("progress", present(last, 2_000).text)


def _awaited(
    awaitable: Any, time_limit: float | None, cancel: Cancel, on_output: OutputFunction
) -> Any:
    from letta_kernel.tools.loop import run_async  # asyncio, for those who need it

    if inspect.isasyncgen(awaitable):
        awaitable = _drained_async(awaitable, on_output)
    return run_async(awaitable, time_limit, cancel)


async def _drained_async(generator: Any, on_output: OutputFunction) -> Any:
    last: Any = None
    async for last in generator:
        on_output("progress", present(last, 2_000).text)
    return last
