"""Which model answers: the one named, or the best this machine can use; opened by its name."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from letta_kernel import lazy_import, settings
from letta_kernel.errors import LettaError
from letta_kernel.models import keys, plugins
from letta_kernel.models.base import ChatModel
from letta_kernel.models.facts import ollama_models, served_models
from letta_kernel.models.plugins import ModelInfo
from letta_kernel.models.providers import PROVIDERS, Provider, ollama_base

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
        lazy_import.start("litellm")


def available() -> list[ModelInfo]:
    """Return what this machine can use, the chosen one first, then how to get the rest."""
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
