"""The vector index follows the store: by watermark for new lines, by outbox for edits and deletes."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from letta_kernel import side_effects
from letta_kernel.errors import HiddenLibraryError, LettaError
from letta_kernel.hooks import users_code
from letta_kernel.memory import terms
from letta_kernel.memory.corpus import FORM, words_of
from letta_kernel.memory.vectors import Vectors
from letta_kernel.models.embedding import default_name
from letta_kernel.store import indexes
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.indexes import Kind, Line, OutboxEntry
from letta_kernel.store.vector_queries import IndexRow
from letta_kernel.store.vectors import IndexAwayError, IndexBrokenError, VectorTable

log = logging.getLogger(__name__)

_BATCH, _BATCH_OF_MODELS = 500, 64  # lines embedded and added at once
_PART_OF_MODELS = 16  # of these, lines embedded at once
_SETTLE = 1.0  # seconds without anything new before the background thread begins
_LONGEST = 30.0  # seconds it lets itself be put off by new lines
# Each add makes files, and the lines of a conversation come a few at a time: searches scan the rest.
_LEAST: dict[Kind, int] = {"passages": 1, "messages": 256}
_LEAST_OF_MODELS = 32  # what a model embedded is found by meaning only once it is there
_FROM: dict[Kind, int] = {"passages": 0, "messages": 2000}
"""An owner's newest line from which on its static vectors are kept: searches consult them from 4,000 on, and
LanceDB takes 300 MB. What a model embedded, at some cost, is always kept."""
_TIMEOUT = 0.1  # seconds it waits for another process that writes: that one does the work then

# What ends one attempt and not the work: nobody is there to be told, and the folder may be back next time.
_LATER = (LettaError, IndexBrokenError, OSError)

_everyone: weakref.WeakSet[Index] = weakref.WeakSet()


class Index:
    """Keeps the table of one kind of lines and one embedder in step with the store."""

    def __init__(self, database: Database, home: Path, vectors: Vectors, kind: Kind) -> None:
        self.database = database
        self.kind: Kind = kind
        self.table = VectorTable.of(database, home, kind, vectors.embedder.name)
        self._vectors = vectors
        self._nameless = self.table.stem + indexes.NO_TABLE
        quick = vectors.quick
        self._from = _FROM[kind] if quick else 0
        self._least = _LEAST[kind] if quick else min(_LEAST[kind], _LEAST_OF_MODELS)
        self._batch = _BATCH if quick else _BATCH_OF_MODELS
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._checked: str | None = None  # the table last compared with the store
        # What a look was about that found nothing to do, and how many lines there must be for another.
        self._enough: tuple[object, int] = (None, 0)
        _everyone.add(self)

    def name(self, tx: Tx) -> str:
        """Return the name the store knows this index by, also while there is no table."""
        return self.table.name(tx) or self._nameless

    def follow(self) -> None:
        """Catch up soon, in the background; returns at once."""
        with self._lock:
            if self._stop.is_set():
                return
            self._wake.set()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, name=f"index-{self.kind}", daemon=True
                )
                self._thread.start()

    def also(self, work: Callable[[], object]) -> None:
        """Do *work* once in the background; a failure is only logged, for a search meets it again."""

        def attempt() -> None:
            try:
                if not self._stop.is_set():
                    with side_effects.at_work():
                        work()
            except _LATER as error:
                log.info("Nothing could be prepared: %s", error)

        if not self._stop.is_set():
            threading.Thread(target=attempt, name=f"prepare-{self.kind}", daemon=True).start()

    def progress(self, owner: str) -> tuple[int, int]:
        """Return up to which line an owner's lines are in the table, and the newest line's number."""
        return self.database.run(
            lambda tx: (
                indexes.mark(tx, self.name(tx), owner, self.kind),
                indexes.newest(tx, self.kind, owner),
            )
        )

    def catch_up(
        self, timeout: float = 60.0, least: int = 1, stop: threading.Event | None = None
    ) -> int:
        """Bring the table up to date; return how many lines were added.

        Parameters
        ----------
        timeout
            Seconds to wait for another process that is at it.
        least
            Leave agents alone that have fewer new lines than this.
        stop
            Ends the work after the batch it is at.

        Raises
        ------
        ModelError
            The embedding model cannot be reached; what was added so far stays.
        StoreError
            The project folder cannot be read.
        HiddenLibraryError
            A file of the user's hides what LanceDB needs.
        """
        stop = stop or threading.Event()
        with side_effects.at_work(), self.table.writing(timeout) as mine:
            if not mine:
                return 0
            try:
                return self._catch_up(least, stop)
            except IndexAwayError as error:
                log.info("The vector index of %s stays behind for now: %s", self.kind, error)
                self.table.when_back(self.follow)
                return 0
            except IndexBrokenError as error:
                if isinstance(error.__cause__, HiddenLibraryError):  # the index itself is well
                    raise error.__cause__ from None
                if not self.table.reachable():  # what it holds may have cost money
                    self.table.when_back(self.follow)
                    return 0
                log.info("The vector index of %s is broken and made anew: %s", self.kind, error)
                try:
                    self._give_up()
                    return self._catch_up(least, stop)
                except IndexBrokenError as again:
                    log.info("The vector index of %s cannot be written: %s", self.kind, again)
                    return 0

    def close(self) -> None:
        """End the background thread once its batch is done; `follow` does nothing from now on."""
        with self._lock:
            self._stop.set()
            self._wake.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)

    def _work(self) -> None:
        while not self._over():
            latest = time.monotonic() + _LONGEST
            while not self._stop.is_set():  # work that shares the interpreter waits for a pause
                self._wake.clear()
                if not self._wake.wait(_SETTLE) or time.monotonic() > latest:
                    break
            users_code.pause(_SETTLE)  # a cell's C call might keep us still with the store open
            if self._stop.is_set():
                return
            try:
                self.catch_up(_TIMEOUT, self._least, self._stop)
            except _LATER as error:  # searches read what is not indexed from the store
                log.info("The vector index of %s stays behind for now: %s", self.kind, error)
            except Exception:
                log.exception("The vector index of %s could not follow", self.kind)

    def _over(self) -> bool:
        """Wait for something to do; after a while without, the next `follow` starts another thread."""
        if self._wake.wait(30.0):
            return False
        with self._lock:
            if self._wake.is_set():
                return False
            self._thread = None
            return True

    def _catch_up(self, least: int, stop: threading.Event) -> int:
        if not self._wanted(least):
            return 0  # before LanceDB is even imported
        name = self.table.name() or self._begin()
        if self._checked != name:
            self._compare(name)
            self.database.run(self._retire_others)
            if self.table.form() != FORM and not self._renew(stop):
                return 0
            self._checked = name
        added = 0
        behind = self.database.run(lambda tx: self._behind(tx, name))
        for agent_id, mark, newest in behind:
            if self._lacking(mark, newest, least) > 0:
                continue
            added += self._add_new(name, agent_id, mark, stop)
            if stop.is_set():
                return added
        self._obey(name, stop)
        # Edits from before the table do not matter: all its lines are new.
        stale = self.database.run(lambda tx: indexes.outbox(tx, self._nameless))
        self._forgotten(stale)
        if added or stale:
            self.table.tidy()
        return added

    def _retire_others(self, tx: Tx) -> None:
        """Give up indexes that nobody has any more, but none of those that are where this one is."""
        here = [one for one in VectorTable.found(self.database, tx) if one.beside(self.table)]
        names = [one.name(tx) for one in (self.table, *here)]
        indexes.retire_stale(tx, [name for name in names if name is not None])

    def _wanted(self, least: int) -> bool:
        """Whether there is enough to do.

        Raises
        ------
        IndexBrokenError
            The index is not up to date, and cannot know.
        """

        def look(tx: Tx) -> tuple[str, tuple[int, list[OutboxEntry], int] | None]:
            name = self.name(tx)
            # Asking who is behind takes some 10 ms, for which a turn after a pause may have to wait.
            stamp, numbers = tx.stamp(*indexes.DECISIVE), indexes.numbers(tx, self.kind)
            about = (name, default_name(), least, self._checked, stamp)
            if stamp is not None and self._enough[0] == about and numbers < self._enough[1]:
                return name, None
            if indexes.is_retired(tx, name):
                raise IndexBrokenError("it has not followed for long")
            gaps = [(mark, newest) for _, mark, newest in self._behind(tx, name)]
            lacking = min(self._lacking(mark, newest, least) for mark, newest in (*gaps, (0, 0)))
            entries = indexes.outbox(tx, name, 1000)
            self._enough = (None if entries else about), numbers + lacking
            return name, (lacking, entries, indexes.longest(tx, self.kind))

        name, found = self.database.run(look)
        if found is None:
            return False
        lacking, entries, longest = found
        if name == self._nameless:
            self._forgotten(entries)  # there is nothing to be mended
            entries = []
        elif longest < self._from:
            self._give_up()  # no search would consult it
            return False
        elif name != self._checked:
            return True  # it might be another than the one we left
        return bool(entries) or lacking <= 0

    def _lacking(self, mark: int, newest: int, least: int) -> int:
        """Return how many lines more an owner must have before the table follows."""
        return max(least - (newest - mark), self._from - newest)

    def _behind(self, tx: Tx, name: str) -> list[tuple[str, int, int]]:
        return indexes.behind(tx, self.kind, name, self._vectors.embedder.name, default_name())

    def _begin(self) -> str:
        return self.table.create(self._vectors.embedder.dimension, FORM)

    def _give_up(self) -> None:
        name = self.table.name()
        self.table.drop()
        if name is not None:
            self.database.run(lambda tx: indexes.forget_index(tx, name))

    def _compare(self, name: str) -> None:
        """Find out whether the table still has what its marks say, say after a restored backup."""
        want = self.database.run(lambda tx: indexes.marked(tx, self.kind, name))
        if self.table.count() < want:
            raise IndexBrokenError("it lacks lines it should have")

    def _renew(self, stop: threading.Event) -> bool:
        """Replace words that an older version made; vectors stay, for they may have cost money.

        Nothing is changed if that is cut short: False if *stop* did so.
        """
        failed: list[LettaError] = []

        def renewed(batch: Any) -> Any:
            if stop.is_set():
                raise InterruptedError
            try:
                return self._with_new_words(batch)
            except LettaError as error:  # else the index would count as broken
                failed.append(error)
                raise

        try:
            self.table.renew(renewed, FORM)
        except IndexBrokenError:
            if failed:
                raise failed[0] from None
            if stop.is_set():
                return False
            raise
        return True

    def _with_new_words(self, batch: Any) -> Any:
        """Return rows with the words of their lines; those of lines edited since then wait for the outbox."""
        import pyarrow as pa

        columns = {name: batch[name].to_pylist() for name in ("id", "agent_id", "digest")}
        ids: dict[str, list[str]] = {}
        for item, agent_id in zip(columns["id"], columns["agent_id"], strict=True):
            ids.setdefault(agent_id, []).append(item)

        def read(tx: Tx) -> list[Line]:
            found = (indexes.of_ids(tx, self.kind, one, wanted) for one, wanted in ids.items())
            return [line for part in found for line in part]

        texts = {(line.id, line.digest): line.text for line in self.database.run(read)}
        keys = list(zip(columns["id"], columns["digest"], strict=True))
        made: dict[str, Callable[[str], object]] = {
            "words": lambda text: " ".join(words_of(text)),
            "speaker": terms.speaker,
            "asks": terms.asks,
        }
        for name, make in made.items():
            old = batch[name].to_pylist()
            new = [
                make(texts[key]) if key in texts else was
                for key, was in zip(keys, old, strict=True)
            ]
            at = batch.schema.get_field_index(name)
            batch = batch.set_column(at, name, pa.array(new, batch.schema.field(at).type))
        return batch

    def _add_new(self, name: str, agent_id: str, mark: int, stop: threading.Event) -> int:
        self.database.run(lambda tx: indexes.mark(tx, name, agent_id, self.kind))
        there = self.table.known_ids(agent_id, mark)  # added just before a crash
        added = 0
        while not stop.is_set():
            new, last = self.database.run(
                lambda tx, m=mark: indexes.after(tx, self.kind, agent_id, m, self._batch)  # type: ignore[misc]
            )
            if last == mark:
                break
            fresh = [line for line in new if line.id not in there]
            done = self._embed(fresh, stop)
            if done < len(fresh):  # what was embedded, at some cost, is kept
                fresh = fresh[:done]
                last = fresh[-1].seq
            self.table.add(self._rows(agent_id, fresh, 0))
            self._done(name, agent_id, [line.id for line in fresh], last)
            mark = last
            added += len(fresh)
        return added

    def _embed(self, new: Sequence[Line], stop: threading.Event) -> int:
        """Let a model embed lines, a few at a time, until *stop*: a process that ends waits for one batch.

        Returns
        -------
        int
            Of how many lines there are vectors, which stay at hand for `_rows`.
        """
        if self._vectors.quick:
            return len(new)
        self._know_again(new)
        for first in range(0, len(new), _PART_OF_MODELS):
            self._vectors.of([line.text for line in new[first : first + _PART_OF_MODELS]])
            if stop.is_set():
                return min(len(new), first + _PART_OF_MODELS)
        return len(new)

    def _know_again(self, new: Sequence[Line]) -> None:
        """Take the vectors of passages that were moved or are versions of others: they have cost enough."""
        if self.kind != "passages":
            return
        there = self._vectors.at_hand([line.text for line in new])
        lacking = [line for line in new if line.text not in there]
        alike = self.database.run(lambda tx: indexes.alike_rows(tx, lacking)) if lacking else {}
        wanted = {row for rows in alike.values() for row, _ in rows}
        known = self.table.vectors_by_id(sorted(wanted))
        self._vectors.know(
            {line.text: known[row] for line in lacking for row in alike[line.id] if row in known}
        )

    def _rows(self, agent_id: str, new: Sequence[Line], stamp: int) -> list[IndexRow]:
        vectors = self._vectors.of([line.text for line in new])
        return [
            IndexRow(
                line.id,
                agent_id,
                line.seq,
                stamp,
                line.created_at,
                line.tags,
                line.source,
                line.position,
                " ".join(words_of(line.text)),
                terms.speaker(line.text),
                terms.asks(line.text),
                line.digest,
                vector,
            )
            for line, vector in zip(new, vectors, strict=True)
        ]

    def _obey(self, name: str, stop: threading.Event) -> None:
        """Repeat edits and deletes in the table. Doing so twice, after a crash, does no harm."""
        while not stop.is_set():
            entries = self.database.run(lambda tx: indexes.outbox(tx, name, 1000))
            if not entries:
                return
            purged = [entry for entry in entries if entry.action == "purge"]
            done = [entry for entry in entries if entry.action != "purge"]
            for agent_id in {entry.agent_id for entry in done}:
                theirs = [entry for entry in done if entry.agent_id == agent_id]
                ids = self._obey_for(agent_id, theirs)
                self._done(name, agent_id, ids, obeyed=[entry.id for entry in theirs])
            if purged:
                self.table.write_anew([str(entry.item_id) for entry in purged])
                self._done(name, "", [], obeyed=[entry.id for entry in purged])

    def _done(
        self,
        name: str,
        agent_id: str,
        ids: Sequence[str],
        mark: int | None = None,
        obeyed: Sequence[int] = (),
    ) -> None:
        """Note what the table has taken; if another may have written meanwhile, leave it to be set right.

        Raises
        ------
        IndexAwayError
            The right to write was lost, while this process was silent, to another.
        """

        def note(tx: Tx) -> bool:
            mine = self.table.confirm(tx)
            if mine and mark is not None:
                indexes.move_mark(tx, name, agent_id, mark)
            elif mine:
                indexes.outbox_done(tx, obeyed)
            else:  # the other may have added the same rows: each is written once more, and the rest go
                indexes.tell(tx, [name], agent_id, "update", ids)
            return mine

        if not self.database.run(note):
            raise IndexAwayError("another process has written it meanwhile")

    def _forgotten(self, entries: Sequence[OutboxEntry]) -> None:
        """Remove what waits for no table any more."""
        if entries:
            ids = [entry.id for entry in entries]
            self.database.run(lambda tx: indexes.outbox_done(tx, ids))

    def _obey_for(self, agent_id: str, entries: list[OutboxEntry]) -> list[str]:
        """Repeat what was done to an agent's lines; return which lines that were."""
        ids = {entry.item_id for entry in entries if entry.item_id is not None}
        stamp = max(entry.id for entry in entries)
        if any(entry.item_id is None for entry in entries):  # everything up to then was deleted
            stored = self.database.run(lambda tx: indexes.digests(tx, self.kind, agent_id))
            ids |= self.table.known_ids(agent_id, 0) - stored.keys()
        wanted = sorted(ids)
        found = self.database.run(lambda tx: indexes.of_ids(tx, self.kind, agent_id, wanted))
        # Add the new form first: a search in between may see a line twice, but never misses it.
        self.table.add(self._rows(agent_id, found, stamp))
        self.table.remove(agent_id, [line.id for line in found], before_stamp=stamp)
        self.table.remove(agent_id, sorted(ids - {line.id for line in found}))
        return wanted


def _close_all() -> None:
    everyone = list(_everyone)
    for index in everyone:  # ask all first, so that they end at the same time
        index._stop.set()
    for index in everyone:
        index.close()


atexit.register(_close_all)
