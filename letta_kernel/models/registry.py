"""Which model answers: the one named, or the best this machine can use; opened by its name."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from letta_kernel import lazy_import, settings
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError, nearest
from letta_kernel.models import facts, keys, plugins
from letta_kernel.models.base import ChatModel, ModelError
from letta_kernel.models.embedding import OFFLINE
from letta_kernel.models.facts import ollama_models, served_models
from letta_kernel.models.plugins import ModelInfo
from letta_kernel.models.providers import (
    CHAT_ADDRESSES,
    KEYLESS,
    PROVIDERS,
    Provider,
    missing_variable,
    ollama_base,
    provider_of,
)

DEMO = "demo"

_preferred = ""  # what the person chose in a front end's settings, for this process


def open_model(name: str, *, fallbacks: Sequence[str] = ()) -> ChatModel:
    """Return the model *name*; nothing is imported from or sent to a provider until it is called.

    Parameters
    ----------
    name : of a model that a package brings (`plugins`: ``demo``, ``local/…``, ``scripted/…``), or
        ``provider/model`` as litellm names them.
    fallbacks : models asked in order when this one fails for good, or cannot be opened.

    Raises
    ------
    ModelError
        A package brings models of that name and has not this one, such as a local model that is not there.
    """
    if fallbacks:
        from letta_kernel.models.fallbacks import WithFallbacks

        return WithFallbacks((name, *fallbacks), open_model)
    if provider := plugins.provider_of(name):
        return provider.open(name)
    from letta_kernel.models.gateway import Gateway

    return Gateway(name)


def prefer(name: str) -> None:
    """Take *name*, in this process, where neither the agent nor LETTA_MODEL names a model; "" ends that."""
    global _preferred
    _preferred = name.strip()


def preferred() -> str:
    """Return what was preferred, "" if nothing was."""
    return _preferred


def choose_model(agent_model: str | None) -> str:
    """Return the model that would answer now.

    What the agent has; else LETTA_MODEL; else what was preferred (`prefer`); else the first provider whose
    key (or address) is set; else a running Ollama; else the demo model.
    """
    if agent_model and agent_model.strip():
        return agent_model.strip()
    if named := settings.MODEL() or _preferred:
        return named
    for provider in PROVIDERS.values():
        if found := _ready(provider):
            return found
    pulled = ollama_models()
    return f"ollama/{pulled[0]}" if pulled else DEMO


def _ready(provider: Provider) -> str | None:
    """Return the model to use of a provider whose key or own address is set."""
    variable = provider.key_variable()
    if provider.name == "openai" and provider.is_elsewhere():
        # A server of one's own: whatever it serves, if it says so.
        served = served_models(provider.base_url() or "", provider.key())
        if served:
            return f"openai/{served[0]['id']}"
        return provider.model if variable else None
    return provider.model if variable else None


def get_ready(agent_model: str | None) -> None:
    """Begin importing the library that the next call of this agent's model needs, if it needs one.

    Which model answers may have to be asked of servers on this machine: do not wait for it.
    """
    try:
        name = choose_model(agent_model)
    except LettaError:
        return  # the call will say so
    if name == DEMO:
        lazy_import.start("wordllama")
    elif "/" in name and not plugins.is_joined(name.partition("/")[0]):
        routes: Any = lazy_import.load("letta_kernel.models.routes")  # with all that sending takes
        if routes.needs_library(name):
            lazy_import.start("litellm")


def available() -> list[ModelInfo]:
    """Return what this machine can use, the chosen one first, then how to get the rest."""
    # The order is that of `choose_model`, so that the first of a name says why it is there.
    chosen = choose_model(None)
    found: dict[str, str] = {}
    if named := settings.MODEL():
        found[named] = "LETTA_MODEL"
    if _preferred:
        found.setdefault(_preferred, "the default model of JupyterLab's settings")
    for provider in PROVIDERS.values():
        variable = provider.key_variable()
        if provider.name == "openai" and provider.is_elsewhere():
            base = provider.base_url() or ""
            for entry in served_models(base, provider.key())[:20]:
                found.setdefault(f"openai/{entry['id']}", f"served at {_shown(base)}")
        elif variable:
            found.setdefault(
                provider.model,
                f"key in {variable} ({keys.place(variable)}); any other model of it too",
            )
    pulled = ollama_models()
    for model in pulled or ():
        found.setdefault(f"ollama/{model}", f"Ollama at {_shown(ollama_base())}")
    joined = [info for provider in plugins.providers().values() for info in provider.models()]
    for info in joined:
        if info.usable:
            found.setdefault(info.name, info.how)
    usable = [ModelInfo(name, True, how, name == chosen) for name, how in found.items()]
    usable.sort(key=lambda info: not info.chosen)
    others = [info for info in joined if not info.usable]
    return usable + _obtainable(found, pulled is not None) + others + plugins.broken()


def _obtainable(found: dict[str, str], ollama_runs: bool) -> list[ModelInfo]:
    rest = [
        ModelInfo(p.model, False, f"needs {p.variable}")
        for p in PROVIDERS.values()
        if p.model not in found and not p.key_variable()
    ]
    if ollama_runs:
        how = "pull one first: ollama pull qwen3"
    else:
        how = "install and start Ollama, then: ollama pull qwen3 (or set OLLAMA_HOST)"
    if not any(name.startswith("ollama/") for name in found):
        rest.append(ModelInfo("ollama/qwen3", False, how))
    rest.append(
        ModelInfo(
            "openai/NAME",
            False,
            "any OpenAI-compatible server (vLLM, llama.cpp, LM Studio): set OPENAI_BASE_URL",
        )
    )
    return rest


def known_names() -> list[str]:
    """Return names worth completing: usable ones first, then the other providers' default models."""
    defaults = {provider.model for provider in PROVIDERS.values()}
    return [info.name for info in available() if info.usable or info.name in defaults]


def _shown(base: str) -> str:
    return urlsplit(base).netloc or base


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
            raise NotFoundError(str(error), page="unknown-model") from None
        return
    _check_provider(name, "model", "openai/gpt-5-mini")
    if _mode(name) == "embedding":
        raise InvalidInputError(
            f"{name} is an embedding model: it cannot answer.", page="unknown-model"
        )


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
            raise NotFoundError(error.text, *error.remedies, page="unknown-model") from None
        return
    _check_provider(name, "embedding model", _EMBEDDING)
    if _mode(name) == "chat":
        raise InvalidInputError(
            f"{name} answers in words; it is no embedding model.", page="unknown-model"
        )


def doubt(name: str | None) -> str:
    """Return one line on why the model *name*, though it may be one, would not answer now; "" if none."""
    if not name or name == OFFLINE or _is_joined(name):
        return ""
    provider, slash, model = name.partition("/")
    if not slash:  # litellm knows whose it is
        provider, model = str((facts.table_entry(name) or {}).get("litellm_provider", "")), name
    if (variable := missing_variable(f"{provider}/{model}")) is not None:
        return f"{variable} is not set: without it {name} cannot be asked."
    if provider in ("ollama", "ollama_chat") and facts.ollama_models() is None:
        return f"Ollama does not run here now: {name} answers once it does."
    known = provider_of(name)
    if known is not None and known.is_elsewhere():
        return _unlisted(name)
    if provider in ("ollama", "ollama_chat"):
        return _unlisted(name)
    if provider in _LISTED and facts.table_entry(short := model.rpartition("/")[2]) is None:
        hint = nearest(short, facts.table_names(provider))
        return f"{model} is in no list of {provider}'s models; it is asked for as written.{hint}"
    return ""


def missing(name: str | None) -> str:
    """Return one line that says that there is no such model, as its provider told now; "" if it may be one.

    Only a name that no table knows is asked about: a provider's newest model may be in none, yet in its list.
    """
    if not name or name == OFFLINE or _is_joined(name):
        return ""
    known = facts.table_entry(name) or facts.table_entry(name.rpartition("/")[2])
    return "" if known is not None else _unlisted(name)


def _unlisted(name: str) -> str:
    """Return one line if the server that would answer as *name* lists its models, and not this one."""
    provider, _, model = name.partition("/")
    if provider in ("ollama", "ollama_chat"):
        pulled = facts.ollama_models()
        if pulled is None or model in pulled or f"{model}:latest" in pulled:
            return ""
        return f"Ollama does not have {model} yet: ollama pull {model}."
    known = provider_of(name)
    if known is None or not (known.is_elsewhere() or provider == "openai"):
        return ""
    base = known.base_url()
    served = [str(one["id"]) for one in facts.served_models(base, known.key())] if base else []
    if not served or model in served:
        return ""
    return f"{base} does not list {model}.{nearest(model, served)}"


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
        raise InvalidInputError(f"{name[:100]!r} is no name of {_a(what)}.", page="unknown-model")


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
        raise NotFoundError(
            f"There is no {what} {name!r}.{_meant(name, what, example)}", page="unknown-model"
        )
    if not provider or not model.strip("/"):
        raise InvalidInputError(
            f"{name!r} is no {what}: write provider/model, such as {example}.", page="unknown-model"
        )
    if provider not in providers() and not os.environ.get(f"{provider.upper()}_API_BASE"):
        hint = nearest(provider, [*PROVIDERS, *sorted(KEYLESS)]) or f" Write, say, {example}."
        raise NotFoundError(
            f"There is no provider {provider!r} of {name!r}.{hint}", page="unknown-model"
        )


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
