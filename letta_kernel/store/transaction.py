"""One transaction, whatever engine it is of: its statements, and which tables they touched."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from letta_kernel.errors import ReadOnlyError, StoreError
from letta_kernel.ids import storable

if TYPE_CHECKING:
    import pyarrow

READ_LIMIT = 20.0
"""Seconds that one read may take while others wait for the store."""
_WRITE = re.compile(r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+\"?(\w+)", re.IGNORECASE)


@lru_cache(maxsize=1024)
def written(sql: str) -> str | None:
    """Return the table that a statement writes to, None if it is a read."""
    found = _WRITE.match(sql)
    return found[1].lower() if found else None


class CommittedInterrupt(KeyboardInterrupt):
    """The stop button was pressed during a commit, which is done; ``result`` is its value."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Tx(ABC):
    """One transaction; valid only inside the function given to `Database.run`.

    Parameters of statements are `$1`, `$2`, …; text in them is freed of NUL and lone surrogates.

    Parameters
    ----------
    refusal : why nothing can be written; None where it can.

    Attributes
    ----------
    begun : a statement was run: a transaction that needs none costs nothing.
    committed : all of it is kept.
    joining : what runs inside it, on its thread, joins it.
    touched : the tables that were written to.
    failure : what a statement of it raised; nothing of it can be kept then.
    in_file : its rows are in a file of DuckDB's, whose own SQL it understands.
    """

    in_file: ClassVar[bool] = False

    def __init__(self, refusal: str | None = None) -> None:
        self._refusal = refusal
        self.begun = False
        self.committed = False
        self.joining = False
        self.touched: set[str] = set()
        self.failure: BaseException | None = None

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written here."""
        return self._refusal is not None

    @abstractmethod
    def now(self) -> datetime:
        """Return the moment by the clock that all who share this store have in common."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run a statement whose rows, if any, do not matter."""
        self._check(sql)
        self._run(sql, _given(params))

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows; of a write without RETURNING how many it changed."""
        self._check(sql)
        return self._rows(sql, _given(params))

    def one(
        self, sql: str, params: Sequence[Any] = (), *, within: str | None = None
    ) -> tuple[Any, ...] | None:
        """Run a statement and return its first row, or None.

        For `stamp` it has written to *within*: what another than who asks for that stamp knows of.
        """
        self._check(sql, within)
        rows = self._rows(sql, _given(params))
        return rows[0] if rows else None

    def columns(self, sql: str, params: Sequence[Any] = ()) -> dict[str, np.ndarray]:
        """Run a statement and return its columns by name, several times as quickly as its rows."""
        self._check(sql)
        return self._columns(sql, _given(params))

    def arrow(self, sql: str) -> pyarrow.Table:
        """Run a statement without parameters and return its rows as an Arrow table: many of them quickly.

        pyarrow must have been imported, or an interrupt might leave half of it.
        """
        self._check(sql)
        return self._arrow(sql)

    @abstractmethod
    def stamp(self, *tables: str) -> tuple[int, ...] | None:
        """Return what stays the same as long as nobody, in any process, has written to *tables*.

        What was read from them under the same stamp need not be read again. None where that is not known,
        and where this transaction itself has written to one of them.
        """

    @abstractmethod
    def end(self) -> None:
        """Make this transaction unusable, so that nobody keeps it."""

    @property
    @abstractmethod
    def _over(self) -> bool:
        """Whether it can be used no more."""

    @abstractmethod
    def _run(self, sql: str, params: list[Any]) -> None: ...

    @abstractmethod
    def _rows(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _columns(self, sql: str, params: list[Any]) -> dict[str, np.ndarray]: ...

    @abstractmethod
    def _arrow(self, sql: str) -> pyarrow.Table: ...

    def _check(self, sql: str, within: str | None = None) -> None:
        """Refuse a statement that cannot be run, and note which table it writes to."""
        if self._over:
            raise StoreError("This transaction is over: use it only inside Database.run.")
        if (table := written(sql)) is not None:
            if self._refusal is not None:
                raise ReadOnlyError(self._refusal)
            self.touched.add(within or table)


def _given(params: Sequence[Any]) -> list[Any]:
    return [storable(value) if isinstance(value, str | list) else value for value in params]
