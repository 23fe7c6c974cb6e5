"""Calling a live function: on the calling thread, with a time limit, its output and its progress passed on.

``async`` functions run on a thread with a loop of its own, in the caller's context, so that what they print
finds its way. On the main thread a time limit ends a call anywhere; elsewhere (parallel calls) only between
Python instructions. A function that catches `BaseException` for ever cannot be ended.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NoReturn

from letta_kernel import isolation
from letta_kernel.models.base import Cancel
from letta_kernel.tools.interrupt import CancelledCallError, TimeUpError, ended_by
from letta_kernel.tools.outcome import Outcome, ReportedError, failure, interrupted
from letta_kernel.tools.output import OutputFunction, captured
from letta_kernel.tools.references import Reference, StaleToolError
from letta_kernel.tools.results import Presented, holds, present

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
        with captured(on_output), isolation.absent():
            value = _called(function, kwargs, time_limit, cancel, on_output, agent_state)
            made = value.presented(limit) if isinstance(value, _Items) else present(value, limit)
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


def callable_now(reference: Reference) -> Callable[..., Any]:
    """Return the callable as it is now; where it is stale, one that fails with the line that says so."""
    try:
        return reference.now()
    except StaleToolError as error:
        text = str(error)

    def stale(**arguments: Any) -> NoReturn:
        raise ReportedError(text)

    return stale


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
        return Presented(present(self.values, limit).text, self.display)


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
    from letta_kernel.tools.interrupt import run_async  # asyncio, for those who need it

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
