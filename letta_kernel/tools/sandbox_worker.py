"""The sandbox's processes: a warm parent that forks, and a keeper for each call.

This module runs in processes of its own, started by `letta_kernel.tools.sandbox`. The *warm* process has
imported what calls need and does nothing but fork *keepers*. A keeper puts the call behind walls
(`letta_kernel.tools.sandbox_walls`), counts the processes it starts and the bytes it writes, and ends all of it
when the call is over or the kernel is gone. Only JSON goes back.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Collection
from typing import Any, NoReturn

from letta_kernel.tools import sandbox_call
from letta_kernel.tools import sandbox_walls as walls
from letta_kernel.tools.sandbox_call import receive, send

assert sys.platform != "win32"  # nothing imports this module there

_LOOK = 0.05  # seconds between two counts of a call's processes
_DISK_LOOKS = 5  # every so many of them the scratch folder is measured as well
_STATUS = struct.Struct("i")
# -- the warm process ------------------------------------------------------------------------------------


def serve(descriptor: int, path: list[str], allowed: list[str]) -> NoReturn:
    """Fork a keeper for each request that comes over *descriptor*, until the other side is gone.

    *path* is where tools look for modules; what this process needs itself is found on the path it has.
    *allowed* are the levels of `letta_kernel.tools.sandbox_walls` to choose from.
    """
    # Imported now so that no call has to: after a fork they are simply there.
    import asyncio  # noqa: F401

    import letta_kernel.tools.live  # noqa: F401

    _rehearse()
    sys.path[:] = path
    control = socket.socket(fileno=descriptor)
    with tempfile.TemporaryDirectory(prefix="letta-tool-") as root:
        level = walls.strongest(allowed, root)
    walls.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake = _wake_on_child()
    gc.collect()
    gc.freeze()  # a fork then copies fewer pages
    control.sendall(b"R" + level[:1].encode())
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    keepers: set[int] = set()
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _reap(keepers)
        if control.fileno() not in ready:
            continue
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 4)
        except OSError:
            os._exit(1)
        if not message:
            os._exit(0)
        keeper = os.fork()
        if keeper == 0:
            try:
                control.close()
                os.close(wake)
                _keep(level, *descriptors)
            finally:
                os._exit(1)
        keepers.add(keeper)
        for one in descriptors:
            os.close(one)


def _wake_on_child() -> int:
    """Return a descriptor that can be read when a child has ended."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake


def _reap(keepers: set[int]) -> None:
    """Take leave of keepers that ended; what one leaves behind that was ended by its own call ends too."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in keepers:
                keepers.discard(pid)
                if status != 0:
                    _sweep(keepers)


def _rehearse() -> None:
    """Go through a whole call once: what pydantic and Python make on first use is then there in each fork."""
    import resource  # noqa: F401

    source = (
        "import datetime\nfrom pydantic import BaseModel\n\nclass A(BaseModel):\n    x: int\n\n"
        'def f(a: A, b: "list[str] | None" = None, c: datetime.date | None = None) -> int:\n'
        '    """F.\n\n    Args:\n        a: A.\n        b: B.\n        c: C.\n    """\n    return a.x\n'
    )
    here, there = socket.socketpair()
    with here, there:
        message = {"source": source, "name": None, "tool": "f", "strict": False}
        call = {"arguments": {"a": {"x": 1}}, "agent_state": None, "return_limit": 100}
        sandbox_call.schema(message)
        sandbox_call.call({**message, **call}, here)
    del sys.modules[sandbox_call.MODULE]


# -- the keeper of one call ------------------------------------------------------------------------------


def _keep(level: walls.Level, request: int, control: int, out: int, err: int) -> NoReturn:
    os.setsid()
    channel = socket.socket(fileno=control)
    settings = receive(channel)
    if settings is None:
        os._exit(1)
    walls.adopt_orphans()
    wake = _wake_on_child()
    ended, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            channel.close()
            os.close(ended)
            walls.die_with_parent()
            enter = _in_namespaces if level == "namespaces" else _in_place
            enter(level, request, out, err, told, settings)
        except Exception as error:
            problem = f"the sandbox could not be set up: {type(error).__name__}: {error}"
            send(socket.socket(fileno=request), {"problem": problem})
        finally:
            os._exit(70)
    for one in (request, out, err, told):
        os.close(one)
    reason, seen = _watch(child, channel, wake, settings, level)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of the group are gone
        # Where the dead leader is not reaped yet, its number still means its group.
        os.killpg(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1] if seen is None else seen
    _sweep()
    inner = os.read(ended, 4)  # nothing, if the whole was ended before it could say
    status = _STATUS.unpack(inner)[0] if len(inner) == _STATUS.size else status
    code = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):
        send(channel, {"exit": code, "reason": reason})
    shutil.rmtree(settings["scratch"], ignore_errors=True)
    os._exit(0)


def _in_place(
    level: walls.Level, request: int, out: int, err: int, told: int, settings: dict[str, Any]
) -> NoReturn:
    os.close(told)
    scratch = settings["scratch"]
    pieces = walls.granted(settings["folders"], settings["hidden"])

    def enter() -> None:
        if level == "landlock":
            own = [scratch, *settings["writable"]]
            walls.enter_landlock(pieces, own, settings["network"])

    sandbox_call.run(request, out, err, scratch, pieces, settings, enter)


def _in_namespaces(
    level: walls.Level, request: int, out: int, err: int, told: int, settings: dict[str, Any]
) -> NoReturn:
    """Start the call as the second process of namespaces of its own, and wait for their end."""
    os.setsid()
    walls.unshare(settings["network"])
    first = os.fork()
    if first == 0:  # the first process: when it ends, the system ends every other
        walls.die_with_parent()
        root = settings["scratch"]
        scratch = f"{walls.SCRATCH}/{os.path.basename(root)}"
        pieces = walls.granted(settings["folders"], settings["hidden"])
        walls.make_root(root, scratch, pieces, settings["writable"], int(settings["disk"]))
        if not settings["network"]:
            walls.bring_up_loopback()
        call = os.fork()
        if call == 0:
            os.close(told)
            sandbox_call.run(request, out, err, scratch, pieces, settings, lambda: None)
        for one in (request, out, err):
            os.close(one)
        walls.drop_privileges()
        while (pair := os.waitpid(-1, 0))[0] != call:
            pass  # an orphan
        os.write(told, _STATUS.pack(pair[1]))
        os._exit(0)
    for one in (request, out, err, told):
        os.close(one)
    os.waitpid(first, 0)
    os._exit(0)


def _watch(
    child: int, channel: socket.socket, wake: int, settings: dict[str, Any], level: walls.Level
) -> tuple[str, int | None]:
    """Wait for the call's end.

    Returns why it came, ``ended``, ``told`` (by the kernel) or its limit, and the status of *child* if it had
    to be reaped to see that.
    """
    helpers = 2 if level == "namespaces" else 0
    looks = 0
    while True:
        ready, _, _ = select.select([channel.fileno(), wake], [], [], _LOOK)
        if channel.fileno() in ready:
            return "told", None  # whether it says so or is gone
        if wake in ready:
            os.read(wake, 4096)
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return "ended", None
        elif (reaped := os.waitpid(child, os.WNOHANG))[0]:  # macOS before Python 3.13
            return "ended", reaped[1]
        if len(_descendants(os.getpid())) > int(settings["processes"]) + helpers:
            return "processes", None
        looks += 1
        # In namespaces the scratch folder is of that size from the start.
        most = int(settings["disk"])
        if not helpers and looks % _DISK_LOOKS == 0 and _written(settings["scratch"], most) > most:
            return "disk", None


def _written(folder: str, enough: int) -> int:
    """Return the bytes that the files in *folder* take, or more than *enough* if they are that many."""
    total = 0
    for at, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(at, name)).st_blocks * 512
        if total > enough:
            break
    return total


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        inner = _children(waiting.pop())
        found += inner
        waiting += inner
    return found


def _sweep(spared: Collection[int] = ()) -> None:
    """End every process the call left behind, also those that left its group; not *spared* and theirs."""
    while True:
        mine = [one for one in _children(os.getpid()) if one not in spared]
        for one in [*mine, *(inner for child in mine for inner in _descendants(child))]:
            with contextlib.suppress(OSError):
                group = os.getpgid(one)
                if group != os.getpgrp():
                    os.killpg(group, signal.SIGKILL)  # a whole group dies at once, forks included
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
        if not mine:
            return
        for one in mine:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one, 0)
