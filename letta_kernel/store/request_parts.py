"""What the requests of an agent have in common, each kept once; see `letta_kernel.agent.request_record`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from letta_kernel.ids import now, storable
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.mapping import load

_MOST_KNOWN = 10_000
_written: WeakKeyDictionary[Database, set[tuple[str, str]]] = WeakKeyDictionary()
"""Agent and id of parts that are in the store, as far as this process has written them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of requests by its content: *rows* gives its JSON, and that of those it names, by their ids."""

    id: str
    rows: Callable[[], Mapping[str, str]]


def keep(tx: Tx, database: Database, agent_id: str, parts: Sequence[Part]) -> None:
    """Keep those of *parts* that this process has not kept yet."""
    known = _written.get(database, ())
    moment = now()
    for part in parts:
        if (agent_id, part.id) in known:
            continue
        for part_id, value in part.rows().items():
            tx.execute(
                "INSERT INTO request_parts (agent_id, id, value, created_at) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (agent_id, id) DO NOTHING",
                (agent_id, part_id, storable(value), moment),
            )


def kept(database: Database, agent_id: str, parts: Sequence[Part]) -> None:
    """Note that what `keep` wrote is committed."""
    known = _written.setdefault(database, set())
    if len(known) > _MOST_KNOWN:
        known.clear()
    known.update((agent_id, part.id) for part in parts)


def read(tx: Tx, agent_id: str, wanted: Collection[str]) -> dict[str, Any]:
    """Return the JSON values of those of these parts that there are, by id."""
    rows = tx.query(
        "SELECT id, value FROM request_parts WHERE agent_id = $1 AND id = ANY($2::text[])",
        (agent_id, list(wanted)),
    )
    return {row[0]: load(row[1]) for row in rows}
