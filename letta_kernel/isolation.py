"""Other people's modules: what this package imports in a process that belongs to somebody else.

A notebook's folder is on its kernel's path, so a file named like a library there would take the library's
place for us too, and be run although nobody asked for it. Three rules keep the two apart:

- What this package imports, or has its libraries import, is looked for outside the notebook's folder.
- A library that we imported and a file there hides goes out of `sys.modules` again when we are done with
  importing: the user's own import then finds the file, as it does in IPython. We keep the module.
- A file that the user imported first stays; `hidden` names it and what it hides.

Whose import it is shows in the call stack: the innermost frame that is ours or the user's decides, those of
libraries do not.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from types import FrameType, ModuleType
from typing import Any, Literal

# Frames that decide nothing: they stand below everything a kernel does, or are this machinery itself.
_NEUTRAL = frozenset({"letta_kernel", "letta_kernel.isolation", "letta_kernel.kernel"})
# What is above these frames is the user's, also where a tool of theirs is a library's function.
_CALLS_USERS = frozenset({"letta_kernel.tools.live"})
# Code without a file that people write; all other such code is made by libraries.
_TYPED = ("<ipython-input", "<tool>", "<stdin>")

_loaded: set[str] = set()  # libraries that `lazy_import` imported for us: their threads are ours
_found: set[str] = set()  # top-level modules that were first imported for us
_kept: dict[str, ModuleType] = {}  # what of them files of the user's hide, by full name
_hiding: set[str] = set()  # the top-level names among those
_folders: set[str] = set()  # the notebook's
_base: list[str] = []  # the path without the notebook's folder
_lock = threading.RLock()
_depth = 0  # how many blocks of `present` are open
_seen: list[tuple[str, int]] = []  # the user's folders as `give_back` saw them last


def install() -> None:
    """Keep this process's own imports out of the notebook's folder, from now on."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    _folders.add(_here())
    _base[:] = _installed_path()
    _is_installed.cache_clear()
    sys.meta_path.insert(0, _Finder())


def own_path() -> list[str]:
    """Return where our imports are looked for: what is installed first, the notebook's folder never."""
    path = _installed_path()
    if not _base:
        return path
    out = {_here(), *_folders} - _wished()
    return [*_base, *(entry for entry in path if entry not in _base and entry not in out)]


def _installed_path() -> list[str]:
    """Return the path without what Python or IPython put there for the current folder."""
    path = [entry for entry in sys.path if entry not in ("", ".")]
    return path[1:] if path[0] == _here() and path[0] not in _wished() else path


def _wished() -> set[str]:
    """Return the folders that PYTHONPATH names."""
    given = os.environ.get("PYTHONPATH")
    return {os.path.abspath(entry) for entry in given.split(os.pathsep)} if given else set()


def is_ours(frame: FrameType | None) -> bool:
    """Whether what happens in *frame* is done for this package."""
    return _asker(frame) == "us"


def _asker(frame: FrameType | None) -> Literal["us", "user", "kernel"]:
    """Return for whom something happens; ``kernel`` for what IPython does by itself, tracebacks say."""
    found: Literal["us", "kernel"] = "kernel"
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name in _CALLS_USERS:
            return "user"
        if name.startswith("letta_kernel.") and name not in _NEUTRAL:
            return "us"
        if not _is_installed(frame.f_code.co_filename):
            return "user"
        if name.partition(".")[0] in _loaded:
            found = "us"
        frame = frame.f_back
    return found


def belongs_to_us(library: str) -> None:
    """Note that *library* was imported for us: what its threads do is done for us."""
    if library not in sys.modules:
        _loaded.add(library)


@contextmanager
def present() -> Iterator[None]:
    """Have our libraries in `sys.modules` in this block, also those that a file hides from the user."""
    global _depth
    with _lock:
        _depth += 1
        _put_back()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                give_back()


@contextmanager
def absent() -> Iterator[None]:
    """Have no library in `sys.modules` in this block that a file hides from the user, whose code runs in it."""
    if not _hiding:
        yield
        return
    with _lock:
        give_back()
    try:
        yield
    finally:
        with _lock:
            if _depth:
                _put_back()


def give_back(mentioned: str | None = None) -> None:
    """Take what a file of the notebook's folder hides out of `sys.modules`, where only we imported it.

    With *mentioned*, only what that text mentions.
    """
    global _seen
    files: set[str] = set()
    _seen = _looks() if _found else []
    for folder, _ in _seen:
        with suppress(OSError):  # it need not be there
            files.update(file.partition(".")[0] for file in os.listdir(folder))
    for name in _found.copy().intersection(files):
        module = sys.modules.get(name) if mentioned is None or name in mentioned else None
        if module is None or not _is_installed(_origin(module) or ""):
            continue
        spec = PathFinder.find_spec(name)
        if spec is None or spec.origin is None or spec.origin == _origin(module):
            continue
        # A list of its own: other threads import meanwhile.
        whole = [key for key in list(sys.modules) if key == name or key.startswith(f"{name}.")]
        if any(_is_begun(sys.modules.get(full)) for full in whole):
            continue  # taken away now, it would never be whole; the next time it is
        _hiding.add(name)
        for full in whole:
            _kept[full] = sys.modules.pop(full)


def _is_begun(module: ModuleType | None) -> bool:
    """Whether another thread is just importing a module."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _looks() -> list[tuple[str, int]]:
    """Return the folders of the user's on the path, and when a file last came or went there."""
    looks = []
    for folder in [entry or _here() for entry in sys.path if entry not in _base]:
        with suppress(OSError):  # it need not be there
            looks.append((folder, os.stat(folder).st_mtime_ns))
    return looks


def before_users_code(source: str) -> None:
    """Do `give_back` where something may be hidden; while we work, only what *source* mentions."""
    if _hiding or (_found and _seen != _looks()):
        with _lock:
            give_back(source if _depth else None)


def _put_back() -> None:
    for full, module in list(_kept.items()):
        top = full.partition(".")[0]
        if sys.modules.get(top, _kept[top]) is _kept[top]:  # not the user's by now
            sys.modules.setdefault(full, module)


def hidden() -> dict[str, str]:
    """Return the files that the user imported and that hide libraries we need, by the library's name."""
    found = {}
    for name, module in list(sys.modules.items()):
        origin = _origin(module) if "." not in name else None
        if not origin or not os.path.isabs(origin) or _is_installed(origin):
            continue
        if name not in _needed():
            continue
        spec = PathFinder.find_spec(name, own_path())
        if spec is not None and spec.origin is not None and spec.origin != origin:
            found[name] = origin
    return found


def hidden_line(names: dict[str, str]) -> str:
    """Say in one line what `hidden` found, and what to do; empty for nothing."""
    if not names:
        return ""
    files = ", ".join(os.path.relpath(file) for file in names.values())
    one = len(names) == 1
    return (
        f"{files} {'hides the library' if one else 'hide the libraries'} {', '.join(names)}, which agents "
        f"need: rename {'it' if one else 'them'} and restart the kernel."
    )


class _Finder:
    """Finds our own imports; a finder of `sys.meta_path`, before all others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None and name not in _kept:
            return None
        if name in sys.builtin_module_names:
            return None
        asker = _asker(sys._getframe(1))
        if asker == "user":
            return None
        if name in _kept:
            return spec_from_loader(name, _Again(_kept[name]))  # type: ignore[arg-type]
        spec = PathFinder.find_spec(name, own_path(), target)
        if spec is not None:
            _found.add(name)
            return spec
        if asker == "kernel":
            return None
        if PathFinder.find_spec(name) is None:
            return None
        # Only the notebook's folder has it, unless another finder does (of an editable installation, say).
        for finder in sys.meta_path:
            if finder is not self and finder is not PathFinder:
                spec = finder.find_spec(name, None, target)
                if spec is not None:
                    return spec
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class _Again:
    """Loads a module that was loaded before: the same one."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


@cache
def _needed() -> frozenset[str]:
    """Return the top-level modules of everything this package depends on, near or far (0.2 s)."""
    from importlib import metadata  # slow to import, and hardly ever needed

    needed, waiting = {"letta-kernel"}, ["letta-kernel"]
    while waiting:
        name = waiting.pop()
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for one in wanted:
            optional = "extra ==" in one and (name != "letta-kernel" or "test" in one)
            if not optional and (found := re.match(r"[\w.-]+", one)):
                other = _canonical(found.group())
                if other not in needed:
                    needed.add(other)
                    waiting.append(other)
    provided = metadata.packages_distributions().items()
    return frozenset(module for module, by in provided if needed.intersection(map(_canonical, by)))


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # the folder is gone
        return ""


def _origin(module: Any) -> str | None:
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    return origin if isinstance(origin, str) else None


@lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    """Whether a file of code came with Python or a package, rather than from the user."""
    if file.startswith("<"):
        return not file.startswith(_TYPED)
    if f"{os.sep}ipykernel_{os.getpid()}{os.sep}" in file:  # a cell, in a temporary folder
        return False
    entries = (
        _base or sys.path[1:]
    )  # where `install` was not called, the first is the script's folder
    return any(file.startswith(entry.rstrip(os.sep) + os.sep) for entry in entries if entry)
