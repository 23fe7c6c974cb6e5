"""A run's events as one JSON-ready snapshot: ``application/vnd.letta.run.v1+json``."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from letta_kernel.display import parts, words
from letta_kernel.display.cites import Cites
from letta_kernel.display.clean import clean_bundle, clean_text, one_line
from letta_kernel.display.footer import Footer
from letta_kernel.display.items import OUTPUT_LIMIT, TEXT_LIMIT, Item, public, streamed
from letta_kernel.messages import (
    ANSWER_TOOL,
    ApprovalRequested,
    Event,
    GroupEnded,
    GroupStarted,
    MemoryChanged,
    Message,
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
    ToolCallDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    is_answering,
)
from letta_kernel.pictures.picture import Thumbnail

VERSION = 1

# Characters of one field that are kept for people. The history in the store has everything.
RESULT_LIMIT = 12_000
MOST_ITEMS = 1_000
MOST_PICTURES = 20
MOST_EDITS = 50  # of one message
# Of the runs of other agents that a call has asked for.
MOST_ASKED = 50
MOST_NESTED_ITEMS = 200
DEEPEST = 8

_OPEN_STATES = ("writing", "running", "waiting")


class Transcript:
    """What has happened in one run so far.

    Feed it events with `handle`; `snapshot` may be called at any time and from any thread.

    Parameters
    ----------
    prompt
        What the person said, if known.
    depth
        How many runs it is nested in.
    """

    def __init__(self, prompt: str = "", depth: int = 0) -> None:
        self._depth = depth
        self._lock = threading.RLock()
        self._items: list[Item] = []
        self._step = 0
        self._state = "running"
        self._prompt = prompt
        self._head = {"run_id": "", "agent": "", "model": "", "label": ""}
        self._sender = ""
        self._members: dict[str, int] | None = None  # places of a group's agents, by their ids
        self._speaking: list[tuple[RunStarted, int]] = []  # whose runs go on, and the step before
        self._shown: RunStarted | None = None  # whose name stands above the newest entries
        self._last_step = 0
        self._footer = Footer()
        self._cites = Cites()
        self._queued: tuple[Item, float, str] | None = (
            None  # the line of a wait, since when, for whom
        )

    def handle(self, event: Event) -> None:
        """Take one event in; events of kinds not known here are passed over."""
        with self._lock:
            if is_answering(event):  # the answer is on screen
                self._items = [i for i in self._items if i.data.get("id") != event.call_id]
                return
            method = getattr(self, f"_on_{event.type}", None)
            if method is not None:
                method(event)

    def close(self) -> None:
        """Say that no more events will come: what was still open was interrupted."""
        with self._lock:
            if self._queued is not None:  # a line of its own says that it was stopped
                self._items.remove(self._queued[0])
                self._queued = None
            if self._state == "running":
                self._state = "interrupted"
                self._footer.interrupt()
            if self._state == "interrupted":
                for item in self._items:
                    if item.kind == "answer" and item.provisional:
                        item.data["interrupted"] = True
            for item in self._items:
                for other in item.asked.values():
                    other.close()
            if self._state != "waiting":
                for item in self._items:
                    if item.kind == "tool_call" and item.data["state"] in _OPEN_STATES:
                        item.data["state"] = "interrupted"

    def snapshot(self) -> dict[str, Any]:
        """Return the whole transcript as plain JSON values, every text cleaned and bounded."""
        with self._lock:
            most = MOST_NESTED_ITEMS if self._depth else MOST_ITEMS
            items = [public(item) for item in self._items[:most]]
            if len(self._items) > most:
                left = len(self._items) - most
                items.append(
                    {"kind": "notice", "level": "info", "text": f"{left} more entries not shown"}
                )
            cites = self._cites.of(items)
            return {
                "version": VERSION,
                **{name: one_line(value, 300) for name, value in self._head.items()},
                **({"sender": one_line(self._sender, 300)} if self._sender else {}),
                "state": self._state,
                "prompt": clean_text(self._prompt, TEXT_LIMIT),
                "items": items,
                **({"cites": cites} if cites else {}),
                "footer": self._footer.figures(),
            }

    # One method per event.

    def _on_group_started(self, event: GroupStarted) -> None:
        self._state = "running"
        self._footer.go_on()
        self._head = {"run_id": event.run_id, "agent": event.group_name, "model": "", "label": ""}
        self._members = {one.agent_id: place for place, one in enumerate(event.members)}
        self._show_pictures(event.pictures)

    def _on_group_ended(self, event: GroupEnded) -> None:
        self._end(event)

    def _on_run_started(self, event: RunStarted) -> None:
        self._state = "running"
        if self._members is not None:
            self._speaking.append((event, self._step))
            self._next_step()
        else:
            self._footer.go_on()  # it was approved: the same cell goes on
        if self._queued is not None:
            item, began, where = self._queued
            self._queued = None
            took = words.seconds(time.monotonic() - began)
            item.data.update(waits=False, text=f"Waited {took} for {where}.")
        self._cites.add(event.cites)
        if self._members is not None:
            return  # the group's own are above
        self._head = {
            "run_id": event.run_id,
            "agent": event.agent_name,
            "model": event.model,
            "label": event.model_label,
        }
        self._sender = event.sender or self._sender
        self._show_pictures(event.pictures)

    def _show_pictures(self, pictures: Sequence[Thumbnail]) -> None:
        if pictures:
            shown = enumerate(pictures[:MOST_PICTURES])
            self._add(
                "pictures", {"pictures": [parts.thumbnail(one, place) for place, one in shown]}
            )

    def _on_run_queued(self, event: RunQueued) -> None:
        if self._members is None:
            self._head.update(run_id=event.run_id, agent=event.agent_name)
        if self._queued is None:
            item = self._add("notice", {"level": "info", "text": "", "waits": True})
            self._queued = item, time.monotonic(), event.where
        self._queued[0].data["text"] = one_line(event.text, 1_000)

    def _on_step_started(self, event: StepStarted) -> None:
        self._next_step()
        if event.beside:
            self._add("beside", {"parts": [parts.part(part) for part in event.beside[:50]]})
        if event.retrieved:
            self._cites.add(event.retrieved)
            self._add("retrieved", {"passages": [parts.passage(p) for p in event.retrieved[:50]]})

    def _next_step(self) -> None:
        self._last_step += 1
        self._step = self._last_step

    def _on_reasoning_delta(self, event: ReasoningDelta) -> None:
        self._stream("reasoning", event.text)

    def _on_text_delta(self, event: TextDelta) -> None:
        self._stream("answer", event.text)

    def _on_tool_call_delta(self, event: ToolCallDelta) -> None:
        for item in reversed(self._items):
            if item.step == self._step and item.provisional and item.call_index == event.index:
                break
        else:
            item = self._call(event.id, event.name)
            item.call_index = event.index
        item.data["id"] = item.data["id"] or event.id
        item.data["name"] = item.data["name"] or event.name
        item.pieces.append(event.arguments)

    def _on_stream_reset(self, event: StreamReset) -> None:
        self._items = [i for i in self._items if not (i.step == self._step and streamed(i))]

    def _on_tool_started(self, event: ToolStarted) -> None:
        item = self._find(event.call_id, event.name)
        item.data.update(state="running", arguments=event.arguments, runs_in=event.runs_in)
        item.provisional = False

    def _on_tool_progress(self, event: ToolProgress) -> None:
        item = self._find(event.call_id)
        if event.stream == "progress":
            item.data["progress"] = one_line(event.text, 200)
        else:
            item.data["output"] = (item.data["output"] + event.text)[-2 * OUTPUT_LIMIT :]

    def _on_nested(self, event: Nested) -> None:
        item = self._find(event.call_id)
        other = item.asked.get(event.agent_id)
        if other is None:
            if self._depth >= DEEPEST or len(item.asked) >= MOST_ASKED:
                return
            other = item.asked[event.agent_id] = Transcript(depth=self._depth + 1)
        other.handle(event.event)

    def _on_tool_returned(self, event: ToolReturned) -> None:
        self._cites.add(event.cites)
        item = self._find(event.call_id, event.name)
        item.data.pop("progress", None)
        for other in item.asked.values():
            other.close()
        item.data.update(
            state=event.status,
            seconds=None if event.status == "denied" else event.seconds,
            result=clean_text(event.text, RESULT_LIMIT),
            display=clean_bundle(event.display),
            error=one_line(event.error, 500) if event.error else None,
            traceback=clean_text(event.traceback, RESULT_LIMIT) if event.traceback else None,
        )
        item.provisional = False

    def _on_memory_changed(self, event: MemoryChanged) -> None:
        before, after = parts.around_the_change(event.before, event.after)
        item = self._add(
            "memory",
            {
                "label": one_line(event.label),
                "before": clean_text(before, RESULT_LIMIT),
                "after": clean_text(after, RESULT_LIMIT),
                "version": event.version,
                "call_id": event.call_id,
            },
        )
        self._move_below_its_call(item)

    def _on_approval_requested(self, event: ApprovalRequested) -> None:
        self._state = "waiting"
        for call in event.calls:
            item = self._find(call.id, call.name)
            item.pieces[:] = [call.arguments]
            item.data.update(state="waiting", arguments=None)
            item.provisional = False

    def _on_notice(self, event: Notice) -> None:
        self._add(
            "notice",
            {"level": event.level, "text": one_line(event.text, 1_000), "seconds": event.seconds},
        )

    def _on_step_ended(self, event: StepEnded) -> None:
        for item in self._items:
            item.provisional = False
        for message in event.messages:
            if message.role == "assistant":
                self._settle(message)
            for edit in (message.edits or ())[:MOST_EDITS]:
                self._add("edited", parts.edited(edit)).provisional = False
        self._footer.add(event)
        if self._members is not None:
            return
        if event.model and event.model != self._head["model"]:  # a fallback answered
            self._head.update(model=event.model, label=event.model_label)

    def _on_run_ended(self, event: RunEnded) -> None:
        if self._members is None:
            self._end(event)
        elif self._speaking:
            self._speaker_ended(event)

    def _speaker_ended(self, event: RunEnded) -> None:
        """The run of one agent of a group is over; that of whoever asked it goes on."""
        if event.stop_reason == "requires_approval":
            self._state = "waiting"
        else:
            for item in self._items:
                if item.step != self._step:
                    continue
                if item.kind == "answer" and item.provisional:
                    item.data["interrupted"] = True
                if item.kind == "tool_call" and item.data["state"] in _OPEN_STATES:
                    item.data["state"] = "interrupted"
        if event.error and len(self._speaking) > 1:  # the last one's is the group's
            self._add("notice", {"level": "error", "text": one_line(event.error, 1_000)})
        self._step = self._speaking.pop()[1]

    def _end(self, event: RunEnded | GroupEnded) -> None:
        waiting = event.stop_reason == "requires_approval"
        cancelled = event.stop_reason == "cancelled"
        self._state = "waiting" if waiting else "interrupted" if cancelled else "ended"
        self._footer.end(event)
        if isinstance(event, RunEnded):
            self._head["model"] = event.model or self._head["model"]
        self.close()

    # The parts they share.

    def _add(self, kind: str, data: dict[str, Any]) -> Item:
        if self._speaking and self._shown is not self._speaking[-1][0]:
            self._shown = run = self._speaking[-1][0]
            said = {
                "place": (self._members or {}).get(run.agent_id, 0),
                "name": one_line(run.agent_name, 300),
                "model": one_line(run.model, 300),
                "label": one_line(run.model_label, 300),
            }
            self._items.append(Item("speaker", said, step=self._step, provisional=False))
        item = Item(kind, data, step=self._step)
        self._items.append(item)
        return item

    def _move_below_its_call(self, item: Item) -> None:
        """Parallel calls are all written before the first one changes anything."""
        place = len(self._items) - 1
        while place and self._items[place - 1].step == item.step:
            above = self._items[place - 1]
            if item.data["call_id"] in (above.data.get("id"), above.data.get("call_id")):
                self._items.insert(place, self._items.pop())
                return
            place -= 1

    def _stream(self, kind: str, text: str) -> None:
        last = self._items[-1] if self._items else None
        if last is None or last.kind != kind or last.step != self._step or not last.provisional:
            last = self._add(kind, {})
        last.pieces.append(text)

    def _call(self, call_id: str, name: str) -> Item:
        return self._add(
            "tool_call",
            {
                "id": call_id,
                "name": name,
                "arguments": None,  # None: the text streamed so far
                "state": "writing",
                "runs_in": "",
                "seconds": None,
                "result": "",
                "display": None,
                "error": None,
                "traceback": None,
                "output": "",
            },
        )

    def _find(self, call_id: str, name: str = "") -> Item:
        """The newest call of that id (providers repeat ids in later runs), made if never seen."""
        for item in reversed(self._items):
            if item.kind == "tool_call" and item.data["id"] == call_id:
                return item
        return self._call(call_id, name)

    def _settle(self, message: Message) -> None:
        """What was committed but not streamed is shown all the same."""
        # A provider may stream all of a message, parts of it or nothing; only what is not there yet is added.
        mine = [item for item in self._items if item.step == self._step]
        for kind, text in (("reasoning", message.reasoning), ("answer", message.said)):
            if text and not any(item.kind == kind for item in mine):
                self._add(kind, {}).pieces.append(text)
        for call in message.tool_calls:
            if call.name == ANSWER_TOOL and not any(i.data.get("id") == call.id for i in mine):
                continue
            item = self._find(call.id, call.name)
            if not item.pieces:
                item.pieces.append(call.arguments)
        if message.interrupted:
            for item in self._items:
                if item.step == self._step and item.kind == "answer":
                    item.data["interrupted"] = True
        for item in self._items:
            item.provisional = False
