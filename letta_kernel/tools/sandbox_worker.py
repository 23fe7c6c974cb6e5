"""The sandbox's processes: a warm parent that forks, a keeper for each call, and the call itself.

This module runs in processes of its own, started by `letta_kernel.tools.sandbox`. The *warm* process has
imported what calls need and does nothing but fork *keepers*. A keeper makes the scratch directory, starts
the process that runs the tool, counts what that starts, and ends all of it when the call is over or the
kernel is gone. Only JSON goes back.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
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
from typing import Any, NoReturn

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_MODULE = "letta_tool_source"  # what a tool's source is to Python's import system
_LOOK = 0.05  # seconds between two counts of a call's processes
_HEADER = struct.Struct("!I")
LARGEST = 64 * 1024 * 1024
"""Bytes of one message between the kernel and a call."""


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one JSON message with its length before it."""
    data = json.dumps(message).encode()
    channel.sendall(_HEADER.pack(len(data)) + data)


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


def serve(descriptor: int, path: list[str]) -> NoReturn:
    """Fork a keeper for each request that comes over *descriptor*, until the other side is gone.

    *path* is where tools look for modules; what this process needs itself is found on the path it has.
    """
    # Imported now so that no call has to: after a fork they are simply there.
    import asyncio  # noqa: F401

    import letta_kernel.tools.live  # noqa: F401

    _rehearse()
    sys.path[:] = path
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # a fork then copies fewer pages
    control.sendall(b"R")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 4)
        except OSError:
            os._exit(1)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            try:
                control.close()
                _keep(*descriptors)
            finally:
                os._exit(1)
        for one in descriptors:
            os.close(one)


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


def _keep(request: int, control: int, out: int, err: int) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    channel = socket.socket(fileno=control)
    settings = receive(channel)
    if settings is None:
        os._exit(1)
    _become_subreaper()
    scratch = tempfile.mkdtemp(prefix="letta-tool-", dir=settings["scratch"])
    wake_out, wake_in = os.pipe()
    os.set_blocking(wake_in, False)
    child = os.fork()
    if child == 0:
        try:
            channel.close()
            os.close(wake_out)
            os.close(wake_in)
            _run(request, out, err, scratch, settings)
        finally:
            os._exit(70)
    for one in (request, out, err):
        os.close(one)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reason = _watch(child, channel, wake_out, int(settings["processes"]))
    with contextlib.suppress(ProcessLookupError):
        # The dead leader is not reaped yet, so its number still means its group.
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    _sweep()
    code = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):
        send(channel, {"exit": code, "reason": reason})
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def _watch(child: int, channel: socket.socket, wake: int, most: int) -> str:
    """Wait for the call's end and return why it came: ``ended``, ``told`` (by the kernel), ``processes``."""
    while True:
        ready, _, _ = select.select([channel.fileno(), wake], [], [], _LOOK)
        if channel.fileno() in ready:
            return "told"  # whether it says so or is gone
        if wake in ready:
            os.read(wake, 4096)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return "ended"
        if len(_descendants(os.getpid())) > most:
            return "processes"


def _become_subreaper() -> None:
    """Make orphans among our descendants ours, so that none escapes by a second fork (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


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


def _sweep() -> None:
    """End every process the call left behind, also those that left its group."""
    while True:
        for one in _descendants(os.getpid()):
            with contextlib.suppress(OSError):
                group = os.getpgid(one)
                if group != os.getpgrp():
                    os.killpg(group, signal.SIGKILL)  # a whole group dies at once, forks included
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
        try:
            os.waitpid(-1, 0 if _children(os.getpid()) else os.WNOHANG)
        except ChildProcessError:
            return


# -- the call ----------------------------------------------------------------------------------------------


def _run(request: int, out: int, err: int, scratch: str, settings: dict[str, Any]) -> NoReturn:
    os.setsid()
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
    for stream, number in (("stdout", 1), ("stderr", 2)):
        file = open(number, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
        setattr(sys, stream, file)
        setattr(sys, f"__{stream}__", file)
    message = receive(channel)
    if message is None:
        os._exit(1)
    _limit(settings)
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


def _load(source: str) -> dict[str, Any]:
    """Run a tool's source as a module and return its names."""
    import linecache
    import types

    module = types.ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    file = "<tool>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    return module.__dict__


def _schema(message: dict[str, Any]) -> dict[str, Any]:
    from letta_kernel.tools.source import schema_here

    source, name = message["source"], message["name"]
    return {"schema": schema_here(source, name, _load(source), message["strict"])}


def _call(message: dict[str, Any], channel: socket.socket) -> dict[str, Any]:
    from letta_kernel.tools.arguments import ToolArgumentError, check_call
    from letta_kernel.tools.live import run_function
    from letta_kernel.tools.options import options_from_ast
    from letta_kernel.tools.source import FunctionNode, find_function, parse_source

    source, tool = message["source"], message["tool"]
    tree = parse_source(source)
    functions = [node for node in tree.body if isinstance(node, FunctionNode)]
    named = [node for node in functions if tool in (node.name, options_from_ast(node).name)]
    node = named[-1] if named else find_function(tree)
    function = _load(source)[node.name]
    try:
        kwargs = check_call(tool, function, message["arguments"])
    except ToolArgumentError as error:
        return {"status": "error", "text": str(error), "error": str(error)}
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}

    def on_output(stream: str, text: str) -> None:
        if stream == "progress":
            send(channel, {"progress": text})
        else:
            streams[stream].write(text)

    state = message["agent_state"]
    outcome = run_function(
        function,
        kwargs,
        limit=message["return_limit"],
        on_output=on_output,
        agent_state=_Attributes.of(state),
    )
    return {
        "status": outcome.status,
        "text": outcome.text,
        "display": outcome.display,
        "error": outcome.error,
        "traceback": outcome.traceback,
        "pictures": [
            base64.b64encode(one).decode() for one in outcome.pictures if isinstance(one, bytes)
        ],
    }


class _Attributes(dict[str, Any]):
    """An agent's state in the sandbox: a copy, read as a dictionary or by attributes."""

    @classmethod
    def of(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return cls({key: cls.of(one) for key, one in value.items()})
        if isinstance(value, list):
            return [cls.of(one) for one in value]
        return value

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
