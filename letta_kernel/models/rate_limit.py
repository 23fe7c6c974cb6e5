"""Rate limits per provider, shared by all agents of the process.

What one agent is told (Retry-After, nothing remaining) holds for all others on that provider too. Limits
of one's own are set by ``LETTA_RATE_LIMITS="openai=60,anthropic=30"``, in requests per minute.
"""

from __future__ import annotations

import random
import re
import threading
import time
from typing import Any

from letta_kernel import settings

_random = random.Random()  # the module's own numbers are the user's: they may have seeded them
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
