"""Graders: each judges what came of one case. `read` makes one from a dictionary with a ``kind``.

A grader of another package is no different from ours: a Python function that is given an
`letta_kernel.service.experiments.cases.Outcome` and returns True or False, a score from 0 to 1, a
`letta_kernel.service.experiments.cases.Grade`, or a score and a reason.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from pydantic import Field, field_validator

from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.service.experiments.cases import Grade, Outcome, flat, one_of, source
from letta_kernel.service.experiments.grading import (
    LONGEST_PATTERN,
    Kind,
    compiled,
    found_in,
    matches,
    numbers_in,
    same_text,
    short,
    texts_of,
)
from letta_kernel.service.experiments.state_graders import (
    BlockState,
    PassageState,
    ToolState,
    Unchanged,
)


class Exact(Kind):
    """The answer is the expected one, but for blanks around it and, unless told otherwise, its case."""

    kind: Literal["exact"]
    expected_: Any = Field(None, alias="expected")
    case_matters: bool = False

    def grade(self, outcome: Outcome) -> Grade:
        """Compare."""
        wanted, answer = str(self.expected(self.expected_, outcome)), self.answer(outcome)
        good = same_text(answer, self.case_matters) == same_text(wanted, self.case_matters)
        return self.said(good, f"expected {short(wanted)}, came {short(answer)}")


class Contains(Kind):
    """The answer has words in it: all of several, or with ``any`` one of them; with ``lacks`` none of those."""

    kind: Literal["contains"]
    text: str | list[str] | None = None
    lacks: str | list[str] = []
    any: bool = False
    case_matters: bool = False

    def grade(self, outcome: Outcome) -> Grade:
        """Look for the words."""
        if self.text is None and self.lacks:
            wanted: list[str] = []
        else:
            wanted = texts_of(self.expected(self.text, outcome))
        return self.said(*found_in(self.answer(outcome), wanted, texts_of(self.lacks), self))


class Regex(Kind):
    """A pattern is found in the answer: within a second, in the first 100,000 characters."""

    kind: Literal["regex"]
    pattern: str = Field(min_length=1, max_length=LONGEST_PATTERN)
    case_matters: bool = False

    @field_validator("pattern")
    @classmethod
    def _is_one(cls, given: str) -> str:
        compiled(given, False)
        return given

    def grade(self, outcome: Outcome) -> Grade:
        """Look for the pattern."""
        answer = self.answer(outcome)
        good = matches(self.pattern, answer, self.case_matters)
        return self.said(good, f"{self.pattern!r} is not in {short(answer)}")


class Number(Kind):
    """The answer's last number (or ``first``, or ``any``) is the expected one, within a tolerance.

    Attributes
    ----------
    tolerance : how far it may be off, in the number's own unit.
    relative : the same, as a share of the expected one.
    """

    kind: Literal["number"]
    value: float | None = None
    tolerance: float = Field(1e-9, ge=0, allow_inf_nan=False)
    relative: float = Field(0.0, ge=0, allow_inf_nan=False)
    which: Literal["last", "first", "any"] = "last"

    def grade(self, outcome: Outcome) -> Grade:
        """Compare the numbers."""
        given = self.expected(self.value, outcome)
        try:
            wanted = float(given)
        except (TypeError, ValueError):
            raise InvalidInputError(f"{given!r:.60} is expected, which is no number.") from None
        answer = self.answer(outcome)
        found = numbers_in(answer)
        if self.which != "any":
            found = found[-1:] if self.which == "last" else found[:1]
        most = max(self.tolerance, self.relative * abs(wanted))
        good = any(abs(one - wanted) <= most for one in found)
        return self.said(good, f"expected {wanted:g}, found {found[:5] or 'no number'}")


class Json(Kind):
    """The answer is JSON whose fields have certain values; the score is the share that have.

    Attributes
    ----------
    fields : values by dotted paths, such as ``{"person.name": "Kim"}``; the case's expected ones if not given.
    only : no other fields may be there at the top.
    """

    kind: Literal["json"]
    fields: dict[str, Any] | None = None
    only: bool = False

    def grade(self, outcome: Outcome) -> Grade:
        """Read the answer and compare its fields."""
        from letta_kernel.tools.arguments import ToolArgumentError, read_value

        wanted = self.expected(self.fields, outcome)
        if isinstance(wanted, str):  # of a table
            with suppress(ToolArgumentError):
                wanted = read_value(wanted, "what is expected is")
        if not isinstance(wanted, dict) or not wanted:
            raise InvalidInputError("JSON is compared by its fields: name some, with their values.")
        try:
            given = read_value(self.answer(outcome), "the answer is")
        except ToolArgumentError as error:
            return self.said(False, str(error))
        if not isinstance(given, dict):
            return self.said(False, "the answer is no JSON object")
        wrong = []
        for path, value in wanted.items():
            try:
                if flat(given, path) != value:
                    wrong.append(f"{path} is {flat(given, path)!r:.60}")
            except KeyError:
                wrong.append(f"{path} is missing")
        if self.only and (more := given.keys() - {path.partition(".")[0] for path in wanted}):
            wrong.append(f"{', '.join(sorted(more))} should not be there")
        score = max(0.0, 1 - len(wrong) / len(wanted))
        return Grade(score, not wrong, "; ".join(wrong)[:1000], self.name)


class Found(Kind):
    """A search found the turns that hold the answer among its first *k*: ``any`` of them, or ``all``."""

    kind: Literal["found"]
    k: int = Field(10, ge=1)
    which: Literal["any", "all"] = "any"

    @property
    def name(self) -> str:
        """What it is called, as such figures are."""
        return self.label or f"{self.which}@{self.k}"

    def grade(self, outcome: Outcome) -> Grade:
        """Look for the case's evidence."""
        if not outcome.case.evidence:
            raise InvalidInputError(f"The case {outcome.case.id!r} names no evidence.")
        first = set(outcome.found[: self.k])
        missed = [one for one in outcome.case.evidence if one not in first]
        good = len(missed) < len(outcome.case.evidence) if self.which == "any" else not missed
        return self.said(good, f"not found: {', '.join(missed)}")


class Function:
    """A Python function as a grader; *file* is the text of the file it is from, with what it uses there."""

    def __init__(
        self, function: Callable[[Outcome], Any], name: str = "", *, file: str = ""
    ) -> None:
        self._file = file
        self._function = function
        self.name = name or getattr(function, "__name__", "function")

    def described(self) -> Any:
        """Return its source."""
        text = self._file or source(self._function)
        return {"kind": "python", "name": self.name, "source": text}

    def grade(self, outcome: Outcome) -> Grade:
        """Call it and read what it says."""
        return as_grade(self._function(outcome), self.name)


def as_grade(said: Any, name: str) -> Grade:
    """Return what a function says as a grade: True or False, a score, a score and a reason, or a `Grade`.

    A score of at least a half has passed.

    Raises
    ------
    InvalidInputError
        It is none of these.
    """
    if isinstance(said, Grade) and as_grade(said.score, name):
        return Grade(
            float(said.score), bool(said.passed), str(said.reason), said.name or name, said.broken
        )
    reason = ""
    if isinstance(said, tuple) and len(said) == 2:
        said, reason = said[0], str(said[1])
    if type(said).__name__ in ("bool", "bool_"):  # numpy's too
        return Grade(float(said), bool(said), reason, name)
    if isinstance(said, numbers.Real) and 0 <= float(said) <= 1:
        return Grade(float(said), float(said) >= 0.5, reason, name)
    raise InvalidInputError(
        f"{name} returned {said!r:.60}: a grader returns True, False, or a score from 0 to 1."
    )


KINDS: dict[str, type[Kind]] = {
    "exact": Exact,
    "contains": Contains,
    "regex": Regex,
    "number": Number,
    "json": Json,
    "block": BlockState,
    "tool": ToolState,
    "unchanged": Unchanged,
    "passage": PassageState,
    "found": Found,
}
"""Graders that need neither a model nor code; `judge.Judge` is of kind ``model``."""


def read(given: Any, what: str) -> Kind:
    """Return the grader that a dictionary stands for; *what* it belongs to begins the line of an error.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    kind = given.get("kind") if isinstance(given, dict) else None
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        names = [*KINDS, "model", "python"]
        hint = nearest(str(kind), names) if kind else ""
        raise InvalidInputError(f"{what}: a grader has a kind, one of {', '.join(names)}.{hint}")
    made: Kind = one_of(known, given, f"{what}, grader {kind}")
    return made
