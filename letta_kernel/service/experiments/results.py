"""What an experiment keeps, in a folder of its own: each result at once, and each answer of a model.

A line of ``results.jsonl`` is on the disk before it counts. So a rerun goes on after any end; a line that was
cut short is none. Only the owner may read the folder, and keys are left out of what is written.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from letta_kernel import private
from letta_kernel.agent.settings import shown
from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.models.base import ModelError
from letta_kernel.models.cached import Answers, whole
from letta_kernel.models.masking import scrub
from letta_kernel.service.experiments.cases import Call, Grade, Outcome
from letta_kernel.service.experiments.plan import Plan, Trial

_VERSION = 1
_MARK = "experiment.json"
_RESULTS = "results.jsonl"
_CALLS = "calls"
_WORK = "work"
_NO_RESULT = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
_LONGEST = 200_000  # characters of an answer or a passage that are kept


@dataclass(slots=True)
class Result:
    """What came of one trial, and how it was graded.

    Attributes
    ----------
    key : the trial's; ``grading`` tells how it was graded from other ways.
    score, passed : the mean of its grades' scores, and whether each has passed; 0 and False after an error.
    """

    key: str
    case: str
    variant: str
    repeat: int
    outcome: Outcome
    grades: list[Grade] = field(default_factory=list)
    grading: str = ""
    model: str = ""
    category: str = ""

    @property
    def score(self) -> float:
        """The mean of the grades, 0 if it came to no end."""
        if self.outcome.error or not self.grades:
            return 0.0
        return sum(one.score for one in self.grades) / len(self.grades)

    @property
    def passed(self) -> bool:
        """Whether it came to its end and every grade has passed."""
        return not self.outcome.error and bool(self.grades) and all(g.passed for g in self.grades)

    @property
    def why(self) -> str:
        """What went wrong, in a line; empty if nothing did."""
        if self.outcome.error:
            return self.outcome.error
        return "; ".join(f"{one.name}: {one.reason}" for one in self.grades if not one.passed)

    def row(self) -> dict[str, Any]:
        """Return it as one row of a table."""
        figures = self.outcome.figures
        return {
            "case": self.case,
            "category": self.category,
            "variant": self.variant,
            "repeat": self.repeat,
            "passed": self.passed,
            "score": self.score,
            "answer": self.outcome.answer,
            "error": self.outcome.error or None,
            "why": self.why or None,
            "model": self.model or None,
            **{
                name: figures.get(name)
                for name in ("steps", "prompt_tokens", "completion_tokens", "cost", "seconds")
            },
            **{f"score: {one.name}": one.score for one in self.grades},
        }


class Results:
    """The folder of one experiment; one process at a time has it.

    Parameters
    ----------
    folder : where it is, made if it is not there.
    fresh : put what was there before aside, under the same name with a ``~``, and begin anew.

    Attributes
    ----------
    spent : US dollars of all lines that `load` has read, those too that no plan wants any more.

    Raises
    ------
    InvalidInputError
        The folder holds something else, or another process runs this experiment.
    StoreError
        It cannot be written.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self.spent = 0.0
        self._write = threading.Lock()
        there = folder.exists()
        if there and (not folder.is_dir() or (any(folder.iterdir()) and not self._is_ours())):
            raise InvalidInputError(
                f"{folder} holds something else: name another folder for results."
            )
        try:
            private.folder(folder.parent)
            private.folder(folder)
            self._lock = FileLock(folder / ".lock", mode=private.FILE, thread_local=False)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InvalidInputError(
                f"Another process runs this experiment just now ({folder}); wait for its end, or stop it."
            ) from None
        except OSError as problem:
            raise StoreError(f"{folder} cannot be written: {problem.strerror}.") from None
        if fresh:
            self._put_aside()
        shutil.rmtree(self.work, ignore_errors=True)  # of a process that was killed
        whole(folder / _RESULTS)

    def _is_ours(self) -> bool:
        return (self.folder / _MARK).exists() or {one.name for one in self.folder.iterdir()} <= {
            ".lock"
        }

    def _put_aside(self) -> None:
        aside = self.folder.with_name(f"{self.folder.name}~")
        names = (_RESULTS, _CALLS, _MARK)  # the mark last: without it the folder is not ours
        if aside.exists() and not {one.name for one in aside.iterdir()} <= {*names}:
            self._lock.release()
            raise InvalidInputError(
                f"{aside} is in the way, and holds something else: move it, and begin anew again."
            )
        shutil.rmtree(aside, ignore_errors=True)
        private.folder(aside)
        for name in names:
            if (self.folder / name).exists():
                (self.folder / name).rename(aside / name)

    @property
    def work(self) -> Path:
        """A folder for what is needed only while it runs."""
        return self.folder / _WORK

    def close(self) -> None:
        """Let another process have it; what was only needed meanwhile is gone."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._lock.release()

    def begin(self, plan: Plan) -> None:
        """Write down what this is."""
        told = {
            "version": _VERSION,
            "name": plan.name,
            "about": plan.about,
            "mode": plan.mode,
            "agent": plan.agent,
            "cases": len(plan.cases),
            "variants": {
                one.name: {**one.described(), "settings": shown(one.settings)}
                for one in plan.variants
            },
            "repeats": plan.repeats,
            "threshold": plan.threshold,
        }
        text = json.dumps(_scrubbed(told), indent=1, default=str)
        path = self.folder / f"{_MARK}.new"
        try:
            private.write(path, text + "\n")
            path.replace(self.folder / _MARK)
        except OSError as problem:
            raise StoreError(f"{path} cannot be written: {problem.strerror}.") from None

    def load(self, plan: Plan) -> dict[str, Result]:
        """Return the results that are there for trials of *plan*, by their keys, the newest of each."""
        path = self.folder / _RESULTS
        if not path.exists():
            return {}
        wanted = {one.key: one for one in plan.trials()}
        found = {}
        taken: dict[str, tuple[float, bool]] = {}
        # Only \n ends a line: what models say may hold other ends of lines.
        for number, line in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), 1):
            try:
                data = json.loads(line)
                self._count(data, taken)
                trial = wanted.get(data["key"])
                if trial is not None:
                    found[trial.key] = _result(data, trial)
            except _NO_RESULT:
                raise InvalidInputError(
                    f"Line {number} of {path} is no result: take the line out, or begin anew (fresh), "
                    "which keeps the folder beside."
                ) from None
        return found

    def _count(self, data: dict[str, Any], taken: dict[str, tuple[float, bool]]) -> None:
        """Add what a line cost to `spent`: done again it cost that once more, graded anew only the rest."""
        cost = cost_of(data["figures"])
        before, failed = taken.get(data["key"], (0.0, True))
        self.spent += cost if failed else max(0.0, cost - before)
        taken[data["key"]] = cost, bool(data["error"])

    def keep(self, result: Result, trial: Trial) -> Result:
        """Write a result, which is on the disk when this returns; return it as it is read from there.

        Raises
        ------
        StoreError
            It could not be written: the result does not count.
        """
        data = {
            "version": _VERSION,
            "key": result.key,
            "case": result.case,
            "variant": result.variant,
            "repeat": result.repeat,
            "grading": result.grading,
            "model": result.model,
            **_outcome(result.outcome),
            "grades": [asdict(one) for one in result.grades],
            "score": result.score,
            "passed": result.passed,
        }
        line = json.dumps(_scrubbed(data), ensure_ascii=False, default=str) + "\n"
        kept = _result(json.loads(line), trial)
        try:
            with (
                self._write,
                open(self.folder / _RESULTS, "ab", opener=private.opener) as file,
            ):
                file.write(line.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise StoreError(
                f"A result could not be written to {self.folder}: {problem.strerror}."
            ) from None
        return kept

    def has_answers(self, trial: Trial) -> bool:
        """Return whether a model has answered something for a trial."""
        return (self.folder / _CALLS / f"{trial.key}.jsonl").exists()

    def answers(self, trial: Trial, *, anew: bool = False, of: str = "") -> Answers:
        """Return the answers that models gave for a trial, or *of* its grading; *anew* forgets them."""
        path = self.folder / _CALLS / f"{trial.key}{of}.jsonl"
        if anew:
            path.unlink(missing_ok=True)
        try:
            return Answers(path)
        except ModelError:  # not of our making: ask again
            path.unlink(missing_ok=True)
            return Answers(path)


def cost_of(figures: dict[str, Any]) -> float:
    """Return what the figures of an outcome cost in US dollars, with its grading."""
    return float(figures.get("cost") or 0.0) + float(figures.get("grading_cost") or 0.0)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    changed = {
        label: [outcome.before.get(label), outcome.after.get(label)]
        for label in {**outcome.before, **outcome.after}
    }
    return {
        "answers": [one[:_LONGEST] for one in outcome.answers],
        "calls": [{**asdict(one), "result": one.result[:2000]} for one in outcome.calls],
        "blocks": changed,
        "kept": [one[:_LONGEST] for one in outcome.kept],
        "gone": outcome.gone,
        "found": outcome.found,
        "error": outcome.error,
        "figures": outcome.figures,
    }


def _result(data: dict[str, Any], trial: Trial) -> Result:
    blocks = data["blocks"].items()
    said = [scrub(one) for one in trial.case.messages]
    outcome = Outcome(
        trial.case.model_copy(update={"messages": said}),
        answers=list(data["answers"]),
        calls=[Call(**one) for one in data["calls"]],
        before={label: one[0] for label, one in blocks if one[0] is not None},
        after={label: one[1] for label, one in blocks if one[1] is not None},
        kept=list(data["kept"]),
        gone=int(data["gone"]),
        found=list(data["found"]),
        error=str(data["error"]),
        figures=dict(data["figures"]),
    )
    return Result(
        trial.key,
        trial.case.id,
        trial.variant.name,
        trial.repeat,
        outcome,
        [Grade(**one) for one in data["grades"]],
        data["grading"],
        str(data["model"]),
        trial.case.category,
    )


def _scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _scrubbed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(one) for one in value]
    return scrub(value) if isinstance(value, str) else value
