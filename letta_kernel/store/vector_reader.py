"""Reading one table of words and vectors: how it is found, opened and asked, and what an error there means."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from letta_kernel.errors import HiddenLibraryError
from letta_kernel.store import index_storage
from letta_kernel.store.index_storage import IndexBrokenError
from letta_kernel.store.lancedb_tables import lancedb
from letta_kernel.store.pointers import Keeper, Pointer
from letta_kernel.store.scopes import listed, quoted
from letta_kernel.store.transaction import Tx
from letta_kernel.store.vector_queries import Candidate, ask, best_rows, candidates_in, matrix

_LINE_COLUMNS = (
    "id",
    "seq",
    "created_at",
    "tags",
    "source",
    "position",
    "words",
    "speaker",
    "asks",
    "digest",
)

T = TypeVar("T")


class VectorReader:
    """What can be asked of the table that a pointer names; any number of processes may."""

    def __init__(self, keeper: Keeper) -> None:
        self.stem = keeper.stem
        self._keeper = keeper
        self._guard = threading.RLock()
        self._opened: tuple[str, Any] | None = None
        self._read: tuple[str, Any] | None = None

    def beside(self, other: VectorReader) -> bool:
        """Return whether it lies in the same folder or object storage as another."""
        return self._keeper.storage is other._keeper.storage

    def place(self) -> str:
        """Return where the table is."""
        return self._keeper.uri()

    def name(self, tx: Tx | None = None) -> str | None:
        """Return the table's name with its dimension and generation; None if there is no table.

        Inside a transaction *tx* must be given.
        """
        return self._named_by(self._keeper.look(tx))

    def _named_by(self, pointer: Pointer | None) -> str | None:
        return None if pointer is None else f"{self.stem}-{pointer.dimension}-{pointer.generation}"

    def dimension(self) -> int:
        """Return how many numbers a vector has; 0 if there is no table."""
        pointer = self._keeper.seen()
        return pointer.dimension if pointer is not None else 0

    def form(self) -> int:
        """Return of which form the words in the table are; 0 before there were any."""
        pointer = self._keeper.seen()
        return pointer.form if pointer is not None else 0

    def reachable(self) -> bool:
        """Whether the place of the tables answers, so that an error is the table's own."""
        storage = self._keeper.storage
        return storage.options is None or storage.probe() is None

    def when_back(self, work: Callable[[], None]) -> None:
        """Have a method called once the place of the tables answers again, or may be tried again."""
        self._keeper.storage.when_back(work)

    def size(self) -> int:
        """Return how many bytes the rows take; 0 if there is no table."""
        if self._keeper.seen() is None:
            return 0
        return int(self._asked(lambda table: table.stats()["total_bytes"]))

    def known_ids(self, agent_id: str, after_seq: int) -> set[str]:
        """Return the ids of an agent's rows after a seq: what was added before a crash."""
        where = f"agent_id = {quoted(agent_id)} AND seq > {int(after_seq)}"

        def ids(table: Any) -> set[str]:
            found = table.search().where(where).select(["id"]).limit(10_000_000).to_arrow()
            return set(found["id"].to_pylist())

        return self._asked(ids)

    def count(self, agent_id: str | None = None) -> int:
        """Return how many rows there are, of an agent or in all."""
        where = None if agent_id is None else f"agent_id = {quoted(agent_id)}"
        return int(self._asked(lambda table: table.count_rows(where)))

    def vectors_of(self, agent_id: str, seqs: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the vectors of an agent's rows of these seqs, by id."""
        if not seqs:
            return {}
        numbers = ", ".join(str(int(seq)) for seq in seqs)
        where = f"agent_id = {quoted(agent_id)} AND seq IN ({numbers})"

        def vectors(table: Any) -> dict[str, np.ndarray]:
            query = table.search().where(where).select(["id", "vector"])
            found = query.limit(10_000_000).to_arrow()
            return dict(zip(found["id"].to_pylist(), matrix(found), strict=True))

        return self._asked(vectors)

    def vectors_by_id(self, ids: Sequence[str]) -> dict[tuple[str, str], np.ndarray]:
        """Return the vectors of rows by their id and digest, whosever they are."""
        if not ids:
            return {}

        def vectors(table: Any) -> dict[tuple[str, str], np.ndarray]:
            query = table.search().where(f"id IN ({listed(ids)})")
            found = query.select(["id", "digest", "vector"]).limit(10_000_000).to_arrow()
            keys = zip(found["id"].to_pylist(), found["digest"].to_pylist(), strict=True)
            return dict(zip(keys, matrix(found), strict=True))

        return self._asked(vectors)

    def lines_of(
        self,
        agent_id: str,
        after_seq: int,
        vectors: Callable[[np.ndarray], None] | None = None,
    ) -> Any:
        """Return an agent's rows after a seq as an Arrow table of all but agents and vectors.

        *vectors*, if given, is called with those, some thousand rows at a time and in the same order.
        """
        import pyarrow as pa

        where = f"agent_id = {quoted(agent_id)} AND seq > {int(after_seq)}"
        columns = [*_LINE_COLUMNS, *(["vector"] if vectors is not None else [])]

        def lines(table: Any) -> Any:
            query = table.search().where(where).select(columns).limit(10_000_000)
            if vectors is None:
                return query.to_arrow()
            found = query.to_batches()
            parts = [found.schema.empty_table().select(_LINE_COLUMNS)]
            for batch in found:
                part = pa.Table.from_batches([batch])
                vectors(matrix(part))
                parts.append(part.select(_LINE_COLUMNS))
            return pa.concat_tables(parts)

        return self._asked(lines)

    def candidates(
        self,
        where: str,
        words: Sequence[str],
        by_words: int,
        vector: np.ndarray | None,
        by_meaning: int,
        *,
        vectors: bool = True,
    ) -> Callable[[], list[Candidate]]:
        """Ask at once for the rows that best match any of *words*, then those like *vector*.

        Parameters
        ----------
        where
            A filter as `condition` makes it; it is applied before the limits.
        words
            Stems, matched by BM25.
        by_words, by_meaning
            How many rows of each kind at most.
        vector
            Of unit length; None if there is none to be had.
        vectors
            False: only their likeness is known; that takes less time.

        Returns
        -------
        Callable
            Waits for the answer.
        """
        with self._broken():
            asked = ask(self._named(where, words, by_words, vector, by_meaning, vectors))

        def answer() -> list[Candidate]:
            with self._broken():
                parts = self._keeper.storage.awaited(asked)
                return [candidate for part in parts for candidate in candidates_in(part)]

        return answer

    async def _named(self, *asked: Any) -> list[Any]:
        return await best_rows(await self._reading(), *asked)

    async def _reading(self) -> Any:
        name = self._known_name()
        if self._read is None or self._read[0] != name:
            connection = await lancedb().connect_async(
                self._keeper.uri(), storage_options=self._keeper.storage.options
            )
            self._read = (name, await connection.open_table(name))
        else:
            # Once for a question, so that it sees what others add: with an interval each of its parts would.
            await self._read[1].checkout_latest()
        return self._read[1]

    def _known_name(self) -> str:
        name = self._named_by(self._keeper.seen())
        if name is None:
            raise IndexBrokenError("there is no table")
        return name

    def _asked(self, question: Callable[[Any], T]) -> T:
        """Return the table's answer to a question that may be large."""
        with self._broken():
            table = self._table()
            return self._keeper.storage.patiently(lambda: question(table), index_storage.LOAD)

    def _table(self) -> Any:
        name, storage = self._known_name(), self._keeper.storage
        with self._guard:
            if self._opened is None or self._opened[0] != name:
                self._opened = (
                    name,
                    storage.patiently(lambda: self._connect().open_table(name)),
                )
            else:
                storage.patiently(self._opened[1].checkout_latest)
            return self._opened[1]

    def _connect(self) -> Any:
        return lancedb().connect(self._keeper.uri(), storage_options=self._keeper.storage.options)

    @contextlib.contextmanager
    def _broken(self, writing: bool = False) -> Iterator[None]:
        storage = self._keeper.storage
        storage.check(writing)
        try:
            yield
            storage.works(writing)
        except (IndexBrokenError, KeyboardInterrupt):
            raise
        except HiddenLibraryError as error:  # the index itself is well
            raise IndexBrokenError(str(error)) from error
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and others
            with self._guard:
                self._opened = self._read = None
            self._keeper.forget()
            failure = storage.failure(error, writing)
            # What an object storage answers may say whose key it was asked with.
            raise failure from (error if storage.options is None else None)
