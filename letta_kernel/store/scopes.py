"""Which rows of one owner a reader sees, where that is not all: what a fork or a rewind left in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HISTORY = "history"
"""The source of messages of an agent's own thread, as indexes keep it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows numbered *first* to *last*, both included; None for *last*: all that follow.

    *source* is the thread of messages (`HISTORY`, or a conversation's id); None takes rows of every source.
    """

    first: int
    last: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows in one of *stretches*, *without* those of some ids.

    Attributes
    ----------
    others
        Also all rows whose source no stretch names.
    only
        Nothing but rows of these ids; None: no such limit.
    """

    stretches: tuple[Stretch, ...] = ()
    others: bool = False
    without: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def rows(self, source: str = "source") -> str:
        """Return the condition on a row's number and *source*, the name of a column or an expression."""
        parts = [_condition(one, source) for one in self.stretches]
        if self.others:
            named = sorted({one.source for one in self.stretches if one.source is not None})
            parts.append(f"{source} NOT IN ({listed(named)})" if named else "true")
        return f"({' OR '.join(parts)})" if parts else "false"


def _condition(stretch: Stretch, source: str) -> str:
    parts = [f"seq >= {int(stretch.first)}"]
    if stretch.last is not None:
        parts.append(f"seq <= {int(stretch.last)}")
    if stretch.source is not None:
        parts.append(f"{source} = {quoted(stretch.source)}")
    return f"({' AND '.join(parts)})"


def quoted(text: str) -> str:
    """Return *text* as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Sequence[str]) -> str:
    """Return *texts* as a list of literals."""
    return ", ".join(quoted(text) for text in texts)
