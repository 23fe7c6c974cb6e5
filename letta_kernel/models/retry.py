"""How long a model call waits and how often it is tried again: from the environment or the call itself.

Rate limits are shared by all agents of the process: what one is told (Retry-After, nothing remaining) holds for
all others on that provider too. Limits of one's own are set by ``LETTA_RATE_LIMITS="openai=60,anthropic=30"``,
in requests per minute.
"""

from __future__ import annotations

import random
import re
import threading
import time
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


_SPREAD = 0.1  # seconds over which those who waited together come back
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class RateLimit:
    """One provider's limit: a token bucket, and a moment before which no request is sent."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self._lock = threading.Lock()
        self._closed_until = 0.0
        self._tokens = 0.0
        self._filled_at: float | None = None

    def ask(self) -> float:
        """Return 0 and take a turn, or the seconds after which to ask again."""
        per_minute = settings.RATE_LIMITS().get(self.provider)
        with self._lock:
            now = time.monotonic()
            if now < self._closed_until:
                return self._closed_until - now + _random.uniform(0.0, _SPREAD)
            if per_minute is None:
                return 0.0
            if self._filled_at is None:
                self._tokens = max(1.0, per_minute / 10)  # a burst of six seconds' worth
            else:
                gained = (now - self._filled_at) * per_minute / 60
                self._tokens = min(max(1.0, per_minute / 10), self._tokens + gained)
            self._filled_at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) * 60 / per_minute

    def close_for(self, seconds: float) -> None:
        """Let nobody through for that long."""
        with self._lock:
            self._closed_until = max(self._closed_until, time.monotonic() + seconds)

    def heed(self, headers: Any) -> None:
        """Send no more for a while if the answer's headers say that nothing is left."""
        if headers.get("x-ratelimit-remaining-requests", "").strip() == "0":
            seconds = duration(headers.get("x-ratelimit-reset-requests", ""))
            if seconds is not None and seconds <= 120:
                self.close_for(seconds)


_limits: dict[str, RateLimit] = {}
_limits_lock = threading.Lock()


def rate_limit_of(provider: str) -> RateLimit:
    """Return the one limit of *provider*."""
    with _limits_lock:
        return _limits.setdefault(provider, RateLimit(provider))


def duration(text: str) -> float | None:
    """Return the seconds of a text such as ``1m30.5s``, ``20ms`` or ``6``; None if it is none."""
    text = text.strip()
    try:
        return float(text)
    except ValueError:
        pass
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
