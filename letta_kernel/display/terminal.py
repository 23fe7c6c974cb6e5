"""The live view of a run in a terminal: lines as they come, the answer letter by letter."""

from __future__ import annotations

import contextvars
import sys
import threading
from typing import Any

from letta_kernel.display import parts, words
from letta_kernel.display.clean import clean_text, one_line
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.words import WIDTH, footer_text, header_text, item_lines
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    GroupEnded,
    GroupStarted,
    MemoryChanged,
    Nested,
    Notice,
    ReasoningDelta,
    RunEnded,
    RunQueued,
    RunStarted,
    StepEnded,
    StepStarted,
    StreamReset,
    TextDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    is_answering,
)

_THOUGHT = "  ~ "
_OUTPUT = "      | "
_QUIET, _PLAIN = "\x1b[2m", "\x1b[0m"


class TerminalView:
    """Prints a run while it happens; thoughts and tools are dim where the terminal shows colours.

    Parameters
    ----------
    transcript
        Has taken in each event before it is handed to `handle`.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._lock = threading.RLock()
        self._colours = sys.stdout.isatty()
        self._open = ""  # what the line the cursor stands in is part of, with its prefix
        self._answering = False
        self._ended = False
        self._group = False  # its agents' runs stand one below the other

    def handle(self, event: Event) -> None:
        """Print what is new with *event*; may be called from any thread."""
        with self._lock:
            self._handle(event)

    def _handle(self, event: Event) -> None:
        # What streams comes first: those events are many, and the others end the line that it stands in.
        if isinstance(event, TextDelta):
            self._stream(event.text, "")
        elif isinstance(event, ReasoningDelta):
            self._stream(event.text, _THOUGHT)
        elif isinstance(event, ToolProgress):
            if event.stream == "progress" and not event.text:
                return
            if event.stream == "progress":
                self._line(f"{_OUTPUT}{one_line(event.text, WIDTH)}")
            else:
                self._stream(event.text, _OUTPUT)
        elif is_answering(event):
            return
        elif isinstance(event, RunQueued):
            self._line(f"  {words.LEVELS['info']} {event.text}")
        elif isinstance(event, Nested):
            self._nested(event.event, 3)
        elif isinstance(event, GroupStarted):
            self._group = True
            self._line(header_text(self._transcript.snapshot()), dim=False)
        elif isinstance(event, RunStarted) and self._group:
            said = {"name": event.agent_name, "model": event.model, "label": event.model_label}
            for line in item_lines({"kind": "speaker", **said}):
                self._line(line, dim=False)
        elif isinstance(event, RunStarted):
            self._line(header_text(self._transcript.snapshot()), dim=False)
        elif isinstance(event, RunEnded) and self._group:
            self._close_line()
        elif isinstance(event, ToolStarted):
            peek = words.preview(event.arguments, WIDTH - 14)
            self._line(f"  {words.GLYPHS['running']} {one_line(event.name, 100)}({peek})")
        elif isinstance(event, ToolReturned):
            self._item("tool_call", event.call_id)
        elif isinstance(event, MemoryChanged | Notice):
            self._item("memory" if isinstance(event, MemoryChanged) else "notice")
        elif isinstance(event, StepStarted):
            for kind in ("beside", "retrieved"):
                if getattr(event, kind):
                    self._item(kind)
        elif isinstance(event, StepEnded):
            for edit in (edit for message in event.messages for edit in message.edits or ()):
                for line in item_lines({"kind": "edited", **parts.edited(edit)}):
                    self._line(line)
        elif isinstance(event, StreamReset):
            self._line("  ! What was said since the last step is void: the model is asked again.")
        elif isinstance(event, ApprovalRequested):
            for call in event.calls:
                args = one_line(call.arguments, WIDTH - 40)
                self._line(f"  {words.GLYPHS['waiting']} {call.name}({args}) waits for approval")
        elif isinstance(event, RunEnded | GroupEnded):
            self._ended = True
            self._close_line()
            snapshot = self._transcript.snapshot()
            for text in filter(None, (words.cites_text(snapshot), footer_text(snapshot))):
                _print(f"\n{text}")

    def _nested(self, event: Event, depth: int) -> None:
        """Print the most of what the run of another agent tells that a call has asked."""
        if isinstance(event, Nested):
            self._nested(event.event, depth + 2)
        elif isinstance(event, RunStarted):
            self._line(
                f"{'  ' * depth}{one_line(event.agent_name, 80)} · {one_line(event.model, 80)}"
            )
        elif isinstance(event, RunQueued):
            self._line(f"{'  ' * depth}{one_line(event.text, WIDTH)}")
        elif isinstance(event, ToolStarted) and not is_answering(event):
            peek = words.preview(event.arguments, WIDTH - 20)
            sign = words.GLYPHS["running"]
            self._line(f"{'  ' * depth}{sign} {one_line(event.name, 100)}({peek})")

    def close(self) -> None:
        """End the last line, and say so if the run was cut short; call it once the transcript is closed."""
        self._close_line()
        if not self._ended:
            footer = footer_text(self._transcript.snapshot())
            _print("\n".join(["  ■ interrupted here", *([footer] if footer else [])]))

    def _item(self, kind: str, call_id: str | None = None) -> None:
        """Print the newest entry of a kind; what a tool printed while it ran is on screen already."""
        for item in reversed(self._transcript.snapshot()["items"]):
            if item.get("kind") == kind and (call_id is None or item.get("id") == call_id):
                shown: dict[str, Any] = {**item, "output": ""}
                for line in item_lines(shown):
                    self._line(line)
                return

    def _line(self, text: str, *, dim: bool = True) -> None:
        self._close_line()
        self._answering = False
        _print(self._dim(text) if dim else text)

    def _stream(self, text: str, prefix: str) -> None:
        """Print a piece of something that grows; each of its lines begins with *prefix*."""
        text = clean_text(text)
        answer = not prefix
        if self._open and self._open != (prefix or "answer"):
            self._close_line()
        if not text:
            return
        if not self._open:
            if answer and not self._answering:
                _print()  # an answer stands apart from what went before
            self._answering = answer
            _print(self._dim(prefix), end="")
            text = text.lstrip("\n") if answer else text
        self._open = prefix or "answer"
        ends = text.endswith("\n")
        body = (text[:-1] if ends else text).replace("\n", "\n" + prefix)
        _print(body if answer else self._dim(body), end="")
        if ends:
            _print()
            self._open = ""

    def _close_line(self) -> None:
        if self._open:
            _print()
            self._open = ""

    def _dim(self, text: str) -> str:
        return f"{_QUIET}{text}{_PLAIN}" if self._colours and text else text


def _print(text: str = "", end: str = "\n") -> None:
    """Print outside of the context that this is called in: what a tool prints in its own is caught there."""

    def write() -> None:
        print(text, end=end, flush=True)

    contextvars.Context().run(write)
