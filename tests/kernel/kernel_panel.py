"""A panel for tests: a second front end of a kernel, on a subshell of its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from queue import Empty
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from kernel_notebook import TIMEOUT, Notebook

TARGET = "letta-kernel.desk"


class PanelFailure(Exception):
    """The kernel's word on why it refused: kind and message."""


class Panel:
    """One connection."""

    def __init__(self, notebook: Notebook, *, subshell: bool = True) -> None:
        # Not the manager's own client: two with one identity would get each other's replies.
        self.client = BlockingKernelClient(connection_file=notebook.manager.connection_file)
        self.client.load_connection_file()
        self.client.start_channels()
        self.comm = uuid.uuid4().hex
        self.heard: list[dict[str, Any]] = []
        self.closed = False
        self.statuses: list[str] = []  # the kernel's, as others see them
        self.replies: list[str] = []  # ids of the messages that were replied to
        self.subshell = self._make_subshell() if subshell else None
        self._wait_for_iopub()
        self.hello: dict[str, Any] = {}

    def open(self) -> Panel:
        self.post("comm_open", target_name=TARGET, data={})
        self.hello = self.until(lambda: self.of("hello"))[0]
        return self

    def close(self) -> None:
        self.post("comm_close", data={})
        self.client.stop_channels()

    def post(self, kind: str, **content: Any) -> str:
        header = {"subshell_id": self.subshell} if self.subshell else {}
        message = self.client.session.msg(kind, {"comm_id": self.comm, **content})
        message["header"].update(header)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def send(self, data: dict[str, Any]) -> None:
        self.post("comm_msg", data=data)

    def ask(self, method: str, **params: Any) -> Any:
        """Ask and wait; work for the main thread is put there, as the front end does."""
        result = self.plain(method, **params)
        if isinstance(result, dict) and "execute" in result:
            message = self.client.session.msg(
                "execute_request",
                {
                    "code": result["execute"],
                    "silent": True,
                    "store_history": False,
                    "user_expressions": {},
                    "allow_stdin": False,
                    "stop_on_error": False,
                },
            )
            self.client.shell_channel.send(message)
            done = message["header"]["msg_id"]
            self.until(lambda: [m for m in self.replies if m == done])
            return self.plain("job", ticket=result["ticket"])
        return result

    def plain(self, method: str, **params: Any) -> Any:
        number = len(self.heard) * 1000 + 1
        self.send({"type": "request", "id": number, "method": method, "params": params})
        reply = self.until(lambda: [m for m in self.of("reply") if m["id"] == number])[0]
        if "error" in reply:
            raise PanelFailure(f"{reply['error']['kind']}: {reply['error']['message']}")
        return reply["result"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    def events(self, kind: str) -> list[dict[str, Any]]:
        every = (event for message in self.of("events") for event in message["events"])
        return [event for event in every if event["type"] == kind]

    def until(self, found: Callable[[], Any]) -> Any:
        """Listen until *found* returns something true, and return it."""
        end = time.monotonic() + TIMEOUT
        while not (value := found()):
            assert time.monotonic() < end, f"it did not come: {self.heard[-5:]}"
            self.listen(0.05)
        return value

    def listen(self, seconds: float) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=seconds)
            content = message["content"]
            if message["msg_type"] == "status":
                self.statuses.append(content["execution_state"])
            if content.get("comm_id") == self.comm and message["msg_type"] == "comm_msg":
                self.heard.append(content["data"])
                self.closed = self.closed or content["data"]["type"] == "bye"
        except Empty:
            pass
        try:
            reply = self.client.get_shell_msg(timeout=0)
            self.replies.append(reply["parent_header"]["msg_id"])
        except Empty:
            pass

    def _make_subshell(self) -> str:
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        return str(self.client.get_control_msg(timeout=TIMEOUT)["content"]["subshell_id"])

    def _wait_for_iopub(self) -> None:
        """What the kernel says before the subscription stands would be lost."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            self.client.control_channel.send(self.client.session.msg("kernel_info_request", {}))
            try:
                self.client.get_iopub_msg(timeout=0.5)
                return
            except Empty:
                continue
        raise AssertionError("nothing is heard from the kernel")
