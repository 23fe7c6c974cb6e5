"""Starts processes by forking one that has imported what they need: each is a process of its own, soon.

A kernel or a command spends seconds of CPU on imports before it does anything, and the tests start hundreds.
What a new process imports, and in what order, is looked at by tests that start it as users do.

Run as a program it takes requests at a socket until its standard input ends; `Forked` makes one.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.process
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLACE = "LETTA_TESTS_FORKS"
"""The variable that names the socket: a server that a test starts forks its kernels from the same process."""
_LONGEST = 1 << 20  # bytes of a request
_lock = threading.Lock()
_started: subprocess.Popen[bytes] | None = None


class Forked:
    """A process; as much of `subprocess.Popen` as those who look after kernels use.

    Parameters
    ----------
    kind : one of `_KINDS`, which says what the process is
    words : its command line
    streams : its standard input, output and error
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        kind: str,
        words: list[str],
        folder: str,
        environment: dict[str, str],
        streams: tuple[int, int, int],
    ) -> None:
        self._said = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said.connect(f"\0{place()}")
        self.args = words
        self.returncode: int | None = None
        request = {"kind": kind, "words": words, "folder": folder, "environment": environment}
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
        self._said.sendmsg([json.dumps(request).encode()], ancillary)
        self.pid = int(self._said.recv(100))

    def poll(self) -> int | None:
        """Return how it ended, None while it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait at most *timeout* seconds until it ends; return how.

        Raises
        ------
        subprocess.TimeoutExpired
            It goes on.
        """
        if self.returncode is None:
            if timeout is not None and not select.select([self._said], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            # Nothing is said where whoever looks after it was killed too.
            self.returncode = int(self._said.recv(100) or -9)
            self._said.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it goes on."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """End it."""
        self.send_signal(15)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(9)


def place() -> str:
    """Return the name of the socket where requests are taken; the first who asks starts what takes them."""
    global _started
    with _lock:
        if PLACE not in os.environ:
            name = f"letta-forks-{secrets.token_hex(8)}"
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            listener.bind(f"\0{name}")
            listener.listen(64)
            _started = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                stdin=subprocess.PIPE,  # which ends with this process
                pass_fds=[listener.fileno()],
                cwd="/",
                start_new_session=True,
            )
            listener.close()
            os.environ[PLACE] = name
            atexit.register(_end)
        return os.environ[PLACE]


def _end() -> None:
    assert _started is not None
    assert _started.stdin is not None
    _started.stdin.close()
    _started.wait()


def run_command(
    words: list[str], folder: str, given: str, environment: dict[str, str], timeout: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run ``letta-kernel`` with *words* to its end; *given* is typed into it.

    Raises
    ------
    subprocess.TimeoutExpired
        It took longer than *timeout* seconds; it has been killed.
    """
    ours = [os.pipe() for _ in range(3)]
    theirs = (ours[0][0], ours[1][1], ours[2][1])
    process = Forked("command", words, folder, environment, theirs)
    for end in theirs:
        os.close(end)
    read = [_Reader(ours[1][0]), _Reader(ours[2][0])]
    # It may end without reading.
    with contextlib.suppress(BrokenPipeError), open(ours[0][1], "w", encoding="utf-8") as stdin:
        stdin.write(given)
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
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


# -- the process that is forked ----------------------------------------------------------------------


def _serve(listener: socket.socket) -> None:
    sys.path.pop(0)  # the folder of this file
    for module in _AT_ONCE:
        importlib.import_module(module)
    from letta_kernel import lazy_import

    for module in _WHEN_USED:
        lazy_import.load(module)
    while threading.active_count() > 1:  # a thread of an import that is just ending
        time.sleep(0.01)
    gc.collect()
    gc.freeze()  # what is shared stays shared
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if listener not in ready:
            return  # nobody is there any more
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass  # those who looked after a process that has ended
        asked, _ = listener.accept()
        body, descriptors, _, _ = socket.recv_fds(asked, _LONGEST, 3)
        if (
            body and os.fork() == 0
        ):  # waits for the process, so that this one can take the next request
            listener.close()
            _attend(json.loads(body), descriptors, asked)
        asked.close()
        for descriptor in descriptors:
            os.close(descriptor)


_AT_ONCE = ("letta_kernel.cli.root", "letta_kernel.kernel", "letta_kernel.service")
_WHEN_USED = (
    "letta_kernel.models.gateway",
    "letta_kernel.models.routes",
    "letta_kernel.notebook.commands",
    "letta_kernel.notebook.panel.connections",
    "letta_kernel.notebook.session",
    "letta_kernel.server.serving",
    "wordllama",
)


def _attend(request: dict[str, Any], streams: list[int], asked: socket.socket) -> None:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        asked.send(str(os.getpid()).encode())
        asked.close()
        _be(request, streams)
    for number in (*streams, 0, 1, 2):
        os.close(number)
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([ended, asked], [], [])
    if ended in ready:
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            asked.send(str(os.waitstatus_to_exitcode(status)).encode())
    else:  # whoever started it is gone
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _be(request: dict[str, Any], streams: list[int]) -> None:
    """Become the process that was asked for, as far as it can tell."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    code: Any = 1
    try:
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        os.environ.pop(PLACE, None)
        from letta_kernel import project

        # These note the folder where the process starts, which is here and now.
        importlib.reload(project)
        multiprocessing.process.ORIGINAL_DIR = os.getcwd()  # type: ignore[attr-defined]
        code = 0
        _KINDS[request["kind"]](request["words"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        code = 1
        sys.excepthook(*sys.exc_info())
    # As the interpreter does at its end: threads are waited for, exit hooks run, streams are flushed.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


def _command(words: list[str]) -> None:
    sys.argv = ["letta-kernel", *words]
    from letta_kernel.cli import main

    main()


def _kernel(words: list[str]) -> None:
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    sys.argv = ["-c", *words]
    from letta_kernel.kernel import main

    main()


def _plain_kernel(words: list[str]) -> None:
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    from ipykernel import kernelapp

    sys.argv = [str(Path(kernelapp.__file__).parents[1] / "ipykernel_launcher.py"), *words]
    kernelapp.launch_new_instance()


_KINDS: dict[str, Callable[[list[str]], None]] = {
    "command": _command,
    "kernel": _kernel,
    "plain kernel": _plain_kernel,
}

if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
