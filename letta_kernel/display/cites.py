"""What the answers of a transcript may cite, and what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.display.clean import clean_text, one_line
from letta_kernel.display.markdown import cited


class Cites:
    """What an answer may cite, by its number."""

    def __init__(self) -> None:
        self._cites: dict[int, dict[str, Any]] = {}

    def add(self, found: Sequence[dict[str, Any]]) -> None:
        """Take what may be cited from now on; what has no number is passed over."""
        for one in found:
            if isinstance(n := one.get("n"), int):
                at = one.get("at") or one.get("timestamp") or ""
                self._cites[n] = {
                    "n": n,
                    "text": clean_text(one.get("text") or one.get("content") or "", 300),
                    "at": one_line(at, 40),
                    "origin": one_line(one.get("origin") or "", 300),
                }

    def of(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what the answers among *items* cite, in the order of its numbers."""
        said = (item["text"] for item in items if item["kind"] == "answer")
        numbers: set[int] = set().union(*(cited(text, self._cites) for text in said))
        return [self._cites[n] for n in sorted(numbers)]
