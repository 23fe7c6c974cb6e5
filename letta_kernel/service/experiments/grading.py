"""What graders have in common: how one is given, which answer it judges, and how texts are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from pydantic import Field

from letta_kernel.errors import InvalidInputError
from letta_kernel.service.experiments.cases import Grade, Outcome, Part

LONGEST = 100_000
"""Characters of a text that a pattern is tried on."""
LONGEST_PATTERN = 2_000
PATIENCE = 1.0
"""Seconds for a pattern: some would take for ever."""
_SHOWN = 200


class Grader(Protocol):
    """Whatever judges an outcome."""

    @property
    def name(self) -> str:
        """What it is called among others."""

    def grade(self, outcome: Outcome) -> Grade:
        """Judge; what goes wrong is a `Grade` that is ``broken``, or any exception."""

    def described(self) -> Any:
        """Return what it is, as JSON: an outcome is judged anew where that has changed."""


class Kind(Part):
    """What graders of a ``kind`` have in common.

    Attributes
    ----------
    label : what it is called; else its kind.
    turn : the message whose answer is judged, counted from 1; the last if not given.
    """

    kind: str
    label: str = ""
    turn: int | None = Field(None, ge=1)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.label or self.kind

    def described(self) -> Any:
        """Return what it is."""
        return self.model_dump(mode="json")

    def grade(self, outcome: Outcome) -> Grade:
        """Judge an outcome."""
        raise NotImplementedError

    def answer(self, outcome: Outcome) -> str:
        """Return the answer that it judges; empty where there is none."""
        if self.turn is None:
            return outcome.answer
        return outcome.answers[self.turn - 1] if self.turn <= len(outcome.answers) else ""

    def expected(self, own: Any, outcome: Outcome) -> Any:
        """Return what should be: its own, else the case's.

        Raises
        ------
        InvalidInputError
            Neither says.
        """
        wanted = outcome.case.expected if own is None else own
        if wanted is None:
            raise InvalidInputError(f"The case {outcome.case.id!r} does not say what is expected.")
        return wanted

    def said(self, good: bool, reason: str) -> Grade:
        """Return a grade of yes or no."""
        return Grade(float(good), good, "" if good else reason[:1000], self.name)


# Texts ----------------------------------------------------------------------------------------------


def matches(pattern: str, text: str, case_matters: bool = False) -> bool:
    """Return whether a pattern is found in the beginning of a text.

    Raises
    ------
    InvalidInputError
        It is no pattern, or takes too long.
    """
    try:
        return compiled(pattern, case_matters).search(text[:LONGEST], timeout=PATIENCE) is not None
    except TimeoutError:
        raise InvalidInputError(
            f"The pattern {pattern!r:.80} takes too long: make it simpler."
        ) from None


@cache
def compiled(pattern: str, case_matters: bool) -> Any:
    """Return a pattern that can be searched for; `InvalidInputError` if it is none, or far too large."""
    import regex

    # A repeat of repeats is written out while it is compiled: that alone can take all memory.
    counts = regex.findall(r"\{(\d*),?(\d*)\}", pattern)
    size = math.prod(max(1, *(int(one[:9] or 0) for one in pair)) for pair in counts)
    if size > 10_000:
        raise InvalidInputError(f"The pattern {pattern!r:.80} repeats too much: make it simpler.")
    try:
        return regex.compile(pattern, 0 if case_matters else regex.IGNORECASE)
    except (regex.error, RecursionError, OverflowError) as error:
        raise InvalidInputError(f"The pattern {pattern!r:.80} cannot be read: {error}.") from None


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a text in their order; ``1,234.5`` is one."""
    import regex

    found = regex.findall(
        r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d{1,300})(?:\.\d{1,300})?(?:[eE][-+]?\d{1,3})?(?!\w)",
        text[:LONGEST],
        timeout=PATIENCE,
    )
    return [float(one.replace(",", "").replace("−", "-")) for one in found]


def found_in(text: str, wanted: Sequence[str], lacks: Sequence[str], how: Any) -> tuple[bool, str]:
    """Return whether *text* has the words it should, and what is wrong if not."""
    there = same_text(text, how.case_matters)
    missing = [one for one in wanted if same_text(one, how.case_matters) not in there]
    hits = len(missing) < len(wanted) if how.any and wanted else not missing
    wrong = [one for one in lacks if same_text(one, how.case_matters) in there]
    told = [] if hits else [f"lacks {', '.join(map(short, missing))}"]
    told += [f"should lack {short(one)}" for one in wrong]
    return not told, "; ".join([*told, f"it is {short(text)}"])


def same_text(text: str, case_matters: bool) -> str:
    """Return a text as it is compared: blanks are alike, and capitals unless they matter."""
    text = " ".join(text.split())
    return text if case_matters else text.casefold()


def texts_of(given: Any) -> list[str]:
    """Return one text, or several, as a list."""
    return [str(one) for one in given] if isinstance(given, list | tuple) else [str(given)]


def short(text: str) -> str:
    """Return the beginning of a text in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
