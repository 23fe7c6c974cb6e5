"""How long a model call waits and how often it is tried again: from the environment or the call itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from tenacity import RetryCallState, stop_before_delay, wait_exponential
from tenacity import Retrying as Tenacious

from letta_kernel import settings
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

    connect: float = settings.MODEL_CONNECT.default
    first: float = settings.MODEL_FIRST.default
    between: float = settings.MODEL_BETWEEN.default
    total: float = settings.MODEL_TOTAL.default
    tries: float = settings.MODEL_TRIES.default
    wait: float = settings.MODEL_WAIT.default
    longest_wait: float = settings.MODEL_LONGEST_WAIT.default

    @classmethod
    def of(cls, given: dict[str, Any] | None = None) -> RetryPolicy:
        """Return the defaults, changed by the environment and then by *given*.

        Raises
        ------
        InvalidInputError
            For a value that is no number above zero, or an unknown name in *given*.
        """
        names = [field.name for field in fields(cls)]
        values = {name: getattr(settings, f"MODEL_{name.upper()}")() for name in names}
        for name, value in (given or {}).items():
            if name not in names:
                raise InvalidInputError(f"There is no {name!r} in retry: {', '.join(names)}.")
            try:
                values[name] = settings.positive(value)
            except ValueError as problem:
                raise InvalidInputError(
                    f"retry[{name!r}] must be {problem}, not {value!r}."
                ) from None
        return cls(**values)


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
