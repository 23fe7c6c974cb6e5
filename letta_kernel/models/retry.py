"""How long a model call waits and how often it is tried again: from the environment or the call itself."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from tenacity import RetryCallState, stop_before_delay, wait_exponential
from tenacity import Retrying as Tenacious

from letta_kernel.errors import InvalidInputError
from letta_kernel.models.base import Cancel, Piece, Retrying
from letta_kernel.models.errors import ProviderError, cancelled
from letta_kernel.remedies import sentence

_random = random.Random()  # the module's own numbers are the user's: they may have seeded them

# How many times a call is made in all before it is given up, by what went wrong.
_TRIES = {"empty": 2, "unreachable": 3, "timeout": 3, "broken_stream": 4, "other": 2}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds and counts; each can be set by ``LETTA_MODEL_<NAME>`` or ``params["retry"]``."""

    connect: float = 10.0  # to open a connection
    first: float = 300.0  # until the first piece of the answer
    between: float = 120.0  # between two pieces
    total: float = 1800.0  # for the whole call, tries and waits included
    tries: float = 5.0  # how often a call is made before it is given up
    wait: float = 1.0  # before the second try; doubled each time, with a random share
    longest_wait: float = 120.0  # the most a provider may ask to wait

    @classmethod
    def of(cls, given: dict[str, Any] | None = None) -> RetryPolicy:
        """Return the defaults, changed by the environment and then by *given*.

        Raises
        ------
        InvalidInputError
            For a value that is no number above zero, or an unknown name in *given*.
        """
        names = [field.name for field in fields(cls)]
        values: dict[str, float] = {}
        for name in names:
            variable = f"LETTA_MODEL_{name.upper()}"
            if text := os.environ.get(variable):
                values[name] = _seconds(variable, text)
        for name, value in (given or {}).items():
            if name not in names:
                raise InvalidInputError(f"There is no {name!r} in retry: {', '.join(names)}.")
            values[name] = _seconds(f"retry[{name!r}]", value)
        return replace(cls(), **values)


def _seconds(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number < 1e7:
        raise InvalidInputError(f"{name} must be a number above zero, not {value!r}.")
    return number


def retried(
    attempt: Callable[[], Iterator[Piece]],
    policy: RetryPolicy,
    cancel: Cancel,
    *,
    model: str,
    seconds_left: float,
) -> Iterator[Piece]:
    """Yield the pieces of *attempt*; where it fails for a while, wait and make it again.

    Waits are announced by a `Retrying` piece and end at once when *cancel* is thrown.

    Raises
    ------
    ProviderError
        The last one, when trying again would not help or would take longer than *seconds_left*.
    """
    backoff = wait_exponential(multiplier=policy.wait, max=30.0)
    too_late = stop_before_delay(seconds_left)
    state = RetryCallState(Tenacious(), None, (), {})
    while True:
        try:
            yield from attempt()
            return
        except ProviderError as error:
            state.set_exception((type(error), error, error.__traceback__))
            wait = _wait(error, backoff(state) + _random.uniform(0.0, policy.wait))
            state.upcoming_sleep = wait
            most = min(int(policy.tries), _TRIES.get(error.kind, 99))
            if (
                error.lasting
                or wait > policy.longest_wait
                or state.attempt_number >= most
                or too_late(state)
            ):
                raise
            shown = _shown(error, wait)
        yield Retrying(shown, wait, state.attempt_number)
        if cancel.wait(wait):
            raise cancelled(model)
        state.prepare_for_next_attempt()


def _wait(error: ProviderError, backoff: float) -> float:
    if error.retry_after is not None:
        return error.retry_after
    return 0.0 if error.kind == "empty" else backoff


def _shown(error: ProviderError, seconds: float) -> str:
    again = "Trying again" if seconds < 0.5 else f"Trying again in {seconds:.0f} s"
    return f"{sentence(error.text)} {again}."
