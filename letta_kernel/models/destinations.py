"""Where what is sent to a model goes: nowhere, for one on this machine, else to whom."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from letta_kernel.models import plugins
from letta_kernel.models.providers import CHAT_ADDRESSES, PROVIDERS, ollama_base


def destinations(names: Iterable[str]) -> list[str]:
    """Return to whom the models of these names send what they are told, each once; none for this machine's."""
    return list(dict.fromkeys(found for name in names if (found := destination(name))))


def destination(name: str) -> str:
    """Return to whom the model *name* sends what it is told; empty for one on this machine.

    A provider is named with its host where that is known: ``openai (api.openai.com)``.
    """
    first = name.partition("/")[0]
    if provider := plugins.provider_of(name):
        return "" if provider.here else first
    base = _base(first)
    if first.startswith("ollama") and name.endswith(("-cloud", ":cloud")):
        base = "https://ollama.com"  # reached through the Ollama of this machine
    if base and is_here(base):
        return ""
    known = PROVIDERS.get(first)
    host = urlsplit(base if "://" in base else f"//{base}").hostname if base else ""
    host = host or (known.home if known else "")
    return f"{first} ({host})" if host else first


def is_here(address: str) -> bool:
    """Return whether an address is one of this machine's own."""
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return False
    if host in ("localhost", "host.docker.internal", socket.gethostname().lower()):
        return True
    try:
        given = ip_address(host)
    except ValueError:
        return host.endswith(".localhost")
    return given.is_loopback or given.is_unspecified


def _base(first: str) -> str:
    if first in ("ollama", "ollama_chat"):
        return ollama_base()
    known = PROVIDERS.get(first)
    named = known.base_url() if known else os.environ.get(f"{first.upper()}_API_BASE", "").strip()
    return named or CHAT_ADDRESSES.get(first, "")
