"""Graders: each judges what came of one case. `read` makes one from a dictionary with a ``kind``.

A grader of another package is no different from ours: a Python function that is given an
`letta_kernel.service.experiments.cases.Outcome` and returns True or False, a score from 0 to 1, a
`letta_kernel.service.experiments.cases.Grade`, or a score and a reason.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, Protocol

from pydantic import Field, field_validator, model_validator

from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.service.experiments.cases import Grade, Outcome, Part, flat, one_of, source

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


class Exact(Kind):
    """The answer is the expected one, but for blanks around it and, unless told otherwise, its case."""

    kind: Literal["exact"]
    expected_: Any = Field(None, alias="expected")
    case_matters: bool = False

    def grade(self, outcome: Outcome) -> Grade:
        """Compare."""
        wanted, answer = str(self.expected(self.expected_, outcome)), self.answer(outcome)
        good = _same(answer, self.case_matters) == _same(wanted, self.case_matters)
        return self.said(good, f"expected {_short(wanted)}, came {_short(answer)}")


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
            wanted = _texts(self.expected(self.text, outcome))
        return self.said(*_found_in(self.answer(outcome), wanted, _texts(self.lacks), self))


class Regex(Kind):
    """A pattern is found in the answer: within a second, in the first 100,000 characters."""

    kind: Literal["regex"]
    pattern: str = Field(min_length=1, max_length=LONGEST_PATTERN)
    case_matters: bool = False

    @field_validator("pattern")
    @classmethod
    def _is_one(cls, given: str) -> str:
        _compiled(given, False)
        return given

    def grade(self, outcome: Outcome) -> Grade:
        """Look for the pattern."""
        answer = self.answer(outcome)
        good = matches(self.pattern, answer, self.case_matters)
        return self.said(good, f"{self.pattern!r} is not in {_short(answer)}")


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


class BlockState(Kind):
    """A memory block has words in it at the end (``contains``), or is, or has a pattern, or lacks words."""

    kind: Literal["block"]
    block: str = Field(min_length=1)
    contains: str | list[str] | None = None
    equals: str | None = None
    lacks: str | list[str] = []
    pattern: str | None = Field(None, max_length=LONGEST_PATTERN)
    any: bool = False
    case_matters: bool = False

    @model_validator(mode="after")
    def _asks_something(self) -> BlockState:
        if self.pattern is not None:
            _compiled(self.pattern, False)
        return self

    def grade(self, outcome: Outcome) -> Grade:
        """Look into the block."""
        if self.block not in outcome.after:
            return self.said(False, f"there is no block {self.block}")
        text = outcome.after[self.block]
        if self.equals is not None:
            same = _same(text, self.case_matters) == _same(self.equals, self.case_matters)
            return self.said(same, f"{self.block} is {_short(text)}")
        if self.pattern is not None:
            good = matches(self.pattern, text, self.case_matters)
            return self.said(good, f"{self.pattern!r} is not in {self.block}: {_short(text)}")
        own = self.contains
        wanted = [] if own is None and self.lacks else _texts(self.expected(own, outcome))
        good, why = _found_in(text, wanted, _texts(self.lacks), self)
        return self.said(good, f"{self.block}: {why}")


class ToolState(Kind):
    """A tool was called: so often, with such arguments, well. ``times = 0`` says that it was not.

    Attributes
    ----------
    tool : its name.
    arguments : values that a call's arguments have; others may be there. A text is found inside the argument.
    times : how often; at least once if not given.
    """

    kind: Literal["tool"]
    tool: str = Field(min_length=1)
    arguments: dict[str, Any] = {}
    times: int | None = Field(None, ge=0)
    ok: bool = True

    def grade(self, outcome: Outcome) -> Grade:
        """Count the calls that are meant."""
        every = outcome.called(self.tool)
        if self.turn is not None:
            every = [one for one in every if one.turn == self.turn - 1]
        meant = [one for one in every if self._is_meant(one.arguments, one.status)]
        good = bool(meant) if self.times is None else len(meant) == self.times
        other = sorted({one.name for one in outcome.calls})
        came = f"{len(every)} calls, {len(meant)} of them as asked" if every else "not called"
        return self.said(good, f"{self.tool}: {came}; called: {', '.join(other) or 'nothing'}")

    def _is_meant(self, arguments: dict[str, Any] | None, status: str) -> bool:
        if (self.ok and status != "ok") or (self.arguments and arguments is None):
            return False
        given = arguments or {}
        return all(
            name in given and _fits(given[name], one) for name, one in self.arguments.items()
        )


class Unchanged(Kind):
    """No memory was changed: neither blocks (or one, ``block``) nor passages."""

    kind: Literal["unchanged"]
    block: str | None = None

    def grade(self, outcome: Outcome) -> Grade:
        """Compare memory before and after."""
        labels = [self.block] if self.block else [*outcome.before, *outcome.after]
        changed = [one for one in labels if outcome.before.get(one) != outcome.after.get(one)]
        told = [f"the block {one} was changed" for one in dict.fromkeys(changed)]
        if self.block is None and outcome.kept:
            told.append(f"{len(outcome.kept)} passages were kept")
        if self.block is None and outcome.gone:
            told.append(f"{outcome.gone} passages are gone")
        return self.said(not told, "; ".join(told))


class PassageState(Kind):
    """A passage with such words was kept in the archive; with ``lacks`` none with those."""

    kind: Literal["passage"]
    contains: str | list[str] | None = None
    lacks: str | list[str] = []
    any: bool = False
    case_matters: bool = False

    def grade(self, outcome: Outcome) -> Grade:
        """Look through what was kept."""
        own = self.contains
        wanted = [] if own is None and self.lacks else _texts(self.expected(own, outcome))
        lacks = _texts(self.lacks)
        if not wanted:
            good, why = _found_in("\n".join(outcome.kept), [], lacks, self)
            return self.said(good, why)
        good = any(_found_in(one, wanted, lacks, self)[0] for one in outcome.kept)
        said = "; ".join(_short(one) for one in outcome.kept[:3]) or "nothing"
        return self.said(good, f"no passage with {', '.join(map(_short, wanted))}; kept: {said}")


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
    """A Python function as a grader."""

    def __init__(self, function: Callable[[Outcome], Any], name: str = "") -> None:
        self._function = function
        self.name = name or getattr(function, "__name__", "function")

    def described(self) -> Any:
        """Return its source."""
        return {"kind": "python", "name": self.name, "source": source(self._function)}

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
    if isinstance(said, Grade):
        return Grade(said.score, said.passed, said.reason, said.name or name, said.broken)
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


# Texts ----------------------------------------------------------------------------------------------


def matches(pattern: str, text: str, case_matters: bool = False) -> bool:
    """Return whether a pattern is found in the beginning of a text.

    Raises
    ------
    InvalidInputError
        It is no pattern, or takes too long.
    """
    try:
        return _compiled(pattern, case_matters).search(text[:LONGEST], timeout=PATIENCE) is not None
    except TimeoutError:
        raise InvalidInputError(
            f"The pattern {pattern!r:.80} takes too long: make it simpler."
        ) from None


@cache
def _compiled(pattern: str, case_matters: bool) -> Any:
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


def _found_in(text: str, wanted: Sequence[str], lacks: Sequence[str], how: Any) -> tuple[bool, str]:
    """Return whether *text* has the words it should, and what is wrong if not."""
    there = _same(text, how.case_matters)
    missing = [one for one in wanted if _same(one, how.case_matters) not in there]
    hits = len(missing) < len(wanted) if how.any and wanted else not missing
    wrong = [one for one in lacks if _same(one, how.case_matters) in there]
    told = [] if hits else [f"lacks {', '.join(map(_short, missing))}"]
    told += [f"should lack {_short(one)}" for one in wrong]
    return not told, "; ".join([*told, f"it is {_short(text)}"])


def _same(text: str, case_matters: bool) -> str:
    text = " ".join(text.split())
    return text if case_matters else text.casefold()


def _texts(given: Any) -> list[str]:
    return [str(one) for one in given] if isinstance(given, list | tuple) else [str(given)]


def _fits(given: Any, wanted: Any) -> bool:
    if isinstance(given, str) and isinstance(wanted, str):
        return _same(wanted, False) in _same(given, False)
    return bool(given == wanted)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
