"""The file system of a project: whether this process can write there, whose locks and whose clock it has.

Locks keep the processes of one machine apart everywhere. Whether they reach other machines depends on the file
system. Where they do not, two machines would write into one database; such a project is only read, unless
whoever knows that no other machine uses it says so (``LETTA_ONE_MACHINE``).
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import duckdb

from letta_kernel import settings

MOUNTS = Path("/proc/self/mounts")
"""Where Linux lists what is mounted."""

# Locks are kept by the server, for all machines alike.
_SERVED = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "fuse.ceph", "fuse.ceph-fuse", "lustre"),
        *("gpfs", "beegfs", "glusterfs", "fuse.glusterfs", "fuse.juicefs", "fuse.moosefs"),
    )
)
# Locks are this machine's own.
_UNSERVED = frozenset(
    (
        *("9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "fuse.vmhgfs-fuse", "afs", "afpfs"),
        *("davfs", "webdav", "fuse.davfs2", "fuse.sshfs", "fuse.rclone", "fuse.curlftpfs"),
        *("fuse.s3fs", "fuse.goofys", "fuse.gcsfuse", "fuse.mountpoint-s3", "fuse.blobfuse"),
        *("fuse.blobfuse2", "fuse.drive", "fuse.google-drive-ocamlfuse", "fuse.gvfsd-fuse"),
    )
)
# Options with which such a file system keeps locks to this machine after all.
_LOCAL_LOCKS = frozenset(
    ("nolock", "nobrl", "localflock", "noflock", "local_lock=all", "local_lock=flock")
)
_NO_LOCKS = (errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
_SKEW = 2.0  # seconds: clocks that differ by less count as one, for some file systems count in twos

_MEND = "Set LETTA_HOME to a folder on a disk of this machine"


def refusal(home: Path) -> str | None:
    """Return why nothing may be written into a project, in one line; None if it may.

    Of a project that is not there yet nothing is known but its file system.
    """
    kind, served = file_system(str(home))
    if kind and not served and not settings.ONE_MACHINE():
        return (
            f"{home} is on a network file system ({kind}) whose locks do not reach other machines, so it is"
            f" only read. {_MEND}, or LETTA_ONE_MACHINE=1 if no other machine uses it."
        )
    path = home / "letta.duckdb"
    if not path.exists():
        return None
    for one in (home, path, home / "letta.duckdb.wal", home / "letta.lock"):
        with suppress(FileNotFoundError):
            os.stat(one)
            if not _writable(one):
                where = "on a read-only file system" if _mounted_read_only(one) else "not yours"
                return (
                    f"{one} cannot be written, it is {where}: the project is only read. Make it writable,"
                    " or set LETTA_HOME to a folder that is."
                )
    return None


def lock_refusal(home: Path, error: BaseException) -> str | None:
    """Return why nothing may be written where a lock failed with *error*; None if that is not what failed."""
    if isinstance(error, OSError) and error.errno in _NO_LOCKS:
        said = os.strerror(error.errno)
    elif isinstance(error, duckdb.IOException) and "lock on file" in str(error):
        signs = (os.strerror(number) for number in _NO_LOCKS)
        said = next((sign for sign in signs if sign in str(error)), "")
    else:
        return None
    if not said:
        return None
    kind = file_system(str(home))[0]
    return (
        f"Files in {home}{f' ({kind})' if kind else ''} cannot be locked ({said}), so it is only read. {_MEND},"
        " or have its file system mounted with locks."
    )


def notice(home: Path) -> str | None:
    """Return what there is to know of a project on a network file system that can be written."""
    kind, _ = file_system(str(home))
    if not kind or refusal(home) is not None:
        return None
    return (
        f"{home} is on a network file system ({kind}): every step waits for its server, and what it loses is"
        " lost. A folder on a disk of this machine (LETTA_HOME) is quicker and safer."
    )


def skew(lock: Path) -> float:
    """Return by how many seconds the clock of a file's file system is ahead of this machine's.

    It is the clock that all machines that share the file have in common.
    """
    try:
        os.utime(lock)
        ahead = os.stat(lock).st_mtime - time.time()
    except OSError:
        return 0.0
    return ahead if abs(ahead) > _SKEW else 0.0


@lru_cache(maxsize=64)
def file_system(folder: str) -> tuple[str, bool]:
    """Return the type of the network file system a folder is on, empty if it is none, and whether its locks
    reach other machines.
    """
    path = os.path.realpath(folder)
    found: tuple[str, str, str] | None = None
    for one in _mounts():
        beneath = path == one[0] or path.startswith(one[0].rstrip("/") + "/")
        if beneath and (found is None or len(one[0]) >= len(found[0])):
            found = one
    if found is None or found[1] not in _SERVED | _UNSERVED:
        return "", True
    local = found[1] in _UNSERVED or not _LOCAL_LOCKS.isdisjoint(found[2].split(","))
    return found[1], not local


def _mounts() -> Iterable[tuple[str, str, str]]:
    """Return folder, type and options of all that is mounted."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        import psutil  # where there is no /proc

        parts = psutil.disk_partitions(all=True)
        return [(one.mountpoint, one.fstype, one.opts) for one in parts]
    fields = [line.split(" ") for line in lines]
    return [(_unescaped(one[1]), one[2], one[3]) for one in fields if len(one) > 3]


def _unescaped(path: str) -> str:
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, sign)
    return path


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _mounted_read_only(path: Path) -> bool:
    return sys.platform != "win32" and bool(os.statvfs(path).f_flag & os.ST_RDONLY)
