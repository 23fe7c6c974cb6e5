"""Models: what this machine can use, by what is configured."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import OFFLINE, default_name, embedder
from letta_kernel.models.registry import available
from letta_kernel.server.deps import Page
from letta_kernel.server.paging import page
from letta_kernel.server.schemas.models import (
    EmbeddingModelShape,
    ModelShape,
    ProviderShape,
    to_embedding_model,
    to_model,
    to_provider,
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


@router.get("/providers", operation_id="list_providers")
def list_providers(
    cursor: Page, name: str | None = None, provider_type: str | None = None
) -> list[ProviderShape]:
    """Return what the models of this machine come from, each with its name as its id; no keys."""
    found = {model.provider_name: model for model in list_models(name, provider_type)}
    return page([to_provider(model) for model in found.values()], cursor)


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
