"""Keys of model providers: where they are taken from, one order for everyone who needs one.

First the environment of this process, where ``OPENAI_API_KEY_FILE`` and the like may name a file; then a
``.env`` beside the project; then the platform's keyring (with the extra ``keyring``). They are handed to each
call and put nowhere: neither `os.environ` nor a tool's sandbox sees what a file or the keyring holds.

A folder may have come from elsewhere. So of a ``.env`` nothing is read but the keys named in `VARIABLES`: no
address a key could be sent to, no setting.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from letta_kernel import settings
from letta_kernel.models import key_files, keyrings
from letta_kernel.project import project_folder

VARIABLES: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "openai": ("OPENAI_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "together_ai": (
        "TOGETHERAI_API_KEY",
        "TOGETHER_API_KEY",
        "TOGETHER_AI_API_KEY",
        "TOGETHER_AI_TOKEN",
    ),
    "fireworks_ai": (
        "FIREWORKS_AI_API_KEY",
        "FIREWORKS_API_KEY",
        "FIREWORKSAI_API_KEY",
        "FIREWORKS_AI_TOKEN",
    ),
    "moonshot": ("MOONSHOT_API_KEY",),
    "zai": ("ZAI_API_KEY",),
    "dashscope": ("DASHSCOPE_API_KEY",),
    "sambanova": ("SAMBANOVA_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY",),
    "azure": ("AZURE_API_KEY",),
    # Known to litellm; no model of theirs is chosen without being named.
    "ai21": ("AI21_API_KEY",),
    "cloudflare": ("CLOUDFLARE_API_KEY",),
    "codestral": ("CODESTRAL_API_KEY",),
    "featherless_ai": ("FEATHERLESS_AI_API_KEY",),
    "friendliai": ("FRIENDLI_TOKEN",),
    "github": ("GITHUB_API_KEY",),
    "huggingface": ("HUGGINGFACE_API_KEY", "HF_TOKEN"),
    "hyperbolic": ("HYPERBOLIC_API_KEY",),
    "jina_ai": ("JINA_AI_API_KEY",),
    "lambda_ai": ("LAMBDA_API_KEY",),
    "meta_llama": ("LLAMA_API_KEY",),
    "minimax": ("MINIMAX_API_KEY",),
    "nebius": ("NEBIUS_API_KEY",),
    "novita": ("NOVITA_API_KEY",),
    "nscale": ("NSCALE_API_KEY",),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "replicate": ("REPLICATE_API_KEY",),
    "vercel_ai_gateway": ("VERCEL_AI_GATEWAY_API_KEY",),
    "volcengine": ("VOLCENGINE_API_KEY",),
    "voyage": ("VOYAGE_API_KEY",),
    "wandb": ("WANDB_API_KEY",),
}
"""The variables that hold a provider's key, the usual one first."""

KNOWN: frozenset[str] = frozenset(name for names in VARIABLES.values() for name in names)

_of_files: set[str] = set()  # keys read from files that the environment names
_folders: dict[Path, set[object]] = {}  # that hold a project, with a ticket for each who opened it
_lock = threading.Lock()


def look_beside(home: Path) -> Callable[[], None]:
    """Take keys from the ``.env`` beside the project *home*; calling what is returned ends that."""
    folder = home.parent
    ticket = object()
    with _lock:
        _folders.setdefault(folder, set()).add(ticket)

    def away() -> None:
        with _lock:
            tickets = _folders.get(folder, set())
            tickets.discard(ticket)
            if not tickets:
                _folders.pop(folder, None)

    return away


def value(variable: str) -> str | None:
    """Return the key in *variable*, None if no place has one; a name that is no key's is not looked up."""
    return _found(variable)[0]


def place(variable: str) -> str:
    """Return in words where the key in *variable* is taken from, an empty string if no place has one."""
    return _found(variable)[1]


def of_provider(provider: str) -> str | None:
    """Return the key of a provider by litellm's name for it, None if no place has one."""
    return next((key for name in VARIABLES.get(provider, ()) if (key := value(name))), None)


def found() -> dict[str, str]:
    """Return the variables that hold a key, each with where it is taken from."""
    return {name: where for name in sorted(KNOWN) if (where := place(name))}


def places() -> list[str]:
    """Return in words where keys are looked for, in order."""
    files = [key_files.shown(folder / key_files.NAME) for folder in _beside()]
    said = ["the environment", *(files or ["a .env file beside the project"])]
    return [*said, keyrings.shown()]


def problems() -> list[str]:
    """Return one line for each ``.env`` that others may read or that git would take, with what to do."""
    paths = [folder / key_files.NAME for folder in _beside()]
    used = [path for path in paths if key_files.keys_in(path, KNOWN)]
    return [line for path in used for line in key_files.problems(path)]


def secrets() -> list[str]:
    """Return the keys that have been read from files and the keyring, so that texts can be cleaned of them."""
    return [*key_files.read_so_far(), *keyrings.read_so_far(), *_of_files]


def keep(variable: str, key: str, home: Path) -> str:
    """Keep a key where notebooks are not; return in words where it is, never the key.

    In the keyring where there is one that answers, unless the ``.env`` beside the project *home* has that
    variable already; else in that file, which nobody else may read and git ignores from then on.

    Raises
    ------
    InvalidInputError
        The variable is none of `KNOWN`, or this can be no key. The text does not repeat it.
    StoreError
        The file cannot be written.
    """
    from letta_kernel.errors import InvalidInputError, nearest

    if variable not in KNOWN:
        hint = nearest(variable, sorted(KNOWN))
        raise InvalidInputError(f"{variable!r} is the key of no provider.{hint}")
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or set(key) & set(" '\"\\`$#"):
        raise InvalidInputError(f"What was given for {variable} can be no key.")
    path = home.parent / key_files.NAME
    if variable not in key_files.keys_in(path, KNOWN) and keyrings.keep(variable, key):
        where = keyrings.shown()
    else:
        key_files.keep(path, variable, key)
        where = key_files.shown(path)
    if os.environ.get(variable, "").strip():
        where += "; the environment has one too, which comes first"
    return where


def _found(variable: str) -> tuple[str | None, str]:
    if variable not in KNOWN:
        given = os.environ.get(variable, "").strip()
        return (given, "the environment") if given else (None, "")
    if given := settings.secret(variable).strip():
        if os.environ.get(variable, "").strip():
            return given, "the environment"
        _of_files.add(given)
        return given, f"the file that {variable}_FILE names"
    for folder in _beside():
        path = folder / key_files.NAME
        if key := key_files.keys_in(path, KNOWN).get(variable):
            return key, key_files.shown(path)
    if key := keyrings.value(variable):
        return key, keyrings.shown()
    return None, ""


def _beside() -> list[Path]:
    """Return the folders of the open projects; before one is open, that of this process's own."""
    with _lock:
        return list(_folders) or [project_folder().parent]
