"""The sandbox's processes: a warm parent that forks, a keeper for each call, and the call itself.

This module runs in processes of its own, started by `letta_kernel.tools.sandbox`. The *warm* process has
imported what calls need and does nothing but fork *keepers*. A keeper puts the call behind walls
(`letta_kernel.tools.sandbox_walls`), counts the processes it starts and the bytes it writes, and ends all of it
when the call is over or the kernel is gone. Only JSON goes back.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from letta_kernel.tools.agent_client import Client

from letta_kernel.tools import sandbox_walls as walls

_MODULE = "letta_tool_source"  # what a tool's source is to Python's import system
_LOOK = 0.05  # seconds between two counts of a call's processes
_DISK_LOOKS = 5  # every so many of them the scratch folder is measured as well
_HEADER = struct.Struct("!I")
_STATUS = struct.Struct("i")
LARGEST = 64 * 1024 * 1024
"""Bytes of one message between the kernel and a call."""


def framed(message: dict[str, Any]) -> bytes:
    """Return one JSON message with its length before it."""
    data = json.dumps(message).encode()
    return _HEADER.pack(len(data)) + data


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one JSON message."""
    channel.sendall(framed(message))


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """Wait for one message; None if the other side is gone."""
    head = _exactly(channel, _HEADER.size)
    if head is None:
        return None
    body = _exactly(channel, _HEADER.unpack(head)[0])
    return None if body is None else json.loads(body)


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        piece = channel.recv(min(1 << 20, count - len(parts)))
        if not piece:
            return None
        parts += piece
    return bytes(parts)


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
        _schema(message)
        _call({**message, **call}, here)
    del sys.modules[_MODULE]


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
    reason = _watch(child, channel, wake, settings, level)
    with contextlib.suppress(ProcessLookupError):
        # The dead leader is not reaped yet, so its number still means its group.
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
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

    _run(request, out, err, scratch, pieces, settings, enter)


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
            _run(request, out, err, scratch, pieces, settings, lambda: None)
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
) -> str:
    """Wait for the call's end and return why it came: ``ended``, ``told`` (by the kernel), or its limit."""
    helpers = 2 if level == "namespaces" else 0
    looks = 0
    while True:
        ready, _, _ = select.select([channel.fileno(), wake], [], [], _LOOK)
        if channel.fileno() in ready:
            return "told"  # whether it says so or is gone
        if wake in ready:
            os.read(wake, 4096)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return "ended"
        if len(_descendants(os.getpid())) > int(settings["processes"]) + helpers:
            return "processes"
        looks += 1
        # In namespaces the scratch folder is of that size from the start.
        most = int(settings["disk"])
        if not helpers and looks % _DISK_LOOKS == 0 and _written(settings["scratch"], most) > most:
            return "disk"


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


# -- the call ----------------------------------------------------------------------------------------------


def _run(
    request: int,
    out: int,
    err: int,
    scratch: str,
    pieces: list[str],
    settings: dict[str, Any],
    enter: Callable[[], None],
) -> NoReturn:
    """Run what the kernel asks for; *enter* puts up walls once all is prepared."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    channel = socket.socket(fileno=os.dup2(request, 3, inheritable=False))
    os.closerange(4, 4096)
    os.chdir(scratch)
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(settings["environment"])
    os.environ.update({"HOME": scratch, "TMPDIR": scratch, "TMP": scratch, "TEMP": scratch})
    tempfile.tempdir = None
    for folder in settings["folders"]:
        walls.show_folder(folder, scratch, pieces)
    for stream, number in (("stdout", 1), ("stderr", 2)):
        file = open(number, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
        setattr(sys, stream, file)
        setattr(sys, f"__{stream}__", file)
    message = receive(channel)
    if message is None:
        os._exit(1)
    _limit(settings)
    enter()
    walls.drop_privileges()
    answer = _answer(message, channel)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        send(channel, answer)
    except MemoryError:
        send(channel, {"problem": "MemoryError: the result does not fit into the tool's memory"})
    os._exit(0)


def _limit(settings: dict[str, Any]) -> None:
    """Put the call under its limits; what the system does not know is left out."""
    import resource

    memory, seconds = int(settings["memory"]), int(settings["cpu_seconds"])
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_DATA": memory,
        # Shared and file memory is not data; some room above it for libraries that only reserve.
        "RLIMIT_AS": memory * 2,
        "RLIMIT_FSIZE": int(settings["file_size"]),
        "RLIMIT_NOFILE": int(settings["open_files"]),
        "RLIMIT_CPU": seconds,
    }
    if os.geteuid() != 0:
        # Counts all threads of the user: so many more than there are now. Root is not held by it; the
        # keeper's count is.
        with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/loadavg") as file:
            now = int(file.read().split()[3].partition("/")[2])
            wanted["RLIMIT_NPROC"] = now + int(settings["processes"]) * 4
    for name, value in wanted.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            number = getattr(resource, name)
            _, hard = resource.getrlimit(number)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (value, value))


def _answer(message: dict[str, Any], channel: socket.socket) -> dict[str, Any]:
    """Do what the kernel asked; whatever goes wrong is told."""
    from letta_kernel import isolation
    from letta_kernel.errors import LettaError

    isolation.give_back()
    try:
        if message["kind"] == "schema":
            return _schema(message)
        return _call(message, channel)
    except LettaError as error:
        return {"problem": str(error)}
    except MemoryError:
        return {"problem": "MemoryError: the tool used up its memory"}
    except BaseException as error:
        from letta_kernel.tools.outcome import failure

        outcome = failure(error)
        return {
            "problem": f"its source cannot be run: {outcome.error}",
            "traceback": outcome.traceback,
        }


def _load(source: str, client: Client | None = None) -> dict[str, Any]:
    """Run a tool's source as a module, in which *client* is known, and return its names."""
    import linecache
    import types

    module = types.ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    file = "<tool>"
    if client is not None:
        module.__dict__["client"] = client
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    return module.__dict__


def _schema(message: dict[str, Any]) -> dict[str, Any]:
    from letta_kernel.tools.source import schema_here

    source, name = message["source"], message["name"]
    return {"schema": schema_here(source, name, _load(source), message["strict"])}


def _call(message: dict[str, Any], channel: socket.socket) -> dict[str, Any]:
    from letta_kernel.errors import ToolError
    from letta_kernel.tools.agent_client import Client, asked_for
    from letta_kernel.tools.agent_state import StateCopy
    from letta_kernel.tools.arguments import ToolArgumentError, check_call
    from letta_kernel.tools.live import run_function
    from letta_kernel.tools.options import options_from_ast
    from letta_kernel.tools.source import FunctionNode, find_function, parse_source

    source, tool = message["source"], message["tool"]
    tree = parse_source(source)
    functions = [node for node in tree.body if isinstance(node, FunctionNode)]
    named = [node for node in functions if tool in (node.name, options_from_ast(node).name)]
    node = named[-1] if named else find_function(tree)
    talking = threading.Lock()  # a tool may ask from several threads

    def ask(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        from pydantic_core import to_jsonable_python

        asked = to_jsonable_python([list(args), dict(kwargs)], fallback=str)
        with talking:
            send(channel, {"ask": name, "arguments": asked})
            answer = receive(channel)
        if answer is None or "problem" in answer:
            raise ToolError(answer["problem"] if answer else "The agent is not there any more.")
        return answer["value"]

    function = _load(source, Client(ask) if asked_for(source) else None)[node.name]
    try:
        kwargs = check_call(tool, function, message["arguments"])
    except ToolArgumentError as error:
        return {"status": "error", "text": str(error), "error": str(error)}
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}

    def on_output(stream: str, text: str) -> None:
        if stream == "progress":
            with talking:
                send(channel, {"progress": text})
        else:
            streams[stream].write(text)

    state = StateCopy.of(message["agent_state"])
    outcome = run_function(
        function,
        kwargs,
        limit=message["return_limit"],
        on_output=on_output,
        agent_state=state,
    )
    kept = isinstance(state, StateCopy) and outcome.status == "ok"
    return {
        "status": outcome.status,
        "text": outcome.text,
        "display": outcome.display,
        "error": outcome.error,
        "traceback": outcome.traceback,
        "memory": state.values_now() if kept else {},
        "pictures": [
            base64.b64encode(one).decode() for one in outcome.pictures if isinstance(one, bytes)
        ],
    }
