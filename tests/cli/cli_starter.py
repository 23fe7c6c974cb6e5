"""Starts commands by forking a process that has imported what they need: each is a process of its own, soon.

Run as a program it reads requests from the socket that is its standard input; `start` sends one.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from typing import Any

_LONGEST = 1 << 20  # bytes of a request
_lock = threading.Lock()
_starter: socket.socket | None = None


def run(
    words: list[str], folder: str, given: str, environment: dict[str, str], timeout: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end.

    Raises
    ------
    subprocess.TimeoutExpired
        It took longer than *timeout* seconds; it has been killed.
    """
    ours = [os.pipe() for _ in range(3)]
    theirs = [ours[0][0], ours[1][1], ours[2][1]]
    said, answers = socket.socketpair()
    request = {"words": words, "folder": folder, "environment": environment}
    with _lock:
        _send(_started(), request, [*theirs, answers.fileno()])
    for end in theirs:
        os.close(end)
    answers.close()
    pid = json.loads(_line(said))
    read = [_Reader(ours[1][0]), _Reader(ours[2][0])]
    # It may end without reading.
    with contextlib.suppress(BrokenPipeError), open(ours[0][1], "w", encoding="utf-8") as stdin:
        stdin.write(given)
    said.settimeout(timeout)
    try:
        code = json.loads(_line(said))
    except TimeoutError:
        os.kill(pid, 9)
        raise subprocess.TimeoutExpired(words, timeout) from None
    return subprocess.CompletedProcess(words, code, *(reader.text() for reader in read))


class _Reader(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(daemon=True)
        self._file = open(descriptor, encoding="utf-8")  # noqa: SIM115 - closed where it is read
        self._text = ""
        self.start()

    def run(self) -> None:
        with self._file:
            self._text = self._file.read()

    def text(self) -> str:
        self.join()
        return self._text


def _started() -> socket.socket:
    global _starter
    if _starter is None:
        _starter, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        subprocess.Popen([sys.executable, __file__], stdin=other.fileno(), cwd="/")
        other.close()
    return _starter


def _send(to: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    to.sendmsg([json.dumps(request).encode()], ancillary)


def _line(sent: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (piece := sent.recv(1)):
            raise ConnectionError("the starter of commands has ended")
        line += piece
    return line


# -- the starter itself ------------------------------------------------------------------------------


def _serve() -> None:
    from letta_kernel import lazy_import
    from letta_kernel.cli import root  # noqa: F401 - all commands
    from letta_kernel.service import AgentService  # noqa: F401

    for library in ("letta_kernel.models.gateway", "wordllama"):
        lazy_import.load(library)
    requests = socket.socket(fileno=os.dup(0))
    while True:
        body, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 4)
        if not body:
            return
        if os.fork() == 0:  # waits for the command, so that this process can take the next request
            _attend(json.loads(body), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _attend(request: dict[str, Any], descriptors: list[int]) -> None:
    *streams, answers = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        _be(request, streams)
    for stream in streams:
        os.close(stream)
    os.write(answers, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _be(request: dict[str, Any], streams: list[int]) -> None:
    """Become the command, as far as it can tell."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["letta-kernel", *request["words"]]
    import importlib

    from letta_kernel import project

    importlib.reload(project)  # it notes the folder where the process starts, which is here and now
    code: Any = 1
    try:
        from letta_kernel.cli import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    # As the interpreter does at its end: threads are waited for, exit hooks run, streams are flushed.
    threading._shutdown()  # type: ignore[attr-defined]
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    _serve()
