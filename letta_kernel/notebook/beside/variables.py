"""A variable in words: what it is and holds; nothing of the user's is called but ``repr``, guarded."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from letta_kernel.models.masking import HIDDEN, is_secret_name
from letta_kernel.notebook.beside import frames
from letta_kernel.notebook.beside.guard import guarded, short_repr, type_name

LONGEST = 8_000
"""Characters of one summary."""
_ATTRIBUTES = 30


def summary(
    name: str, value: Any, private: Callable[[str], bool] = lambda source: False
) -> tuple[str, str]:
    """Return a note of a few words on a variable, and what it is, as text.

    Parameters
    ----------
    private
        Whether a piece of source must not be shown, for it comes from a cell that is tagged so.
    """
    kind = type_name(value)
    if is_secret_name(name) and not callable(value):
        return kind, f"{kind}: {HIDDEN}"
    note, text = guarded(
        lambda: _described(value, private),
        lambda why: ("", f"{kind}: its value cannot be shown, for {why}"),
    )
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return f"{kind}, {note}" if note else kind, text


def brief(value: Any) -> str:
    """Return in a few words what a variable is; calls no code of the user's."""
    kind = type_name(value)
    if type(value) in (str, bytes, list, tuple, dict, set, frozenset):
        return f"{kind}, {len(value):,}"
    if frames.is_a(value, "pandas", "DataFrame") or frames.is_a(value, "numpy", "ndarray"):
        try:
            return f"{kind}, {' × '.join(f'{n:,}' for n in value.shape)}"
        except Exception:  # a subclass of the user's
            return kind
    if type(value) in (int, float, bool):
        return f"{kind}, {short_repr(value, 30)}"
    return kind


def _described(value: Any, private: Callable[[str], bool]) -> tuple[str, str]:
    if (found := frames.described(value)) is not None:
        return found
    if isinstance(value, types.ModuleType):
        return "", _module(value)
    if isinstance(value, types.FunctionType | types.MethodType | type):
        return "", _code(value, private)
    if frames.is_a(value, "matplotlib.figure", "Figure") or frames.is_a(
        value, "matplotlib.axes", "Axes"
    ):
        return _figure(value)
    if frames.is_a(value, "plotly.graph_objs", "Figure"):
        traces = [str(one.type) for one in value.data][:50]
        return f"{len(traces)} traces", f"plotly figure of {', '.join(traces) or 'nothing'}"
    if frames.is_a(value, "torch.nn", "Module"):
        count = sum(one.numel() for one in value.parameters())
        return f"{count:,} parameters", f"{short_repr(value, LONGEST)}\n{count:,} parameters"
    if type(value) in (str, bytes):
        return f"{len(value):,} long", f"{type_name(value)} of {len(value):,}:\n{_text(value)}"
    if type(value) in (list, tuple, set, frozenset, dict):
        return _container(value)
    return "", _object(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return short_repr(value, 500)
    return value if len(value) <= 4_000 else f"{value[:3_000]}\n[…]\n{value[-1_000:]}"


def _container(value: Any) -> tuple[str, str]:
    kinds: dict[str, int] = {}
    members = value.values() if isinstance(value, dict) else value
    for place, one in enumerate(members):
        if place >= 1_000:
            break
        kinds[type_name(one)] = kinds.get(type_name(one), 0) + 1
    of = f" of {', '.join(list(kinds)[:5])}" if kinds else ""
    note = f"{len(value):,} items"
    return note, f"{type_name(value)}, {note}{of}:\n{short_repr(value, 3_000)}"


def _code(value: Any, private: Callable[[str], bool]) -> str:
    name = getattr(value, "__qualname__", "") or type_name(value)
    try:
        head = f"{name}{inspect.signature(value)}"
    except (TypeError, ValueError):
        head = name
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError, SyntaxError, IndentationError):
        source = ""
    if source and private(source):
        return f"{head}\n(its source is in a private cell)"
    if source:
        return source
    about = value.__doc__
    return f"{head}\n{about[:2_000]}" if isinstance(about, str) else head


def _module(module: types.ModuleType) -> str:
    held = vars(module)
    version, file, about = (held.get(key) for key in ("__version__", "__file__", "__doc__"))
    lines = [f"module {held.get('__name__')}"]
    if isinstance(version, str):
        lines.append(f"version {version[:50]}")
    if isinstance(file, str):
        lines.append(f"from {file[:300]}")
    if isinstance(about, str):
        lines.append(about.strip()[:1_000])
    return "\n".join(lines)


def _figure(value: Any) -> tuple[str, str]:
    axes = list(value.axes) if hasattr(value, "get_size_inches") else [value]
    lines = [type_name(value)]
    if hasattr(value, "get_size_inches"):
        width, height = value.get_size_inches()
        lines[0] += f" of {width:g} × {height:g} inches"
    for one in axes[:20]:
        said = {"title": one.get_title(), "x": one.get_xlabel(), "y": one.get_ylabel()}
        named = ", ".join(f"{key}: {text!r}" for key, text in said.items() if text)
        drawn = f"{len(one.lines)} lines, {len(one.patches)} patches, {len(one.collections)} collections"
        low, high = one.get_xlim()
        lines.append(f"- axes ({named or 'no titles'}): {drawn}, x from {low:g} to {high:g}")
    return f"{len(axes)} axes", "\n".join(lines)


def _object(value: Any) -> str:
    text = short_repr(value, 4_000)
    lines = [f"{type_name(value)}:", text]
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return "\n".join(lines)
    if type(held) is dict and held and type(value).__repr__ is object.__repr__:
        for key, one in list(held.items())[:_ATTRIBUTES]:
            shown = HIDDEN if is_secret_name(str(key)) else short_repr(one, 120, depth=2)
            lines.append(f"- {key}: {shown}")
    elif type(held) is dict and (fitted := [k for k in held if type(k) is str and _is_fitted(k)]):
        lines.append(f"fitted: {', '.join(fitted[:_ATTRIBUTES])}")  # scikit-learn's way
    return "\n".join(lines)


def _is_fitted(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")
