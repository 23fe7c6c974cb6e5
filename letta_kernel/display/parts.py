"""Parts of a transcript as JSON values: every text of them clean and bounded."""

from __future__ import annotations

import json
from typing import Any

from letta_kernel.display.clean import clean_text, clean_thumbnail, one_line
from letta_kernel.messages import Edit
from letta_kernel.pictures.picture import Thumbnail

ARGUMENT_LIMIT = 8_000
"""Characters of a call's arguments that are kept for people."""

EDIT_LIMIT = 12_000
"""Characters of a text that was changed by hand, before and after."""

MOST_THUMBNAILS = 6
"""Of one message; others are named, so that a notebook stays small."""


def parsed(arguments: str) -> Any:
    """Return the arguments of a call as an object, or as they were written if they are none."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments


def plain(value: Any, depth: int = 0, room: int = ARGUMENT_LIMIT) -> Any:
    """*value* as JSON values with clean strings, not too deep and not too large."""
    if isinstance(value, str):
        return clean_text(value, room)
    if value is None or isinstance(value, bool | int | float):
        return value if value is None or abs(value) < 1e300 else str(value)
    if depth >= 6:
        return "…"
    if isinstance(value, dict):
        pairs = list(value.items())[:100]
        share = max(room // max(len(pairs), 1), 200)
        return {one_line(k, 200): plain(v, depth + 1, share) for k, v in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)[:200]
        share = max(room // max(len(items), 1), 40)
        return [plain(v, depth + 1, share) for v in items]
    return clean_text(value, room)


def thumbnail(picture: Thumbnail, place: int) -> dict[str, str]:
    """Return a picture beside a message, the *place*-th of them, with its thumbnail if it has room."""
    src = clean_thumbnail(picture.src) if place < MOST_THUMBNAILS else ""
    return {"alt": one_line(picture.alt, 100), "src": src}


def passage(found: dict[str, Any]) -> dict[str, Any]:
    """Return a passage that was placed beside a message."""
    text = found.get("content", found.get("text", ""))
    kept: dict[str, Any] = {"text": clean_text(text, 1_000)}
    for name in ("id", "score", "created_at", "timestamp", "tags"):
        if found.get(name) is not None:
            kept[name] = plain(found[name])
    return kept


def part(part: dict[str, Any]) -> dict[str, str]:
    """What stood beside the message: of the notebook itself only how much, for its cells are in the page."""
    text = "" if part.get("kind") == "notebook" else clean_text(part.get("text", ""), 1_000)
    return {
        **{name: one_line(part.get(name) or "", 200) for name in ("kind", "name", "note")},
        "text": text,
    }


def edited(edit: Edit) -> dict[str, str]:
    """Return what a person changed by hand: what that is, and what stood there before."""
    before, after = around_the_change(edit.before, edit.after)
    return {
        "label": one_line(f"{edit.what}: {edit.name}" if edit.name else edit.what),
        "before": clean_text(before, EDIT_LIMIT),
        "after": clean_text(after, EDIT_LIMIT),
    }


def around_the_change(before: str, after: str, context: int = 2) -> tuple[str, str]:
    """Both texts without the lines they share at either end, but for a little context."""
    old, new = before.split("\n"), after.split("\n")
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    start, end = max(head - context, 0), max(tail - context, 0)
    cut = slice(start, -end or None)
    dots_before, dots_after = ["…"] * (start > 0), ["…"] * (end > 0)
    return (
        "\n".join([*dots_before, *old[cut], *dots_after]),
        "\n".join([*dots_before, *new[cut], *dots_after]),
    )
