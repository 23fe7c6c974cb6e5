"""Look at the user's values safely: what takes too long is given up, what fails is named."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

TIMEOUT = 2.0
"""Seconds that looking at one value may take."""
_PLAIN = (bool, int, float, complex, type(None))
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}
_MOST_ITEMS = 20  # of a list or dictionary that are shown
_DEEPEST = 4


class _GivenUpError(BaseException):
    """Ends a thread that looks at a value for too long."""


def guarded(work: Callable[[], T], otherwise: Callable[[str], T], seconds: float = TIMEOUT) -> T:
    """Return what *work* returns, or *otherwise* of why it did not: it failed, or took too long.

    It runs on a thread of its own, so that code of the user's that never returns (a ``__repr__``, a property)
    can be left; the stop button gets through.
    """
    found: list[T] = []
    failed: list[str] = []
    done = threading.Event()

    def look() -> None:
        try:
            found.append(work())
        except _GivenUpError:
            pass
        except BaseException as error:
            failed.append(f"it raises {type(error).__name__}")
        finally:
            done.set()

    thread = threading.Thread(target=look, name="letta-look", daemon=True)
    thread.start()
    try:
        waited = 0.0
        while not done.wait(0.05):  # short: the stop button gets through
            waited += 0.05
            if waited > seconds:
                return otherwise(f"it takes longer than {seconds:g} s")
    finally:
        if not done.is_set() and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(_GivenUpError)
            )
    return found[0] if found else otherwise(failed[0] if failed else "it cannot be shown")


def type_name(value: Any) -> str:
    """Return the type of *value* as people write it: ``DataFrame``, ``sklearn.svm.SVC``."""
    kind = type(value)
    try:
        module, name = str(kind.__module__), str(kind.__qualname__)
    except Exception:  # a metaclass of the user's
        return "object"
    return name if module in ("builtins", "__main__") else f"{module.partition('.')[0]}.{name}"


def short_repr(value: Any, limit: int = 200, depth: int = 0) -> str:
    """Return a ``repr`` of at most *limit* characters; of large containers only what is shown is looked at.

    Calls ``__repr__`` of what is not Python's own: see `guarded`.
    """
    kind = type(value)
    if kind in _PLAIN:
        if kind is int and value.bit_length() > 2_000:
            return f"<an int of {value.bit_length():,} bits>"
        return repr(value)
    if kind in (str, bytes):
        return _cut(repr(value[: limit + 1]), limit)
    if kind in _BRACKETS:
        return _cut(_container(value, limit, depth), limit)
    try:
        text = repr(value)
    except Exception as error:
        return f"<{type_name(value)}: its repr raises {type(error).__name__}>"
    if type(text) is not str:  # a subclass, with methods of the user's
        text = str.__str__(text)
    return _cut(" ".join(text.split()) if depth else text, limit)


def _container(value: Any, limit: int, depth: int) -> str:
    opening, closing = _BRACKETS[type(value)]
    if depth >= _DEEPEST:
        return f"{opening}…{closing}"
    parts: list[str] = []
    room = limit
    items = value.items() if type(value) is dict else ((None, one) for one in value)
    for place, (key, one) in enumerate(items):
        if place >= _MOST_ITEMS or room <= 0:
            parts.append("…")
            break
        text = short_repr(one, max(room // 2, 20), depth + 1)
        if type(value) is dict:
            text = f"{short_repr(key, 60, depth + 1)}: {text}"
        parts.append(text)
        room -= len(text) + 2
    if not parts:
        return "set()" if type(value) is set else f"{opening}{closing}"
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return f"{opening}{', '.join(parts)}{comma}{closing}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
