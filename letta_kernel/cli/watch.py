"""A run on the terminal: the answer as it streams, thoughts dimmed, calls and changes of memory."""

from __future__ import annotations

from typing import Any

from letta_kernel.cli import output
from letta_kernel.display import words
from letta_kernel.display.clean import one_line
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    MemoryChanged,
    Nested,
    Notice,
    ReasoningDelta,
    RunEnded,
    RunQueued,
    RunStarted,
    StepEnded,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    is_answering,
)


class Watcher:
    """Shows the events of a run.

    Parameters
    ----------
    stream : show the answer piece by piece; False, for pipes: once it is committed, so that nothing is
        printed that the model took back.
    details : show thoughts, calls, changes of memory and figures too.
    aside : where the details go: with the answer, or to stderr.
    """

    def __init__(self, *, stream: bool, details: bool, aside: bool = False) -> None:
        self._stream, self._details, self._aside = stream, details, aside
        self._part = ""  # what was printed last and its line is not ended
        self.queued = False  # it waits for another run to end
        self.waiting: list[ToolCall] = []
        self.ended: RunEnded | None = None
        self.answers: list[str] = []

    def note(self, event: Event) -> None:
        """Take in one event without showing it."""
        match event:
            case RunQueued():
                self.queued = True
            case RunStarted():
                self.queued = False
                self.waiting = []
            case ApprovalRequested():
                self.waiting = event.calls
            case StepEnded():
                self.answers += _said(event)
            case RunEnded():
                self.ended = event
            case _:
                pass

    def handle(self, event: Event) -> None:
        """Take in one event and show it."""
        # One case an event, so that what each prints, and to which stream, is seen at one glance.
        self.note(event)
        if is_answering(event):
            return
        match event:
            case RunStarted():
                label = f" · {event.model_label}" if event.model_label else ""
                self._detail(f"{event.agent_name} · {event.model}{label}")
            case RunQueued():
                self._line(event.text, stderr=True)
            case ReasoningDelta():
                if self._details:
                    self._piece("thought", event.text)
            case TextDelta():
                if self._stream:
                    self._piece("answer", event.text)
            case StreamReset():
                self._detail("… the model begins again")
            case ToolStarted():
                self._detail(f"→ {event.name}({words.preview(event.arguments, 200)})")
            case Nested(event=RunStarted() as other):
                self._detail(f"  {other.agent_name} · {other.model}")
            case Nested(event=RunQueued() as other):
                self._line(other.text, stderr=True)
            case ToolProgress(stream="progress", text=""):
                pass
            case ToolProgress():
                if self._details:
                    self._piece("output", event.text)
            case ToolReturned():
                sign = "✓" if event.status == "ok" else "✗"
                said = event.error if event.status == "error" else event.text
                self._detail(f"{sign} {event.name}: {one_line(said or event.status, 300)}")
            case MemoryChanged():
                self._detail(f"✎ memory {event.label} (version {event.version})")
                if self._details:
                    output.put_diff(event.before, event.after, stderr=self._aside)
            case Notice():
                if self._details or event.once or event.level != "info":
                    self._line(f"{words.LEVELS.get(event.level, '·')} {event.text}", stderr=True)
            case StepEnded():
                self.end_line()
                if not self._stream:
                    for text in _said(event):
                        output.put(text)
                for edit in (edit for message in event.messages for edit in message.edits or ()):
                    self._detail(f"✎ edited by hand: {edit.what} {edit.name}")
            case RunEnded():
                self._end(event)
            case _:
                pass

    def end_line(self) -> None:
        """Begin a new line if one is open."""
        if self._part:
            output.put("", stderr=self._aside and self._part != "answer")
            self._part = ""

    def _end(self, event: RunEnded) -> None:
        self.end_line()
        figures: dict[str, Any] = {
            "steps": event.steps,
            "seconds": event.seconds,
            "first_token": event.first_token,
            **event.usage.model_dump(),
        }
        parts = words.footer_parts({k: v for k, v in figures.items() if v is not None})
        if event.stop_reason != "end_turn":
            parts.append(event.stop_reason)
        self._detail(f"[{' · '.join(parts)}]")

    def _piece(self, part: str, text: str) -> None:
        if self._part != part:
            self.end_line()
            self._part = part
        aside = self._aside and part != "answer"
        output.put(text, style=None if part == "answer" else "dim", end="", stderr=aside)
        output.console(aside).file.flush()

    def _detail(self, text: str) -> None:
        if self._details:
            self._line(text, stderr=self._aside)

    def _line(self, text: str, *, stderr: bool) -> None:
        self.end_line()
        output.put(text, style="dim", stderr=stderr)


def _said(event: StepEnded) -> list[str]:
    return [m.said for m in event.messages if m.role == "assistant" and m.said.strip()]
