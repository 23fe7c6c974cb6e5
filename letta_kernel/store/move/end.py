"""What a move needs of an engine: one end of it, which is read or written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from letta_kernel.store.move.shapes import Row, Shape
from letta_kernel.store.moved import Note
from letta_kernel.store.transaction import Tx

PAGE_ROWS = 1000
PAGE_BYTES = 8 << 20
"""Of rows that are held in memory at once, unless one row alone is larger."""


@dataclass(frozen=True, slots=True)
class Page:
    """So many rows that follow each other, and the key of the last."""

    rows: int
    last: Row


class End(ABC):
    """One end of a move.

    Attributes
    ----------
    shown : where it is, without a password.
    version : of its tables, once it was opened.
    """

    shown: str

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is anything; looking makes nothing."""

    @abstractmethod
    def open(self, said: str, *, make: bool) -> None:
        """Open it for this process alone, brought up to date; others are told *said* if they wait for it.

        Raises
        ------
        StoreError
            It cannot be had, or another has it.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it; what was committed stays."""

    @abstractmethod
    def note(self) -> Note | None:
        """Return what stands in it of a move."""

    @abstractmethod
    def put_note(self, note: Note | None) -> None:
        """Keep a note, or none, and commit that. Whoever has the project open learns of it."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Tx]:
        """Give a transaction that is only read."""

    @abstractmethod
    def count(self, shape: Shape) -> int:
        """Return how many rows of a table are to be copied."""

    @abstractmethod
    def pages(self, shape: Shape) -> Iterator[Sequence[Row]]:
        """Yield the rows of a table, in the order of its key, so many at once as memory takes."""

    @abstractmethod
    def write(
        self, shape: Shape, rows: Sequence[Row], gone: Sequence[Row] = (), note: Note | None = None
    ) -> None:
        """Take out the rows with the keys *gone*, put in *rows*, keep *note*, and commit."""

    @abstractmethod
    def clear(self, shape: Shape) -> None:
        """Take out all rows of a table and commit."""


def single(rows: int, size: int) -> list[Page] | None:
    """Return the pages of a table of so many rows and bytes, if one page takes them all."""
    if rows > PAGE_ROWS or size > PAGE_BYTES:
        return None
    return [Page(rows, ())] if rows else []


def planned(sizes: Iterable[tuple[Row, int]]) -> list[Page]:
    """Return how the rows of a table, given by key and bytes, are parted into pages."""
    found: list[Page] = []
    rows = held = 0
    last: Row = ()
    for key, size in sizes:
        if rows and (rows >= PAGE_ROWS or held + size > PAGE_BYTES):
            found.append(Page(rows, last))
            rows = held = 0
        rows, held, last = rows + 1, held + size, key
    if rows:
        found.append(Page(rows, last))
    return found
