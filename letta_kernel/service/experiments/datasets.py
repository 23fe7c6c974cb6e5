"""Data sets: cases from CSV, JSON Lines, JSON, a list, a DataFrame, or one of the sets that come with this."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.service.experiments.cases import Case, one_of, unique

MAX_CASES = 100_000
LARGEST = 200_000_000
"""Bytes of a file of cases."""
SET = "set:"
"""Before the name of a set that comes with this package."""

# What columns are called elsewhere.
_SAID = ("messages", "message", "input", "question", "prompt")
_EXPECTED = ("expected", "answer", "ideal", "target")
_AS_JSON = ("blocks", "passages", "graders", "evidence")


def read(data: Any, beside: Path | None = None) -> list[Case]:
    """Return the cases of a data set.

    Parameters
    ----------
    data : a path (.csv, .jsonl, .json), ``set:NAME``, a DataFrame, or cases as `Case` or dictionaries. A
        dictionary has the fields of a `Case`; a text as ``messages`` is one message, which may also be called
        message, input, question or prompt, and ``expected`` answer, ideal or target. In CSV a list or an object
        is written as JSON.
    beside : the folder that a path starts from.

    Raises
    ------
    InvalidInputError
        There is no case, or one cannot be read; the line says which.
    NotFoundError
        There is no such file or set.
    """
    if isinstance(data, str) and data.startswith(SET):
        rows: Iterable[Any] = of_set(data.removeprefix(SET))
    elif isinstance(data, str | Path):
        rows = _of_file((beside or Path()) / Path(data).expanduser())
    elif hasattr(data, "to_dict") and hasattr(data, "columns"):
        rows = _of_frame(data)
    elif isinstance(data, Iterable) and not isinstance(data, Mapping):
        rows = data
    else:
        raise InvalidInputError("A data set is a file, a list of cases, a DataFrame, or set:NAME.")
    cases: list[Case] = []
    for number, row in enumerate(rows, 1):
        if number > MAX_CASES:
            raise InvalidInputError(f"A data set has at most {MAX_CASES:,} cases.")
        cases.append(row if isinstance(row, Case) else _case(row, number))
    if not cases:
        raise InvalidInputError("The data set has no cases.")
    unique([one.id for one in cases], "cases")
    return cases


def set_names() -> list[str]:
    """Return the names of the sets that come with this package."""
    folder = resources.files(__package__) / "sets"
    return sorted(one.name.removesuffix(".json") for one in folder.iterdir())


def about_set(name: str) -> str:
    """Return what a set measures, in a sentence."""
    return str(_set(name)["about"])


def of_set(name: str) -> list[Any]:
    """Return the cases of a set that comes with this package; ``memory`` is all of them."""
    if name == "memory":
        return [
            {**case, "id": f"{one}: {case['id']}", "category": one}
            for one in set_names()
            for case in _set(one)["cases"]
        ]
    return list(_set(name)["cases"])


def _set(name: str) -> dict[str, Any]:
    names = set_names()
    if name not in names:
        hint = nearest(name, [*names, "memory"]) or f" There is: memory, {', '.join(names)}."
        raise NotFoundError(f"There is no set {name!r}.{hint}")
    file = resources.files(__package__) / "sets" / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def _case(row: Any, number: int) -> Case:
    what = f"Case {number}"
    if isinstance(row, str):
        row = {"messages": [row]}
    if not isinstance(row, Mapping):
        raise InvalidInputError(f"{what}: a case is an object with messages, not {row!r:.60}.")
    given = {str(key): value for key, value in row.items() if not _is_missing(value)}
    said = next((one for one in _SAID if one in given), None)
    if said is None:
        has = ", ".join(given) or "nothing"
        raise InvalidInputError(
            f"{what}: what is said is missing (messages); what it has is {has:.100}."
        )
    messages = given.pop(said)
    given["messages"] = messages if isinstance(messages, list) else [str(messages)]
    wanted = next((one for one in _EXPECTED if one in given), None)
    if wanted is not None:
        given["expected"] = given.pop(wanted)
    for name in ("evidence", "passages"):
        if isinstance(given.get(name), str):
            given[name] = [given[name]]
    given["id"] = str(given.get("id", number))
    case: Case = one_of(Case, given, what)
    return case


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _of_frame(frame: Any) -> list[dict[str, Any]]:
    rows = frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_dict("records")
    return [
        _of_row({key: _plain(value) for key, value in row.items()}, f"Case {number}")
        for number, row in enumerate(rows, 1)
    ]


def _plain(value: Any) -> Any:
    """Return a value of a table as Python's own."""
    if hasattr(value, "tolist"):  # numpy's
        value = value.tolist()
    if isinstance(value, float) and value.is_integer():
        return int(value)  # a column of whole numbers with a gap comes as floats
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _of_file(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidInputError(f"{path.name} has more than {LARGEST // 1_000_000} MB.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise InvalidInputError(
            f"{path} is a folder; dialogues = {str(path)!r} reads talks."
        ) from None
    except OSError as problem:
        raise InvalidInputError(f"{path} cannot be read: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path.name} is not UTF-8 text.") from None
    match path.suffix.lower():
        case ".csv":
            return _of_csv(text, path.name)
        case ".jsonl" | ".ndjson":
            # Only \n ends a line: texts may hold other ends of lines.
            lines = enumerate(text.split("\n"), 1)
            return [_json(line, f"{path.name}, line {n}") for n, line in lines if line.strip()]
        case ".json":
            found = _json(text, path.name)
            if not isinstance(found, list):
                raise InvalidInputError(f"{path.name} is no list of cases.")
            return found
    raise InvalidInputError(f"{path.name}: a data set is a .csv, .jsonl or .json file.")


def _of_csv(text: str, name: str) -> list[Any]:
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)  # spreadsheets of many countries write semicolons
    try:
        reader = csv.DictReader(io.StringIO(text), delimiter=mark, strict=True)
        rows = [dict(row) for row in reader]
    except csv.Error as error:
        raise InvalidInputError(f"{name} cannot be read: {error}.") from None
    made = []
    for number, row in enumerate(rows, 1):
        if None in row:
            raise InvalidInputError(f"{name}, row {number}: there are more cells than columns.")
        made.append(_of_row(row, f"{name}, row {number}"))
    return made


def _of_row(row: Mapping[Any, Any], what: str) -> dict[str, Any]:
    """Return a row of a table with its columns' names in small letters, and JSON read."""
    made = {str(key).strip().lower(): value for key, value in row.items()}
    for column in (*_AS_JSON, "messages"):
        value = made.get(column)
        if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
            made[column] = _json(value, f"{what}, {column}")
    return made


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{what}: no JSON ({error!s:.100}).") from None
