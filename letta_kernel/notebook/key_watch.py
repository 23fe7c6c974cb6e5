"""Warns of keys in cells, for they are saved and sent on with the notebook; it never repeats them."""

from __future__ import annotations

import re
from typing import Any

from letta_kernel.models import keys
from letta_kernel.models.masking import SHAPES
from letta_kernel.notebook.output import say

# Possessive and bounded: endless words and blanks must not take time by their square.
_NAME = r"(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]{0,60}+"
_GAP = r"\s{0,9}+"
# A name and what it is given: os.environ["X"] = "…", X = '…', export X=…, %env X …, {"X": "…"}, f(api_key="…").
_GIVEN = re.compile(
    rf"(?P<name>{_NAME})[\"']?{_GAP}\]?{_GAP}(?::{_GAP}str{_GAP})?(?:=(?!=)|:|,){_GAP}"
    r"[rbf]?(?P<quote>\"|')(?P<value>[^\"'\n]*)(?P=quote)"
    rf"|^[ \t]*+(?:[%!]{_GAP})?(?:env|set_env|export|setx?|SET)\s{{1,9}}+(?:-x\s{{1,9}}+)?"
    rf"(?P<shell>{_NAME})(?:{_GAP}={_GAP}|[ \t])[ \t]*+(?P<word>\S+)",
    re.MULTILINE,
)
_SECRET_NAME = re.compile(r"(?i)(?:^|_)(?:api_?key|apikey|auth_?token|access_?token|secret_?key)$")
# What stands where a key would: words that say so, patterns to be filled in.
_STAND_IN = re.compile(
    r"(?i)your|example|placeholder|change.?me|dummy|fake|test|none|null|empty|replace|insert|here\b"
    r"|\.\.\.|…|<|>|\*{3}|x{4}|\$|\{"
)
_FILLED_IN = re.compile(r"(?i)your|example|placeholder|x{4}")  # in what is shaped like a key
_SHORTEST = 12  # characters of a key whose shape is not known


def seen(source: str) -> list[str]:
    """Return the names under which keys stand in a cell; ``a key`` for one without a name."""
    found: list[str] = []
    named: list[tuple[int, int]] = []
    for match in _GIVEN.finditer(source):
        name = match["name"] or match["shell"]
        value = (match["value"] if match["name"] else match["word"]).strip("\"'")
        group = "value" if match["name"] else "word"
        known = name in keys.KNOWN or _SECRET_NAME.search(name) is not None
        if _is_key(value) if known else _shaped(value):
            found.append(name)
            named.append(match.span(group))
    for match in SHAPES.finditer(source):
        inside = any(start <= match.start() < end for start, end in named)
        if not inside and _shaped(match[0]):
            found.append("a key")
    return list(dict.fromkeys(found))


def warning(names: list[str]) -> str:
    """Return the line that is said of them."""
    named = ", ".join(name for name in names if name != "a key")
    which = f"a key ({named})" if named else "a key"
    return (
        f"This notebook holds {which}, which is saved and shared with it: take it out, give it in the Agents "
        "panel or as %agent model says, and make a new one if the notebook has been shared."
    )


def _shaped(value: str) -> bool:
    return SHAPES.fullmatch(value) is not None and not _FILLED_IN.search(value)


def _is_key(value: str) -> bool:
    if SHAPES.fullmatch(value):
        return _shaped(value)
    if _STAND_IN.search(value):
        return False
    return len(value) >= _SHORTEST and value.isascii() and " " not in value


class KeyWatch:
    """What has been seen in a notebook's cells, told once each."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._file_looked_at = False

    def tell(self, shell: Any, sources: list[str]) -> None:
        """Say in one line which keys cells hold, and once what is wrong with the ``.env`` in use."""
        names = dict.fromkeys(name for source in sources for name in seen(source))
        new = [name for name in names if name not in self._told]
        if new:
            self._told.update(new)
            say(shell, warning(new), "warning")
        if not self._file_looked_at:
            self._file_looked_at = True
            for problem in keys.problems():
                say(shell, problem, "warning")
