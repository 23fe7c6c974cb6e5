"""A notebook for tests: a real letta kernel over zmq, its cells, their outputs."""

from __future__ import annotations

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import forked_kernels
from forked_kernels import LETTA
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

TIMEOUT = 60.0


@dataclass
class Ran:
    """What came of one cell; displays hold their last update."""

    status: str = ""
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    next_cell: str = ""  # what was put into it
    seconds: float = 0.0  # from the interrupt, or the request, to the reply

    @property
    def text(self) -> str:
        """Everything a person sees, as text."""
        shown = [str(bundle.get("text/plain", "")) for bundle in self.displays]
        return "\n".join([self.stdout, self.stderr, *shown, *self.traceback])

    @property
    def run(self) -> dict[str, Any]:
        """The saved form of the run the cell shows."""
        found = [b["application/vnd.letta.run.v1+json"] for b in self.displays if len(b) >= 3]
        assert len(found) == 1, self.displays
        return dict(found[0])

    def items(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.run["items"] if item["kind"] == kind]

    @property
    def answer(self) -> str:
        return "".join("".join(item["text"]) for item in self.items("answer"))

    @property
    def notices(self) -> list[dict[str, Any]]:
        """What it was told beside the conversation, but for the library that may load before any turn."""
        return [i for i in self.items("notice") if not i["text"].startswith("Loading the model")]


class Notebook:
    """A kernel and a client; the project folder and the environment outlive both.

    Parameters
    ----------
    anew : start the kernel as users do, where a test looks at its start or its imports; else it is forked
    """

    def __init__(
        self,
        home: Path,
        command: list[str] | None = None,
        cwd: Path | None = None,
        *,
        anew: bool = False,
        **env: str,
    ) -> None:
        self.home = home
        self.command = command or LETTA
        self.anew = anew
        self.cwd = cwd
        self.env = {**os.environ, "LETTA_HOME": str(home), **env}
        self.on_display: Callable[[dict[str, Any]], None] = lambda bundle: None
        self.start()

    def start(self) -> None:
        self.manager = KernelManager()
        assert self.manager.kernel_spec is not None
        self.manager.kernel_spec.argv = self.command
        if not self.anew:
            self.manager.kernel_spec.metadata = forked_kernels.METADATA
        options = {"cwd": str(self.cwd)} if self.cwd else {}
        self.manager.start_kernel(env=self.env, stderr=subprocess.DEVNULL, **options)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)
        self._kept: deque[dict[str, Any]] = deque(maxlen=1000)  # of cells that are finished later

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def kill(self) -> None:
        """kill -9, as when the machine takes the process away."""
        self.client.stop_channels()
        assert self.manager.provisioner is not None
        os.kill(self.manager.provisioner.pid, 9)
        self.manager.shutdown_kernel(now=True)

    def restart(self, *, anew: bool = False) -> None:
        """Start the kernel again; from now on *anew*, if a test looks at its imports from here."""
        self.close()
        self.anew = self.anew or anew
        self.start()

    def send(self, code: str, cell_id: str | None = None, *, stdin: bool = False) -> str:
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": stdin,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def run(
        self, code: str, cell_id: str | None = None, *, answers: list[str] | None = None
    ) -> Ran:
        """Run a cell to its end; *answers* are typed where it asks."""
        with suppress(Empty):  # what a cell that was stopped had asked
            while answers is not None:
                self.client.stdin_channel.get_msg(timeout=0)
        return self.finish(self.send(code, cell_id, stdin=answers is not None), answers)

    def finish(
        self,
        request: str,
        answers: list[str] | None = None,
        *,
        when: Callable[[Ran], bool] | None = None,
        then: Callable[[], None] | None = None,
    ) -> Ran:
        """Collect a cell's outputs; *then* is done once *when* holds (to press stop, for instance)."""
        ran, by_id, began = Ran(), {}, time.monotonic()
        idle = False
        deadline = began + TIMEOUT
        while not (idle and ran.status):
            assert time.monotonic() < deadline, f"the cell did not end: {ran}"
            if when is not None and when(ran):
                when = None
                began = time.monotonic()
                assert then is not None
                then()
            if answers:
                try:
                    self.client.stdin_channel.get_msg(timeout=0)
                    self.client.input(answers.pop(0))
                except Empty:
                    pass
            try:
                message = self.next(request)
                if message is not None:
                    idle = self._take(message, ran, by_id) or idle
            except Empty:
                pass
            if not ran.status:
                try:
                    reply = self.client.get_shell_msg(timeout=0)
                    if reply["parent_header"].get("msg_id") == request:
                        ran.status = reply["content"]["status"]
                        ran.seconds = time.monotonic() - began
                        for one in reply["content"].get("payload", ()):
                            ran.next_cell += one.get("text", "")
                        ran.ename = reply["content"].get("ename", "")
                        ran.evalue = reply["content"].get("evalue", "")
                except Empty:
                    pass
        return ran

    def next(self, request: str) -> dict[str, Any] | None:
        """Return the next message about *request*, None if another comes; those are kept for later."""
        for message in self._kept:
            if message["parent_header"].get("msg_id") == request:
                self._kept.remove(message)
                return message
        message = self.client.get_iopub_msg(timeout=0.02)
        if message["parent_header"].get("msg_id") == request:
            return dict(message)
        self._kept.append(message)
        return None

    def _take(self, message: dict[str, Any], ran: Ran, by_id: dict[str, Any]) -> bool:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            setattr(ran, content["name"], getattr(ran, content["name"]) + content["text"])
        elif kind in ("display_data", "execute_result", "update_display_data"):
            name = content.get("transient", {}).get("display_id")
            if kind == "update_display_data":
                by_id[name].clear()
                by_id[name].update(content["data"])
            else:
                ran.displays.append(content["data"])
                by_id[name] = content["data"]
            self.on_display(content["data"])
        elif kind == "error":
            ran.traceback = content["traceback"]
        return kind == "status" and content["execution_state"] == "idle"

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def complete(self, code: str, at: int | None = None) -> list[str]:
        reply = self.client.complete(code, at, reply=True, timeout=TIMEOUT)
        return list(reply["content"]["matches"])

    def inspect(self, code: str) -> str:
        reply = self.client.inspect(code, reply=True, timeout=TIMEOUT)
        return str(reply["content"]["data"].get("text/plain", ""))
