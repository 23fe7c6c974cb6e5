"""The offline embedder: wordllama's static token vectors, averaged; needs no network."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from letta_kernel import lazy_import
from letta_kernel.models.base import EmbedderKind, ModelError
from letta_kernel.remedies import Do, remedy

# Tokenising costs time and memory in proportion to the text; past this much a mean no longer moves.
_MOST_CHARACTERS = 100_000


class StaticEmbedder:
    """wordllama's ``l2_supercat`` with 256 dimensions, loaded from its wheel at the first text."""

    name = "wordllama"
    dimension = 256
    kind: EmbedderKind = "static"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: tuple[Any, np.ndarray] | None = None

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per text; a text without a token gets a constant one.

        Raises
        ------
        ModelError
            When wordllama or its weights are not installed.
        """
        tokenizer, weights = self._load()
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            # One by one, not as a batch: a batch would start the tokenizer's own threads, which
            # warn at every later fork in a user's notebook, and pads all texts to the longest.
            text = text[:_MOST_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            vectors[row] = weights[ids].mean(axis=0) if ids else 1.0
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[(lengths < 1e-12)[:, 0]] = 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _load(self) -> tuple[Any, np.ndarray]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load_wordllama()
            return self._loaded


def _load_wordllama() -> tuple[Any, np.ndarray]:
    try:
        # Its weights are inside the wheel; a plain load() would try to download others.
        module = lazy_import.load("wordllama")
        folder = Path(str(module.__file__)).parent
        model = module.WordLlama.load(cache_dir=folder, disable_download=True)
    except Exception as error:
        raise ModelError(
            "other",
            f"The offline embedder could not be loaded ({error}).",
            remedy(Do.INSTALL_PACKAGES, "wordllama"),
        ) from error
    tokenizer = model.tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, np.ascontiguousarray(model.embedding, dtype=np.float32)
