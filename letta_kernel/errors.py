"""Errors a person may see: one line each, saying what is wrong and how to mend it."""

from __future__ import annotations


class LettaError(Exception):
    """Base of every error this package raises on purpose; its text is one helpful line."""


class NotFoundError(LettaError):
    """Something was named that does not exist; the text names what is near it."""


class InvalidInputError(LettaError):
    """A value was refused; nothing was changed."""


class ConflictError(LettaError):
    """Someone else changed the same thing meanwhile; nothing of theirs was overwritten."""


class AgentBusyError(LettaError):
    """The agent is in the middle of a run elsewhere."""


class StoreError(LettaError):
    """The project folder could not be opened, locked, read or written."""


class ToolError(LettaError):
    """A tool could not be made, found or called."""


def nearest(word: str, known: list[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known word closest to *word*, or an empty string."""
    from difflib import get_close_matches  # only needed once something went wrong

    found = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {found[0]!r}?" if found else ""
