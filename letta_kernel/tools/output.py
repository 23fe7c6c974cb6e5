"""What a tool prints while it runs: caught for the tool alone, passed on as it comes, never without end.

``sys.stdout`` is one for the whole process, and in a kernel it belongs to the cell. So while tools run, a
router stands in its place that looks at the context (`contextvars`) of whoever writes: a tool's own context
leads to its sink, everybody else's to the stream that was there before.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TextIO

from letta_kernel.models.masking import masked
from letta_kernel.tools.results import shorten

OutputFunction = Callable[[str, str], None]
"""Takes the stream's name (``stdout``, ``stderr``, ``progress``) and a piece of text."""

CHARACTERS = 200_000
"""Characters of a call's output that are passed on; the rest is counted only."""

KEPT = 10_000
"""Characters of each stream of a call's output that the history keeps."""

_PIECE = 4_096  # characters gathered at most before they are passed on


def kept(text: str, secrets: Iterable[str] = ()) -> str:
    """Return what was printed as the history keeps it: not too long, without *secrets* and others."""
    return shorten(masked(text, secrets), KEPT) if text else ""


class Printed:
    """Gathers what a call prints while it passes it on; progress is passed on only."""

    def __init__(self, on_output: OutputFunction) -> None:
        self._on_output = on_output
        self._pieces: dict[str, list[str]] = {"stdout": [], "stderr": [], "progress": []}

    def __call__(self, stream: str, text: str) -> None:
        """Take a piece."""
        self._pieces[stream].append(text)
        self._on_output(stream, text)

    def of(self, stream: str) -> str:
        """Return what was printed to ``stdout`` or ``stderr``."""
        return "".join(self._pieces[stream])


_sink: ContextVar[Sink | None] = ContextVar("letta_tool_output", default=None)


class Sink:
    """Takes what one call prints, passes whole lines on, and stops at a limit."""

    def __init__(self, on_output: OutputFunction, limit: int = CHARACTERS) -> None:
        self._on_output = on_output
        self._left = limit
        self._waiting = {"stdout": "", "stderr": ""}
        self._lock = threading.RLock()
        self.dropped = 0

    def write(self, stream: str, text: str) -> None:
        """Take a piece; pass it on at the end of a line or when much has gathered."""
        with self._lock:
            gathered = self._waiting[stream] + text
            cut = len(gathered) if len(gathered) > _PIECE else gathered.rfind("\n") + 1
            self._waiting[stream] = gathered[cut:]
            if cut:
                self._pass(stream, gathered[:cut])

    def flush(self, stream: str) -> None:
        """Pass on what waits for the end of its line."""
        with self._lock:
            text, self._waiting[stream] = self._waiting[stream], ""
            if text:
                self._pass(stream, text)

    def report(self, text: str) -> None:
        """Pass a piece of progress on at once."""
        with self._lock:
            self._pass("progress", text)

    def close(self) -> None:
        """Pass everything on and say how much was dropped."""
        for stream in self._waiting:
            self.flush(stream)
        if self.dropped:
            self._on_output(
                "stderr", f"[{self.dropped:,} more characters of output are not shown]\n"
            )

    def _pass(self, stream: str, text: str) -> None:
        kept = text[: self._left]
        self._left -= len(kept)
        self.dropped += len(text) - len(kept)
        if kept:
            self._on_output(stream, kept)


class _Router:
    """Stands in the place of ``sys.stdout`` or ``sys.stderr`` while tools run."""

    def __init__(self, stream: str, before: TextIO) -> None:
        self._stream = stream
        self.before = before

    def write(self, text: str) -> int:
        sink = _sink.get()
        if sink is None:
            return self.before.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        sink.write(self._stream, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        sink = _sink.get()
        if sink is None:
            self.before.flush()
        else:
            sink.flush(self._stream)

    def isatty(self) -> bool:
        return False if _sink.get() is not None else self.before.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.before, name)


_lock = threading.Lock()
_routers: list[tuple[str, _Router]] = []
_users = 0


@contextlib.contextmanager
def captured(on_output: OutputFunction) -> Iterator[Sink]:
    """Send what is printed in this context (and tasks made from it) to *on_output*."""
    global _users
    sink = Sink(on_output)
    with _lock:
        _users += 1
        if _users == 1:
            for name in ("stdout", "stderr"):
                router = _Router(name, getattr(sys, name))
                setattr(sys, name, router)
                _routers.append((name, router))
    token = _sink.set(sink)
    try:
        yield sink
    finally:
        _sink.reset(token)
        with _lock:
            _users -= 1
            if _users == 0:
                for name, router in _routers:
                    if getattr(sys, name) is router:  # a tool may have put its own stream there
                        setattr(sys, name, router.before)
                _routers.clear()
        sink.close()
