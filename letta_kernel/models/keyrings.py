"""The platform's keyring, where the extra ``keyring`` is installed: macOS, Windows, GNOME and KDE have one."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from letta_kernel import lazy_import

SERVICE = "letta-kernel"
"""The name its entries have in the keyring; the user name is the variable's."""

_PATIENCE = 10.0  # seconds a keyring may take: one that is locked asks the person
_FORGET = 60.0  # seconds after which it is asked again

T = TypeVar("T")
_known: dict[str, tuple[float, str | None]] = {}
_lock = threading.Lock()
_silent = False  # it did not answer in time: it is not asked again


def value(variable: str) -> str | None:
    """Return the key that the keyring has for a variable, None without one."""
    with _lock:
        at, key = _known.get(variable, (-_FORGET, None))
    if time.monotonic() - at < _FORGET:
        return key
    backend = _backend()
    if backend is None:
        return None
    key = _asked(lambda: backend.get_password(SERVICE, variable))
    key = (key or "").strip() or None
    with _lock:
        _known[variable] = (time.monotonic(), key)
    return key


def keep(variable: str, key: str) -> bool:
    """Put a key into the keyring; return whether it is there."""
    backend = _backend()
    if backend is None:
        return False

    def work() -> bool:
        backend.set_password(SERVICE, variable, key)
        return bool(backend.get_password(SERVICE, variable) == key)

    done = bool(_asked(work))
    with _lock:
        _known.pop(variable, None)
        if done:
            _known[variable] = (time.monotonic(), key)
    return done


def shown() -> str:
    """Return in words which keyring is asked, or that there is none."""
    backend = _backend()
    if backend is None:
        return "the platform's keyring (none answers here)"
    return f"the platform's keyring ({backend.name})"


def read_so_far() -> list[str]:
    """Return the keys read from it until now."""
    with _lock:
        return [key for _, key in _known.values() if key]


def _backend() -> Any:
    """Return the keyring that answers here, None without one or without the package."""
    if _silent:
        return None
    try:
        if importlib.util.find_spec("keyring") is None:
            return None
        backend = lazy_import.load("keyring").get_keyring()
        # What stands in where a platform has none has no priority.
        return backend if backend.priority > 0 else None
    except Exception:  # a package that is broken, or a platform that is
        return None


def _asked(work: Callable[[], T]) -> T | None:
    """Return what *work* returns, None if it fails or takes too long."""
    global _silent
    box: list[T] = []

    def run() -> None:
        try:
            box.append(work())
        except Exception:  # locked, denied, no session: as if it were not there
            return

    thread = threading.Thread(target=run, name="letta-keyring", daemon=True)
    thread.start()
    ends = time.monotonic() + _PATIENCE
    while thread.is_alive() and time.monotonic() < ends:
        thread.join(0.1)  # short waits, so that the stop button works
    if thread.is_alive():
        _silent = True
    return box[0] if box else None
