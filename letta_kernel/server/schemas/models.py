"""Models in the API's shapes."""

from __future__ import annotations

from typing import Literal

from letta_kernel.server.handles import embedding_handle, endpoint_type, model_handle, provider_type
from letta_kernel.server.schemas.agents import window_of
from letta_kernel.server.schemas.base import Shape


class ModelShape(Shape):
    """A language model this machine can use."""

    name: str
    handle: str
    display_name: str
    provider_name: str
    provider_type: str
    model_type: Literal["llm"] = "llm"
    max_context_window: int
    model: str
    model_endpoint_type: str
    context_window: int
    provider_category: Literal["base"] = "base"


class EmbeddingModelShape(Shape):
    """An embedding model this machine can use."""

    name: str
    handle: str
    display_name: str
    provider_name: str
    provider_type: str
    model_type: Literal["embedding"] = "embedding"
    embedding_dim: int
    embedding_model: str
    embedding_endpoint_type: str
    batch_size: int | None = None


class ProviderShape(Shape):
    """What models come from; keys are the machine's and never told."""

    id: str
    name: str
    provider_type: str
    provider_category: Literal["base"] = "base"
    base_url: str | None = None


def to_provider(model: ModelShape) -> ProviderShape:
    """Return what *model* comes from."""
    return ProviderShape(
        id=f"provider-{model.provider_name}",
        name=model.provider_name,
        provider_type=model.provider_type,
    )


def to_model(name: str) -> ModelShape:
    """Return the model of ours called *name* in the API's shape."""
    handle = model_handle(name)
    provider, _, model = handle.partition("/")
    window = window_of(name)
    return ModelShape(
        name=model,
        handle=handle,
        display_name=model,
        provider_name=provider,
        provider_type=provider_type(handle),
        max_context_window=window,
        model=model,
        model_endpoint_type=endpoint_type(handle),
        context_window=window,
    )


def to_embedding_model(name: str, dimension: int) -> EmbeddingModelShape:
    """Return the embedding model of ours called *name* in the API's shape."""
    handle = embedding_handle(name)
    provider, _, model = handle.partition("/")
    return EmbeddingModelShape(
        name=model,
        handle=handle,
        display_name=model,
        provider_name=provider,
        provider_type=provider_type(handle),
        embedding_dim=dimension,
        embedding_model=model,
        embedding_endpoint_type=endpoint_type(handle),
    )
