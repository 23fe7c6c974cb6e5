"""Vectors for lines and questions: kept where they were made once, and done without when they must be."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import OFFLINE, Embedder

log = logging.getLogger(__name__)

_KEPT = 4096  # texts whose vectors stay at hand, for the index follows what a search just embedded
_PAUSE = 60.0  # seconds without asking an embedder that has just failed


class Vectors:
    """An embedder with a memory of what it embedded lately and patience with its failures."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.quick = embedder.name == OFFLINE  # thousands of words a second, at no cost
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
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        if missing:
            made = self.embedder.embed(missing)
            found.update(zip(missing, made, strict=True))
            with self._lock:
                for text in missing:
                    self._kept[text] = found[text].copy()
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        if not texts:
            return np.empty((0, self.embedder.dimension), dtype=np.float32)
        return np.stack([found[text] for text in texts])

    def if_possible(self, texts: Sequence[str]) -> np.ndarray | None:
        """Return one unit vector per text, or None while the embedder fails: words still find things."""
        if time.monotonic() < self._down_until:
            return None
        try:
            return self.of(texts)
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
