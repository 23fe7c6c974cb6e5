"""Words that mean something alike: a question about a pet also looks, a little, for a dog."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from letta_kernel.memory.vectors import alike

_LIKE = 0.35  # cosine, after centring, from which on two words count as kin
_MOST = 4  # kin of one word that are looked for


class RelatedWords:
    """The words of one corpus as vectors.

    Parameters
    ----------
    embed
        Turns words into unit vectors; it is asked for thousands at once, so it must be quick.
    """

    def __init__(self, embed: Callable[[list[str]], np.ndarray]) -> None:
        self._embed = embed
        self._stems: list[str] = []
        self._known: set[str] = set()
        self._vectors: list[np.ndarray] = []
        self._centred: np.ndarray | None = None
        self._mean: np.ndarray | None = None

    def learn(self, surfaces: Mapping[str, str]) -> None:
        """Take up the words (stem to a word that has it) that are not known yet."""
        if len(surfaces) == len(self._known):
            return
        new = [stem for stem in surfaces if stem not in self._known]
        self._stems += new
        self._known.update(new)
        self._vectors.append(self._embed([surfaces[stem] for stem in new]))
        self._vectors = [np.concatenate(self._vectors)]
        # All words share a direction that says nothing; without it likeness is told apart better.
        self._mean = self._vectors[0].mean(axis=0)
        self._centred = _unit(self._vectors[0] - self._mean)

    def of(self, words: Mapping[str, str]) -> dict[str, list[tuple[str, float]]]:
        """Return for each word (stem to surface) the stems most like it and how like, best first."""
        if self._centred is None or not words:
            return {}
        asked = _unit(self._embed(list(words.values())) - self._mean)
        found = {}
        for stem, vector in zip(words, asked, strict=True):
            row = alike(self._centred, vector)
            many = min(_MOST + 1, len(row))
            best = np.argpartition(-row, many - 1)[:many]
            kin = [(self._stems[i], float(row[i])) for i in best[np.argsort(-row[best])]]
            found[stem] = [(k, s) for k, s in kin if k != stem and s >= _LIKE][:_MOST]
        return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit
