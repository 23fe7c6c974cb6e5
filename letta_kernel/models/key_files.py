"""The ``.env`` file beside a project: keys read from it, and one written into it."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import stat
import subprocess
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from letta_kernel.errors import StoreError

NAME = ".env"
_LARGEST = 1_000_000  # bytes; a file of keys is not that large
_GIT_SECONDS = 5.0

_read: dict[Path, tuple[tuple[int, int, int], dict[str, str]]] = {}
_lock = threading.Lock()


def keys_in(path: Path, wanted: Collection[str]) -> dict[str, str]:
    """Return the *wanted* variables of the file; nothing if it cannot be read. Nothing is interpolated."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
            return {}
        mark = (about.st_mtime_ns, about.st_size, about.st_ino)
        with _lock:
            known = _read.get(path)
        if known is not None and known[0] == mark:
            return known[1]
        text = _text(path.read_bytes())
    except OSError:
        return {}
    found = {
        one.key: one.value.strip()
        for one in _bindings(text)
        if one.key in wanted and one.value and one.value.strip()
    }
    with _lock:
        _read[path] = (mark, found)
    return found


def read_so_far() -> list[str]:
    """Return the keys read from all files until now."""
    with _lock:
        return [key for _, found in _read.values() for key in found.values()]


def keep(path: Path, variable: str, key: str) -> None:
    """Write a key into the file, in place of the one it has; the rest stays as it is.

    Nobody else may read the file afterwards, and a ``.gitignore`` beside it names it.

    Raises
    ------
    StoreError
        It cannot be written; nothing is changed then.
    """
    try:
        target = path.resolve()
        before = _text(target.read_bytes(), "strict") if target.exists() else ""
        end = "\r\n" if "\r\n" in before else "\n"
        line = f"{variable}={key}{end}"
        after, done = "", False
        for one in _bindings(before):
            if one.key != variable:
                after += one.original.string
            elif not done:
                blank = one.original.string
                after += blank[: len(blank) - len(blank.lstrip())] + line
                done = True
        if not done:
            after += "" if not after or after.endswith("\n") else end
            after += line
        _ignore(path)  # before there is anything to take
        _replace(target, after.encode("utf-8"))
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or "what is in it is not UTF-8"
        raise StoreError(f"{shown(path)} could not be written: {said}.") from None


def shown(path: Path) -> str:
    """Return the path as a person writes it."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(path)


def problems(path: Path) -> list[str]:
    """Return one line for each reason why the keys of the file are not one's own, with what to do."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return []
    name = shown(path)
    found = []
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        found.append(f"Other users can read {name}: chmod 600 {shlex.quote(str(path))}")
    if _git(path, "ls-files", "--error-unmatch") == 0:
        found.append(
            f"Git keeps {name}: git rm --cached {shlex.quote(path.name)}, and make new keys if it was "
            "pushed."
        )
    elif _git(path, "check-ignore", "-q") == 1:
        found.append(f"Git does not ignore {name}: add a line {path.name} to .gitignore beside it.")
    return found


def _bindings(text: str) -> Iterator[Any]:
    from dotenv.parser import parse_stream  # not needed where no project has such a file

    return parse_stream(io.StringIO(text, newline=""))


def _text(data: bytes, errors: str = "replace") -> str:
    """Return what the bytes say, as editors on any platform write it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors)
    return data.decode("utf-8-sig", errors)


def _replace(path: Path, data: bytes) -> None:
    temp = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temp.unlink()
        raise


def _ignore(path: Path) -> None:
    """Name the file in the ``.gitignore`` beside it, unless git ignores it already."""
    if _git(path, "check-ignore", "-q") == 0:
        return
    file = path.with_name(".gitignore")
    before = file.read_bytes() if file.exists() else b""
    lines = before.decode("utf-8", "replace").splitlines()
    if path.name in (line.strip().lstrip("/") for line in lines):
        return
    gap = b"" if not before or before.endswith(b"\n") else b"\n"
    file.write_bytes(before + gap + path.name.encode() + b"\n")


def _git(path: Path, *command: str) -> int | None:
    """Return the exit code of git about the file; None where it is in no repository or git is not there.

    A repository's own settings could name programs to run: a folder may have come from elsewhere.
    """
    folder = path.parent
    if not any((one / ".git").exists() for one in (folder, *folder.parents)):
        return None
    safe = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    try:
        ended = subprocess.run(
            ["git", *safe, *command, "--", path.name],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.returncode
