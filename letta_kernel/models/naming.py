"""Whether a name can be that of a model, as far as this machine can tell without asking a provider."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

from letta_kernel import settings
from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.models import facts, plugins
from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import OFFLINE
from letta_kernel.models.providers import (
    CHAT_ADDRESSES,
    KEYLESS,
    PROVIDERS,
    missing_variable,
    provider_of,
)
from letta_kernel.models.registry import known_names, open_model

# Makers all of whose current models stand in litellm's table under their own name.
_LISTED = ("openai", "anthropic", "gemini")
_EMBEDDING = "openai/text-embedding-3-small"


def check_model(name: str) -> None:
    """Refuse a name that cannot be a language model's.

    Raises
    ------
    InvalidInputError
        It is malformed.
    NotFoundError
        Its provider does not exist, or has no such model, such as a local file that is not there.
    """
    _well_formed(name, "model")
    if _is_joined(name):
        try:
            open_model(name)
        except ModelError as error:
            raise NotFoundError(str(error)) from None
        return
    _check_provider(name, "model", "openai/gpt-5-mini")
    if _mode(name) == "embedding":
        raise InvalidInputError(f"{name} is an embedding model: it cannot answer.")


def check_embedding(name: str) -> None:
    """Refuse a name that cannot be an embedding model's; errors as `check_model`."""
    _well_formed(name, "embedding model")
    if name == OFFLINE:
        return
    if _is_joined(name):
        try:
            if (provider := plugins.provider_of(name)) is not None:
                provider.check_embedder(name)
        except ModelError as error:
            raise NotFoundError(str(error)) from None
        return
    _check_provider(name, "embedding model", _EMBEDDING)
    if _mode(name) == "chat":
        raise InvalidInputError(f"{name} answers in words; it is no embedding model.")


def doubt(name: str | None) -> str:
    """Return one line on why the model *name*, though it may be one, would not answer now; "" if none."""
    if not name or name == OFFLINE or _is_joined(name):
        return ""
    provider, slash, model = name.partition("/")
    if not slash:  # litellm knows whose it is
        provider, model = str((facts.table_entry(name) or {}).get("litellm_provider", "")), name
    if (variable := missing_variable(f"{provider}/{model}")) is not None:
        return f"{variable} is not set: without it {name} cannot be asked."
    if provider in ("ollama", "ollama_chat"):
        pulled = facts.ollama_models()
        if pulled is None:
            return f"Ollama does not run here now: {name} answers once it does."
        if model not in pulled and f"{model}:latest" not in pulled:
            return f"Ollama does not have {model} yet: ollama pull {model}."
        return ""
    known = provider_of(name)
    if known is not None and known.is_elsewhere():
        key = os.environ.get(known.key_variable() or "")
        served = [str(one["id"]) for one in facts.served_models(known.base_url() or "", key)]
        if served and model not in served:
            return f"{known.base_url()} does not list {model}.{nearest(model, served)}"
    elif provider in _LISTED and facts.table_entry(short := model.rpartition("/")[2]) is None:
        hint = nearest(short, facts.table_names(provider))
        return f"{model} is in no list of {provider}'s models; it is asked for as written.{hint}"
    return ""


def doubt_of_environment() -> str:
    """Return one line on why the model that LETTA_MODEL names would not answer now; "" if none."""
    named = settings.MODEL()
    if not named:
        return ""
    try:
        check_model(named)
    except (InvalidInputError, NotFoundError) as error:
        return f"LETTA_MODEL: {error}"
    return doubt(named)


def _well_formed(name: str, what: str) -> None:
    blank = any(sign.isspace() for sign in name) and not _is_joined(name)  # a path may have some
    if not name.strip() or not name.isprintable() or blank:
        raise InvalidInputError(f"{name[:100]!r} is no name of {_a(what)}.")


def _is_joined(name: str) -> bool:
    """Tell whether a package brings the models of this name, and judges it."""
    return plugins.is_joined(name.partition("/")[0])


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


def _check_provider(name: str, what: str, example: str) -> None:
    provider, slash, model = name.partition("/")
    if not slash:
        if facts.table_entry(name) is not None:
            return
        raise NotFoundError(f"There is no {what} {name!r}.{_meant(name, what, example)}")
    if not provider or not model.strip("/"):
        raise InvalidInputError(f"{name!r} is no {what}: write provider/model, such as {example}.")
    if provider not in providers() and not os.environ.get(f"{provider.upper()}_API_BASE"):
        hint = nearest(provider, [*PROVIDERS, *sorted(KEYLESS)]) or f" Write, say, {example}."
        raise NotFoundError(f"There is no provider {provider!r} of {name!r}.{hint}")


def _meant(name: str, what: str, example: str) -> str:
    """Return which model a name without a provider may mean."""
    write = f" Write provider/model, such as {example}."
    if what != "model":
        return nearest(name, [OFFLINE]) or write
    if name in PROVIDERS:
        return f" A model of it is {PROVIDERS[name].model!r}."
    names = known_names()
    short = {full.rpartition("/")[2].partition(":")[0]: full for full in names}
    return f" Did you mean {short[name]!r}?" if name in short else nearest(name, names) or write


def _mode(name: str) -> str:
    """Return what a model is for as litellm's table says: ``chat``, ``embedding`` and others, or ""."""
    entry = facts.table_entry(name)
    return str(entry.get("mode") or "") if entry is not None else ""


@functools.cache
def providers() -> frozenset[str]:
    """Return the names of all providers that can be reached, litellm's from its files, unimported."""
    found = {*PROVIDERS, *KEYLESS, *CHAT_ADDRESSES, *facts.table_providers()}
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        parts = Path(folder, "llms")
        if parts.is_dir():
            found.update(part.name for part in parts.iterdir() if part.is_dir())
    return frozenset(found)
