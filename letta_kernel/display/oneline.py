"""Errors and interrupts in a cell, shown as one line instead of a traceback."""

from __future__ import annotations

from letta_kernel.display.clean import one_line
from letta_kernel.errors import LettaError

_RED, _DIM, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class RunInterrupted(KeyboardInterrupt):
    """The stop button ended a run; raised again so that *Run All* stops, shown as one line."""

    def __init__(self, message: str = "Stopped. What was said so far is kept.") -> None:
        super().__init__(message)

    def _render_traceback_(self) -> list[str]:
        return [f"{_DIM}{one_line(self.args[0], 300)}{_PLAIN}"]


def error_line(error: BaseException) -> str:
    """Return ``what went wrong`` as one line of text, for any exception."""
    text = one_line(error, 1_000)
    if isinstance(error, LettaError):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def show_errors_as_one_line() -> None:
    """Make IPython show every `LettaError` as one line; may be called more than once."""

    def _render_traceback_(self: LettaError) -> list[str]:
        return [f"{_RED}{error_line(self)}{_PLAIN}"]

    # IPython asks an exception how it wants to be shown; the errors themselves know no IPython.
    LettaError._render_traceback_ = _render_traceback_  # type: ignore[attr-defined]
