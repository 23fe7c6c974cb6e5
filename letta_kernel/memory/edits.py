"""What the memory tools do to a block's text: pure functions from text to text.

Each raises `EditError` with a sentence the model can act on. Behaviours follow Letta's tools of the same
names; ``core_memory_replace`` replaces every occurrence, ``memory_replace`` exactly one.
"""

from __future__ import annotations

import re

from letta_kernel.errors import ToolError

# What can only be the numbers of lines, and what may as well be a year, a time or a list.
_LINE_NUMBER = re.compile(r"^[ \t]*(?:\d+→|Line \d+: )", re.MULTILINE)
_PERHAPS_LINE_NUMBER = re.compile(r"^[ \t]*\d+(?:: |\t|\| )", re.MULTILINE)
_NUMBERED = "{} carries line numbers; they are only for show. Give the bare text without them."
_SHOWN = 200  # characters of a text quoted back to the model


class EditError(ToolError):
    """An edit could not be made; the block is as it was."""

    page = "block-edit"


def append(value: str, content: str) -> str:
    """Return *value* with *content* on a new line."""
    return f"{value}\n{content}" if value else content


def replace_all(value: str, old: str, new: str) -> str:
    """Replace every occurrence of *old*."""
    _require_found(value, old)
    return value.replace(old, new)


def replace_once(value: str, old: str, new: str) -> str:
    """Replace the only occurrence of *old*; several occurrences are an error that lists their lines."""
    for text, name in ((old, "old_string"), (new, "new_string")):
        _refuse_line_numbers(text, name)
    if old not in value and _PERHAPS_LINE_NUMBER.search(old):
        raise EditError(_NUMBERED.format("old_string"))
    _require_found(value, old)
    if value.count(old) > 1:
        starts = [match.start() for match in re.finditer(re.escape(old), value)]
        lines = ", ".join(str(value.count("\n", 0, start) + 1) for start in starts)
        raise EditError(
            f"The text to replace occurs {len(starts)} times, on lines {lines}. "
            "Give more of the text around the one you mean, so that it matches exactly once."
        )
    return value.replace(old, new)


def insert(value: str, new: str, line: int = -1) -> str:
    """Insert *new* after line number *line*: 0 is the top, -1 the end."""
    _refuse_line_numbers(new, "new_string")
    lines = value.split("\n") if value else []
    if line < -1 or line > len(lines):
        raise EditError(
            f"insert_line {line} is out of range: the block has {len(lines)} lines; "
            f"use 0 for the top, 1 to {len(lines)} for after that line, or -1 for the end."
        )
    at = len(lines) if line == -1 else line
    return "\n".join([*lines[:at], *new.split("\n"), *lines[at:]])


def apply_patch(value: str, patch: str) -> str:
    """Apply a unified diff (``@@`` hunks; file headers are ignored) to *value*.

    Hunks are found by their context and removed lines, near the line their header names, so a wrong line
    number does no harm; a hunk whose text is not there, or that fits in several places, is an error.
    """
    lines = value.split("\n") if value else []
    hunks = _parse_hunks(patch)
    if not hunks:
        raise EditError(
            "The patch has no hunk. Write a unified diff: a line '@@', then lines that begin with "
            "' ' (kept), '-' (removed) or '+' (added)."
        )
    floor = 0
    for number, (wanted, body) in enumerate(hunks, start=1):
        before = [text for sign, text in body if sign in " -"]
        after = [text for sign, text in body if sign in " +"]
        at = _locate(lines, before, wanted, floor, number)
        lines[at : at + len(before)] = after
        floor = at + len(after)
    return "\n".join(lines)


def _parse_hunks(patch: str) -> list[tuple[int | None, list[tuple[str, str]]]]:
    hunks: list[tuple[int | None, list[tuple[str, str]]]] = []
    for line in patch.strip("\n").split("\n"):
        if line.startswith("@@"):
            header = re.match(r"@@ -(\d+)", line)
            hunks.append((int(header[1]) - 1 if header else None, []))
        elif hunks and line.startswith("\\"):
            continue  # "\ No newline at end of file"
        elif hunks and line == "":
            hunks[-1][1].append((" ", ""))  # editors strip the single blank of an empty kept line
        elif hunks and line[0] in " +-":
            hunks[-1][1].append((line[0], line[1:]))
        elif hunks:
            raise EditError(
                f"This line of the patch begins with none of ' ', '+', '-': {_quote(line)}"
            )
        elif not line.startswith(("---", "+++", "diff ", "index ")):
            raise EditError("A patch begins with a line '@@' (or '--- ', '+++ ' and then '@@').")
    return hunks


def _locate(
    lines: list[str], before: list[str], wanted: int | None, floor: int, number: int
) -> int:
    if not before:  # nothing but additions: where the header says, else at the end
        return min(len(lines), max(floor, len(lines) if wanted is None else wanted + 1))
    size = len(before)
    places = [at for at in range(floor, len(lines) - size + 1) if lines[at : at + size] == before]
    if not places:
        raise EditError(
            f"Hunk {number} does not fit: the block has no lines {_quote(chr(10).join(before))}"
        )
    if len(places) > 1 and wanted is None:
        found = ", ".join(str(at + 1) for at in places)
        raise EditError(f"Hunk {number} fits at lines {found}; add more lines of context.")
    return min(places, key=lambda at: abs(at - (wanted or 0)))


def _require_found(value: str, old: str) -> None:
    if not old:
        raise EditError(
            "The text to replace is empty; give the exact text that stands in the block."
        )
    if old not in value:
        raise EditError(
            f"The text to replace was not found in the block: {_quote(old)}. It must match exactly."
        )


def _refuse_line_numbers(text: str, name: str) -> None:
    if _LINE_NUMBER.search(text):
        raise EditError(_NUMBERED.format(name))


def _quote(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
