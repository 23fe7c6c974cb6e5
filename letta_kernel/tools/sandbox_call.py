"""One call in the sandbox: what is said with the kernel about it, and the source run behind the walls.

This runs in a process of its own, which `letta_kernel.tools.sandbox_worker` forks.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from letta_kernel.tools import sandbox_walls as walls

MODULE = "letta_tool_source"
"""What a tool's source is to Python's import system."""

_HEADER = struct.Struct("!I")
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


def run(
    request: int,
    out: int,
    err: int,
    scratch: str,
    pieces: list[str],
    settings: dict[str, Any],
    enter: Callable[[], None],
) -> NoReturn:
    """Run what the kernel asks for; *enter* puts up walls once all is prepared."""
    if sys.platform == "win32":
        raise NotImplementedError
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
    if sys.platform == "win32":
        raise NotImplementedError
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
            return schema(message)
        return call(message, channel)
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


def _untyped(node: ast.FunctionDef | ast.AsyncFunctionDef, names: Iterable[str]) -> list[str]:
    """Return those of *names* for which a function's source has parameters without a type."""
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    typed = {one.arg for one in arguments if one.annotation is not None}
    return [name for name in names if name not in typed]


def _load(source: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run a tool's source as a module, which has the names *known* from the start, and return its names."""
    import linecache
    import types

    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    file = "<tool>"
    module.__dict__.update(known or {})
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    return module.__dict__


def schema(message: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a function in a tool's source."""
    from letta_kernel.tools.source import schema_here

    source, name = message["source"], message["name"]
    return {"schema": schema_here(source, name, _load(source), message["strict"])}


def call(message: dict[str, Any], channel: socket.socket) -> dict[str, Any]:
    """Call a function in a tool's source and return how that ended."""
    from letta_kernel.errors import ToolError
    from letta_kernel.tools.agent_client import Client, asked_for
    from letta_kernel.tools.agent_state import StateCopy
    from letta_kernel.tools.arguments import ToolArgumentError, check_call
    from letta_kernel.tools.live import run_function
    from letta_kernel.tools.options import options_from_ast
    from letta_kernel.tools.schema_models import SchemaModels
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

    models = SchemaModels(message.get("schema"))
    known: dict[str, Any] = {**models.names}
    if asked_for(source):
        known["client"] = Client(ask)
    function = _load(source, known)[node.name]
    try:
        kwargs = check_call(tool, function, message["arguments"])
        for name in _untyped(node, kwargs):
            kwargs[name] = models.converted(tool, name, kwargs[name])
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
