"""What keeps a sandboxed call away from the rest of the machine; Linux's means, tried in this order.

``namespaces``: user, process, mount, IPC and (where the network is off) network namespaces. The call sees a
file system of its own: the folders it is granted, read-only, and one scratch folder of limited size. No other
process exists for it, and everything it starts ends with it.

``landlock``: the same folders by Landlock's rules. Other processes are seen, but their memory, environment and
files in ``/proc`` cannot be opened, and from ABI 6 on they get no signal.

``process``: neither. The call runs as the same user, without capabilities.

Runs in the sandbox's processes (see `letta_kernel.tools.sandbox_worker`); the kernel names what is granted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import stat
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

Level = Literal["namespaces", "landlock", "process"]
LEVELS: tuple[Level, ...] = ("namespaces", "landlock", "process")
"""From the strongest to the weakest."""

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store"),
    *("/etc/alternatives", "/etc/fonts", "/etc/host.conf", "/etc/hosts", "/etc/ld.so.cache"),
    *("/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/magic", "/etc/mime.types"),
    *("/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/group", "/etc/pki"),
    *("/etc/protocols", "/etc/resolv.conf", "/etc/services", "/etc/ssl", "/etc/timezone"),
    *("/etc/ca-certificates", "/sys/devices/system/cpu", "/var/cache/fontconfig"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
SCRATCH = "/scratch"
"""Where calls in namespaces have their scratch folder."""
_MOST_PIECES = 2_000  # of a folder with something hidden in it that are granted one by one

# Windows has no such library, but what asks for walls there is told that there are none.
_libc: Any = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


# -- what may be seen --------------------------------------------------------------------------------------


def granted(folders: Iterable[str], hidden: Iterable[str]) -> list[str]:
    """Return the paths to grant: what the system and Python need, and *folders*, without what is *hidden*.

    None of them lies in another, and nothing hidden lies in any. Paths are absolute, links followed.
    """
    # Links are followed before anything is compared: a path that leads into a hidden folder must not pass for
    # another one.
    installed = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, *_SYSTEM)}
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(name):
            installed.add(os.path.realpath(os.environ[name]))
    out = {os.path.realpath(path) for path in hidden}
    pieces: set[str] = set()
    for folder in {os.path.realpath(path) for path in (*folders, *sys.path)} - {"/"}:
        if os.path.exists(folder) and not any(_inside(folder, one) for one in installed):
            pieces.update(_without(folder, out | set(private(folder))))
    for path in installed - {"/"}:
        if os.path.exists(path) and not any(_inside(path, one) for one in out):
            pieces.update(_without(path, out))
    return [one for one in sorted(pieces) if not any(_above(one, pieces))]


def _above(path: str, pieces: set[str]) -> Iterator[bool]:
    """Yield whether each folder above *path* is one of *pieces*."""
    while (path := os.path.dirname(path)) != "/":
        yield path in pieces


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _without(path: str, out: set[str]) -> list[str]:
    """Return *path*, or the pieces of it that have nothing of *out* in them."""
    if path in out:
        return []
    if not any(_inside(one, path) and os.path.lexists(one) for one in out):
        return [path]
    try:
        names = sorted(os.listdir(path))[:_MOST_PIECES]
    except OSError:
        return []
    links = (name for name in names if not os.path.islink(f"{path}/{name}"))
    return [piece for name in links for piece in _without(f"{path}/{name}", out)]


def show_folder(folder: str, scratch: str, pieces: Iterable[str]) -> None:
    """Put links to what is granted of *folder* into *scratch*: a tool reads ``data.csv`` by its name."""
    beneath = sorted(
        {piece[len(folder) :].strip("/") for piece in pieces if _inside(piece, folder)}
    )
    whole = "" in beneath
    for name in os.listdir(folder)[:_MOST_PIECES] if whole else beneath:
        target = os.path.join(scratch, name)
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.path.join(folder, name), target)


# -- privileges --------------------------------------------------------------------------------------------


def drop_privileges() -> None:
    """Give up every capability for good, also what a program could gain by being started."""
    with contextlib.suppress(OSError):
        _check(_libc.prctl(38, 1, 0, 0, 0), "no_new_privs")  # PR_SET_NO_NEW_PRIVS
        for capability in range(64):
            if _libc.prctl(24, capability, 0, 0, 0) < 0:  # PR_CAPBSET_DROP
                break
        _libc.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL
        header = struct.pack("Ii", 0x20080522, 0)  # version 3, this process
        _check(_libc.capset(header, bytes(24)), "capset")


def die_with_parent() -> None:
    """Have the system end this process when its parent ends."""
    if sys.platform == "win32":
        raise NotImplementedError
    with contextlib.suppress(OSError, AttributeError):
        _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def adopt_orphans() -> None:
    """Make orphans among this process's descendants its own, so that none escapes by a second fork."""
    with contextlib.suppress(OSError, AttributeError):
        _libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def dumpable(allowed: bool) -> bool:
    """Let other processes of the user read this one's memory and environment, or not; return how it was."""
    with contextlib.suppress(OSError, AttributeError):
        before = bool(_libc.prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
        _libc.prctl(4, int(allowed), 0, 0, 0)  # PR_SET_DUMPABLE
        return before
    return True


# -- namespaces --------------------------------------------------------------------------------------------

_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_BIND, _REC, _PRIVATE, _NOSUID, _NODEV, _NOEXEC = 4096, 16384, 1 << 18, 2, 4, 8
_RDONLY, _REMOUNT = 1, 32
_MOUNT_SETATTR = 442
_ATTRIBUTES = 0x1 | 0x2 | 0x4  # MOUNT_ATTR_RDONLY, NOSUID, NODEV


def unshare(network: bool) -> None:
    """Enter namespaces of its own; processes begin in them with the next fork. Single-threaded only.

    Raises
    ------
    OSError
        The system does not let this user.
    """
    if sys.platform == "win32":
        raise NotImplementedError
    user, group = os.geteuid(), os.getegid()
    rest = _NEWPID | _NEWNS | _NEWIPC | _NEWUTS | (0 if network else _NEWNET)
    try:
        _check(_libc.unshare(_NEWUSER | rest), "unshare")
    except OSError:
        if user != 0:
            raise
        _check(_libc.unshare(rest), "unshare")  # root needs no user namespace
    else:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    texts = (text.encode() if text else None for text in (source, target, kind))
    _check(_libc.mount(*texts, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def _read_only(target: str) -> None:
    attributes = struct.pack("QQQQ", _ATTRIBUTES, 0, 0, 0)
    at, recursive = -100, 0x8000  # AT_FDCWD, AT_RECURSIVE
    path = target.encode()
    _check(_libc.syscall(_MOUNT_SETATTR, at, path, recursive, attributes, len(attributes)), target)


def make_root(
    root: str, scratch: str, pieces: Iterable[str], writable: Iterable[str], size: int
) -> None:
    """Make a file system of *pieces* (read-only), *writable* and *scratch* (*size* bytes), and live in it.

    *root* is an empty folder to build it in. Called as the first process of its namespaces.
    """
    _mount("", "/", "", _REC | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=16m,mode=755")
    for name in ("/proc", "/dev/shm", "/tmp", os.path.dirname(scratch)):
        os.makedirs(root + name, exist_ok=True)
    own = root + os.path.dirname(scratch)
    _mount("tmpfs", own, "tmpfs", _NOSUID | _NODEV, f"size={size},mode=755,nr_inodes=200k")
    for name in ("/tmp", "/dev/shm"):
        os.mkdir(own + name.replace("/dev", ""))
        _mount(own + name.replace("/dev", ""), root + name, "", _BIND)
    os.mkdir(root + scratch, mode=0o700)
    for piece in pieces:
        _bind(piece, root + piece)
    for folder in writable:
        _bind(os.path.realpath(folder), root + os.path.realpath(folder), read_only=False)
    for path in (*_SYSTEM, *sys.path, sys.prefix):  # the names by which they are known
        _link(path, root)
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"{root}/dev/{name}", read_only=False)
    with contextlib.suppress(OSError):  # a container may not let us: then nothing is in it
        _mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    _mount("", root, "", _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir(root)
    _check(_libc.syscall(_pivot_root(), b".", b"."), "pivot_root")
    _check(
        _libc.umount2(b".", 2), "umount"
    )  # MNT_DETACH: the old root, which lies over the new one
    os.chdir("/")
    with contextlib.suppress(OSError):  # namespaces inside these would bring capabilities back
        _write("/proc/sys/user/max_user_namespaces", "0")


def _pivot_root() -> int:
    return 155 if platform.machine() in ("x86_64", "amd64") else 41


def _bind(source: str, target: str, read_only: bool = True) -> None:
    with contextlib.suppress(FileNotFoundError):  # it went meanwhile
        if stat.S_ISDIR(os.stat(source).st_mode):
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(source, target, "", _BIND | _REC)
        if read_only:
            _read_only(target)


def _link(path: str, root: str) -> None:
    """Make *path* lead where it leads outside, where it is a link or lies behind one."""
    real = os.path.realpath(path)
    if path and real != path and os.path.exists(root + real) and not os.path.lexists(root + path):
        with contextlib.suppress(OSError):  # behind another link, which leads there by itself
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            os.symlink(real, root + path)


def bring_up_loopback() -> None:
    """Let the call talk to itself over 127.0.0.1 where it has a network of its own."""
    if sys.platform == "win32":
        raise NotImplementedError
    import fcntl
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(
            one, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40)
        )  # SIOCSIFFLAGS, up, running


# -- Landlock ----------------------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = 1 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
_FILE_ONLY = 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # rights a rule for a file may name


def landlock_abi() -> int:
    """Return the version of Landlock here; 0 if there is none."""
    return max(0, _libc.syscall(_CREATE_RULESET, None, 0, 1))


def enter_landlock(pieces: Iterable[str], writable: Iterable[str], network: bool) -> None:
    """Allow this process and what it starts to read *pieces*, and all in *writable*; nothing else.

    Raises
    ------
    OSError
        Landlock is not there.
    """
    abi = landlock_abi()
    files = (1 << {0: 0, 1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    connections = 0 if network or abi < 4 else 0b11  # TCP: bind, connect
    scoped = 0b11 if abi >= 6 else 0  # abstract sockets, signals
    attributes = struct.pack("QQQ", files, connections, scoped)[
        : 8 if abi < 4 else 16 if abi < 6 else 24
    ]
    ruleset = _check(_libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0), "landlock")
    try:
        own = [f"/proc/{os.getpid()}", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"]
        for path in (*pieces, *own):
            _allow(ruleset, path, _READ & files)
        for path in (*writable, *(f"/dev/{name}" for name in _DEVICES)):
            _allow(ruleset, path, files)
        _check(_libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
        _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    if sys.platform != "linux":  # no other system has Landlock
        raise NotImplementedError
    with contextlib.suppress(OSError):  # it went meanwhile
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(at).st_mode):
                rights &= _FILE_ONLY
            rule = struct.pack("=Qi", rights, at)
            _check(_libc.syscall(_ADD_RULE, ruleset, 1, rule, 0), path)
        finally:
            os.close(at)


# -- which there are ---------------------------------------------------------------------------------------


def strongest(allowed: Iterable[str], root: str) -> Level:
    """Return the strongest level of *allowed* that works here, found by trying; *root* is an empty folder."""
    for level in LEVELS:
        if level in allowed and _works(level, root):
            return level
    return "process"


def _works(level: Level, root: str) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    if level == "namespaces":
        return _in_a_child(lambda: unshare(network=False)) and _in_a_child(lambda: _try_root(root))
    return level == "landlock" and landlock_abi() > 0


def _try_root(root: str) -> None:
    unshare(network=False)
    if not _in_a_child(lambda: make_root(root, SCRATCH + "/try", granted([], []), (), 1 << 20)):
        raise OSError("no root of its own")


def _in_a_child(work: Callable[[], Any]) -> bool:
    if sys.platform == "win32":
        raise NotImplementedError
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def private(folder: str, depth: int = 3, most: int = 5_000) -> Iterator[str]:
    """Yield what no call is shown of *folder*: agents' folders and files of keys, and a home's hidden files.

    Looked for *depth* folders deep, among the first *most* entries.
    """
    home = os.path.realpath(os.path.expanduser("~"))
    if _inside(home, folder):
        yield from (entry.path for entry in os.scandir(home) if entry.name.startswith("."))
    waiting = deque([(Path(folder), depth)])
    seen = 0
    while waiting:
        at, left = waiting.popleft()
        with contextlib.suppress(OSError):
            for entry in os.scandir(at):
                seen += 1
                if entry.name == ".letta" or entry.name.startswith(".env"):
                    yield entry.path
                elif left and seen < most and entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), left - 1))
