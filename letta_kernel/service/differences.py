"""How two points in time differ: what was said, what is known, what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Configuration, Inherited, Tool
from letta_kernel.service import points, restoring
from letta_kernel.service.points import Point
from letta_kernel.store import blocks, configurations, lineage, messages, passages
from letta_kernel.store.database import Tx

MOST = 200
"""Messages, and passages, of each side that a difference lists at most."""
_EVERY = 1_000_000  # passages that are compared


@dataclass(frozen=True, slots=True)
class Side:
    """One of two points: what it is called, whose it is."""

    name: str
    agent: AgentState
    point: Point


@dataclass(slots=True)
class Difference:
    """What two points, ``a`` and ``b``, differ in; pairs are (of a, of b), None where one has nothing.

    ``said`` are the newest messages that only one has, ``blocks`` texts by label, ``passages`` what only one
    knows (texts), ``tools`` sources or descriptions by name, ``fields`` model, settings and so on.
    """

    a: str
    b: str
    shared: int
    said: tuple[list[Message], list[Message]]
    blocks: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    passages: tuple[list[str], list[str]] = ([], [])
    tools: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether they are the same in all of it."""
        return not (
            any(self.said) or self.blocks or any(self.passages) or self.tools or self.fields
        )


def difference(tx: Tx, one: Side, other: Side) -> Difference:
    """Return what two points say, know and can do differently."""
    a, b = one.point, other.point
    only = lineage.behind(a.parts, b.parts), lineage.behind(b.parts, a.parts)
    known = _passages(tx, a), _passages(tx, b)
    found = Difference(
        one.name,
        other.name,
        shared=_count(tx, a.parts) - _count(tx, only[0]),
        said=(_said(tx, only[0]), _said(tx, only[1])),
        passages=(_lacking(known[0], known[1]), _lacking(known[1], known[0])),
    )
    for label in sorted(a.blocks.keys() | b.blocks.keys()):
        texts = [p.blocks[label].value if label in p.blocks else None for p in (a, b)]
        if texts[0] != texts[1]:
            found.blocks[label] = (texts[0], texts[1])
    left, right = _config(tx, one), _config(tx, other)
    tools = [{tool.name: tool for tool in restoring.tools_then(tx, c)} for c in (left, right)]
    for name in sorted(tools[0].keys() | tools[1].keys()):
        pair = [_content(side.get(name)) for side in tools]
        if pair[0] != pair[1]:
            found.tools[name] = (pair[0], pair[1])
    for name in (*restoring.OF_AGENT, "settings"):
        values = getattr(left, name), getattr(right, name)
        if values[0] != values[1]:
            found.fields[name] = values
    for what, ids in (
        ("archives", (left.archives, right.archives)),
        ("folders", (left.folders, right.folders)),
    ):
        if ids[0] != ids[1]:
            a_has, b_has = (restoring.names(tx, what, one) for one in ids)  # type: ignore[arg-type]
            found.fields[what] = (a_has, b_has)
    return found


def _config(tx: Tx, side: Side) -> Configuration:
    if side.point.configuration is not None:
        return side.point.configuration
    return configurations.current(tx, side.agent, blocks.of_agent(tx, side.agent.id))[0]


def _content(tool: Tool | None) -> str | None:
    return None if tool is None else tool.source or tool.description


def _count(tx: Tx, parts: Sequence[Inherited]) -> int:
    where = lineage.where_of(parts)
    row = tx.one(f"SELECT count(*) FROM messages {where}", where.params)
    return int(row[0]) if row else 0


def _said(tx: Tx, parts: Sequence[Inherited]) -> list[Message]:
    return messages.page(tx, "", limit=MOST, thread=lineage.thread_of(parts))[::-1] if parts else []


def _passages(tx: Tx, point: Point) -> dict[str, str]:
    """Return the passages that are found at a point, by id."""
    seen = passages.page(tx, points.sight(tx, point), limit=_EVERY, superseded=False)
    return {one.id: one.content for one in reversed(seen)}


def _lacking(one: dict[str, str], other: dict[str, str]) -> list[str]:
    texts = set(other.values())
    return [text for key, text in one.items() if key not in other and text not in texts][:MOST]
