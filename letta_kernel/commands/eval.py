"""Experiments: cases × variants × repeats, graded and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import MODEL, Answer, Door
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.service.experiments.plan import Plan
    from letta_kernel.service.experiments.report import Report

GROUP = "What it sees and takes"
BAD_INPUT = 2
"""The terminal's exit code for a file that is no experiment; 1 is below the threshold."""


@command("eval", "eval", group=GROUP)
def evaluate(
    door: Door,
    file: str = argument(
        "An experiment (.toml, .json), a data set, a folder of conversations, or set:memory",
        values="file",
    ),
    model: str | None = MODEL,
    repeats: int | None = option("How often each case is done", least=1, most=1000),
    parallel: int | None = option("How many are done at a time", least=1, most=32),
    threshold: float | None = option("The share every variant has to pass", least=0, most=1),
    budget: float | None = option("US dollars it may cost in all"),
    seconds: float | None = option("Seconds after which it ends; the same line goes on"),
    most: int | None = option("Only the first so many cases", least=1),
    fresh: bool = option("Begin anew; the results of before are kept beside"),
    retry: bool = option("Do those again that failed"),
    python: bool = option("Load the functions that the file names as graders"),
    to: str | None = option("The folder of results; else beside the file", values="file"),
    html: str | None = option("Write the report as one HTML file", values="file"),
    junit: str | None = option("Write the results in JUnit's form", values="file"),
) -> Answer:
    """Evaluate agents: run an experiment, grade each case, and say which differences are noise.

    Results are kept as they come: the same line goes on where it was. At a terminal the exit code is 0 if it
    passed, 1 if a variant is below the threshold or not all is done, 2 if the file is no experiment.
    """
    from letta_kernel.service.experiments import experiment_file

    limits = {"cost": budget, "seconds": seconds}
    over = {key: value for key, value in limits.items() if value is not None}
    try:
        for target, endings in ((html, (".html", ".htm")), (junit, (".xml",))):
            if target is not None and not target.lower().endswith(endings):
                raise InvalidInputError(f"{target}: name a file that ends in {endings[0]}.")
        plan = experiment_file.read(
            Path(file).expanduser(),
            python=python,
            model=model,
            repeats=repeats,
            parallel=parallel,
            threshold=threshold,
            budget=over or None,
            most=most,
        )
        report = _carried_out(door, plan, file, to, fresh, retry)
    except (InvalidInputError, NotFoundError) as error:
        if door.at == "notebook":
            raise
        return Answer(notes=[error.told(door.words)], code=BAD_INPUT)
    return _answer(door, report, html, junit)


def _carried_out(
    door: Door, plan: Plan, file: str, to: str | None, fresh: bool, retry: bool
) -> Report:
    from letta_kernel.api.added_tools import added_to
    from letta_kernel.service.experiments import experiment_file, runner

    own = experiment_file.results_of(Path(file).expanduser())
    folder = own if to is None else Path(to).expanduser()
    project = door.service if door.has_project else None
    host = None
    if project is not None and plan.agent is not None:
        host = added_to(project.agents.retrieve(plan.agent).id)
    with door.progress() as draw:
        return runner.run(
            plan,
            folder,
            project=project,
            host=host,
            fresh=fresh,
            retry=retry,
            watch=draw,
        )


def _answer(door: Door, report: Report, html: str | None, junit: str | None) -> Answer:
    from letta_kernel.display.evaluation import report_panel, save

    written = [save(report, Path(one).expanduser()) for one in (html, junit) if one is not None]
    told = door.at == "terminal"
    data: dict[str, Any] = {
        "name": report.name,
        "passed": report.passed,
        "verdict": report.verdict,
        "threshold": report.threshold,
        "unfinished": report.unfinished,
        "variants": report.variants,
        "pairs": [
            {"noise": one.noise, "verdict": one.verdict, "pair": one} for one in report.pairs
        ],
        "results": report.rows(),
        "notes": report.notes,
    }
    return Answer(
        data=data,
        panel=lambda: report_panel(report),
        # In a pipe the tables alone are printed.
        notes=[*(f"Written: {path}" for path in written), *([report.verdict] * told)],
        code=0 if report.passed else 1,
    )
