"""Noticing that something in the project has changed, by whatever process, at little cost."""

from __future__ import annotations

import os
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any

from letta_kernel.store.database import Database, Tx

_FILES = ("letta.duckdb", "letta.duckdb.wal")
# What a front end may show, and the rows that say whether it is still so: an agent's id (or none, if
# it may be anybody's) and values that change with every write. Each is one pass over a small table.
_QUERIES = {
    "agents": ("SELECT id, updated_at, name FROM agents",),
    "blocks": (
        # And how many have them: whom a block is shared with is shown too.
        "SELECT a.agent_id, count(*), sum(b.version), max(b.updated_at), sum(n.agents)"
        " FROM agent_blocks a JOIN blocks b ON b.id = a.block_id JOIN (SELECT block_id, count(*) AS agents"
        " FROM agent_blocks GROUP BY block_id) n ON n.block_id = b.id GROUP BY a.agent_id",
    ),
    "sleeps": (
        "SELECT agent_id, count(*), count(ended_at), count(*) FILTER (WHERE told), count(*) FILTER"
        " (WHERE status = 'undone'), (SELECT count(*) FROM proposals p WHERE p.agent_id = s.agent_id"
        " AND p.status = 'open'), (SELECT max(decided_at) FROM proposals p WHERE p.agent_id = s.agent_id)"
        " FROM sleeps s GROUP BY agent_id",
    ),
    "conversations": (
        "SELECT agent_id, count(*), max(updated_at) FROM conversations"
        " WHERE deleted_at IS NULL GROUP BY agent_id",
    ),
    "branches": (
        # Another line: it was rewound, or returned to an end.
        "SELECT id, first_seq, CAST(inherits AS text) FROM agents WHERE first_seq > 0",
    ),
    "messages": ("SELECT agent_id, next_seq FROM leases",),
    "runs": ("SELECT agent_id, fence, owner IS NULL, waiting FROM leases",),
    "passages": (
        "SELECT agent_id, count(*), max(seq), count(superseded_by) FROM passages"
        " WHERE NOT ends_with(agent_id, '/past') GROUP BY agent_id",
        # Edits, of those an index was told of, and what forks did to passages they inherited.
        "SELECT NULL, (SELECT value FROM counters WHERE owner_id = 'outbox' AND kind = 'entries'),"
        " (SELECT count(*) FROM passage_marks)",
    ),
    "tools": (
        "SELECT NULL, count(*), max(updated_at) FROM tools",
        "SELECT agent_id, string_agg(tool_id, ' ' ORDER BY tool_id) FROM agent_tools GROUP BY agent_id",
    ),
}
WHAT = list(_QUERIES)
"""All that may be told to have changed."""

Stamp = tuple[tuple[int, int, int] | None, ...]
Digest = dict[tuple[str, str | None], tuple[Hashable, ...]]


class ChangeWatch:
    """Compares a project with what it was when one last looked, or when this was made."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._stamp = stamp_of(home)
        self._digest: Digest | None = None

    def changed(self, database: Database) -> dict[str, Any] | None:
        """Return ``what`` has changed and for which ``agents`` (None: it may be any); None if nothing has.

        Looking costs two calls of the operating system while nobody writes, and a short transaction if
        somebody has.
        """
        stamp = stamp_of(self.home)
        same = stamp == self._stamp
        if same and self._digest is not None:
            return None
        digest = database.run(_read) if stamp[0] is not None else {}
        # The stamp is of before the transaction: what is written meanwhile is seen the next time.
        before, self._stamp, self._digest = self._digest, stamp, digest
        if before is None:  # written to before the first look: it may be anything
            return None if same else {"what": WHAT, "agents": None}
        moved = [key for key in {**before, **digest} if before.get(key) != digest.get(key)]
        if not moved:
            return None
        known = {agent_id for what, agent_id in {**before, **digest} if what == "agents"}
        agents = {agent_id for _, agent_id in moved}
        return {
            "what": [what for what in _QUERIES if any(key[0] == what for key in moved)],
            "agents": sorted(agents) if agents <= known else None,
        }


def stamp_of(home: Path) -> Stamp:
    """Return what differs once any process has written: each commit grows one of the files."""
    found: list[tuple[int, int, int] | None] = []
    for name in _FILES:
        entry = None
        with suppress(OSError):
            status = os.stat(home / name)
            entry = (status.st_mtime_ns, status.st_size, status.st_ino)
        found.append(entry)
    return tuple(found)


def _read(tx: Tx) -> Digest:
    return {
        (what, row[0]): row[1:]
        for what, queries in _QUERIES.items()
        for query in queries
        for row in tx.query(query)
    }
