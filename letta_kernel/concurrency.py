"""What must not be cut in two, blocks that the stop button waits for; and what nobody waits for long."""

from __future__ import annotations

import contextvars
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

_waiting: list[Uninterrupted] = []  # open blocks of the main thread that begin by waiting

# Without the look for an enum member, which takes ten times as long as the rest.
_handler_of = getattr(signal.getsignal, "__wrapped__", signal.getsignal)
_handle_by = getattr(signal.signal, "__wrapped__", signal.signal)


class Uninterrupted:
    """Hold back the stop button for a few milliseconds: it is obeyed when the block ends.

    Only the main thread receives KeyboardInterrupt; elsewhere this does nothing.

    Parameters
    ----------
    waits : the block begins by waiting for others; meanwhile `obey_stop` obeys the button.
    """

    def __init__(self, waits: bool = False) -> None:
        self._held_back = False
        self._previous: Any = None
        self._waits = waits

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._held_back = True

    def __enter__(self) -> Uninterrupted:
        if threading.current_thread() is threading.main_thread():
            current = _handler_of(signal.SIGINT)
            if callable(current):
                self._previous = current
                _handle_by(signal.SIGINT, self._note)
                if self._waits:
                    _waiting.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            if self._waits:
                _waiting.remove(self)
            _handle_by(signal.SIGINT, self._previous)
            if self._held_back:
                self._previous(signal.SIGINT, None)

    def obey(self) -> None:
        """Obey the stop button now, if it was pressed in this block."""
        if self._held_back:
            self._held_back = False
            raise KeyboardInterrupt


def obey_stop() -> None:
    """Raise KeyboardInterrupt if the stop button was pressed in a block that only waits yet."""
    if _waiting and threading.current_thread() is threading.main_thread():
        _waiting[-1].obey()


_late: dict[str, threading.Thread] = {}  # what took too long, and goes on


def within(seconds: float, work: Callable[[], T], name: str) -> T:
    """Return what *work* returns, done in a thread of its own, which is called *name*.

    Raises
    ------
    TimeoutError
        It takes more than *seconds*, and goes on alone; or one of that name still does.
    """
    if (late := _late.get(name)) is not None and late.is_alive():
        raise TimeoutError
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        _late[name] = thread
        raise TimeoutError
    return done[0]
