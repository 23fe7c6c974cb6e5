"""Breakpoints of an agent: what a run stops at, as a person writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from letta_kernel.errors import InvalidInputError, nearest

KINDS = ("tool", "memory", "word", "cost", "steps")
MOST = 50
_LONGEST = 500  # characters


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """One breakpoint; the value is a tool's name or a block's label (or a pattern), a word, dollars, steps."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    @property
    def number(self) -> float:
        """The value of ``cost`` and ``steps``."""
        return float(self.value)


def parse(text: str) -> Breakpoint:
    """Return the breakpoint that *text* means: ``tool:NAME``, ``memory:LABEL``, ``word:TEXT``, ``cost:0.05``…

    Raises
    ------
    InvalidInputError
        It means none; the text says how they are written.
    """
    kind, colon, value = text.strip().partition(":")
    kind, value = kind.strip().lower(), value.strip()
    if kind not in KINDS or not colon or not value:
        hint = nearest(kind, KINDS) if kind not in KINDS else ""
        raise InvalidInputError(
            f"{text.strip()[:100]!r} is no breakpoint.{hint} There is: tool:NAME, memory:LABEL, word:TEXT, "
            "cost:0.05, steps:5."
        )
    if len(value) > _LONGEST:
        raise InvalidInputError(f"A breakpoint may have {_LONGEST} characters.")
    if kind == "cost" and not _positive(value):
        raise InvalidInputError(f"cost is a number of US dollars, as cost:0.05, not {value!r}.")
    if kind == "steps" and not (value.isdecimal() and int(value) > 0):
        raise InvalidInputError(f"steps is a number of model calls, as steps:5, not {value!r}.")
    return Breakpoint(kind, value)


def _positive(value: str) -> bool:
    try:
        return math.isfinite(float(value)) and float(value) > 0
    except ValueError:
        return False
