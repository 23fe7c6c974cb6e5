"""Files that are nobody else's business: made for their owner alone, and an open project closed again.

Whatever the umask, what agents remember is readable by its owner only: files 0600, folders 0700. The umask
itself belongs to the process, which is the user's.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

FILE, FOLDER = 0o600, 0o700
OTHERS = 0o077
"""The bits of a mode that let anybody else in."""
FOLDER_NAME = ".letta"

# What a project folder may hold of ours; skills and whatever else lies there are a person's own.
_OURS = re.compile(
    r"\.?letta\.(?:duckdb|lock)|\.?server-token|chat_history$|before-restore-\d|damaged-\d{8}-"
)
# A person's folder may be called so, too: this is of ours in it.
_OUR_FOLDERS = {
    "backups": re.compile(r"\.?letta[-.]"),
    "vectors": re.compile(r"(?:passages|messages)-"),
    "queue": re.compile(r"\d{20}-\d+-"),
}
_lines: dict[Path, str] = {}  # what is to be said of a project; empty once it was


def opener(path: str, flags: int) -> int:
    """Open a file for its owner alone, also one that was open to others: ``open(…, opener=opener)``."""
    handle = os.open(path, flags, FILE)
    if (
        sys.platform != "win32"
        and (mode := os.fstat(handle).st_mode) & OTHERS
        and stat.S_ISREG(mode)
    ):
        with suppress(OSError):
            os.fchmod(handle, stat.S_IMODE(mode) & ~OTHERS)
    return handle


def write(path: Path, text: str) -> None:
    """Write a file that its owner alone may read."""
    with open(path, "w", encoding="utf-8", opener=opener) as file:
        file.write(text)


def folder(path: Path) -> None:
    """Make a folder that its owner alone may enter, and those above it; what is there stays as it is.

    Where rows are in a database, a project's own folder is made so, by the first file that lies in it.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=FOLDER, exist_ok=True)
    path.mkdir(mode=FOLDER, exist_ok=True)  # a file of that name is in the way


def configuration() -> Path:
    """Return the folder of what the user, not a project, has set; it may not be there."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path.home() / ".config"
    return base / "letta-kernel"


def tighten(path: str | Path) -> bool:
    """Take a file or folder from everybody but its owner; return whether it had been open and is not now."""
    try:
        mode = os.stat(path).st_mode
        if os.name != "posix" or not mode & OTHERS:
            return False
        os.chmod(path, stat.S_IMODE(mode) & ~OTHERS)
        return not os.stat(path).st_mode & OTHERS
    except OSError:
        return False


def tighten_all(folder: Path) -> None:
    """Take what is ours, a folder with all in it, from everybody but its owner; links are not followed."""
    tighten(folder)
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            tighten_all(Path(entry.path))
        elif not entry.is_symlink():
            tighten(entry.path)


def tighten_own(folder: Path) -> None:
    """Close one of our folders in a project to everybody but its owner, unless other things lie in it too."""
    if all(_OUR_FOLDERS[folder.name].match(one.name) for one in _entries(folder)):
        tighten(folder)


def mend(home: Path) -> None:
    """Close a project folder to everybody but its owner; `say` tells that its store had been open.

    What cannot be closed, because it is another user's or the file system knows no owners, is told instead.
    """
    if os.name != "posix":
        return
    store = home / "letta.duckdb"
    own = _is_own(home)
    was_open = store.exists() and (is_open(store) or (own and is_open(home)))
    token = home / "server-token"
    if is_open(home) and is_open(token):
        with suppress(OSError):  # others may know it: the next server makes a new one
            token.unlink()
    if own:
        tighten(home)
    for entry in _entries(home):
        if _OURS.match(entry.name) or (own and entry.name in _OUR_FOLDERS):
            if entry.is_dir(follow_symlinks=False):
                tighten_all(Path(entry.path))
            else:
                tighten(entry.path)
        elif within := _OUR_FOLDERS.get(entry.name):
            for one in _entries(Path(entry.path)):
                if within.match(one.name) and not one.is_symlink():
                    tighten_all(Path(one.path))
    if was_open and home not in _lines:
        still = is_open(store) or (own and is_open(home))
        _lines[home] = (
            f"Other users of this machine can read the agents in {home}, and that cannot be changed here: move "
            "them to a folder of your own, or set LETTA_HOME to one."
            if still
            else f"Other users of this machine could read the agents in {home}; now only you can."
        )


def say(home: Path) -> None:
    """Say, once, what `mend` found; called when the store has opened, or its error would be two lines."""
    if line := _lines.get(home):
        _lines[home] = ""
        log.warning("%s", line)


def _is_own(home: Path) -> bool:
    """Whether the folder is the agents' own, and not one that holds a person's other things or everybody's."""
    if home.name == FOLDER_NAME:
        return True
    with suppress(OSError, RuntimeError):
        shared = os.stat(home).st_mode & stat.S_ISVTX
        if not shared and home not in (Path(home.anchor), Path.home(), Path.cwd()):
            return all(map(_is_ours, _entries(home)))
    return False


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether agents made what lies in a project folder."""
    if (within := _OUR_FOLDERS.get(entry.name)) is None:
        return _OURS.match(entry.name) is not None
    return all(within.match(one.name) for one in _entries(Path(entry.path)))


def is_open(path: Path) -> bool:
    """Whether anybody but its owner may read or write a file, or enter a folder."""
    try:
        return os.name == "posix" and bool(os.stat(path).st_mode & OTHERS)
    except OSError:
        return False


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as found:
        yield from found
