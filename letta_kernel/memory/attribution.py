"""Which version of a block brought in each of its sentences, computed from the versions."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Sequence

from letta_kernel.memory.chunking import sentences
from letta_kernel.records import BlockVersion

AT_MOST = 20_000_000
"""Characters of a block's newest versions that are compared."""
_BY_SENTENCE = 200_000  # characters of a text; a longer one is attributed by its lines
_MOVED = re.compile(r"(?:undo|redo): text of version (\d+)")

_Owners = list[BlockVersion | None]


def attribute(versions: Sequence[BlockVersion]) -> list[tuple[str, BlockVersion | None]]:
    """Return the sentences of the last version, each with the version that brought it in.

    Joined, the sentences are the text. One that was only moved stays with the version that wrote it, one that
    was edited goes with the edit, and an undo gives each back to whoever had it.

    Parameters
    ----------
    versions : a block's, oldest first. Where the first of them is not the first ever, what it holds is nobody's
        (None): it came in before.
    """
    known: dict[int, tuple[list[str], _Owners]] = {}
    texts: list[str] = []
    owners: _Owners = []
    for version in versions:
        moved = _MOVED.fullmatch(version.reason)
        before = known.get(int(moved[1])) if moved is not None and len(moved[1]) < 10 else None
        if before is not None and "".join(before[0]) == version.value:
            texts, owners = before
        else:
            new = _parts(version.value)
            first = version is versions[0] and version.version > 1
            owners = [None] * len(new) if first else _carried(texts, owners, new, version)
            texts = new
        known[version.version] = texts, owners
    return list(zip(texts, owners, strict=True))


def _parts(text: str) -> list[str]:
    if not text:
        return []
    return sentences(text) if len(text) <= _BY_SENTENCE else text.splitlines(keepends=True)


def _carried(old: list[str], owners: _Owners, new: list[str], version: BlockVersion) -> _Owners:
    """Return the owner of each sentence of *new*: those of *old* keep theirs, others belong to *version*.

    Time grows with the number of sentences: what both begin and end with stays in place, and in between a
    sentence is found by its words.
    """
    was, now = ([" ".join(one.split()) for one in texts] for texts in (old, new))
    shortest = min(len(was), len(now))
    head = next((n for n in range(shortest) if was[n] != now[n]), shortest)
    rest = shortest - head
    tail = next((n for n in range(rest) if was[-1 - n] != now[-1 - n]), rest)
    waiting: dict[str, deque[BlockVersion | None]] = defaultdict(deque)
    for text, owner in zip(was[head : len(was) - tail], owners[head:], strict=False):
        waiting[text].append(owner)
    between = [
        waiting[text].popleft() if waiting.get(text) else version
        for text in now[head : len(now) - tail]
    ]
    return [*owners[:head], *between, *owners[len(owners) - tail :]]
