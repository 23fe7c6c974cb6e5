"""Keys of providers in the platform's keyring, each under the name of its variable."""

from __future__ import annotations

import threading
import time

from letta_kernel.platform_keyring import SERVICE, asked, backend

_WHOSE = "keys of providers"
_TIMEOUT = 10.0  # seconds a keyring may take: one that is locked asks the person
_FORGET = 60.0  # seconds after which it is asked again

_known: dict[str, tuple[float, str | None]] = {}
_lock = threading.Lock()


def value(variable: str) -> str | None:
    """Return the key that the keyring has for a variable, None without one."""
    with _lock:
        at, key = _known.get(variable, (-_FORGET, None))
    if time.monotonic() - at < _FORGET:
        return key
    ring = backend()
    if ring is None:
        return None
    key = asked(_WHOSE, lambda: ring.get_password(SERVICE, variable), _TIMEOUT)
    key = (key or "").strip() or None
    with _lock:
        _known[variable] = (time.monotonic(), key)
    return key


def keep(variable: str, key: str) -> bool:
    """Put a key into the keyring; return whether it is there."""
    ring = backend()
    if ring is None:
        return False

    def work() -> bool:
        ring.set_password(SERVICE, variable, key)
        return bool(ring.get_password(SERVICE, variable) == key)

    done = bool(asked(_WHOSE, work, _TIMEOUT))
    with _lock:
        _known.pop(variable, None)
        if done:
            _known[variable] = (time.monotonic(), key)
    return done


def shown() -> str:
    """Return in words which keyring is asked, or that there is none."""
    ring = backend()
    if ring is None:
        return "the platform's keyring (none answers here)"
    return f"the platform's keyring ({ring.name})"


def read_so_far() -> list[str]:
    """Return the keys read from it until now."""
    with _lock:
        return [key for _, key in _known.values() if key]
