"""All rows of a project from one end to the other, and the proof that they are the same there.

A copy that was cut off goes on where it was: what is in the target already is compared with the source, which
may have changed since, and only what differs is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from letta_kernel.concurrency import Uninterrupted, obey_stop
from letta_kernel.errors import StoreError
from letta_kernel.store.move.end import PAGE_BYTES, PAGE_ROWS, End
from letta_kernel.store.move.shapes import Row, Shape, Sum, digest, flat, kept, side_by_side
from letta_kernel.store.moved import Note

Progress = Callable[[int, int, str], None]
"""Told how many rows are done, of how many, and what is being done: all are gone through twice."""


@dataclass(slots=True)
class Table:
    """What was copied of a table: its rows, their digest, and how many lost a NUL or half a character."""

    name: str
    rows: int = 0
    digest: str = ""
    cleaned: int = 0


@dataclass(slots=True)
class Copying:
    """The rows of *source* on their way to *target*.

    Parameters
    ----------
    note : what stands in the target meanwhile.
    tell : is told how far it has come.
    """

    source: End
    target: End
    shapes: Sequence[Shape]
    note: Note
    tell: Progress
    _done: int = 0
    _of: int = 0
    tables: dict[str, Table] = field(default_factory=dict)

    def copy(self) -> None:
        """Make the target's rows those of the source."""
        counts = {shape.name: self.source.count(shape) for shape in self.shapes}
        self._of = 2 * sum(counts.values())
        self.note = replace(self.note, rows=0, of=sum(counts.values()))
        for shape in self.shapes:
            self.tables[shape.name] = Table(shape.name, counts[shape.name])
            if not self.target.count(shape):
                self._fill(shape)
            elif shape.key:
                self._mend(shape)
            elif self._sum(self.source, shape) != self._sum(self.target, shape):
                self.target.clear(shape)
                self._fill(shape)
            else:
                self._went(counts[shape.name], shape)

    def verify(self) -> None:
        """Compare all rows of both ends.

        Raises
        ------
        StoreError
            They are not the same.
        """
        for shape in self.shapes:
            if shape.key:
                ours, wrong = self._compared(shape)
            else:
                ours, theirs = self._sum(self.source, shape), self._sum(self.target, shape)
                wrong = "" if ours == theirs else f"{theirs.rows:,} rows instead of {ours.rows:,}"
                self._went(ours.rows, shape, "comparing")
            if wrong:
                raise StoreError(
                    f"The copy of {shape.name} in {self.target.shown} is not the same ({wrong}): run this"
                    " again, which mends it. The source is as it was."
                )
            self.tables[shape.name].digest = ours.text

    def _compared(self, shape: Shape) -> tuple[Sum, str]:
        """Return the digest of a table in the source, and what is wrong first in the target."""
        ours = Sum()
        for row, other in self._rows(shape):
            if row is None or other is None:
                key = shape.key_of(row or other or ())
                return ours, f"{key} is {'missing' if other is None else 'too many'}"
            one = digest(row)
            if one != digest(other):
                return ours, f"{shape.key_of(row)} differs"
            ours.add(one)
            if ours.rows % PAGE_ROWS == 0:
                self._went(PAGE_ROWS, shape, "comparing")
        self._went(ours.rows % PAGE_ROWS, shape, "comparing")
        return ours, ""

    def _fill(self, shape: Shape) -> None:
        """Copy a table into one that is empty."""
        table = self.tables[shape.name]
        for page in self.source.pages(shape):
            rows = [kept(row) for row in page]
            table.cleaned += sum(one != row for one, row in zip(rows, page, strict=True))
            self._write(shape, rows)
            self._went(len(rows), shape)

    def _mend(self, shape: Shape) -> None:
        """Make a table the same as the source's, writing what differs alone."""
        fresh: list[Row] = []
        gone: list[Row] = []
        size = seen = 0
        for row, other in self._rows(shape):
            seen += row is not None
            if row is not None and other is not None and digest(row) == digest(other):
                continue
            if other is not None:
                gone.append(shape.key_of(other))
            if row is not None:
                fresh.append(row)
                size += sum(len(one) for one in row if isinstance(one, str | bytes))
            if len(fresh) + len(gone) >= PAGE_ROWS or size > PAGE_BYTES:
                self._write(shape, fresh, gone)
                self._went(seen, shape)
                fresh, gone, size, seen = [], [], 0, 0
        self._write(shape, fresh, gone)
        self._went(seen, shape)

    def _write(self, shape: Shape, rows: Sequence[Row], gone: Sequence[Row] = ()) -> None:
        obey_stop()
        self.note = replace(self.note, rows=self.note.rows + len(rows))
        with Uninterrupted():
            self.target.write(shape, rows, gone, self.note)

    def _rows(self, shape: Shape) -> Iterator[tuple[Row | None, Row | None]]:
        return side_by_side(shape, flat(self.source.pages(shape)), flat(self.target.pages(shape)))

    @staticmethod
    def _sum(end: End, shape: Shape) -> Sum:
        found = Sum()
        for row in flat(end.pages(shape)):
            found.add(digest(row))
        return found

    def _went(self, rows: int, shape: Shape, what: str = "copying") -> None:
        obey_stop()
        self._done += rows
        self.tell(self._done, self._of, f"{what} {shape.name}")
