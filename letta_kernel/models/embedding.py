"""Text to vectors: the offline embedder a project starts with, or any embedding model by name."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

from letta_kernel.models.base import ModelError

if TYPE_CHECKING:
    import numpy as np

OFFLINE = "wordllama"
"""Name of the embedder that needs no account, key or network."""


class Embedder(Protocol):
    """Turns texts into unit vectors; safe to use from several threads at once."""

    name: str

    @property
    def dimension(self) -> int:
        """Length of a vector; asking may load the model or make one request to its provider."""
        ...

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return float32 vectors of length 1, one row per text, shape (n, dimension).

        Raises
        ------
        ModelError
            When the embedding model cannot be reached or refuses.
        """
        ...


_instances: dict[str, Embedder] = {}
_lock = threading.Lock()


def embedder(name: str | None = None) -> Embedder:
    """Return the embedder called *name*, one instance per process.

    Parameters
    ----------
    name
        ``"wordllama"`` (offline), any litellm embedding model such as
        ``"openai/text-embedding-3-small"``, or ``"local/PATH"`` of a GGUF or ONNX file. None means
        LETTA_EMBEDDING, or else ``"wordllama"``. Nothing is loaded or requested before the first text.
    """
    wanted = (name or default_name()).strip()
    if not wanted:
        raise ModelError("unknown_model", "The name of the embedding model is empty.")
    with _lock:
        if wanted not in _instances:
            _instances[wanted] = _make(wanted)
        return _instances[wanted]


def default_name() -> str:
    """Return the name of the embedder of those who name none."""
    return (os.environ.get("LETTA_EMBEDDING") or OFFLINE).strip()


def _make(name: str) -> Embedder:
    if name == OFFLINE:
        from letta_kernel.models.embedding_static import StaticEmbedder

        return StaticEmbedder()
    if name.startswith("local/"):
        from letta_kernel.models.embedding_local import LocalEmbedder

        return LocalEmbedder(name)
    from letta_kernel.models.embedding_remote import RemoteEmbedder

    return RemoteEmbedder(name)
