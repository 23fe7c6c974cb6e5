"""`Experiment`: cases × variants × repeats, graded and compared.

from letta_kernel import Experiment
report = Experiment("names", "cases.csv", variants=["demo", "openai/gpt-5-mini"], repeats=3).run()
report.df
report.save("names.html")
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from letta_kernel.api.added_tools import added_to
from letta_kernel.api.agent import Agent, service_for
from letta_kernel.api.remedies import speaks_python
from letta_kernel.display.evaluation import report_panel, save
from letta_kernel.display.live import running_shell
from letta_kernel.display.progress import Bar
from letta_kernel.errors import InvalidInputError, Stopped
from letta_kernel.parallel import Watch
from letta_kernel.project import is_there, project_folder
from letta_kernel.remedies import Do, remedy
from letta_kernel.service.experiments import experiment_file, runner
from letta_kernel.service.experiments.cases import Call, Case, Grade, Outcome, Variant, one_of
from letta_kernel.service.experiments.experiment_file import ExperimentFile
from letta_kernel.service.experiments.plan import Plan
from letta_kernel.service.experiments.report import Figures, Pair, Report

__all__ = ["Call", "Case", "Evaluation", "Experiment", "Grade", "Outcome", "Variant"]


@speaks_python
class Experiment:
    """An experiment: each case is done by an agent of its own, with every variant, several times.

    Parameters
    ----------
    name : what it is called, and the folder of its results (``NAME.results``).
    data : the cases: a file (.csv, .jsonl, .json), a DataFrame, a list of dictionaries, or ``set:NAME``, a set
        that comes with this package (``set:memory`` is all of them).
    variants : names of models, dictionaries as `Variant` describes them, or a dictionary of these by name.
    graders : dictionaries with a ``kind``, or functions that are given an `Outcome`; a case's own come instead.
        Without any the answer has to contain what is expected.
    repeats : how often each case is done with each variant.
    judge : the model that grades where a rubric says how.
    agent : whose forks do it, with what it knows; without one an agent is made for each case.
    dialogues : a folder of conversations that are asked about (docs/how-to/evaluate.md).
    mode : ``search`` only searches them, without a model.
    parallel : how many are done at a time.
    threshold : the share that every variant has to pass.
    budget : US dollars in all; or ``{"cost": …, "seconds": …, "case_seconds": …}``.
    most : only the first so many cases.
    folder : where results are kept, instead.
    home : the project folder, for an agent and tools by name.

    Raises
    ------
    InvalidInputError
        Something of it cannot be; the line says what. Nothing is asked before all is checked.
    """

    def __init__(
        self,
        name: str = "experiment",
        data: Any = None,
        *,
        variants: Mapping[str, Any] | Sequence[Any] = (),
        graders: Sequence[Mapping[str, Any] | Callable[[Outcome], Any]] = (),
        repeats: int = 1,
        judge: str | None = None,
        agent: str | Agent | None = None,
        dialogues: str | Path | None = None,
        mode: str = "answer",
        parallel: int = 4,
        threshold: float | None = None,
        budget: float | Mapping[str, float] | None = None,
        most: int | None = None,
        about: str = "",
        folder: str | Path | None = None,
        home: str | Path | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "name": name,
            "data": data,
            "variants": _variants(variants),
            "graders": list(graders),
            "repeats": repeats,
            "judge": judge,
            "agent": agent.id if isinstance(agent, Agent) else agent,
            "dialogues": None if dialogues is None else str(dialogues),
            "mode": mode,
            "parallel": parallel,
            "threshold": threshold,
            "most": most,
            "about": about,
        }
        if budget is not None:
            given["budget"] = dict(budget) if isinstance(budget, Mapping) else {"cost": budget}
        told: ExperimentFile = one_of(ExperimentFile, given, name)
        self.plan = experiment_file.plan_of(told, name, Path())
        if isinstance(agent, Agent) and home is None:
            home = agent.service.home
        self._begin(folder or Path(f"{_file_name(name)}.results"), home)

    def _begin(self, folder: str | Path, home: str | Path | None) -> None:
        self.folder = Path(folder).expanduser()
        self._home: Path | None = None if home is None else Path(home)

    @classmethod
    def load(
        cls,
        file: str | Path,
        *,
        python: bool = True,
        folder: str | Path | None = None,
        home: str | Path | None = None,
        **changes: Any,
    ) -> Self:
        """Return the experiment of a file (.toml, .json), or of a data set; *changes* come over its fields.

        With *python* False functions that the file names as graders are refused instead of loaded.
        """
        path = Path(file).expanduser()
        made = cls.__new__(cls)
        made.plan = experiment_file.read(path, python=python, **changes)
        made._begin(folder or experiment_file.results_of(path), home)
        return made

    def run(
        self, *, fresh: bool = False, retry: bool = False, watch: Watch | None = None
    ) -> Evaluation:
        """Do what has no result yet and return the report.

        Each result is kept as it comes, so that this goes on where it was after any end. Where graders
        have changed, what is kept is graded anew; no model is asked the same thing twice.

        Parameters
        ----------
        fresh : begin anew; what was there is kept beside, once.
        retry : do those again that failed or could not be judged.
        watch : is told how far it has come, instead of a bar in the cell or a line on a terminal.

        Raises
        ------
        Stopped
            The stop button; what is done is kept.
        """
        shell = running_shell()
        bar = Bar(shell)
        try:
            report = evaluate(
                self.plan,
                self.folder,
                self._home,
                fresh=fresh,
                retry=retry,
                watch=watch or (_print if shell is None else bar.draw),
            )
        except KeyboardInterrupt:
            raise Stopped("Stopped; what is done is kept, and run() goes on from there.") from None
        finally:
            bar.close()
        return Evaluation(report)

    def __repr__(self) -> str:
        plan = self.plan
        runs = len(plan.cases) * len(plan.variants) * plan.repeats
        return (
            f"Experiment({plan.name!r}: {len(plan.cases):,} cases × {len(plan.variants)} variants × "
            f"{plan.repeats} = {runs:,} runs)"
        )


@speaks_python
class Evaluation:
    """What came out of an experiment; in a notebook it shows itself, also without a kernel."""

    def __init__(self, report: Report) -> None:
        self.report = report

    @property
    def passed(self) -> bool:
        """Whether all is done and every variant has reached the threshold."""
        return self.report.passed

    @property
    def verdict(self) -> str:
        """How it ended, in a sentence."""
        return self.report.verdict

    @property
    def variants(self) -> list[Figures]:
        """The figures of each variant."""
        return self.report.variants

    @property
    def pairs(self) -> list[Pair]:
        """Whether two variants differ by more than noise, for each pair."""
        return self.report.pairs

    @property
    def df(self) -> Any:
        """The results as a DataFrame of pandas, one row each."""
        try:
            return self.report.frame()
        except ImportError:
            raise InvalidInputError(
                "A DataFrame needs pandas; rows() has the same.",
                remedy(Do.INSTALL_PACKAGES, "pandas"),
                page="library-missing",
            ) from None

    def rows(self) -> list[dict[str, Any]]:
        """Return the results as dictionaries, one each."""
        return self.report.rows()

    def save(self, file: str | Path) -> Path:
        """Write the report: .html is one file that reads by itself, .json the rows, .xml is JUnit's form."""
        return save(self.report, Path(file).expanduser())

    def __repr__(self) -> str:
        return report_panel(self.report).text

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return report_panel(self.report)._repr_mimebundle_()


def evaluate(plan: Plan, folder: Path, home: Path | None = None, **options: Any) -> Report:
    """Run a plan with the project of *home*, if there is one; *options* are those of `runner.run`."""
    place = project_folder(home)
    project = service_for(home) if is_there(place) else None
    host = None
    if project is not None and plan.agent is not None:
        host = added_to(project.agents.retrieve(plan.agent).id)
    return runner.run(plan, folder, project=project, host=host, **options)


def _variants(given: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping):
        given = [
            {"name": name, **({"model": one} if isinstance(one, str) else dict(one))}
            for name, one in given.items()
        ]
    return [{"name": one, "model": one} if isinstance(one, str) else one for one in given]


def _file_name(name: str) -> str:
    kept = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)
    return kept.lstrip(".") or "experiment"


def _print(share: float, text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}   ", end="" if share < 1 else "\n", file=sys.stderr, flush=True)
