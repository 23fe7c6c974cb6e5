"""Questions to the person, and texts from arguments or a pipe."""

from __future__ import annotations

import sys

from letta_kernel.errors import InvalidInputError


def confirmed(question: str, yes: bool) -> bool:
    """Ask yes or no on the terminal; *yes* answers for the person.

    Raises
    ------
    InvalidInputError
        There is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question} Nobody is here to ask: add --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def read_text(given: str) -> str:
    """Return *given*, or what comes in by the pipe where it is ``-``."""
    if given != "-":
        return given
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"What came in by the pipe is not UTF-8 text ({error.reason})."
        ) from None
