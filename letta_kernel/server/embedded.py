"""The server inside a process that has other things to do: on a thread, with the store that is open already.

A process of its own would have to be given the store for every request and taken it again (some 40 ms each
way), could not call the notebook's functions, and would outlive a kernel that is killed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from letta_kernel.errors import StoreError
from letta_kernel.server.app import create_app
from letta_kernel.server.listen import Server, config_of
from letta_kernel.service import AgentService
from letta_kernel.tools.execute import ToolHost

_LEAVING = 10.0  # seconds in which what goes on is ended


class EmbeddedServer:
    """Serves agents from construction until `stop`, or until the process ends.

    Parameters
    ----------
    service
        The agents.
    listening
        The socket, which is closed at the end.
    token
        What requests must carry.
    host_of
        Tells where an agent's live functions are found: they are called on threads of the server.
    """

    def __init__(
        self,
        service: AgentService,
        listening: socket.socket,
        token: str,
        host_of: Callable[[str], ToolHost],
    ) -> None:
        app = create_app(service, token=token, host_of=host_of)
        self._listening = listening
        # log_config: uvicorn's own would close all handlers of the process.
        config = config_of(app, timeout_graceful_shutdown=1, log_config=None)
        self._server = Server(config)
        self._thread = threading.Thread(target=self._run, name="letta-server", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Wait, interruptibly, until it answers; `StoreError` if it does not come to that."""
        while not self._server.started:
            self._thread.join(0.05)
            if not self.alive:
                raise StoreError("The server ended as it was being started.")

    def stop(self) -> None:
        """End it, and the runs that go on in it."""
        self._server.should_exit = True
        self._thread.join(_LEAVING)

    def _run(self) -> None:
        with self._listening:
            self._server.run(sockets=[self._listening])
