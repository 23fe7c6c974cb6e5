"""Language models in this process: GGUF files on llama.cpp, joined as the provider ``local``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from letta_kernel.models.base import Cancel, ChatModel, Embedder
from letta_kernel.models.plugins import ModelInfo, ModelProvider, Offer
from letta_kernel.remedies import Do, remedy

_MOST_OFFERED = 2  # in the list of models; `%agent model get` lists them all


class Local(ModelProvider):
    """``local/NAME`` of a downloaded model, ``local/PATH`` of any GGUF file."""

    here = True

    def open(self, name: str) -> ChatModel:
        """Return the local model *name*; it is loaded at its first call."""
        from letta_kernel.models.local.model import open_local

        return open_local(name)

    def models(self) -> list[ModelInfo]:
        """Return the models that are here, and the first of those that are not."""
        from letta_kernel.models.local import files

        found = [
            ModelInfo(f"local/{file.name}", True, f"in this process: {file.about}")
            for file in files.downloaded()
        ]
        for offer in files.offers()[:_MOST_OFFERED]:
            how = f"{offer.size}, {offer.licence}; runs in this process"
            get = remedy(Do.GET_MODEL, offer.name)
            found.append(ModelInfo(f"local/{offer.name}", False, how, get=get))
        found.append(ModelInfo("local//PATH.gguf", False, "a model in this process: a GGUF file"))
        return found

    def names(self) -> list[str]:
        """Return every model of the list, downloaded or not."""
        return list(self.offers())

    def embedder(self, name: str) -> Embedder:
        """Return the embedding model of a GGUF or ONNX file."""
        from letta_kernel.models.local.embedding import LocalEmbedder

        return LocalEmbedder(name)

    def check_embedder(self, name: str) -> None:
        """Look for the file of an embedding model, and for what runs it."""
        from letta_kernel.models.local.embedding import check

        check(name)

    def offers(self) -> dict[str, Offer]:
        """Return the models worth having, smallest first."""
        from letta_kernel.models.local.files import CATALOGUE

        return {f"local/{name}": offer for name, offer in CATALOGUE.items()}

    def downloaded(self) -> list[str]:
        """Return the names of models that are on this machine."""
        from letta_kernel.models.local import files

        return [f"local/{file.name}" for file in files.downloaded()]

    def download(
        self,
        name: str,
        *,
        confirm: Callable[[str], bool],
        progress: Callable[[int, int], None] = lambda done, total: None,
        cancel: Cancel | None = None,
    ) -> Path:
        """Download a model of the list; see `ModelProvider.download`."""
        from letta_kernel.models.local import files

        return files.download(name, confirm=confirm, progress=progress, cancel=cancel)
