"""Lines of text in memory, laid out so that a query is scored against all of them in a millisecond."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime
from typing import Any

import numpy as np

from letta_kernel.memory import question_type, roles, terms
from letta_kernel.memory.filter import Filter
from letta_kernel.memory.line_context import LENGTH, WEIGHTS, Derived, neighbours
from letta_kernel.store.indexes import Kind, Line
from letta_kernel.store.scopes import Scope

FORM = 1
"""Goes up whenever `words_of` or `terms` change: indexes with words of an older form are renewed."""


def words_of(text: str) -> list[str]:
    """Return the terms of a line: the stems of its words, then the marks of what it offers."""
    stems = terms.terms(text, singles=True)
    return stems + question_type.offered(text, stems)


Postings = dict[str, tuple["array[int]", "array[float]"]]


class Corpus:
    """Lines with their words, neighbours and vectors. Rows are numbered as they were added.

    Not safe to use from two threads at once.

    Parameters
    ----------
    kind
        What the lines are: a message's tag is its role.
    """

    def __init__(self, kind: Kind = "passages") -> None:
        self.kind = kind
        self.ids: list[str] = []
        self.row_of: dict[str, int] = {}
        self.tags: list[tuple[str, ...]] = []
        self.digests: list[str] = []
        self._seqs = array("q")
        self._positions = array("q")
        self._sources: dict[str, int] = {}
        self._source_of = array("q")  # -1: of no source
        self._created = array("d")  # seconds since 1970
        self._speakers: dict[str, int] = {}
        self._speaker_of = array("q")
        self._roles = array("b")
        self._lengths = array("f")
        self._asks = array("b")
        self._alive = array("b")
        self._words: Postings = {}
        self._dates: Postings = {}
        self._loaded: Loaded | None = None
        self._vector_rows = array("q")
        self._vectors = np.zeros((0, 0), dtype=np.float32)
        self._derived: Derived | None = None
        self.version = 0  # goes up with every change
        self._seen: int | None = None  # how many lines a reader sees of all there are

    def __len__(self) -> int:
        return len(self.row_of) if self._seen is None else self._seen

    def add(self, lines: Sequence[Line], vectors: np.ndarray | None) -> None:
        """Add *lines* with their unit *vectors*; a line whose id is there replaces the old one.

        Without vectors the lines are found by their words alone, until `set_vectors`.
        """
        base = len(self.ids)
        for line in lines:
            speaker, asks = terms.speaker(line.text), terms.asks(line.text)
            self.append(line, words_of(line.text), speaker, asks)
        if vectors is not None:
            self.set_vectors(range(base, base + len(lines)), vectors)

    def append(
        self,
        line: Line,
        stems: list[str],
        speaker: str,
        asks: bool,
        wanted: frozenset[str] | None = None,
        role: int | None = None,
    ) -> None:
        """Add one line whose text has been looked at before; its vector is not known yet.

        Parameters
        ----------
        stems, speaker, asks
            What `words_of` and `terms` say of its text.
        wanted
            The only stems anybody will ask for; all of them if not given.
        role
            Whose line it is, if lines decide that which are not here.
        """
        if line.id in self.row_of:
            self.remove([line.id])
        row = len(self.ids)
        length = len(stems)
        if wanted is not None:
            stems = [stem for stem in stems if stem in wanted]
        if wanted is None or not wanted.isdisjoint(terms.DATE_STEMS):
            dates = terms.date_terms(line.created_at)
            _post(self._dates, row, dates if wanted is None else [d for d in dates if d in wanted])
        if stems:
            _post(self._words, row, stems)
        self.ids.append(line.id)
        self.row_of[line.id] = row
        self.tags.append(line.tags)
        self.digests.append(line.digest)
        self._seqs.append(line.seq)
        self._positions.append(line.position)
        source = line.source
        self._source_of.append(
            -1 if source is None else self._sources.setdefault(source, len(self._sources))
        )
        self._created.append(line.created_at.timestamp())
        self._speaker_of.append(self._speakers.setdefault(speaker, len(self._speakers)))
        if role is None:
            role = roles.of(speaker, line.tags, self.kind == "messages")
        self._roles.append(role)
        self._lengths.append(length)
        self._asks.append(asks)
        self._alive.append(1)
        self._changed()

    def load(self, table: Any) -> None:
        """Take in the lines an index keeps (`VectorReader.lines_of`), without vectors; do so first.

        A hundred thousand lines take about a second and some 60 MB.
        """
        self.ids = table["id"].to_pylist()
        self.row_of = {item: row for row, item in enumerate(self.ids)}
        none: tuple[str, ...] = ()
        self.tags = [tuple(tags) if tags else none for tags in table["tags"].to_pylist()]
        self.digests = table["digest"].to_pylist()
        created = table["created_at"].cast("int64").to_numpy() / 1e6
        source_of, sources = coded(table["source"])
        speaker_of, speakers = coded(table["speaker"])
        self._sources = {source: code for code, source in enumerate(sources)}
        self._speakers = {speaker: code for code, speaker in enumerate(speakers)}
        for column, values in (
            (self._seqs, table["seq"].to_numpy()),
            (self._positions, table["position"].to_numpy()),
            (self._source_of, source_of),
            (self._speaker_of, speaker_of),
        ):
            column.frombytes(np.ascontiguousarray(values, dtype=np.int64).tobytes())
        self._created.frombytes(np.ascontiguousarray(created, dtype=np.float64).tobytes())
        self._roles.frombytes(roles_of(speaker_of, speakers, self.tags, self.kind).tobytes())
        self._asks.frombytes(np.array(table["asks"].to_pylist(), dtype=np.int8).tobytes())
        alive = np.zeros(len(self.ids), dtype=np.int8)
        alive[list(self.row_of.values())] = 1  # of two rows of one id the later counts
        self._alive.frombytes(alive.tobytes())
        self._loaded = Loaded(table["words"])
        self._lengths.frombytes(self._loaded.lengths.tobytes())
        days = (created // 86_400).astype(np.int64)
        for day in np.unique(days).tolist():
            rows = np.flatnonzero(days == day).astype(np.int32)
            for stem in terms.date_terms(datetime.fromtimestamp(day * 86_400, UTC)):
                entry = self._dates.setdefault(stem, (array("i"), array("f")))
                entry[0].frombytes(rows.tobytes())
                entry[1].frombytes(np.ones(len(rows), dtype=np.float32).tobytes())
        self._changed()

    def _changed(self) -> None:
        self._derived = None
        self.version += 1

    def seen(self, scope: Scope) -> Corpus:
        """Return these lines as they are for a reader who sees only those in *scope*.

        It shares all that is in memory with this one, and holds until this one's `version` changes. Nothing
        is to be added to it.
        """
        mine = copy(self)
        living = self._in_scope(scope) & np.array(self._alive, bool)
        mine._alive = array("b", living.tobytes())
        mine._seen = int(np.count_nonzero(living))
        rows = np.array(self._vector_rows, np.int64)
        mine._vector_rows = array("q", rows[living[rows]].tobytes())
        mine._vectors = self._vectors[: len(rows)][living[rows]]
        mine._derived = None
        present = set(np.unique(np.array(self._speaker_of)[np.array(mine._alive, bool)]).tolist())
        mine._speakers = {who: code for who, code in self._speakers.items() if code in present}
        return mine

    def _in_scope(self, scope: Scope) -> np.ndarray:
        seqs, sources = np.array(self._seqs, np.int64), np.array(self._source_of, np.int64)
        found = np.zeros(len(self.ids), dtype=bool)
        named = {one.source for one in scope.stretches if one.source is not None}
        if scope.others:
            found |= ~np.isin(sources, [self._sources.get(one, -2) for one in named])
        for one in scope.stretches:
            inside = seqs >= one.first
            if one.last is not None:
                inside &= seqs <= one.last
            if one.source is not None:
                inside &= sources == self._sources.get(one.source, -2)
            found |= inside
        found[[self.row_of[item] for item in scope.without if item in self.row_of]] = False
        if scope.only is not None:
            only = np.zeros(len(self.ids), dtype=bool)
            only[[self.row_of[item] for item in scope.only if item in self.row_of]] = True
            found &= only
        return found

    def set_vectors(self, rows: Sequence[int], vectors: np.ndarray) -> None:
        """Give these rows, which have none yet, their unit vectors."""
        needed = len(self._vector_rows) + len(rows)
        have = self._vectors.shape
        if have[0] < needed or have[1] != vectors.shape[1]:
            more = np.zeros((max(needed, 2 * have[0]), vectors.shape[1]), dtype=np.float32)
            if have[1] == vectors.shape[1]:
                more[: have[0]] = self._vectors
            self._vectors = more
        self._vectors[len(self._vector_rows) : needed] = vectors
        self._vector_rows.extend(rows)
        self._changed()

    def remove(self, ids: Sequence[str]) -> None:
        """Take the lines of these ids out."""
        for item in ids:
            row = self.row_of.pop(item, None)
            if row is not None:
                self._alive[row] = 0
                self._changed()

    def words(self, word: str, mean_length: float | None = None) -> np.ndarray:
        """Return how often *word* stands in each row, its date's words included apart from context.

        Words of neighbouring rows count as `Derived.spread` says, and less in long lines than in those
        of *mean_length* (default: of these lines). One more entry than rows.
        """
        derived = self.derived()
        total = np.zeros(len(self.ids) + 1, dtype=np.float32)
        norm = 1.0 - LENGTH + LENGTH * derived.own_lengths / (mean_length or derived.mean_length)
        for rows, counts in self._postings(word):
            derived.spread(total, rows, counts * derived.alive[rows] / norm[rows])
        if word in self._dates:
            dated, times = self._dates[word]
            rows = np.array(dated, dtype=np.int64)
            total[rows] += np.array(times, dtype=np.float32) * derived.alive[rows]
        total[-1] = 0.0  # what "no row" got
        return total

    def own_words(
        self, word: str, wanted: np.ndarray, mean_length: float | None = None
    ) -> np.ndarray:
        """Return what `words` says of the *wanted* rows, without the words of their neighbours."""
        derived = self.derived()
        own = derived.own_lengths[wanted]
        norm = 1.0 - LENGTH + LENGTH * own / (mean_length or derived.mean_length)
        total = np.zeros(len(wanted), dtype=np.float32)
        dated = [tuple(map(np.array, self._dates[word]))] if word in self._dates else []
        for found, weight in ((self._postings(word), WEIGHTS[0] / norm), (dated, 1.0)):
            for rows, counts in found:
                if not len(rows):
                    continue
                at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
                total += np.where(rows[at] == wanted, counts[at] * weight, 0.0)
        return total

    def has(self, mark: str) -> np.ndarray:
        """Return how often each row itself has a mark of `question_type`."""
        total = np.zeros(len(self.ids), dtype=np.float32)
        for rows, counts in self._postings(mark):
            total[rows] = counts
        return total

    def _postings(self, word: str) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        if self._loaded is not None and word in self._loaded.codes:
            found.append(self._loaded.postings(word))
        if word in self._words:
            rows, counts = self._words[word]
            found.append((np.array(rows, dtype=np.int64), np.array(counts, dtype=np.float32)))
        return found

    def matching(self, allow: Filter) -> np.ndarray:
        """Return which rows pass a filter."""
        derived = self.derived()
        allowed = derived.alive[:-1] > 0
        # Compared in whole microseconds: as seconds a float's last digits would decide.
        if allow.start is not None:
            allowed &= derived.created >= round(allow.start.timestamp() * 1e6)
        if allow.end is not None:
            allowed &= derived.created < round(allow.end.timestamp() * 1e6)
        if allow.tags:
            asked = (allow.tags, allow.match)
            tagged = derived.tagged  # read once: another search may put its own there
            if tagged[0] != asked:
                tagged = derived.tagged = (asked, self._tagged(*asked))
            allowed &= tagged[1]
        allowed[[self.row_of[item] for item in allow.without if item in self.row_of]] = False
        return allowed

    def _tagged(self, tags: Sequence[str], match: str) -> np.ndarray:
        wanted = set(tags)
        fits = wanted.issubset if match == "all" else lambda has: not wanted.isdisjoint(has)
        return np.array([fits(has) for has in self.tags], dtype=bool)

    def said_by(self, wanted: Sequence[str]) -> np.ndarray:
        """Return 1 for each row that one of these speakers says."""
        codes = [self._speakers[who] for who in wanted]
        return np.isin(self.derived().speakers, codes).astype(np.float32)

    def speakers(self) -> list[str]:
        """Return everybody who says something, in lower case."""
        return [who for who in self._speakers if who]

    def roles(self) -> np.ndarray:
        """Return whose line each row is, as `roles` numbers them."""
        derived = self.derived()
        if derived.roles is None:
            named = derived.speakers != self._speakers.get("", -1)
            sources = np.array(self._source_of, dtype=np.int64) + 1
            found = np.array(self._roles, dtype=np.int8)
            derived.roles = roles.with_partners(found, named, sources)
        return derived.roles

    def derived(self) -> Derived:
        """Return the arrays that follow from all lines together, made anew after a change."""
        if self._derived is None:
            self._derived = self._derive()
        return self._derived

    def _derive(self) -> Derived:
        number = len(self.ids)
        alive = np.zeros(number + 1, dtype=np.float32)
        alive[:number] = np.array(self._alive, dtype=np.float32)
        asks = np.zeros(number + 1, dtype=np.float32)
        asks[:number] = np.array(self._asks, dtype=np.float32)
        lengths = np.zeros(number + 1, dtype=np.float32)
        lengths[:number] = np.array(self._lengths, dtype=np.float32)
        created = np.array(self._created, dtype=np.float64)
        sources, positions, seqs = (
            np.array(column, dtype=np.int64)
            for column in (self._source_of, self._positions, self._seqs)
        )
        living = (sources >= 0) & (alive[:-1] > 0)
        around = neighbours(sources, positions, seqs, created, living)
        derived = Derived(alive, around, asks * alive)
        derived.created = np.round(created * 1e6).astype(np.int64)
        derived.speakers = np.array(self._speaker_of, dtype=np.int64)
        derived.own_lengths = lengths + np.float32(terms.DATE_LENGTH)
        derived.lengths = derived.in_context(lengths * alive)
        derived.lengths[:number] += terms.DATE_LENGTH
        total = float((derived.own_lengths * alive).sum())
        derived.mean_length = max(1.0, total / max(1.0, float(alive.sum())))
        derived.vector_rows = np.array(self._vector_rows, dtype=np.int64)
        derived.vectors = self._vectors[: len(self._vector_rows)]
        return derived


class Loaded:
    """The words of many lines as numbers: which rows have a word, and how often."""

    def __init__(self, column: Any) -> None:
        import pyarrow.compute as pc

        split = pc.split_pattern(column.combine_chunks(), " ")
        coded = split.flatten().dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int64)
        counts = np.diff(split.offsets.to_numpy())
        number = len(counts)
        keys, times = np.unique(
            codes * number + np.repeat(np.arange(number), counts), return_counts=True
        )
        stems = coded.dictionary.to_pylist()
        self.codes = {stem: code for code, stem in enumerate(stems) if stem}
        self.lengths = np.where(np.array(pc.utf8_length(column).to_numpy()) > 0, counts, 0)
        self.lengths = self.lengths.astype(np.float32)
        self._rows = (keys % max(1, number)).astype(np.int32)
        self._times = times.astype(np.float32)
        self._starts = np.searchsorted(keys // max(1, number), np.arange(len(stems) + 1))

    def postings(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that have *word*, and how often."""
        code = self.codes[word]
        part = slice(self._starts[code], self._starts[code + 1])
        return self._rows[part], self._times[part]


def roles_of(
    speaker_of: np.ndarray, speakers: list[str], tags: Sequence[Sequence[str] | None], kind: Kind
) -> np.ndarray:
    """Return `roles.of` for many lines, whose speakers are numbers in a list."""
    if kind == "messages":
        return np.array([roles.of("", each or (), True) for each in tags], dtype=np.int8)
    each = np.array([*(roles.of(who, (), False) for who in speakers), roles.NOBODY], dtype=np.int8)
    found: np.ndarray = each[speaker_of]  # -1, nobody, is the last
    return found


def coded(column: Any) -> tuple[np.ndarray, list[str]]:
    """Return texts as numbers, -1 for none, and the list the numbers point into."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes, encoded.dictionary.to_pylist()


def _post(postings: Postings, row: int, words: list[str]) -> None:
    for word, times in Counter(words).items():
        entry = postings.get(word)
        if entry is None:
            entry = postings[word] = (array("i"), array("f"))
        entry[0].append(row)
        entry[1].append(times)
