"""Names of tools on the wire: such as every provider takes, and what models make of them taken back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")  # OpenAI, Anthropic, Mistral and Gemini alike
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_TOKEN = re.compile(
    r"<\|[^|<>]*\|?>?"
)  # a control token of a chat format that came through as text
_PREFIX = re.compile(r"^(functions?|default_api|tools?|api)[._:/-]+", re.IGNORECASE)


def sendable(name: str, taken: Collection[str] = ()) -> str:
    """Return *name*, or a name like it that every provider takes and that is not in *taken*."""
    if NAME.fullmatch(name) and name not in taken:
        return name
    plain = _NOT_IN_NAME.sub("_", name).strip("_-") or "unnamed"
    plain = plain if plain[0].isalpha() else f"_{plain}"
    made = plain[:64]
    if made in taken:
        made = f"{plain[:55]}_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return made


def meant(name: str, offered: Collection[str]) -> str:
    """Return the offered tool that *name* stands for, or *name* itself where that is not certain.

    Models write the marks of their training format into names: ``functions.find``, ``functions.find:0``,
    ``find<|channel|>commentary``, ``default_api.find``. Where exactly one tool remains, it is meant.
    """
    if not name or name in offered:
        return name
    for part in _TOKEN.split(name):  # what stands before a token comes first
        if found := _within(part.strip(), offered):
            return found
    return name


def _within(text: str, offered: Collection[str]) -> str:
    if text in offered:
        return text
    words = re.split(r"[^\w-]+", text)
    for candidates in (
        {word for word in words if word in offered},
        {rest for rest in (_PREFIX.sub("", word) for word in words) if rest in offered},
        {one for one in offered if text and _folded(one) == _folded(_PREFIX.sub("", text))},
    ):
        if len(candidates) == 1:
            return candidates.pop()
        if candidates:
            return ""
    return ""


def _folded(name: str) -> str:
    return _NOT_IN_NAME.sub("_", name).replace("-", "_").strip("_").casefold()
