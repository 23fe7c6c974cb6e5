"""The numbers by which an answer may cite what its turn found: ``[1]``, ``[2]`` …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.memory.origins import of_passages
from letta_kernel.records import Step
from letta_kernel.store import messages, passages, runs
from letta_kernel.store.database import Tx

_SHOWN = 300  # characters of what is cited


@dataclass(slots=True)
class Citations:
    """The numbers of one turn's hits, passages and messages, by their ids: each keeps the one it got first."""

    numbers: dict[str, int] = field(default_factory=dict)
    _fresh: dict[str, int] = field(default_factory=dict)

    def mark(self, item_id: str) -> str:
        """Return the number of a hit as an answer writes it, ``[3]``."""
        number = self.numbers.setdefault(item_id, len(self.numbers) + 1)
        self._fresh[item_id] = number
        return f"[{number}]"

    def take(self) -> dict[str, int]:
        """Return the hits that were marked since this was asked last, with their numbers."""
        fresh, self._fresh = self._fresh, {}
        return fresh


def numbers_of(steps: Sequence[Step]) -> dict[str, int]:
    """Return the numbers that were given in these steps."""
    numbers: dict[str, int] = {}
    for step in steps:
        numbers.update({one["id"]: one["n"] for one in step.retrieved if "n" in one})
        for call in step.tool_stats:
            numbers.update(call.get("cites") or {})
    return numbers


def so_far(tx: Tx, run_id: str | None) -> dict[str, int]:
    """Return the numbers that were given in a run, and in those it went on from after approvals."""
    numbers: dict[str, int] = {}
    while run_id is not None and (run := runs.get(tx, run_id)) is not None:
        numbers.update(numbers_of(runs.steps_of(tx, run.id)))
        run_id = run.continues
    return numbers


def shown(tx: Tx, numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what is shown of these hits, but those that are gone: ``n``, ``text``, ``at``, ``origin``."""
    found = passages.get_many(tx, list(numbers)) if numbers else []
    told: list[tuple[int, str, Any, str]] = [
        (numbers[one.id], one.content, one.created_at, origin.source)
        for one, origin in zip(found, of_passages(tx, found), strict=True)
    ]
    said = {one for one in numbers if one.startswith("message-")}
    for message in messages.get_many(tx, list(said)) if said else ():
        who = "you" if message.role == "user" else message.role
        told.append((numbers[message.id], message.said, message.created_at, f"message of {who}"))
    return [
        {"n": n, "text": text[:_SHOWN], "at": at.isoformat(timespec="minutes"), "origin": origin}
        for n, text, at, origin in sorted(told, key=lambda one: one[0])
    ]
