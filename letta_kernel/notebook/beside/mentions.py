"""``@names`` in a message: which words are names, and what may be named.

``@df`` is a variable, ``@cell``, ``@above`` and ``@error`` are cells, ``@file.csv`` and ``@folder`` are files
(with spaces: ``@"my file.csv"``). A word that names nothing stays text: e-mail addresses, decorators, what
stands in backticks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from letta_kernel.notebook.beside.variables import brief

CELLS = {
    "cell": "the selected cell, or the one that ran last; @cell:3 the one of that number or id",
    "above": "the cell above",
    "error": "the cell that failed last, with its error",
}
"""The names of cells, and what they mean."""
MOST = 20
"""Names in one message that are looked up."""
# Code, and what is filled in from the notebook: {X @ W}.
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|\{[^{}\n]*\}", re.DOTALL)
_DECORATOR = re.compile(r"^[ \t]*@[^\n]*\n(?=[ \t]*(?:@|def\b|class\b|async\b))", re.MULTILINE)
_NAME = re.compile(
    r"(?<![\w@./\\:+-])@"
    r"(?:\"(?P<quoted>[^\"\n]{1,500})\"|(?P<bare>[\w~./][^\s\"'`<>|*?,;()\[\]{}]{0,499}))"
)
_CELL = re.compile(r"(?P<name>cell|error)(?::(?P<which>[\w-]+))?|above")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_BEGUN = re.compile(r"(?<![\w@./\\:+-])@(?P<name>\"[^\"\n]*|[\w~./:+-]*)$")
_OFFERED = 50  # variables, and files


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a message, without its @.

    ``kind`` is variable, cell or path; ``which`` is the number or id of a cell, where it is given.
    """

    kind: str
    name: str
    which: str = ""
    path: Path | None = None


def mentions(text: str, variables: Mapping[str, Any]) -> list[Mention]:
    """Return the names in *text* that are something, each once."""
    if "@" not in text:
        return []
    skipped = [match.span() for match in (*_CODE.finditer(text), *_DECORATOR.finditer(text))]
    found: dict[str, Mention] = {}
    for match in _NAME.finditer(text):
        if any(start <= match.start() < end for start, end in skipped):
            continue
        meant = _meant(match["quoted"], match["bare"], variables)
        if meant is not None:
            found.setdefault(meant.name, meant)
        if len(found) >= MOST:
            break
    return list(found.values())


def _meant(quoted: str | None, bare: str | None, variables: Mapping[str, Any]) -> Mention | None:
    if quoted is not None:
        return _path(quoted)
    word = bare or ""
    while word:
        if (cell := _CELL.fullmatch(word)) is not None:
            return Mention("cell", word, cell["which"] or "")
        if word in variables:
            return Mention("variable", word)
        if found := _path(word):
            return found
        shorter = word.rstrip(".:!…")  # a sentence's end
        if shorter == word:
            break
        word = shorter
    first = _IDENTIFIER.match(word)
    if first is not None and word[first.end() : first.end() + 1] in (".", ":", "-", "'", "’"):
        if first[0] in CELLS:
            return Mention("cell", first[0])
        if first[0] in variables:  # @df.price, @df's
            return Mention("variable", first[0])
    return None


def _path(word: str) -> Mention | None:
    if not word.strip("./~ ") and word not in (".", "..", "~", "./", "../", "~/"):
        return None
    try:
        path = Path(word).expanduser()
        return Mention("path", word, path=path) if os.path.lexists(path) else None
    except (OSError, ValueError, RuntimeError):
        return None


# -- completion ----------------------------------------------------------------------------------------


def begun(before: str) -> str | None:
    """Return the name, with its @, that ends the text *before* the cursor; None if none does."""
    match = _BEGUN.search(before)
    return None if match is None else f"@{match['name']}"


def offered(begun: str, variables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what may stand for a name that begins like that: ``name`` with its @, ``kind``, ``about``."""
    typed = begun.removeprefix("@")
    quoted = typed.startswith('"')
    typed = typed.lstrip('"')
    found: list[dict[str, str]] = []
    if not quoted:
        for name, about in CELLS.items():
            if name.startswith(typed):
                found.append({"name": f"@{name}", "kind": "cell", "about": about})
        fitting = [n for n in variables if n.startswith(typed) and (typed or n[0] != "_")]
        for name in fitting[:_OFFERED]:
            about = brief(variables[name])
            found.append({"name": f"@{name}", "kind": "variable", "about": about})
    return [*found, *islice(_files(typed, quoted), _OFFERED)]


def _files(typed: str, quoted: bool) -> Iterator[dict[str, str]]:
    folder, slash, start = typed.rpartition("/")
    try:
        where = Path(folder + slash or ".").expanduser()
        with os.scandir(where) as entries:
            names = sorted((entry.name, entry.is_dir()) for entry in entries)
    except (OSError, ValueError, RuntimeError):
        return
    for name, is_folder in names:
        if not name.startswith(start) or (name.startswith(".") and not start):
            continue
        whole = f"{folder}{slash}{name}" + ("/" if is_folder else "")
        plain = not quoted and re.fullmatch(r"[\w~./:+-]+", whole) is not None
        shown = f"@{whole}" if plain else f'@"{whole}"'
        yield {"name": shown, "kind": "folder" if is_folder else "file", "about": ""}


def visible(shell: Any) -> dict[str, Any]:
    """Return the variables of the user's own in *shell*, without what IPython put there."""
    own, hidden = dict(shell.user_ns), getattr(shell, "user_ns_hidden", {})
    return {
        name: value
        for name, value in own.items()
        if isinstance(name, str) and not (name in hidden and hidden[name] is value)
    }
