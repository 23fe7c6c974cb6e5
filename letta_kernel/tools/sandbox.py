"""Running a tool's source in a process of its own, from a warm start.

What it protects: this process and its memory (variables, keys, the notebook) cannot be reached, no
environment variable but those given is seen, and time, processor time, memory, bytes written, open files and
processes are limited. On Linux the call also sees only what is granted of the file system, read-only, has no
network unless it may, and cannot reach other processes: see `letta_kernel.tools.sandbox_walls` for the levels
of this and docs/explanation/sandbox.md for what holds where. When the call is over everything it started is
ended and its scratch folder is removed. Only JSON (and pictures as base64) comes back; nothing is unpickled.

Memory is limited per process, not for all processes of a call together. On macOS there are no walls, the
memory limit is not enforced, and a process that leaves its group is not found; on Windows there is no sandbox.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from letta_kernel import isolation
from letta_kernel.errors import ToolError
from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.tools import cells
from letta_kernel.tools import sandbox_walls as walls
from letta_kernel.tools.agent_client import Ask
from letta_kernel.tools.agent_state import StateCopy
from letta_kernel.tools.outcome import Outcome, shorten_line
from letta_kernel.tools.output import OutputFunction, Sink
from letta_kernel.tools.results import checked_display, checked_pictures, shorten
from letta_kernel.tools.sandbox_call import LARGEST
from letta_kernel.tools.sandbox_talk import CallChannel, Ended
from letta_kernel.tools.sandbox_walls import LEVELS, Level
from letta_kernel.tools.schema_models import KEPT_AS

_START = 60.0  # seconds the warm process may take to come up on a busy machine
_BOOT = (
    "import json, sys; ours, theirs = json.loads(sys.argv[1]); sys.path[:] = ours; "
    "from letta_kernel import isolation; isolation.install(); "
    "from letta_kernel.tools.sandbox_worker import serve; "
    "serve(int(sys.argv[2]), theirs, sys.argv[3].split(','))"
)
# Passed on since programs need them to work at all; none of them holds a secret.
_PASSED = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "LD_LIBRARY_PATH", "SYSTEMROOT"),
)
_FEW_THREADS = {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4", "MPLBACKEND": "agg"}


HELD_BY: dict[Level, str] = {
    "namespaces": "namespaces of its own",
    "landlock": "Landlock",
    "process": "a process of its own alone",
}
"""What keeps a call in, in words."""
WEAK = (
    "Tools there can read your files and use the network; run strangers' tools only where the system has "
    "user namespaces or Landlock (Linux 5.13 or later)."
)
"""What to know and do where there are no walls."""


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """What one call may use: seconds; bytes per process, per file, of all files; processes; open files."""

    seconds: float = 180.0
    memory: int = 2 * 1024**3
    file_size: int = 100 * 1024**2
    disk: int = 512 * 1024**2
    processes: int = 64
    open_files: int = 512


@dataclass(frozen=True, slots=True)
class View:
    """What of the file system a call sees, beside the system's own: absolute paths.

    ``folders`` can be read, and their files found by name in the current folder; ``writable`` ones written too;
    what is in ``hidden`` is not there, and nothing called ``.letta`` or ``.env``.
    """

    folders: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


class Sandbox:
    """A warm process that forks one for each call; safe to use from several threads.

    Parameters
    ----------
    limits
        What a call may use, unless its tool has a time limit of its own.
    levels
        The walls to choose from; the strongest that works here is taken.
    """

    def __init__(
        self, limits: ResourceLimits | None = None, levels: Sequence[Level] = LEVELS
    ) -> None:
        self.limits = limits or ResourceLimits()
        self._levels = levels
        self._level: Level = "process"
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0

    def warm(self) -> None:
        """Start the warm process, so that the first call need not wait for it.

        Raises
        ------
        ToolError
            When it cannot be started.
        """
        with self._lock:
            alive = self._process is not None and self._process.poll() is None
            if not alive or self._owner != os.getpid():
                self._start()

    def level(self) -> Level:
        """Return what keeps calls away from the rest of the machine, once it has been tried.

        Raises
        ------
        ToolError
            When the warm process cannot be started.
        """
        self.warm()
        return self._level

    def close(self) -> None:
        """End the warm process; calls that are under way end by themselves."""
        with self._lock:
            control, process = self._control, self._process
            self._control = self._process = None
            if control is not None:
                control.close()
            if process is not None and self._owner == os.getpid():
                try:
                    process.wait(2)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def schema(
        self, source: str, name: str | None = None, *, strict: bool = False
    ) -> dict[str, Any]:
        """Run *source* there and return the schema of its function *name*.

        Raises
        ------
        ToolError
            When the source cannot be run or described; one line.
        """
        message = {"kind": "schema", "source": source, "name": name, "strict": strict}
        seconds = min(30.0, self.limits.seconds)
        nothing = _Call({}, View(), network=False)
        with self._call(message, nothing, seconds, Cancel(), lambda stream, text: None) as ended:
            answer = ended.answer
        if answer is None:
            raise ToolError(f"the source cannot be read: {self._why(ended, seconds)}")
        schema = answer.get("schema")
        if not isinstance(schema, dict):
            raise ToolError(shorten(str(answer.get("problem", "the source gave no schema")), 2_000))
        return schema

    def run(
        self,
        tool: Tool,
        kwargs: Mapping[str, Any],
        *,
        environment: Mapping[str, str] | None = None,
        agent_state: Any = None,
        ask: Ask | None = None,
        view: View | None = None,
        on_output: OutputFunction = lambda stream, text: None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Call *tool* from its source; *kwargs* are JSON values and are converted there.

        What it writes into the memory of a `StateCopy` is in that afterwards; *ask* answers its ``client``. It
        has the network if the tool may (``tool.network``), and sees *view* of the file system.

        Raises
        ------
        ToolError
            When it cannot be started: a package it needs is missing, or there is no sandbox here.
        """
        lack = cells.missing(cells.declared(tool.source, tool.name))
        if lack:
            text, mend = lack
            raise ToolError(f"{tool.name} {text}", mend)
        cancel = cancel or Cancel()
        seconds = tool.time_limit or self.limits.seconds
        message = {
            "kind": "call",
            "source": tool.source,
            "tool": tool.name,
            "arguments": _json_values(dict(kwargs)),
            "agent_state": _json_values(agent_state),
            "schema": tool.metadata.get(KEPT_AS),
            "return_limit": tool.return_limit,
        }
        call = _Call(environment or {}, view or View(), tool.network, ask)
        with self._call(message, call, seconds, cancel, on_output) as ended:
            if isinstance(agent_state, StateCopy) and ended.answer is not None:
                agent_state.take(ended.answer.get("memory"))
            return self._outcome(tool, ended, seconds)

    def _outcome(self, tool: Tool, ended: Ended, seconds: float) -> Outcome:
        answer = ended.answer
        if ended.reason == "cancelled":
            text = "The call was interrupted before it was done."
            return Outcome("interrupted", text, error=text)
        if answer is None:
            text = f"{tool.name} {self._why(ended, seconds)}"
            return Outcome("error", text, error=text)
        if "problem" in answer:
            text = f"{tool.name}: {shorten(str(answer['problem']), 4_000)}"
            trace = answer.get("traceback")
            return Outcome("error", text, error=shorten_line(text), traceback=trace and str(trace))
        failed = answer.get("status") != "ok"
        text = shorten(str(answer.get("text", "")), tool.return_limit)
        trace = answer.get("traceback")
        return Outcome(
            "error" if failed else "ok",
            text,
            checked_display(answer.get("display")),
            shorten_line(str(answer.get("error") or text)) if failed else None,
            shorten(str(trace), 20_000) if trace else None,
            pictures=checked_pictures(answer.get("pictures")),
        )

    def _why(self, ended: Ended, seconds: float) -> str:
        """Say why a call ended without an answer."""
        if ended.reason == "time":
            return f"took longer than its limit of {seconds:g} seconds and was stopped"
        if ended.reason == "processes":
            return f"started more than {self.limits.processes} processes and was stopped"
        if ended.reason == "disk":
            return f"wrote more than {self.limits.disk / 1024**2:,.0f} MB and was stopped"
        if ended.reason == "garbage":
            return "sent back something that is no answer"
        code = ended.code
        if code is None:
            return "ended without an answer: its process is gone"
        if code >= 0:
            return f"ended its process with exit code {code} without returning"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = {
            "SIGXCPU": " (it used more processor time than its limit)",
            "SIGABRT": " (often because its memory was used up)",
            "SIGKILL": " (often because memory ran out)",
        }.get(name, "")
        return f"crashed: its process was ended by {name}{hint}"

    # -- the warm process --------------------------------------------------------------------------

    def _start(self) -> None:
        if sys.platform == "win32":
            raise ToolError(
                "the sandbox needs Linux or macOS; run the cell that defines the tool",
                page="sandbox-missing",
            )
        ours, theirs = socket.socketpair()
        path = [isolation.own_path(), [entry or os.getcwd() for entry in sys.path]]
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-c", _BOOT, json.dumps(path)),
                *(str(theirs.fileno()), ",".join(self._levels)),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=base_environment(),
            start_new_session=True,  # the stop button's signal must not reach it
            cwd="/",
        )
        theirs.close()
        ours.settimeout(_START)
        try:
            ready = ours.recv(2)
        except OSError:
            ready = b""
        except BaseException:  # the stop button
            process.kill()
            ours.close()
            raise
        if ready[:1] != b"R":
            process.kill()
            said = (process.communicate()[1] or b"").decode(errors="replace").strip()
            ours.close()
            last = said.splitlines()[-1] if said else "it gave no reason"
            raise ToolError(f"the sandbox did not start: {last}", page="sandbox-missing")
        if process.stderr is not None:
            process.stderr.close()
        ours.settimeout(None)
        self._level = next(one for one in LEVELS if one.startswith(ready[1:].decode() or "p"))
        if self._control is not None:
            self._control.close()
        self._process, self._control, self._owner = process, ours, os.getpid()

    def _fork(self, descriptors: list[int]) -> None:
        """Have the warm process fork a keeper that gets *descriptors*."""
        for attempt in (1, 2):
            self.warm()
            with self._lock:
                control = self._control
                try:
                    if control is not None and sys.platform != "win32":
                        socket.send_fds(control, [b"F"], descriptors)
                        return
                except OSError:
                    self.close()
            if attempt == 2:
                raise ToolError("the sandbox's process keeps ending; restart the kernel")

    # -- one call ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _call(
        self,
        message: dict[str, Any],
        call: _Call,
        seconds: float,
        cancel: Cancel,
        on_output: OutputFunction,
    ) -> Iterator[Ended]:
        data = json.dumps(message).encode()
        if len(data) > LARGEST:
            raise ToolError(
                f"the arguments take {len(data):,} bytes, which is too much for the sandbox"
            )
        given = {name: str(value) for name, value in call.environment.items()}
        scratch = tempfile.mkdtemp(prefix="letta-tool-")
        settings = {
            "environment": {**base_environment(), **given},
            "scratch": scratch,
            "folders": call.view.folders,
            "writable": call.view.writable,
            "hidden": call.view.hidden,
            "network": call.network,
            "memory": self.limits.memory,
            "file_size": self.limits.file_size,
            "disk": self.limits.disk,
            "processes": self.limits.processes,
            "open_files": self.limits.open_files,
            # Only a backstop behind the clock: several threads use up several seconds each second.
            "cpu_seconds": int(seconds) * (os.cpu_count() or 1) + 5,
        }
        request, their_request = socket.socketpair()
        control, their_control = socket.socketpair()
        out, their_out = os.pipe()
        err, their_err = os.pipe()
        with contextlib.ExitStack() as stack:
            # The keeper removes it, unless it was ended itself.
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            for channel in (request, control, their_request, their_control):
                stack.callback(channel.close)
            stack.callback(os.close, out)
            stack.callback(os.close, err)
            with contextlib.ExitStack() as theirs:
                theirs.callback(os.close, their_out)
                theirs.callback(os.close, their_err)
                self._fork([their_request.fileno(), their_control.fileno(), their_out, their_err])
            their_request.close()
            their_control.close()
            if self._level != "namespaces":
                stack.enter_context(_closed_to_others())
            head = json.dumps(settings).encode()
            control.sendall(len(head).to_bytes(4, "big") + head)
            sink = Sink(on_output)
            talk = CallChannel(
                request, control, out, err, sink, len(data).to_bytes(4, "big") + data, call.ask
            )
            try:
                yield talk.until_end(seconds, cancel)
            finally:
                talk.close()
                sink.close()


@dataclass(frozen=True, slots=True)
class _Call:
    environment: Mapping[str, str]
    view: View
    network: bool
    ask: Ask | None = None


_closed = 0
_open_before = True  # a server is closed to others all the time
_closing = threading.Lock()


@contextlib.contextmanager
def _closed_to_others() -> Iterator[None]:
    """Keep this process's memory and environment from other processes of the user, in this block (Linux).

    It makes core dumps and debuggers impossible meanwhile, so only where a call could reach it otherwise.
    """
    global _closed, _open_before
    with _closing:
        _closed += 1
        if _closed == 1:
            _open_before = walls.dumpable(False)
    try:
        yield
    finally:
        with _closing:
            _closed -= 1
            if _closed == 0:
                walls.dumpable(_open_before)


def base_environment() -> dict[str, str]:
    """Return the few environment variables every call gets."""
    found = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**found, **_FEW_THREADS}


@cache
def default_sandbox() -> Sandbox:
    """Return the sandbox the whole process shares; its warm process starts with the first call."""
    made = Sandbox()
    atexit.register(made.close)
    return made


def _json_values(values: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(values, fallback=str)
