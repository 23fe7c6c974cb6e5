"""Small diffs of memory blocks: which lines went and came, and which words within them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_MOST = 400  # lines, or words of one line, compared in detail


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff: its sign and its pieces, each marked if it is what changed."""

    sign: Literal[" ", "-", "+"]
    pieces: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """The line without its sign."""
        return "".join(piece for piece, _ in self.pieces)


def diff_lines(before: str, after: str, context: int = 1) -> list[DiffLine]:
    """Return the lines that differ, with *context* unchanged lines around each change."""
    # Only lines that were replaced one for one are compared word by word: of others no line is the other's
    # old form.
    old = before.split("\n")[:_MOST] if before else []
    new = after.split("\n")[:_MOST] if after else []
    lines: list[DiffLine] = []
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context):
        if lines and context:
            lines.append(DiffLine(" ", (("⋯", False),)))
        for kind, a, b, c, d in group:
            if kind == "equal":
                lines.extend(_plain(" ", line) for line in old[a:b])
            elif kind == "replace" and b - a == d - c:
                pairs = [_within(x, y) for x, y in zip(old[a:b], new[c:d], strict=True)]
                lines.extend(pair[0] for pair in pairs)
                lines.extend(pair[1] for pair in pairs)
            else:
                lines.extend(_plain("-", line) for line in old[a:b])
                lines.extend(_plain("+", line) for line in new[c:d])
    return lines


def _plain(sign: Literal[" ", "-", "+"], line: str) -> DiffLine:
    return DiffLine(sign, ((line, False),))


def _within(old: str, new: str) -> tuple[DiffLine, DiffLine]:
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(a), len(b)) > _MOST:
        return _plain("-", old), _plain("+", new)
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < 0.4:  # little in common: marking words would only be noise
        return _plain("-", old), _plain("+", new)
    gone: list[tuple[str, bool]] = []
    come: list[tuple[str, bool]] = []
    for kind, i, j, k, m in matcher.get_opcodes():
        if i < j:
            gone.append(("".join(a[i:j]), kind != "equal"))
        if k < m:
            come.append(("".join(b[k:m]), kind != "equal"))
    return DiffLine("-", tuple(gone)), DiffLine("+", tuple(come))
