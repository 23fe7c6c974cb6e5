"""Models: what this machine can use, by what is configured."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import OFFLINE, default_name, embedder
from letta_kernel.models.registry import available
from letta_kernel.server.schemas.models import (
    EmbeddingModelShape,
    ModelShape,
    to_embedding_model,
    to_model,
)

router = APIRouter(tags=["models"])


@router.get("/models", operation_id="list_models")
def list_models(
    provider_name: str | None = None,
    provider_type: str | None = None,
    provider_category: Annotated[list[Literal["base", "byok"]] | None, Query()] = None,
) -> list[ModelShape]:
    """Return the language models this machine can use, the one that is chosen by default first."""
    if provider_category and "base" not in provider_category:
        return []
    shapes = [to_model(info.name) for info in available() if info.usable]
    return [
        shape
        for shape in shapes
        if provider_name in (None, shape.provider_name)
        and provider_type in (None, shape.provider_type)
    ]


@router.get("/models/embedding", operation_id="list_embedding_models")
def list_embedding_models() -> list[EmbeddingModelShape]:
    """Return the offline embedding model and the one that is configured."""
    names = dict.fromkeys([default_name(), OFFLINE])
    return [to_embedding_model(name, _dimension(name)) for name in names]


def _dimension(name: str) -> int:
    try:
        return embedder(name).dimension
    except ModelError:
        return 0  # it cannot be asked now
