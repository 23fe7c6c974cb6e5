"""What is known of the big providers without importing litellm: their variables and a model to begin with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from letta_kernel.models import keys


@dataclass(frozen=True, slots=True)
class Provider:
    """How one provider is reached.

    ``variables`` are alternatives, each a group of environment variables that must all be set;
    ``base_variables`` may move it to another host; ``home`` is its own host.
    """

    name: str
    model: str
    variables: tuple[tuple[str, ...], ...]
    base_variables: tuple[str, ...] = ()
    home: str = ""

    @property
    def variable(self) -> str:
        """The variable to name when none of the alternatives is set."""
        return " and ".join(self.variables[0]) if self.variables else ""

    def key_variable(self) -> str | None:
        """Return the name of the variable that holds the key in use, None if no key is set."""
        for group in self.variables:
            if all(keys.value(name) for name in group):
                return group[0]
        return None

    def key(self) -> str | None:
        """Return the key in use, None if there is none."""
        variable = self.key_variable()
        return keys.value(variable) if variable else None

    def base_url(self) -> str | None:
        """Return the address given in the environment, if any."""
        for name in self.base_variables:
            if value := os.environ.get(name, "").strip():
                return value
        return None

    def is_elsewhere(self) -> bool:
        """Whether an address in the environment points away from the provider's own host."""
        base = self.base_url()
        return base is not None and urlsplit(base).hostname != self.home


def _one(name: str, model: str, *, base: str = "", home: str = "") -> Provider:
    bases = tuple(base.split()) or (f"{name.upper()}_API_BASE",)
    variables = tuple((variable,) for variable in keys.VARIABLES[name])
    return Provider(name, f"{name}/{model}", variables, bases, home)


# In the order in which a model is chosen when none is named.
PROVIDERS: dict[str, Provider] = {
    p.name: p
    for p in (
        _one(
            "anthropic",
            "claude-sonnet-5",
            base="ANTHROPIC_API_BASE ANTHROPIC_BASE_URL",
            home="api.anthropic.com",
        ),
        _one(
            "openai",
            "gpt-5-mini",
            base="OPENAI_BASE_URL OPENAI_API_BASE",
            home="api.openai.com",
        ),
        _one("gemini", "gemini-3.5-flash"),
        _one("mistral", "mistral-medium-latest", home="api.mistral.ai"),
        _one("openrouter", "openai/gpt-5-mini", home="openrouter.ai"),
        _one("groq", "openai/gpt-oss-120b", home="api.groq.com"),
        _one("deepseek", "deepseek-chat", home="api.deepseek.com"),
        _one("xai", "grok-4.6", home="api.x.ai"),
        _one("cerebras", "gpt-oss-120b", home="api.cerebras.ai"),
        _one(
            "together_ai",
            "openai/gpt-oss-120b",
            home="api.together.ai",
        ),
        _one(
            "fireworks_ai",
            "accounts/fireworks/models/gpt-oss-120b",
            home="api.fireworks.ai",
        ),
        _one("moonshot", "kimi-k2.6", home="api.moonshot.ai"),
        _one("zai", "glm-5", home="api.z.ai"),
        _one("dashscope", "qwen-plus"),
        _one("sambanova", "gpt-oss-120b", home="api.sambanova.ai"),
        _one("deepinfra", "openai/gpt-oss-120b", home="api.deepinfra.com"),
        _one("cohere", "command-a-03-2025", home="api.cohere.com"),
        _one(
            "nvidia_nim",
            "openai/gpt-oss-120b",
            home="integrate.api.nvidia.com",
        ),
        Provider(
            "azure",
            "azure/gpt-5-mini",
            (("AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION"),),
        ),
    )
}

# Servers of one's own: no key is wanted.
KEYLESS = frozenset(
    {
        "ollama",
        "ollama_chat",
        "hosted_vllm",
        "vllm",
        "lm_studio",
        "llamafile",
        "xinference",
        "oobabooga",
        "docker_model_runner",
        "lemonade",
        "custom_openai",
        "openai_like",
        "triton",
    }
)

# Providers that speak OpenAI's chat completions, and their address as far as it is needed without litellm.
CHAT_ADDRESSES: dict[str, str] = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "hosted_vllm": "http://127.0.0.1:8000/v1",
    "lm_studio": "http://127.0.0.1:1234/v1",
    "llamafile": "http://127.0.0.1:8080/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "nebius": "https://api.studio.nebius.ai/v1",
    "github": "https://models.inference.ai.azure.com",
    "wandb": "https://api.inference.wandb.ai/v1",
}
_MORE = """
    deepseek xai together_ai fireworks_ai sambanova novita moonshot zai dashscope hyperbolic featherless_ai
    nscale meta_llama perplexity litellm_proxy friendliai vercel_ai_gateway minimax docker_model_runner
    lambda_ai volcengine
"""
CHAT_ADDRESSES.update(dict.fromkeys(_MORE.split(), ""))

OLLAMA_DEFAULT = "http://127.0.0.1:11434"


def provider_of(name: str) -> Provider | None:
    """Return what is known of the provider that the model *name* begins with."""
    return PROVIDERS.get(name.partition("/")[0])


def missing_variable(name: str) -> str | None:
    """Return the variable(s) without which *name* cannot be called; None if nothing known is missing."""
    provider = provider_of(name)
    if provider is None or provider.key_variable() or provider.is_elsewhere():
        return None
    return provider.variable


def ollama_base() -> str:
    """Return the address of Ollama: OLLAMA_API_BASE, OLLAMA_HOST or its default loopback port."""
    given = os.environ.get("OLLAMA_API_BASE") or os.environ.get("OLLAMA_HOST") or OLLAMA_DEFAULT
    given = given.strip().rstrip("/")
    if "://" not in given:
        given = f"http://{given}"
    parts = urlsplit(given)
    host = parts.hostname or "127.0.0.1"
    if host == "0.0.0.0":
        host = "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 11434
    return f"{parts.scheme}://{host}:{parts.port or default}{parts.path}"
