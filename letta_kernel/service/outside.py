"""What tools did outside the store, where no rewind reaches: payments, files, messages to others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from letta_kernel.messages import DID_NOT_HAPPEN
from letta_kernel.records import Inherited
from letta_kernel.store import lineage
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Where, load, utc
from letta_kernel.tools import core, notebook

_INSIDE = frozenset(core.FUNCTIONS) | notebook.CHANGES | notebook.READS
"""Tools that only change what a rewind brings back, or only look."""
_LONGEST = 200  # characters of the arguments that are shown


@dataclass(frozen=True, slots=True)
class Effect:
    """A call that may have had an effect outside: which, with what, how it went, and when."""

    tool: str
    arguments: str
    status: str
    step_id: str | None
    at: datetime

    def __str__(self) -> str:
        return f"{self.tool}({self.arguments}), {self.status}, {self.at.astimezone():%H:%M:%S}"


def effects(tx: Tx, parts: Sequence[Inherited]) -> list[Effect]:
    """Return the calls in these parts of a history whose effects cannot be taken back, oldest first."""
    if not parts:
        return []
    where = Where()
    lineage.of_parts(where, parts)
    rows = tx.query(
        "SELECT role, CAST(tool_calls AS text), tool_call_id, status, step_id, created_at,"
        f" content = {where.place(DID_NOT_HAPPEN)} FROM messages {where}"
        " AND (role = 'tool' OR CAST(tool_calls AS text) <> '[]') ORDER BY seq",
        where.params,
    )
    asked: dict[str, tuple[str, str]] = {}
    found = []
    for role, calls, answers, status, step_id, at, never in rows:
        if role != "tool":
            asked.update((call["id"], (call["name"], _said(call))) for call in load(calls))
            continue
        name, arguments = asked.get(answers or "", ("", ""))
        if name and name not in _INSIDE and status != "denied" and not never:
            found.append(Effect(name, arguments, status or "ok", step_id, utc(at)))
    return found


def _said(call: dict[str, object]) -> str:
    given = call.get("arguments")
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
