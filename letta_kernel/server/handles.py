"""Model names: Letta's handles, ``provider/model``, and the names models have here (litellm's)."""

from __future__ import annotations

from letta_kernel.models import plugins
from letta_kernel.models.embedding import OFFLINE
from letta_kernel.server.errors import FieldError

AUTO = ("letta/auto", "letta/letta-free", "letta/auto-fast")
"""Handles that leave the choice to the server."""

_OURS = {
    "google_ai": "gemini",
    "google_vertex": "vertex_ai",
    "together": "together_ai",
    "fireworks": "fireworks_ai",
    "lmstudio_openai": "lm_studio",
    "hugging-face": "huggingface",
}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}

_TYPES = {
    "anthropic": "anthropic",
    "azure": "azure",
    "baseten": "baseten",
    "bedrock": "bedrock",
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "google_ai": "google_ai",
    "google_vertex": "google_vertex",
    "groq": "groq",
    "hugging-face": "hugging-face",
    "letta": "letta",
    "lmstudio_openai": "lmstudio_openai",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshot",
    "ollama": "ollama",
    "ollama_chat": "ollama",
    "openai": "openai",
    "openrouter": "openrouter",
    "together": "together",
    "fireworks": "fireworks",
    "vllm": "vllm",
    "hosted_vllm": "vllm",
    "xai": "xai",
    "zai": "zai",
}
_ENDPOINTS = {"letta": "llamacpp", "local": "llamacpp", "lmstudio_openai": "lmstudio"}
_OF_ENDPOINT = {"lmstudio": "lmstudio_openai", "openai-proxy": "openai", "vllm": "hosted_vllm"}
_NO_ENDPOINT = ("cerebras",)  # provider types that the older field has no word for


def model_name(handle: str | None, field: str = "model") -> str | None:
    """Return our name of the model *handle*; None leaves the choice to the server.

    Raises
    ------
    FieldError
        It is no handle.
    """
    if handle is None or handle in AUTO:
        return None
    provider, slash, name = handle.strip().partition("/")
    alone = handle.strip().removeprefix("letta/")
    if plugins.is_joined(alone):
        return alone
    if not slash or not provider or not name or provider == "letta" or not handle.isprintable():
        raise FieldError(
            field, f"{handle[:100]!r} is no model: write provider/model, such as openai/gpt-5-mini."
        )
    return f"{_OURS.get(provider, provider)}/{name}"


def handle_of(model: str, endpoint: str | None) -> str:
    """Return the handle of a *model* by its provider's name and the *endpoint* type that older fields have."""
    if f"letta/{model}" in AUTO:
        return f"letta/{model}"
    if not endpoint or model.startswith(f"{endpoint}/"):
        return model
    if endpoint == "llamacpp":  # ours
        return f"letta/{model}"
    return f"{_OF_ENDPOINT.get(endpoint, endpoint)}/{model}"


def model_handle(name: str) -> str:
    """Return the handle of one of our models."""
    if plugins.is_joined(name):
        return f"letta/{name}"
    provider, slash, model = name.partition("/")
    return f"{_THEIRS.get(provider, provider)}/{model}" if slash else f"openai/{name}"


def embedding_name(handle: str | None) -> str | None:
    """Return our name of an embedding model; None and Letta's free one are the offline embedder."""
    if handle is None or handle in (f"letta/{OFFLINE}", "letta/letta-free", OFFLINE):
        return None
    alone = handle.strip().removeprefix("letta/")
    if plugins.is_joined(alone):
        return alone
    provider, slash, name = handle.strip().partition("/")
    if not slash or not provider or not name or not handle.isprintable():
        raise FieldError(
            "embedding",
            f"{handle[:100]!r} is no embedding model: write provider/model, such as "
            "openai/text-embedding-3-small.",
        )
    return handle.strip()


def embedding_handle(name: str | None) -> str:
    """Return the handle of one of our embedding models."""
    name = name or OFFLINE
    return f"letta/{name}" if name == OFFLINE or plugins.is_joined(name) else name


def provider_type(handle: str) -> str:
    """Return Letta's word for the kind of provider a handle begins with."""
    first = handle.partition("/")[0]
    return _TYPES.get(first, "letta" if plugins.is_joined(first) else "openai")


def endpoint_type(handle: str) -> str:
    """Return the same for the older field, which has other words for some."""
    kind = provider_type(handle)
    return "openai" if kind in _NO_ENDPOINT else _ENDPOINTS.get(kind, kind)
