"""Text to vectors: the offline embedder a project starts with, or any embedding model by name."""

from __future__ import annotations

import threading

from letta_kernel import settings
from letta_kernel.models import plugins
from letta_kernel.models.base import Embedder as Embedder
from letta_kernel.models.base import ModelError

OFFLINE = "wordllama"
"""Name of the embedder that needs no account, key or network."""


_instances: dict[str, Embedder] = {}
_lock = threading.Lock()


def embedder(name: str | None = None) -> Embedder:
    """Return the embedder called *name*, one instance per process.

    Parameters
    ----------
    name
        ``"wordllama"`` (offline), ``"multilingual"`` (offline, an extra), any litellm embedding model such
        as ``"openai/text-embedding-3-small"``, or ``"local/PATH"`` of a GGUF or ONNX file. None means
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
    return settings.EMBEDDING() or OFFLINE


def _make(name: str) -> Embedder:
    if name == OFFLINE:
        from letta_kernel.models.embedding_static import StaticEmbedder

        return StaticEmbedder()
    if provider := plugins.provider_of(name):
        return provider.embedder(name)
    from letta_kernel.models.embedding_remote import RemoteEmbedder

    return RemoteEmbedder(name)
