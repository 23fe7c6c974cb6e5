"""Vectors of lines and questions: cached, optional where the embedder fails, searched in little memory."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from letta_kernel.models.base import Embedder, EmbedderKind, ModelError

log = logging.getLogger(__name__)

Embed = Callable[[list[str]], np.ndarray]

_KEPT = 4096  # texts whose vectors stay at hand, for the index follows what a search just embedded
_PAUSE = 60.0  # seconds without asking an embedder that has just failed


class Vectors:
    """An embedder with a memory of what it embedded lately; one that fails is left alone for a while."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.kind: EmbedderKind = getattr(embedder, "kind", "remote")
        self.quick = self.kind == "static"  # thousands of words a second, at no cost
        usual = 0.0 if self.quick else None
        self.unrelated: float | None = getattr(embedder, "unrelated", usual)
        self._ask = getattr(embedder, "embed_questions", None)
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._down_until = 0.0

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector per text.

        Raises
        ------
        ModelError
            The embedding model cannot be reached or refuses.
        """
        return self._found(texts, self.embedder.embed, "")

    def if_possible(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return one unit vector per text, or None while the embedder fails: words still find things."""
        return self._tried(texts, self.embedder.embed, "")

    def question(self, text: str) -> np.ndarray | None:
        """Return the unit vector of a question, or None while the embedder fails."""
        if self._ask is None:
            found = self.if_possible([text])
        else:
            found = self._tried([text], self._ask, "question\0")
        return None if found is None else found[0]

    def know(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep vectors of texts that were embedded earlier."""
        with self._lock:
            self._kept.update(vectors)

    def at_hand(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors of those *texts* that can be had at once: nobody waits for the others."""
        if self.quick:
            found = self.if_possible(texts)
            return {} if found is None else dict(zip(texts, found, strict=True))
        with self._lock:
            return {text: self._kept[text] for text in texts if text in self._kept}

    def _found(self, texts: Sequence[str], embed: Embed, role: str) -> np.ndarray:
        with self._lock:
            kept = self._kept
            found = {text: kept[role + text] for text in texts if role + text in kept}
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        if missing:
            made = embed(missing)
            found.update(zip(missing, made, strict=True))
            with self._lock:
                for text in missing:
                    self._kept[role + text] = found[text].copy()
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        if not texts:
            return np.empty((0, self.embedder.dimension), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    def _tried(self, texts: Sequence[str], embed: Embed, role: str) -> np.ndarray | None:
        if time.monotonic() < self._down_until:
            return None
        try:
            return self._found(texts, embed, role)
        except ModelError as error:
            self._down_until = time.monotonic() + _PAUSE
            log.warning("Searching by words alone for a minute. %s", error)
            return None


def alike(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the inner product of each row of *vectors* with *vector*.

    Not by ``@``: for so little work starting BLAS's threads costs more than it gains, several times
    as much where other programs keep the cores busy.
    """
    products: np.ndarray = np.einsum("ij,j->i", vectors, vector)
    return products


_WORD = 64  # signs in one number
_CLOSER = 20  # times as many rows as are asked for are compared in full
_USUAL = 600  # rows whose likeness to a query counts as usual


class QuantisedVectors:
    """Unit vectors as bytes, and the signs of their differences from the mean, which are compared first.

    Rows are numbered as they were added.
    """

    def __init__(self) -> None:
        self._bytes: list[np.ndarray] = []
        self._scales: list[np.ndarray] = []
        self._mean = np.zeros(0, dtype=np.float32)
        self._signs: list[np.ndarray] = []  # by column of 64 signs

    def __len__(self) -> int:
        return sum(map(len, self._scales))

    def nbytes(self) -> int:
        """Return how many bytes of memory it takes, about."""
        return sum(part.nbytes for part in self._bytes)

    def fits(self, vector: np.ndarray) -> bool:
        """Whether *vector* can be compared with what is here."""
        return bool(self._bytes) and self._bytes[0].shape[1] == len(vector)

    def add(self, vectors: np.ndarray) -> None:
        """Append *vectors*, one per row."""
        scale = np.abs(vectors).max(axis=1) / 127 + np.float32(1e-12)
        self._bytes.append(np.rint(vectors / scale[:, None]).astype(np.int8))
        self._scales.append(scale.astype(np.float32))
        self._signs = []

    def nearest(
        self, vector: np.ndarray, allowed: np.ndarray, number: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the *allowed* rows most alike to a unit *vector* that fits, and how alike each is.

        Parameters
        ----------
        allowed
            One truth per row.
        number
            How many rows at most.
        """
        there = int(np.count_nonzero(allowed))
        if not there:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        self._join()
        far = self._distances(vector)
        if there < len(far):
            far[~allowed] = np.iinfo(far.dtype).max
        # Counting is quicker than sorting: distances are few.
        upto = np.cumsum(np.bincount(far)) >= min(_CLOSER * number, there)
        rows = np.flatnonzero(far <= int(np.argmax(upto)))
        similarity = self._alike(rows, vector)
        if len(rows) > number:
            best = np.argpartition(-similarity, number - 1)[:number]
            rows, similarity = rows[best], similarity[best]
        return rows, similarity

    def some(self) -> np.ndarray:
        """Return rows as they come, enough to say what is usual."""
        return np.arange(0, len(self), max(1, len(self) // _USUAL))

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of these rows."""
        self._join()
        found: np.ndarray = self._bytes[0][rows] * self._scales[0][rows, None]
        return found

    def _alike(self, rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
        return alike(self._bytes[0][rows].astype(np.float32), vector) * self._scales[0][rows]

    def _distances(self, vector: np.ndarray) -> np.ndarray:
        """Return in how many signs each row differs from *vector*."""
        total = np.zeros(len(self), dtype=np.uint16)
        for row_signs, signs in zip(
            self._signs, _packed((vector > self._mean)[None, :]), strict=True
        ):
            total += np.bitwise_count(row_signs ^ signs)
        return total

    def _join(self) -> None:
        """Bring the parts together and take their signs, once they are all there."""
        if self._signs:
            return
        self._bytes = [np.concatenate(self._bytes)]
        self._scales = [np.concatenate(self._scales)]
        parts, scales = self._bytes[0], self._scales[0]
        pieces = range(0, len(parts), 10_000)  # as floats they would take four times the memory
        whole = [parts[i : i + 10_000] * scales[i : i + 10_000, None] for i in pieces[:3]]
        self._mean = np.concatenate(whole).mean(axis=0)
        packed = [
            _packed(parts[i : i + 10_000] * scales[i : i + 10_000, None] > self._mean)
            for i in pieces
        ]
        self._signs = [np.concatenate(column) for column in zip(*packed, strict=True)]


def _packed(signs: np.ndarray) -> list[np.ndarray]:
    """Return the columns of 64 signs of each row as numbers."""
    missing = -signs.shape[1] % _WORD
    padded = np.pad(signs, ((0, 0), (0, missing)))
    numbers = np.packbits(padded, axis=1).view(np.uint64)
    return [np.ascontiguousarray(column) for column in numbers.T]
