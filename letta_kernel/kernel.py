"""The kernel: IPython's own, with agents in it.

Nothing heavy is imported here: the kernel starts as fast as ipykernel does, and a notebook without agents
stays as light. What agents need is imported when the first one is used.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from letta_kernel import __version__, isolation, magics
from letta_kernel.hooks import users_code

_AGENTS_CELL = re.compile(
    r"\s*(%%agent\b|get_ipython\(\)\._letta_magics\.do\(|(%agent\b[^\n]*\s*)+\Z)"
)
_COMMS = ("comm_open", "comm_msg", "comm_close")


class LettaKernel(IPythonKernel):
    """A full IPython kernel with ``%agent``, ``%%agent`` and functions that become tools."""

    implementation = "letta-kernel"
    # implementation_version is IPython's: clients decide by it what they can ask for. `banner` has ours.

    def __init__(self, **kwargs: Any) -> None:
        self._quiet: set[str] = set()  # ids of messages whose begin and end are not told
        self._cell: Any = None  # the request that the main thread is at
        self._telling = threading.Lock()
        self._agents_cells = 0  # that run now
        super().__init__(**kwargs)
        magics.install(self.shell)
        users_code.told_apart()
        for kind in _COMMS:  # widgets call the user's functions
            self.shell_handlers[kind] = self._users(self.shell_handlers[kind])

    async def do_execute(self, code: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Execute a cell; before one that is not the agents' the store is let go of."""
        if _AGENTS_CELL.match(code):
            self._agents_cells += 1
            try:
                return await super().do_execute(code, *args, **kwargs)
            finally:
                self._agents_cells -= 1
        with users_code.runs(cell=True):
            return await super().do_execute(code, *args, **kwargs)

    def _users(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return what handles a message of a comm as *handle* does, of which the user's code may be called."""

        def handled(stream: Any, ident: Any, message: dict[str, Any]) -> Any:
            if self._target(message) == magics.PANEL:
                return handle(stream, ident, message)
            with users_code.runs(cell=not self._agents_cells):  # else a turn goes on, and needs it
                return handle(stream, ident, message)

        return handled

    def _target(self, message: dict[str, Any]) -> str:
        """Return what the comm that a message is about was opened for; empty where that is not known."""
        content = message.get("content")
        if not isinstance(content, dict):  # not read: the message was for a subshell that is gone
            return ""
        known = self.comm_manager.comms.get(content.get("comm_id", ""))
        return str(content.get("target_name") or getattr(known, "target_name", ""))

    @property
    def banner(self) -> str:  # type: ignore[override]
        """IPython's banner and one line of ours."""
        return f"{super().banner}letta-kernel {__version__} -- agents: '%agent help' for help.\n"

    def _publish_status(self, status: str, channel: str, parent: Any = None) -> None:
        """Let a kernel that runs a cell look busy, whatever else it answers beside it.

        Front ends take the end of any message for the kernel's. So nothing is said of the messages of panels,
        and after the end of others, whose senders wait for it, that the cell still runs. Private to ipykernel:
        in a version without it, the kernel's sign flickers.
        """
        message = parent or self.get_parent(channel)
        header = message.get("header") or {}
        if header.get("msg_type") in _COMMS:
            if self._target(message) == magics.PANEL:
                self._quiet.add(header["msg_id"])
            if header["msg_id"] in self._quiet:  # one that closes is not known any more at its end
                if status == "idle":
                    self._quiet.discard(header["msg_id"])
                return
        # As in ipykernel: who sends cells to subshells counts on two signs for each.
        of_subshell_cell = header.get("msg_type") == "execute_request" and header.get("subshell_id")
        with self._telling:
            super()._publish_status(status, channel, parent)
            if header.get("msg_type") == "execute_request" and not of_subshell_cell:
                self._cell = message if status == "busy" else None
            elif status == "idle" and self._cell is not None and not of_subshell_cell:
                super()._publish_status("busy", "shell", self._cell)


def _leave_without_waiting() -> None:
    """End the process at once if a background import is still on its way.

    The interpreter would tear modules down under a thread in the middle of loading one, which can
    hang or crash. Everything else has been cleaned up by now: exit handlers run last-in first-out.
    """
    imports: Any = sys.modules.get("letta_kernel.lazy_import")
    if imports is not None and imports.busy():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def main() -> None:
    """Run the kernel as a program, with ipykernel's own command line."""
    isolation.install()
    atexit.register(_leave_without_waiting)
    IPKernelApp.launch_instance(kernel_class=LettaKernel)
