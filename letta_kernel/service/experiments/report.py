"""What came out of an experiment: figures for each variant, and whether two differ by more than chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import median
from typing import Any

from letta_kernel.service.experiments import statistics
from letta_kernel.service.experiments.plan import Plan
from letta_kernel.service.experiments.results import Result

MOST_TESTED = 20
"""Variants up to which every pair is tested."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How one variant did.

    Attributes
    ----------
    cases, runs : how many cases, and how many runs of them in all.
    rate : the share of runs that passed, each case counting the same; *low* to *high* is its interval.
    score : the mean score, from 0 to 1.
    failed : runs that came to no end, which have not passed; ``broken`` those that a grader could not judge.
    cost : US dollars, None where none is known; ``seconds`` of a run at the median.
    graders : the mean score of each grader; ``categories`` the share that passed of each kind of case.
    """

    name: str
    model: str
    cases: int
    runs: int
    rate: float
    low: float
    high: float
    score: float
    failed: int
    broken: int
    steps: float | None
    tokens: int
    cost: float | None
    seconds: float | None
    graders: Mapping[str, float]
    categories: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants on the cases that both have done.

    Attributes
    ----------
    difference : the share that *second* passes more than *first*; *low* to *high* is its interval.
    p, corrected : of the paired permutation test; corrected for all pairs by Holm's method.
    differ : on how many cases they differ at all.
    """

    first: str
    second: str
    cases: int
    differ: int
    difference: float
    low: float
    high: float
    p: float
    corrected: float

    @property
    def noise(self) -> bool:
        """Whether chance alone would often make such a difference."""
        return self.corrected > 1 - statistics.LEVEL

    @property
    def verdict(self) -> str:
        """What it means, in a sentence."""
        points = abs(100 * self.difference)
        if not self.differ:
            return f"{self.first} and {self.second} pass the same cases."
        better, worse = (
            (self.second, self.first) if self.difference > 0 else (self.first, self.second)
        )
        said = f"{better} passes {points:.1f} points more than {worse}"
        if not self.noise:
            return f"{said}: more than noise ({shown(self.corrected)})."
        if self.differ < statistics.needed():
            few = "1 case differs" if self.differ == 1 else f"{self.differ} cases differ"
            return f"{said}, but only {few}: too few to tell it from noise."
        return f"{said}: that may be noise ({shown(self.corrected)})."


@dataclass(slots=True)
class Report:
    """The outcome of an experiment.

    Attributes
    ----------
    variants, pairs : figures, and tests of each pair of variants.
    results : every result, in the order of the plan.
    planned : how many there should be.
    threshold : the share that each variant has to pass; None: there is none.
    notes : what there is to know beside the figures.
    """

    name: str
    about: str
    mode: str
    variants: list[Figures]
    pairs: list[Pair]
    results: list[Result]
    planned: int
    threshold: float | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan, known: Mapping[str, Result], notes: Sequence[str] = ()) -> Report:
        """Return the report on what is known of a plan."""
        trials = plan.trials()
        results = [known[one.key] for one in trials if one.key in known]
        by_variant = {
            one.name: [result for result in results if result.variant == one.name]
            for one in plan.variants
        }
        figures = [_figures(name, found) for name, found in by_variant.items() if found]
        report = cls(
            plan.name,
            plan.about,
            plan.mode,
            figures,
            _pairs({one.name: by_variant[one.name] for one in figures}),
            results,
            len(trials),
            plan.threshold,
            list(notes),
        )
        if figures and min(one.cases for one in figures) < statistics.FEW:
            report.notes.append(
                f"With fewer than {statistics.FEW} cases intervals are narrower than they should be."
            )
        return report

    @property
    def unfinished(self) -> int:
        """How many runs have no result yet."""
        return self.planned - len(self.results)

    @property
    def passed(self) -> bool:
        """Whether all is done and every variant has reached the threshold."""
        if self.unfinished:
            return False
        return self.threshold is None or all(
            one.rate >= self.threshold - 1e-9 for one in self.variants
        )

    @property
    def verdict(self) -> str:
        """How it ended, in a sentence."""
        if self.unfinished:
            left = "1 run has" if self.unfinished == 1 else f"{self.unfinished:,} runs have"
            return f"Not finished: {left} no result yet."
        if self.threshold is None:
            many = len(self.results)
            return f"{many:,} {'run is' if many == 1 else 'runs are'} done."
        below = [one.name for one in self.variants if one.rate < self.threshold - 1e-9]
        said = f"the threshold of {self.threshold:.0%}"
        return f"Below {said}: {', '.join(below)}." if below else f"Passed: {said} is reached."

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each result, in plain values."""
        return [one.row() for one in self.results]

    def frame(self) -> Any:
        """Return the rows as a DataFrame of pandas.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(self.rows())


def shown(p: float) -> str:
    """Return a p-value as people read it: ``p = 0.018``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def by_case(results: Sequence[Result]) -> dict[str, float]:
    """Return for each case the share of its repeats that passed."""
    found: dict[str, list[bool]] = defaultdict(list)
    for one in results:
        found[one.case].append(one.passed)
    return {case: sum(passed) / len(passed) for case, passed in found.items()}


def _figures(name: str, results: Sequence[Result]) -> Figures:
    shares = by_case(results)
    values = list(shares.values())
    low, high = statistics.interval(values)
    figures = [one.outcome.figures for one in results]
    costs = [
        (one.get("cost") or 0.0) + (one.get("grading_cost") or 0.0)
        for one in figures
        if one.get("cost") is not None or one.get("grading_cost") is not None
    ]
    seconds = [one["seconds"] for one in figures if one.get("seconds") is not None]
    steps = [one["steps"] for one in figures if one.get("steps") is not None]
    return Figures(
        name=name,
        model=", ".join(dict.fromkeys(one.model for one in results if one.model)),
        cases=len(shares),
        runs=len(results),
        rate=sum(values) / len(values),
        low=low,
        high=high,
        score=sum(one.score for one in results) / len(results),
        failed=sum(bool(one.outcome.error) for one in results),
        broken=sum(any(grade.broken for grade in one.grades) for one in results),
        steps=sum(steps) / len(steps) if steps else None,
        tokens=sum(
            (one.get("prompt_tokens") or 0) + (one.get("completion_tokens") or 0) for one in figures
        ),
        cost=sum(costs) if costs else None,
        seconds=median(seconds) if seconds else None,
        graders=_mean((grade.name, grade.score) for one in results for grade in one.grades),
        categories=_mean((one.category, float(one.passed)) for one in results if one.category),
    )


def _mean(pairs: Any) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for name, value in pairs:
        found[name].append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def _pairs(by_variant: Mapping[str, Sequence[Result]]) -> list[Pair]:
    """Return the tests of all pairs; of very many variants of each with the first."""
    names = list(by_variant)
    wanted = list(combinations(names, 2))
    if len(names) > MOST_TESTED:
        wanted = [(names[0], other) for other in names[1:]]
    shares = {name: by_case(results) for name, results in by_variant.items()}
    made = []
    for first, second in wanted:
        both = [case for case in shares[first] if case in shares[second]]
        if not both:
            continue
        differences = [shares[second][case] - shares[first][case] for case in both]
        low, high = statistics.interval(differences, bounds=(-1.0, 1.0))
        made.append(
            Pair(
                first,
                second,
                len(both),
                sum(bool(one) for one in differences),
                sum(differences) / len(differences),
                low,
                high,
                statistics.paired(differences),
                1.0,
            )
        )
    corrected = statistics.holm([one.p for one in made])
    return [replace(one, corrected=p) for one, p in zip(made, corrected, strict=True)]
