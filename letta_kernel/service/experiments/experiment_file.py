"""Experiments as files of TOML or JSON: read, checked, and turned into a plan."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.service.experiments import datasets, dialogues
from letta_kernel.service.experiments.cases import Case, Part, Variant, one_of, unique
from letta_kernel.service.experiments.dialogues import Dialogue
from letta_kernel.service.experiments.graders import Function
from letta_kernel.service.experiments.grading import Grader
from letta_kernel.service.experiments.plan import MAX_PARALLEL, Budget, Plan

MAX_REPEATS = 1000
_LARGEST = 20_000_000  # bytes


class ExperimentFile(Part):
    """What a file of TOML or JSON may say; docs/how-to/evaluate.md explains each field."""

    name: str | None = Field(None, min_length=1, max_length=120)
    about: str = ""
    mode: Literal["answer", "search"] = "answer"
    data: Any = None
    dialogues: str | None = None
    cases: list[dict[str, Any]] = []
    variants: list[Any] = []
    graders: list[Any] = []
    judge: str | None = None
    agent: str | None = None
    repeats: int = Field(1, ge=1, le=MAX_REPEATS)
    parallel: int = Field(4, ge=1, le=MAX_PARALLEL)
    threshold: float | None = Field(None, ge=0, le=1)
    most: int | None = Field(None, ge=1)
    budget: Budget = Field(default_factory=lambda: Budget.model_validate({}))


def read(file: Path, *, python: bool = False, **changes: Any) -> Plan:
    """Return the experiment that a file describes; of *changes* those that are not None come over it.

    Parameters
    ----------
    file : a .toml or .json file, a data set (.csv, .jsonl), a folder of conversations (which is searched), or
        ``set:NAME``.
    python : whether functions that the file names may be loaded and run as graders.
    changes : fields of the file; ``model`` is what variants have that name none.

    Raises
    ------
    InvalidInputError
        The file is none, or what it says cannot be.
    NotFoundError
        There is no such file.
    """
    name, beside = str(file), Path()
    given: dict[str, Any]
    if name.startswith(datasets.SET):
        given = {"name": name.removeprefix(datasets.SET), "data": name}
    elif file.is_dir():
        given = {"name": file.name, "dialogues": str(file), "mode": "search"}
    elif file.suffix.lower() in (".csv", ".jsonl", ".ndjson"):
        given, beside = {"data": file.name}, file.parent
    else:
        given, beside = _read(file), file.parent
    over = {key: value for key, value in changes.items() if value is not None}
    model = over.pop("model", None)
    if isinstance(given.get("budget"), dict) and "budget" in over:
        over["budget"] = {**given["budget"], **over["budget"]}
    told: ExperimentFile = one_of(ExperimentFile, {**given, **over}, file.name)

    def load(spec: str) -> Grader:
        return _function(spec, beside)

    return plan_of(told, file.stem, beside, load if python else None, model)


def results_of(file: Path) -> Path:
    """Return the folder in which the results of a file's experiment are kept: beside it."""
    if str(file).startswith(datasets.SET):
        return Path(f"{str(file).removeprefix(datasets.SET)}.results")
    return file.with_name(f"{file.stem or file.name}.results")


def plan_of(
    told: ExperimentFile,
    name: str,
    beside: Path,
    functions: Callable[[str], Grader] | None = None,
    model: str | None = None,
) -> Plan:
    """Return the plan for what a file tells.

    Parameters
    ----------
    name : what it is called if the file does not say.
    beside : the folder that paths in it start from.
    functions : reads graders of kind python; without it there may be none.
    model : for variants that name none.
    """
    cases: list[Case] = []
    talks: dict[str, Dialogue] = {}
    notes: list[str] = []
    if told.data is not None:
        cases += datasets.read(told.data, beside)
    if told.cases:
        cases += datasets.read(told.cases)
    if told.dialogues is not None:
        found, left_out = dialogues.read(beside / Path(told.dialogues).expanduser())
        talks = {one.name: one for one in found}
        cases += [case for one in found for case in one.cases()]
        notes += [f"Left out: {one} is no conversation." for one in left_out]
        if missing := sum(one.left_out for one in found):
            notes.append(f"Left out: {missing:,} questions without evidence.")
    if not cases:
        raise InvalidInputError("There are no cases: name data, dialogues or cases.")
    unique([one.id for one in cases], "cases")
    return Plan(
        name=told.name or name,
        cases=cases[: told.most],
        variants=_variants(told.variants, model),
        graders=told.graders,
        mode=told.mode,
        dialogues=talks,
        judge=told.judge or "",
        agent=told.agent,
        repeats=told.repeats,
        parallel=told.parallel,
        threshold=told.threshold,
        budget=told.budget,
        about=told.about,
        notes=notes,
        functions=functions,
    )


def _variants(given: Sequence[Any], model: str | None) -> list[Variant]:
    made = []
    for number, one in enumerate(given, 1):
        if isinstance(one, Variant):
            made.append(one)
            continue
        if not isinstance(one, dict):
            raise InvalidInputError(f"Variant {number}: it is an object, not {one!r:.60}.")
        name = one.get("name") or one.get("model") or f"variant {number}"
        made.append(one_of(Variant, {**one, "name": name}, f"Variant {number}"))
    made = made or [Variant.model_validate({"name": model or "agent"})]
    return [one if one.model else one.model_copy(update={"model": model}) for one in made]


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LARGEST:
            raise InvalidInputError(f"{file.name} has more than {_LARGEST // 1_000_000} MB.")
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        names = ", ".join(datasets.set_names())
        raise NotFoundError(
            f"There is no file {file}. Sets that come with this: set:memory (all), or one of {names}."
        ) from None
    except OSError as problem:
        raise InvalidInputError(f"{file} cannot be read: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{file.name} is not UTF-8 text.") from None
    try:
        if file.suffix.lower() == ".json":
            found = json.loads(text)
        elif file.suffix.lower() == ".toml":
            found = tomllib.loads(text)
        else:
            raise InvalidInputError(f"{file.name}: an experiment is a .toml or .json file.")
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{file.name} cannot be read: {error!s:.200}.") from None
    if isinstance(found, list):  # a data set as it is
        return {"data": file.name}
    if not isinstance(found, dict):
        raise InvalidInputError(f"{file.name} is no experiment: an object with data and variants.")
    return found


def _function(spec: str, beside: Path) -> Grader:
    """Return the function that ``FILE.py:NAME`` names, as a grader."""
    place, colon, name = spec.rpartition(":")
    path = beside / place
    if not colon or path.suffix != ".py" or not path.is_file():
        raise InvalidInputError(
            f"{spec!r:.80}: name a function as FILE.py:NAME, beside the experiment."
        )
    known = importlib.util.spec_from_file_location(f"_letta_graders_{path.stem}", path)
    assert known is not None
    assert known.loader is not None
    module = importlib.util.module_from_spec(known)
    try:
        known.loader.exec_module(module)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise InvalidInputError(f"{place} cannot be loaded: {said:.200}.") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InvalidInputError(f"There is no function {name} in {place}.")
    return Function(function, name, file=path.read_text("utf-8", "replace"))
