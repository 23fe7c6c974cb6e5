"""A signal to whoever holds the store's lock: somebody else wants it."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

_DEAF = 0.01  # seconds between looks where there is no signal
_LOOK = (
    0.5  # and where there is one: those who wait may be in another container, or were not listening
)


class LockSignal:
    """The signal of one project folder, received by the one process that listens.

    It is a socket without a file (Linux has such), so that none is left behind by a process that is killed.
    Elsewhere nothing is sent, and whoever waits has to look now and then.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """Listen from now on; the lock must be held."""
        if self._socket is not None or sys.platform != "linux":
            return
        with suppress(OSError):  # one of another container may be listening: then we look
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                opened.bind(self._name())
            except OSError:
                opened.close()
                raise
            self._socket = opened

    def wait(self, seconds: float) -> None:
        """Return when it is sent, and after *seconds* at most."""
        listening = self._socket
        if listening is None or sys.platform == "win32":
            time.sleep(min(max(seconds, 0.001), _DEAF))
            return
        with suppress(OSError, ValueError):  # closed meanwhile
            poll = select.poll()
            poll.register(listening, select.POLLIN)
            if poll.poll(1000 * min(max(seconds, 0.001), _LOOK)):
                while listening.recv(1):
                    pass

    def send(self) -> None:
        """Wake whoever listens, in any process."""
        if sys.platform != "linux":
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(b"!", self._name())

    def close(self) -> None:
        """Stop listening."""
        listening, self._socket = self._socket, None
        if listening is not None:
            listening.close()

    def _name(self) -> str:
        found = os.stat(self._home)
        return f"\0letta-kernel/{found.st_dev}/{found.st_ino}"
