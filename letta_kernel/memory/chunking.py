"""Cutting long texts into passages: by paragraph, then sentence, then word, never inside a character."""

from __future__ import annotations

import re

LONGEST = 1200
"""Characters of a passage at most: a few paragraphs, about 300 tokens."""

# From the coarsest seam to the finest; a piece is cut at the first kind that makes it small enough.
_SEAMS = (
    re.compile(r"(?<=\n)(?=#{1,6} )"),  # before a heading
    re.compile(r"(?<=\n)\s*\n+"),  # blank lines
    re.compile(r"(?<=\n)"),  # lines
    re.compile(r"(?<=[.!?…])[\"')\]]*\s+|(?<=[。！？])"),  # sentences
    re.compile(r"(?<=[,;:])\s+|(?<=[、，；])"),  # clauses
    re.compile(r"\s+"),  # words
    re.compile(r"(?<=\W)(?=\w)"),  # what signs part, in a line of data without blanks
)


def chunks(text: str, longest: int = LONGEST) -> list[str]:
    """Return *text* as pieces of at most *longest* characters, in order, without blank ones.

    Neighbouring small pieces are joined as long as they fit; a text that fits is one piece.
    """
    if len(text) <= longest:
        return [text.strip()] if text.strip() else []
    return [piece for part in _cut(text, longest, 0) if (piece := part.strip())]


_CLAUSES = 4  # of the seams
_SENTENCES = re.compile(rf"\n+|{_SEAMS[3].pattern}")
_MARK = re.compile(r"\W*\w{1,3}\.\s+")  # ``1. ``, ``Dr. ``: what follows belongs to it


def sentences(text: str, longest: int | None = None) -> list[str]:
    """Return *text* as its sentences, each on one line, with what parts them; joined they are the text.

    Those of more than *longest* characters are cut at clauses, or words.
    """
    found: list[str] = []
    for piece in _split(text, _SENTENCES):
        if found and not found[-1].endswith("\n") and _MARK.fullmatch(found[-1]):
            found[-1] += piece
        else:
            found.append(piece)
    if longest is None:
        return found
    return [part for piece in found for part in _cut(piece, longest, _CLAUSES)]


def _cut(text: str, longest: int, seam: int) -> list[str]:
    if len(text) <= longest:
        return [text]
    if seam == len(_SEAMS):
        return [text[at : at + longest] for at in range(0, len(text), longest)]
    pieces: list[str] = []
    for part in _split(text, _SEAMS[seam]):
        smaller = [part] if len(part) <= longest else _cut(part, longest, seam + 1)
        if pieces and len(pieces[-1]) + len(smaller[0]) <= longest and len(part) <= longest:
            pieces[-1] += smaller[0]
        else:
            pieces += smaller
    return pieces


def _split(text: str, seam: re.Pattern[str]) -> list[str]:
    """Split at the end of each seam; joined again the parts are the text."""
    cuts = [found.end() for found in seam.finditer(text) if 0 < found.end() < len(text)]
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
