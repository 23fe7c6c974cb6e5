"""One lock around every open of the database file, handed on in the order of asking.

Only the holder of `HomeLock` may have the file open; nobody else may even read its header. The
lock itself is a file lock, so a killed process loses it at once. Order comes from a queue of ticket
files beside it: a process that must wait leaves a ticket, only the oldest ticket may take the lock,
and the holder sees that somebody waits by looking into the queue. Tickets only
set the order: if one is lost or stale, the file lock still keeps everybody else out.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import filelock

if sys.platform != "win32":
    import fcntl

from letta_kernel import private
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.store.lock_signal import LockSignal
from letta_kernel.store.lock_wait import LockWait

STALE = 2.0
"""Seconds after which an untouched ticket is taken for that of a dead or stopped process."""

_TICKET = re.compile(r"\d{20}-\d+-\w+")
_FIRST_POLL, _LATER_POLL, _SLOW_POLL = 0.002, 0.005, 0.02  # seconds between looks
_SEND_AGAIN = 0.1  # seconds: whoever has the lock by then may not have heard


class HomeLock:
    """The right to open the database of one project folder.

    Parameters
    ----------
    home
        The project folder; it must exist when `acquire` is called.
    doing
        What others who wait are told has it; by default which program this is.
    """

    def __init__(self, home: Path, doing: str = "") -> None:
        self._doing = doing
        self._path = home / "letta.lock"
        self._queue = home / "queue"
        # Released by the timer thread too; made once per process: a forked child makes its own.
        self._file = filelock.FileLock(self._path, mode=private.FILE, thread_local=False)
        self._mended = False
        self._identity: tuple[int, int] | None = None
        self.signal = LockSignal(home)  # sent by those who want the lock

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file.is_locked

    def acquire(self, timeout: float | LockWait) -> None:
        """Take the lock, after everybody who asked before.

        Parameters
        ----------
        timeout
            Seconds to wait before giving up, or a wait that has begun.

        Raises
        ------
        StoreBusyError
            Another process kept the lock for all that time.
        OSError
            If the folder cannot be written.
        """
        if not self.wanted() and self._try():
            return
        wait = timeout if isinstance(timeout, LockWait) else LockWait(timeout)
        ticket = self._queue / f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        began, sent = time.monotonic(), 0.0
        try:
            while True:
                self._touch(ticket)
                first = self._tickets()[:1] in ([], [ticket.name])
                if first and self._try():
                    return
                wait.passed(self._path.parent, self.holder)
                now = time.monotonic()
                if now - sent > _SEND_AGAIN:
                    sent = now
                    self.signal.send()
                time.sleep(_SLOW_POLL if now - began > 1 else _FIRST_POLL if first else _LATER_POLL)
        finally:
            with suppress(OSError):
                ticket.unlink()

    def release(self) -> None:
        """Give the lock back; does nothing if it is not held."""
        self.signal.close()
        self._file.release(force=True)
        self._identity = None

    def wanted(self) -> int:
        """Return how many other processes (or other `HomeLock` of this one) wait for it."""
        return len(self._tickets())

    def intact(self) -> bool:
        """Whether the lock held is still the one others see: not so if its file was deleted."""
        return self.held and self._identity == identity(self._path)

    def holder(self) -> str:
        """Describe who holds the lock, for a message."""
        pid, host, program = self._holder()
        if not pid:
            return "another process"
        if host != socket.gethostname():
            return f"{program} (process {pid} on {host})"
        state = ", which is stopped" if _is_stopped(pid) else ""
        return f"{program} (process {pid}{state})"

    def held_elsewhere(self) -> bool:
        """Whether another process is known to hold the lock."""
        pid, _, _ = self._holder()
        return pid not in (0, os.getpid())

    def _holder(self) -> tuple[int, str, str]:
        with suppress(OSError, ValueError):
            first, _, program = self._path.read_text(encoding="utf-8").strip().partition("\n")
            pid, _, host = first.partition(" ")
            return int(pid), host or socket.gethostname(), program or "a program"
        return 0, "", ""

    def _try(self) -> bool:
        with Uninterrupted():
            if self._file.is_locked:  # taken by a call that an interrupt struck on its way out
                return True
            try:
                self._file.acquire(blocking=False)
            except filelock.Timeout:
                return False
            self._identity = identity(self._path)
            if not self._mended:  # every way to the store begins here
                private.mend(self._path.parent)
                self._mended = True
            if not isinstance(self._file, filelock.SoftFileLock):  # which has its own text in it
                with suppress(OSError):  # only for the message of those who wait
                    self._path.write_text(_this_process(self._doing), encoding="utf-8")
            self.signal.listen()
            return True

    def _touch(self, ticket: Path) -> None:
        try:
            os.utime(ticket)
        except FileNotFoundError:
            private.folder(self._queue)
            ticket.touch(private.FILE)

    def _tickets(self) -> list[str]:
        """Names of the living tickets, oldest first; dead ones are cleared away."""
        found = []
        oldest = time.time() - STALE
        try:
            with os.scandir(self._queue) as entries:
                for entry in entries:
                    if not _TICKET.fullmatch(entry.name):  # a person's own
                        continue
                    with suppress(OSError):
                        if entry.stat().st_mtime >= oldest:
                            found.append(entry.name)
                        else:
                            os.unlink(entry.path)
        except OSError:  # none yet; what else is wrong with the folder is met by whoever locks it
            return []
        found.sort()
        return found


class ReadersLock(HomeLock):
    """The right to read a database that cannot be written here, beside others who read it.

    It leaves nothing in the folder. Where the lock's file is not to be had or cannot be locked it goes without:
    then nobody here writes either.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._descriptor: int | None = None
        self._held = False

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._held

    def release(self) -> None:
        """Give the lock back; does nothing if it is not held."""
        descriptor, self._descriptor, self._held = self._descriptor, None, False
        if descriptor is not None:
            os.close(descriptor)

    def intact(self) -> bool:
        """Whether the lock held is still the one others see."""
        return self.held

    def _try(self) -> bool:
        with Uninterrupted():
            with suppress(OSError):
                self._descriptor = os.open(self._path, os.O_RDONLY)
            if self._descriptor is not None and sys.platform != "win32":
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    self.release()
                    return False
                except OSError:
                    pass
            self._held = True
            return True

    def _touch(self, ticket: Path) -> None:
        pass  # nothing can be written


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from others of the same name, or None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _this_process(doing: str) -> str:
    """Return what stands in the lock's file: process and host, and in words what program it is or does."""
    notebook = os.environ.get("JPY_SESSION_NAME") if "ipykernel" in sys.modules else None
    name = Path(notebook or sys.argv[0] or "python").name
    if name in ("-c", "-m", "__main__.py", "ipykernel_launcher.py"):
        name = "python"
    said = doing or (f"the notebook {name!r}" if notebook else name)
    return f"{os.getpid()} {socket.gethostname()}\n{''.join(filter(str.isprintable, said))}"


def _is_stopped(pid: int) -> bool:
    import psutil  # only for a message

    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
