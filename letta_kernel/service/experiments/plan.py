"""An experiment as it is planned: what is done, by whom, how often, and who grades it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from letta_kernel.agent.settings import check_settings
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.service.experiments import graders
from letta_kernel.service.experiments.cases import Case, Part, Variant, digest, one_of, unique
from letta_kernel.service.experiments.dialogues import Dialogue
from letta_kernel.service.experiments.graders import Function
from letta_kernel.service.experiments.grading import Grader
from letta_kernel.service.experiments.judge import Judge
from letta_kernel.tools import core

MAX_TRIALS = 1_000_000
MAX_PARALLEL = 32


class Budget(Part):
    """What an experiment may take in all; None is without limit.

    Attributes
    ----------
    cost : US dollars, of all that was answered for this experiment so far.
    seconds : of one sitting.
    case_seconds : of one case with one variant; it counts as failed then.
    """

    cost: float | None = Field(None, gt=0, allow_inf_nan=False)
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    case_seconds: float = Field(300.0, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """One case with one variant, for the so-manieth time (from 1 on); ``key`` tells it from all others."""

    case: Case
    variant: Variant
    repeat: int
    key: str

    @property
    def title(self) -> str:
        """What people call it."""
        again = f" · {self.repeat}" if self.repeat > 1 else ""
        return f"{self.case.id} · {self.variant.name}{again}"


@dataclass
class Plan:
    """An experiment that can be run.

    Attributes
    ----------
    name : its name; its results lie in a folder of that name.
    cases, variants, graders : what is done, with whom, and who judges; a case's own graders come instead.
    mode : ``answer`` sends the messages; ``search`` only searches an archive for them, without a model.
    dialogues : the conversations that cases know, by their names.
    judge : the model of graders that name none.
    agent : whose hidden forks do it; None: agents made for each case, in a project of their own.
    repeats, parallel, threshold, budget : as the file says.
    notes : what was left out as it was read.
    whose : the agent as it is when the experiment runs: what it did before it changed is no result.
    """

    name: str
    cases: Sequence[Case]
    variants: Sequence[Variant]
    graders: Sequence[Any] = ()  # as dictionaries, functions or graders
    mode: Literal["answer", "search"] = "answer"
    dialogues: Mapping[str, Dialogue] = field(default_factory=dict)
    judge: str = ""
    agent: str | None = None
    repeats: int = 1
    parallel: int = 4
    threshold: float | None = None
    budget: Budget = field(default_factory=lambda: Budget.model_validate({}))
    about: str = ""
    notes: list[str] = field(default_factory=list)
    functions: Callable[[str], Grader] | None = None  # reads graders of kind python
    whose: str = ""
    _graders: dict[str, Sequence[Grader]] = field(default_factory=dict, repr=False)
    _grading: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        unique([one.name for one in self.variants], "variants")
        if not self.variants:
            raise InvalidInputError("An experiment has at least one variant.")
        for one in self.variants:
            check_settings(one.settings)
            _check_core_tools(one)
        many = len(self.cases) * len(self.variants) * self.repeats
        if many > MAX_TRIALS:
            raise InvalidInputError(f"That would be {many:,} runs; at most {MAX_TRIALS:,}.")
        if self.agent is not None and any(one.embedding for one in self.variants):
            raise InvalidInputError("A fork is searched as its agent is: name no embedding.")
        if self.agent is not None and (self.dialogues or self.mode == "search"):
            raise InvalidInputError("A conversation is given to agents made for it: name no agent.")
        common = [self.grader(one, "The experiment") for one in self.graders]
        for case in self.cases:
            self._graders[case.id] = self._of_case(case, common)
        for judge in self._judges():
            if judge.model is None and not self.judge:
                raise InvalidInputError('A model grades: name it, as judge = "openai/gpt-5-mini".')

    def _of_case(self, case: Case, common: Sequence[Grader]) -> Sequence[Grader]:
        own = [self.grader(one, f"Case {case.id!r}") for one in case.graders] or common
        if not own and self.mode == "search":
            own = [graders.read({"kind": "found", "which": one}, "") for one in ("any", "all")]
        if not own and case.dialogue:
            own = [one_of(Judge, {"kind": "model", "rubric": _SAYS_THE_SAME}, "")]
        if not own and case.expected is not None:
            own = [graders.read({"kind": "contains"}, "")]
        if not own:
            raise InvalidInputError(
                f"Nothing says how the case {case.id!r} is graded: give it graders, or what is expected."
            )
        return own

    def grader(self, given: Any, what: str) -> Grader:
        """Return a grader, given as a dictionary, a function or a grader."""
        kind = given.get("kind") if isinstance(given, Mapping) else None
        if kind == "model":
            judge: Judge = one_of(Judge, given, f"{what}, grader model")
            return judge
        if kind == "python":
            name = given.get("function")
            if self.functions is None or not isinstance(name, str):
                raise InvalidInputError(
                    f"{what}: a grader of kind python names a function, which you have to allow (--python)."
                )
            return self.functions(name)
        if isinstance(given, Mapping):
            return graders.read(dict(given), what)
        if hasattr(given, "grade") and hasattr(given, "described"):
            found: Grader = given
            return found
        if callable(given):
            return Function(given)
        raise InvalidInputError(f"{what}: {given!r:.60} is no grader.")

    def graders_of(self, case: Case) -> Sequence[Grader]:
        """Return who judges a case."""
        return self._graders[case.id]

    def grading(self, case: Case) -> str:
        """Return what tells how a case is graded from other ways."""
        known = self._grading.get(case.id)
        if known is None:
            own = self.graders_of(case)
            judge = self.judge if any(isinstance(one, Judge) for one in own) else ""
            known = digest([[one.described() for one in own], judge, case.expected])
            self._grading[case.id] = known
        return known

    def trials(self) -> list[Trial]:
        """Return all there is to do: each case with every variant before the next, repeat by repeat."""
        made = []
        whose = [self.mode, self.whose]
        told = {one.name: digest(one.described()) for one in self.variants}
        left_out = {"graders", "expected", "category", "evidence"}
        said = {one.id: digest(one.model_dump(exclude=left_out)) for one in self.cases}
        for repeat in range(1, self.repeats + 1):
            for case in self.cases:
                for variant in self.variants:
                    key = digest([whose, said[case.id], told[variant.name], repeat])
                    made.append(Trial(case, variant, repeat, key))
        return made

    def judges(self) -> list[str]:
        """Return the models that grade."""
        return list(dict.fromkeys(one.model or self.judge for one in self._judges()))

    def _judges(self) -> Iterator[Judge]:
        for own in self._graders.values():
            yield from (one for one in own if isinstance(one, Judge))


def _check_core_tools(variant: Variant) -> None:
    for name in variant.core_tools or ():
        if name not in core.FUNCTIONS:
            hint = nearest(name, list(core.FUNCTIONS))
            raise InvalidInputError(f"{variant.name}: there is no memory tool {name!r}.{hint}")


_SAYS_THE_SAME = (
    "The answer says what the expected answer says. Other words, a date written otherwise, or more detail are "
    "fine; a contradiction, a different fact, or not knowing is not."
)
