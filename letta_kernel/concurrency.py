"""What must not be cut in two: blocks of code that the stop button waits for."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Uninterrupted:
    """Hold back the stop button for a few milliseconds: it is obeyed when the block ends.

    Only the main thread receives KeyboardInterrupt; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self._held_back = False
        self._previous: Any = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._held_back = True

    def __enter__(self) -> Uninterrupted:
        if threading.current_thread() is threading.main_thread():
            current = signal.getsignal(signal.SIGINT)
            if callable(current):
                self._previous = current
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            if self._held_back:
                self._previous(signal.SIGINT, None)
