"""A record of the last commit, beside the store: opening the store notices by it that saved data is gone.

DuckDB takes a log that ends too early for one torn by a crash, and noise for an empty one: it goes on without a
word. So after each commit the length of the log, and a checksum of all of it, are written into a small file,
without a sync of their own. Only a store *behind* its record is a loss. It may be ahead: a process was killed
before it wrote the record, another program wrote, or the log has become part of the file, whose header counts
how often that was done.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from letta_kernel.errors import StoreError
from letta_kernel.remedies import Do, remedy

_RECORD = struct.Struct("<8s16sQQIQd")  # its kind, then the fields of `Record`
_KIND = b"letta-1\n"
_PIECE = 1 << 20  # bytes that are read at once
_BINARY = getattr(os, "O_BINARY", 0)
# The form of DuckDB's files: a page says what it is, two headers take turns, then come the blocks. Each page
# and block begins with its checksum. A log begins with the file's name and how many checkpoints there had been.
HEAD = 12_288
PAGE = 4_096
NAME = slice(124, 140)
_LOG = b"d\0be\0\2f\0\x10"


class LostError(StoreError):
    """The store lacks what was saved in it; nothing is written over what is left."""

    page = "store-damaged"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of the last commit.

    Attributes
    ----------
    store : which file it was, as DuckDB tells its files apart.
    checkpoints : how often the log had become part of it.
    length, checksum : the log, in bytes, and all of it.
    commits : how many it held.
    at : when the last one was done, in seconds since 1970.
    """

    store: bytes
    checkpoints: int
    length: int
    checksum: int
    commits: int
    at: float

    def packed(self) -> bytes:
        """Return it as it is written."""
        fields = (self.store, self.checkpoints, self.length, self.checksum)
        data = _RECORD.pack(_KIND, *fields, self.commits, self.at)
        return data + zlib.crc32(data).to_bytes(4, "little")

    @property
    def when(self) -> str:
        """When that was, in the local time."""
        return f"{datetime.fromtimestamp(self.at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


class Recorder:
    """Writes the record of one database file; the lock must be held. A few short system calls a commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = str(log_of(path))
        self._handles: list[int] = []  # of the log and the record
        self._wrote = False
        self.begin()

    def begin(self) -> None:
        """Assume nothing about the log: the file was opened anew."""
        self._let_go()
        self._length = self._checksum = self._commits = 0
        self._begun: tuple[bytes, int, int] | None = None

    def end(self) -> None:
        """Note how the file begins once it is closed, if anything was written."""
        if self._wrote:
            keep_head(self._path)
            self._wrote = False
        self.begin()

    def commit(self) -> None:
        """Write the record of a commit that is done. Without it the one before stands, which does no harm."""
        self._wrote = True
        try:
            size = self._size()
            if not self._length:
                self._begun = begun(_read(self._handles[0], 128, 0))
            while self._length < size:
                data = _read(self._handles[0], min(size - self._length, _PIECE), self._length)
                if not data:
                    break
                self._checksum = zlib.crc32(data, self._checksum)
                self._length += len(data)
            self._commits += 1
            if self._begun is not None:
                of = (*self._begun[:2], self._length, self._checksum)
                _write(self._handles[1], Record(*of, self._commits, time.time()).packed())
            if os.name == "nt":  # where a file that somebody has open cannot be removed
                self._let_go()
        except OSError:  # there is no log: all of it has just become part of the file
            self.begin()

    def _size(self) -> int:
        """Return how long the log is; one that is a new one is begun with."""
        if self._handles:
            status = os.fstat(self._handles[0])
            if status.st_nlink and status.st_size >= self._length:
                return status.st_size
            self.begin()
        self._handles.append(os.open(self._log, os.O_RDONLY | _BINARY))
        flags = os.O_WRONLY | os.O_CREAT | _BINARY
        self._handles.append(os.open(place(self._path), flags, 0o600))
        size = os.fstat(self._handles[0]).st_size
        if size < self._length:
            self._length = self._checksum = self._commits = 0
        return size

    def _let_go(self) -> None:
        while self._handles:
            os.close(self._handles.pop())


def _read(handle: int, count: int, at: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, count, at)
    os.lseek(handle, at, os.SEEK_SET)
    return os.read(handle, count)


def _write(handle: int, data: bytes) -> None:
    if hasattr(os, "pwrite"):
        os.pwrite(handle, data, 0)
    else:
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, data)


def keep_head(path: Path) -> None:
    """Keep the first pages of a file that has just been closed behind its record, for a repair."""
    with contextlib.suppress(OSError):
        with path.open("rb") as file:
            head = file.read(HEAD)
        with place(path).open("r+b") as file:
            file.seek(_RECORD.size + 4)
            file.write(head)


def kept_head(path: Path) -> bytes:
    """Return the first pages of a file as they were when it was closed the last time; empty if not known."""
    try:
        return place(path).read_bytes()[_RECORD.size + 4 :]
    except OSError:
        return b""


def read(path: Path) -> Record | None:
    """Return the record of a database file; None where there is none, or a power failure tore it."""
    try:
        with place(path).open("rb") as file:
            data = file.read(_RECORD.size + 4)
    except OSError:
        return None
    data, sum_ = data[: _RECORD.size], data[_RECORD.size : _RECORD.size + 4]
    if len(sum_) != 4 or zlib.crc32(data).to_bytes(4, "little") != sum_ or data[:8] != _KIND:
        return None
    return Record(*_RECORD.unpack(data)[1:])


def forget(path: Path) -> None:
    """Remove the record of a database file that is about to be replaced on purpose."""
    place(path).unlink(missing_ok=True)


def place(path: Path) -> Path:
    """Return where the record of a database file is."""
    return path.with_name(path.name + ".last")


def log_of(path: Path) -> Path:
    """Return where DuckDB keeps the log of a database file."""
    return path.with_name(path.name + ".wal")


def check(path: Path) -> None:
    """See that a database file has what its record says; the lock must be held, and the file not be open.

    Raises
    ------
    LostError
        It has not.
    """
    if (lost := loss(path)) is not None:
        raise LostError(lost, remedy(Do.CHECK_STORE))


def loss(path: Path) -> str | None:
    """Return in a sentence what a database file lacks according to its record; None if nothing."""
    record = read(path)
    if not path.exists() or path.stat().st_size == 0:
        beside = [one for one in (place(path), log_of(path)) if one.exists() and one.stat().st_size]
        if not beside:
            return None
        names = " and ".join(one.name for one in beside)
        last = f" until {record.when}" if record is not None else ""
        kind = "is empty" if path.exists() else "is gone"
        return f"{path} {kind}, and agents lived in it{last}; to begin anew, remove {names} too."
    if record is None:
        return None
    with path.open("rb") as file:
        store = header(file.read(HEAD))
    if store is None or store[0] != record.store or store[1] > record.checkpoints:
        return None  # DuckDB will say that it is damaged; or it is another one; or it is ahead
    if store[1] == record.checkpoints:
        try:
            with open(log_of(path), "rb", buffering=0) as log:
                if _checksum(log, record.length) == record.checksum:
                    return None
        except OSError:
            pass
        return (
            f"{path} has lost what was saved until {record.when}:"
            f" its log of {record.commits} commits was cut off or changed."
        )
    return f"{path} has lost what was saved until {record.when}: it is an older copy of itself."


def header(data: bytes) -> tuple[bytes, int] | None:
    """Return what a file's first `HEAD` bytes say: its name, how many checkpoints; None if they are damaged."""
    found = []
    for start in range(0, HEAD, PAGE):
        page = data[start : start + PAGE]
        if page_is_good(page):
            found.append(page)
    if len(found) != 3 or found[0][8:12] != b"DUCK":
        return None
    return found[0][NAME], max(int.from_bytes(page[8:16], "little") for page in found[1:])


def page_is_good(page: bytes) -> bool:
    """Whether one of a file's first pages has the checksum that it says."""
    return len(page) == PAGE and page_sum(page[8:]) == int.from_bytes(page[:8], "little")


def page_sum(data: bytes) -> int:
    """Return the checksum that DuckDB writes before a page or block, of the rest of it."""
    found = 5381
    for (word,) in struct.iter_unpack("<Q", data):
        found ^= word * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return found


def begun(log: bytes) -> tuple[bytes, int, int] | None:
    """Return of which database file a log is, after how many checkpoints, and where its first entry begins.

    None if its first bytes are not what DuckDB writes there.
    """
    if log[: len(_LOG)] != _LOG:
        return None
    at, numbers = len(_LOG), []
    for count, end in ((16, b"g\0"), (1, b"\xff\xff")):  # the name, the number of checkpoints
        for _ in range(count):
            number = shift = 0
            while at < len(log):
                number |= (log[at] & 0x7F) << shift
                shift += 7
                at += 1
                if log[at - 1] < 0x80:
                    break
            numbers.append(number)
        if log[at : at + 2] != end:
            return None
        at += 2
    return bytes(number & 0xFF for number in numbers[:16]), numbers[16], at


def _checksum(log: object, length: int, known: int = 0) -> int:
    """Return the checksum of the next *length* bytes, behind what is *known*; -1 if there are fewer."""
    while length > 0:
        piece = log.read(min(length, _PIECE))  # type: ignore[attr-defined]
        if not piece:
            return -1
        known = zlib.crc32(piece, known)
        length -= len(piece)
    return known
