"""How large a request may be, how long it may take, and how many there may be; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SHORT = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """What may go on at a time with one token: requests, those among them that follow a run, sockets, runs."""

    requests: int = 64
    streams: int = 32
    sockets: int = 32
    runs: int = 32


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds on requests: bytes of a body, bytes of an uploading form, requests at the same time.

    A body may take ``grace`` seconds, and a second more for every ``pace`` bytes that have come. What may go on
    with one token is in ``token``; what the owner does is bounded by ``requests`` alone.
    """

    body: int = 16 * 1024 * 1024
    upload: int = 64 * 1024 * 1024
    requests: int = 1000
    grace: float = 30.0
    pace: int = 16 * 1024
    token: TokenLimits = TokenLimits()

    def most(self, headers: Mapping[str, str]) -> int:
        """Return how many bytes a request with these headers may have."""
        form = headers.get("content-type", "").lower().startswith("multipart/")
        return self.upload if form else self.body

    def fits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request says that it has so many bytes, or nothing."""
        length = headers.get("content-length", "0")
        return length.isascii() and length.isdigit() and int(length[:18]) <= self.most(headers)

    def seconds(self, headers: Mapping[str, str]) -> float:
        """Return how long the body of a request with these headers may take."""
        most = self.most(headers)
        return (
            self.grace + min(most, int(headers.get("content-length", str(most))[:18])) / self.pace
        )


def is_short(headers: Mapping[str, str]) -> bool:
    """Whether a body is so short that it is read although the request is refused.

    A connection that is closed on what it still says may lose the answer.
    """
    length = headers.get("content-length", "0")
    return (
        "transfer-encoding" not in headers
        and length.isascii()
        and length.isdigit()
        and int(length[:18]) <= _SHORT
    )
