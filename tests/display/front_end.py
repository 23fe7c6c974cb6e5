"""A front end made of protocol messages: it shows a widget, answers it, and counts what it costs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import forked_kernels
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from pydantic import TypeAdapter

from letta_kernel.display.transcript import Transcript
from letta_kernel.messages import Event

_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])
VIEW = "application/vnd.jupyter.widget-view+json"
_TIMEOUT = 120.0
_PREPARE = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from letta_kernel.display.live import LiveView
from letta_kernel.messages import *
from sample_run import events, ANSWER
"""


@dataclass
class Cell:
    """What one cell sent while it ran."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    @property
    def stdout(self) -> str:
        return "".join(c["text"] for c in self.of("stream") if c["name"] == "stdout")

    @property
    def told(self) -> list[dict[str, Any]]:
        """What the kernel sent to the widget."""
        data = [c["data"] for c in self.of("comm_msg")]
        return [d["content"] for d in data if d.get("method") == "custom"]

    @property
    def bytes_told(self) -> int:
        """What went over the wire for the widget, envelopes included, the final form not."""
        kinds = ("comm_open", "comm_msg", "comm_close", "display_data")
        return sum(
            len(json.dumps(m, default=str).encode())
            for m in self.messages
            if m["msg_type"] in kinds
        )


class Screen:
    """The events of a widget as a page would have them, put together from the messages."""

    def __init__(self) -> None:
        self.seen = 0
        self.events: list[dict[str, Any]] = []
        self.missed = False

    def receive(self, message: dict[str, Any]) -> None:
        if message.get("type") != "events" or message["after"] < self.seen:
            return
        self.missed = message["after"] > self.seen
        if not self.missed:
            self.seen = message["until"]
            self.events += message["events"]

    def snapshot(self) -> dict[str, Any]:
        """What the events say of the run."""
        transcript = Transcript("hello")
        for event in _EVENTS.validate_python(self.events):
            transcript.handle(event)
        return transcript.snapshot()


Say = Callable[[dict[str, Any]], None]


class FrontEnd:
    """A plain ipykernel and somebody who looks at it."""

    def __init__(self) -> None:
        self.manager = KernelManager()
        assert self.manager.kernel_spec is not None
        self.manager.kernel_spec.metadata = forked_kernels.METADATA
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=_TIMEOUT)
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        self.subshell = self.client.get_control_msg(timeout=_TIMEOUT)["content"]["subshell_id"]
        self.run(_PREPARE)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def say(self, comm_id: str, content: dict[str, Any], *, busy_shell: bool = False) -> None:
        """Say something to the widget's kernel side, on the subshell as JupyterLab does."""
        data = {"comm_id": comm_id, "data": {"method": "custom", "content": content}}
        message = self.client.session.msg("comm_msg", data)
        if not busy_shell:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    def run(
        self,
        code: str,
        *,
        ready: bool | None = True,
        react: Callable[[dict[str, Any], Say], None] | None = None,
        allow_stdin: bool = True,
    ) -> Cell:
        """Run a cell; follow it when a widget is shown, and let *react* see each thing it is told."""
        cell = Cell()
        request = self.client.execute(code, allow_stdin=allow_stdin)
        end = time.monotonic() + _TIMEOUT
        shown = ""
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            cell.messages.append(message)
            kind, content = message["msg_type"], message["content"]
            follow = {"type": "follow", "run_id": "", "after": 0}
            if kind == "display_data" and VIEW in content["data"]:
                shown = content["data"][VIEW]["model_id"]
                if ready:
                    self.say(shown, follow)
            elif kind == "stream" and ready is None:  # late: when something is printed
                self.say(shown, follow)
            elif kind == "comm_msg" and react and content["data"].get("method") == "custom":
                model = shown or content["comm_id"]
                react(content["data"]["content"], lambda said, to=model: self.say(to, said))
            elif kind == "status" and content["execution_state"] == "idle":
                break
        else:
            raise TimeoutError(code)
        while cell.reply.get("parent_header", {}).get("msg_id") != request:
            cell.reply = self.client.get_shell_msg(timeout=_TIMEOUT)
        return cell

    def listen(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Read what is sent after a cell is over, until a message that is *wanted*."""
        heard = []
        end = time.monotonic() + _TIMEOUT
        while time.monotonic() < end:
            try:
                heard.append(self.client.get_iopub_msg(timeout=1))
            except Empty:
                continue
            if wanted(heard[-1]):
                return heard
        raise TimeoutError([message["msg_type"] for message in heard])
