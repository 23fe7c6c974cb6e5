"""litellm, which may be the user's as well: its settings are those of our calls only while one is made."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from letta_kernel import lazy_import
from letta_kernel.models import transport

_lock = threading.Lock()
_depth = 0  # how many calls are being made now
_UNSET = object()
_users: dict[str, Any] = {}  # what the user has set, meanwhile


def litellm() -> ModuleType:
    """Return litellm, imported in the background; it calls nobody but the provider asked for."""
    return lazy_import.load("litellm")


@contextmanager
def our_settings() -> Iterator[None]:
    """Give litellm's module the settings that our calls need in this block; also a decorator.

    It takes them from nowhere else. Nothing of the user's runs in such a block; what they set meanwhile from
    another thread stays.
    """
    global _depth
    module = litellm()
    ours = _ours()
    with _lock:
        _depth += 1
        if _depth == 1:
            for name, value in ours.items():
                _users[name] = getattr(module, name, _UNSET)
                setattr(module, name, value)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                for name, value in _users.items():
                    if getattr(module, name, _UNSET) is not ours[name]:
                        continue
                    if value is _UNSET:
                        delattr(module, name)
                    else:
                        setattr(module, name, value)
                _users.clear()


def _ours() -> dict[str, Any]:
    return {
        "suppress_debug_info": True,  # no advertisement in the cell where something failed
        "drop_params": True,  # what a model does not support is left out, not an error
        "modify_params": True,  # e.g. no thinking where the history has no signed thoughts
        "disable_streaming_logging": True,
        "num_retries": 0,
        "sync_transport": transport.transport(),  # so that its calls can be cut as well
        "client_session": transport.client(),
        "in_memory_llm_clients_cache": _clients(),  # else the user's calls got our connections
    }


@functools.cache
def _clients() -> Any:
    return litellm().LLMClientCache()
