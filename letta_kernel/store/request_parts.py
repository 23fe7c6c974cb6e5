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
    rows: dict[str, str] = {}
    for part in parts:
        if (agent_id, part.id) not in known:
            rows |= part.rows()
    if rows:
        # In one statement: the first turn of an agent has a dozen of them.
        tx.execute(
            "INSERT INTO request_parts (agent_id, id, value, created_at) SELECT $1::text, id,"
            " CAST(value AS json), $4::timestamptz FROM (SELECT unnest($2::text[]) AS id,"
            " unnest($3::text[]) AS value) AS given ON CONFLICT (agent_id, id) DO NOTHING",
            (agent_id, list(rows), [storable(value) for value in rows.values()], now()),
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
