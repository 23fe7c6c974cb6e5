"""The items of a transcript: thoughts, answers, calls, as they stream and as the snapshot has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from letta_kernel.display import parts
from letta_kernel.display.clean import clean_text, one_line
from letta_kernel.messages import Event

# Characters of one field that are kept for people. The history in the store has everything.
TEXT_LIMIT = 200_000
REASONING_LIMIT = 40_000
OUTPUT_LIMIT = 8_000


class Shown(Protocol):
    """The transcript of another agent's run, shown inside a call."""

    def handle(self, event: Event) -> None:
        """Take in an event."""

    def close(self) -> None:
        """End what is still open."""

    def snapshot(self) -> dict[str, Any]:
        """Return it as JSON holds it."""


@dataclass
class Item:
    """One thing in the transcript; streamed text stays in pieces until somebody looks."""

    kind: str
    data: dict[str, Any]
    pieces: list[str] = field(default_factory=list)
    step: int = 0
    provisional: bool = True  # this step's stream may still be void
    call_index: int | None = None  # which of the step's parallel calls, while streaming
    asked: dict[str, Shown] = field(default_factory=dict)  # runs of other agents, by agent

    def text(self) -> str:
        """Return the streamed text so far."""
        if len(self.pieces) > 1:
            self.pieces[:] = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


def streamed(item: Item) -> bool:
    """Whether a reset of this step's stream takes the item back."""
    return item.provisional and item.kind in ("reasoning", "answer", "tool_call")


def public(item: Item) -> dict[str, Any]:
    """Return the item as the snapshot has it: every text clean and bounded."""
    result: dict[str, Any] = {"kind": item.kind, **item.data}
    if item.kind in ("reasoning", "answer"):
        limit = TEXT_LIMIT if item.kind == "answer" else REASONING_LIMIT
        result["text"] = clean_text(item.text(), limit)
    elif item.kind == "tool_call":
        arguments = item.data["arguments"]
        if arguments is None:
            arguments = item.text()
            if item.data["state"] != "writing":
                arguments = parts.parsed(arguments)
        result["arguments"] = plain = parts.plain(arguments)
        if isinstance(plain, dict) and (names := list(plain)) != sorted(names):
            result["order"] = names  # a saved notebook has its keys sorted
        result["name"] = one_line(item.data["name"], 200)
        result["id"] = one_line(item.data["id"], 200)
        result["output"] = clean_text(item.data["output"], OUTPUT_LIMIT)
        if item.asked:
            result["asked"] = [_nested(other.snapshot()) for other in item.asked.values()]
    return result


def _nested(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of the run of another agent: no figures of its tools, and not what it was told."""
    for item in snapshot["items"]:
        if item["kind"] == "tool_call":
            item["display"] = None
    return {
        name: value
        for name, value in snapshot.items()
        if name not in ("version", "prompt", "sender")
    }
