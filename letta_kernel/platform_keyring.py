"""The platform's keyring, where the extra ``keyring`` is installed: macOS, Windows, GNOME and KDE have one."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from letta_kernel import lazy_import

SERVICE = "letta-kernel"
"""The name its entries have in the keyring."""

T = TypeVar("T")
_open: dict[str, threading.Thread] = {}  # questions that were not answered in time, by who asked


def backend() -> Any:
    """Return the keyring that answers here, None without one or without the package."""
    try:
        if importlib.util.find_spec("keyring") is None:
            return None
        found = lazy_import.load("keyring").get_keyring()
        # What stands in where a platform has none has no priority.
        return found if found.priority > 0 else None
    except Exception:  # a package that is broken, or a platform that is
        return None


def would_ask(found: Any) -> bool:
    """Whether the keyring is locked, so that using it would put a question to the person."""
    if type(found).__module__ != "keyring.backends.SecretService":
        return False
    import secretstorage

    with secretstorage.dbus_init() as bus:
        return bool(secretstorage.get_default_collection(bus).is_locked())


def asked(whose: str, work: Callable[[], T], timeout: float) -> T | None:
    """Return what *work* returns, None if it fails or takes longer than *timeout* seconds.

    As long as a question of theirs is open, those who asked it, *whose* name tells, ask no other.
    """
    box: list[T] = []

    def run() -> None:
        try:
            box.append(work())
        except Exception:  # locked, denied, no session: as if it were not there
            return

    if whose in _open and _open[whose].is_alive():
        return None
    thread = threading.Thread(target=run, name="letta-keyring", daemon=True)
    thread.start()
    ends = time.monotonic() + timeout
    while thread.is_alive() and time.monotonic() < ends:
        thread.join(0.1)  # short waits, so that the stop button works
    if thread.is_alive():
        _open[whose] = thread
    return box[0] if box else None
