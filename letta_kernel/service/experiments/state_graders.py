"""Graders of state: what memory holds when a case is over, and which tools were called."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from letta_kernel.service.experiments.cases import Grade, Outcome
from letta_kernel.service.experiments.grading import (
    LONGEST_PATTERN,
    Kind,
    compiled,
    found_in,
    matches,
    same_text,
    short,
    texts_of,
)


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
            compiled(self.pattern, False)
        return self

    def grade(self, outcome: Outcome) -> Grade:
        """Look into the block."""
        if self.block not in outcome.after:
            return self.said(False, f"there is no block {self.block}")
        text = outcome.after[self.block]
        if self.equals is not None:
            same = same_text(text, self.case_matters) == same_text(self.equals, self.case_matters)
            return self.said(same, f"{self.block} is {short(text)}")
        if self.pattern is not None:
            good = matches(self.pattern, text, self.case_matters)
            return self.said(good, f"{self.pattern!r} is not in {self.block}: {short(text)}")
        own = self.contains
        wanted = [] if own is None and self.lacks else texts_of(self.expected(own, outcome))
        good, why = found_in(text, wanted, texts_of(self.lacks), self)
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
        wanted = [] if own is None and self.lacks else texts_of(self.expected(own, outcome))
        lacks = texts_of(self.lacks)
        if not wanted:
            good, why = found_in("\n".join(outcome.kept), [], lacks, self)
            return self.said(good, why)
        good = any(found_in(one, wanted, lacks, self)[0] for one in outcome.kept)
        said = "; ".join(short(one) for one in outcome.kept[:3]) or "nothing"
        return self.said(good, f"no passage with {', '.join(map(short, wanted))}; kept: {said}")


def _fits(given: Any, wanted: Any) -> bool:
    if isinstance(given, str) and isinstance(wanted, str):
        return same_text(wanted, False) in same_text(given, False)
    return bool(given == wanted)
