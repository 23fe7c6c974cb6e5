"""What a model can do: its window, tools, reasoning; from litellm's table, or the server itself."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from letta_kernel.models.providers import ollama_base, provider_of

UNKNOWN_WINDOW = 32_768  # tokens, for a model nothing is known of
OLLAMA_WINDOW = 16_384  # tokens asked of Ollama, whose own default cuts a prompt silently at 4,096
_TIMEOUT = 0.4  # seconds a server may take to say what it has
_FORGET = 30.0  # seconds after which a server is asked again
_TABLE = "model_prices_and_context_window_backup.json"
# Providers whose every tool-calling model is marked so in litellm's table.
_CURATED = frozenset(
    {"openai", "anthropic", "gemini", "mistral", "groq", "perplexity", "cohere_chat"}
)
# Tokens of their own tokenizers to one of OpenAI's, roughly, on English and code.
_SCALES = {"anthropic": 1.2, "gemini": 1.05, "mistral": 1.15, "ollama": 1.1, "hosted_vllm": 1.1}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one model; ``params`` are sent with every call of it."""

    context_window: int = UNKNOWN_WINDOW
    supports_tools: bool = True
    supports_reasoning: bool = False
    supports_images: bool = True  # as long as nobody says else: what is refused is described
    token_scale: float = 1.0
    params: dict[str, Any] = field(default_factory=dict)


def token_scale(name: str) -> float:
    """Return the tokens of the model *name* to one of OpenAI's, roughly."""
    return _SCALES.get(name.partition("/")[0], 1.0)


def facts_of(name: str) -> Facts:
    """Return what is known of the model *name*; never imports litellm."""
    provider, _, model = name.partition("/")
    scale = token_scale(name)
    if provider in ("ollama", "ollama_chat"):
        return _ollama(model, scale)
    entry = table_entry(name)
    if entry is None:
        return Facts(context_window=_window_of_server(name) or UNKNOWN_WINDOW, token_scale=scale)
    window = entry.get("max_input_tokens") or entry.get("max_tokens") or UNKNOWN_WINDOW
    tools = entry.get("supports_function_calling")
    if tools is None:
        tools = entry.get("litellm_provider") not in _CURATED
    return Facts(
        context_window=int(window),
        supports_tools=bool(tools),
        supports_reasoning=bool(entry.get("supports_reasoning")),
        supports_images=bool(entry.get("supports_vision")),
        token_scale=scale,
    )


def table_entry(name: str) -> dict[str, Any] | None:
    """Return what litellm's table says of a model, None if it does not know it."""
    provider, _, model = name.partition("/")
    entry, short = table_rows(name)
    if entry is None and short and str(short.get("litellm_provider", "")).startswith(provider):
        entry = short
    if entry is None and provider == "openrouter":  # not in the table: as with the maker itself
        return table_entry(model)
    if entry is not None and (other := entry.get("alias_of")):
        return table_entry(str(other))
    return entry


def table_rows(name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the rows of litellm's table for *name* and for what follows its provider, each None if missing."""
    if (known := _imported()) is not None:  # with what the user told litellm of models
        return _rows(known, name)
    return _rows_of_file(name)


@functools.lru_cache(maxsize=256)
def _rows_of_file(name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    return _rows(_table(), name)


def _rows(
    table: Mapping[str, Any], name: str
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    found = (table.get(name), table.get(name.partition("/")[2]))
    row, short = (one if isinstance(one, dict) else None for one in found)
    return row, short


def table_names(provider: str) -> list[str]:
    """Return the names of a provider's models in litellm's table, without the provider's."""
    return [
        name.removeprefix(f"{provider}/")
        for name, entry in _table().items()
        if isinstance(entry, dict) and entry.get("litellm_provider") == provider
    ]


def table_providers() -> set[str]:
    """Return the providers in litellm's table."""
    entries = (entry for entry in _table().values() if isinstance(entry, dict))
    return {str(entry.get("litellm_provider", "")) for entry in entries}


def _imported() -> Mapping[str, Any] | None:
    """Return litellm's table if it is imported."""
    return getattr(sys.modules.get("litellm"), "model_cost", None) or None


def _table() -> Mapping[str, Any]:
    """Return litellm's table; read from its file (40 ms) as long as litellm is not imported."""
    if (known := _imported()) is not None:
        return dict(known)  # another thread may add to it
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, _TABLE)
        if path.is_file():
            found = json.loads(path.read_bytes())
            return found if isinstance(found, dict) else {}
    return {}


# What servers say of themselves ------------------------------------------------------------------

_asked: dict[str, tuple[float, Any]] = {}
_asked_lock = threading.Lock()


def ask(url: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
    """Return the JSON a server answers, None if it does not in time; remembered for half a minute."""
    remembered = f"{url} {json.dumps(body)}"
    with _asked_lock:
        at, answer = _asked.get(remembered, (-_FORGET, None))
    if time.monotonic() - at < _FORGET:
        return answer
    import httpx  # not needed by a notebook without agents

    from letta_kernel.models import transport

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = transport.client().request(
            "GET" if body is None else "POST", url, json=body, headers=headers, timeout=_TIMEOUT
        )
        answer = response.json() if response.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        answer = None
    with _asked_lock:
        _asked[remembered] = (time.monotonic(), answer)
    return answer


def served_models(base: str, key: str | None = None) -> list[dict[str, Any]]:
    """Return the entries of an OpenAI-compatible server's list of models; empty if it has none."""
    answer = ask(f"{base.rstrip('/')}/models", key=key)
    entries = answer.get("data") if isinstance(answer, dict) else None
    return [e for e in entries or () if isinstance(e, dict) and isinstance(e.get("id"), str)]


def ollama_models() -> list[str] | None:
    """Return the names of Ollama's models; None if it does not run."""
    if not _listens(ollama_base()):
        return None
    answer = ask(f"{ollama_base()}/api/tags")
    if not isinstance(answer, dict):
        return None
    return [str(m["name"]) for m in answer.get("models") or () if m.get("name")]


def _listens(base: str) -> bool:
    """Whether anything listens at *base*: cheaper than httpx where, as mostly, nothing does."""
    parts = urlsplit(base)
    try:
        socket.create_connection((parts.hostname, parts.port), _TIMEOUT).close()
    except (OSError, ValueError):
        return False
    return True


def _window_of_server(name: str) -> int | None:
    provider = provider_of(name)
    if provider is not None:
        base = provider.base_url() if provider.is_elsewhere() else None
        key = provider.key()
    else:
        base = os.environ.get(f"{name.partition('/')[0].upper()}_API_BASE")
        key = None
    if not base or not base.startswith("http"):
        return None
    model = name.partition("/")[2]
    for entry in served_models(base, key):
        if entry["id"] == model:
            meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
            for holder in (entry, meta):
                for word in ("max_model_len", "context_window", "context_length", "n_ctx"):
                    value = (holder or {}).get(word)
                    if isinstance(value, int) and value > 0:
                        return value
    return None


def _ollama(model: str, scale: float) -> Facts:
    shown = ask(f"{ollama_base()}/api/show", {"model": model})
    if not isinstance(shown, dict):
        return Facts(
            OLLAMA_WINDOW,
            supports_images=False,
            token_scale=scale,
            params={"num_ctx": OLLAMA_WINDOW},
        )
    info = shown.get("model_info") or {}
    trained = [v for k, v in info.items() if k.endswith(".context_length") and isinstance(v, int)]
    window = min([*trained, OLLAMA_WINDOW])
    able = shown.get("capabilities")
    return Facts(
        context_window=window,
        supports_tools="tools" in able if isinstance(able, list) else True,
        supports_reasoning="thinking" in able if isinstance(able, list) else False,
        supports_images="vision" in able if isinstance(able, list) else False,
        token_scale=scale,
        params={"num_ctx": window},
    )
