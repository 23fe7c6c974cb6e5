"""Noticing that something in the project has changed, by whatever process, at little cost."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from typing import Any

from letta_kernel.errors import LettaError
from letta_kernel.store.database import Database, Tx

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
        " WHERE agent_id NOT LIKE '%/past' GROUP BY agent_id",
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

Digest = dict[tuple[str, str | None], tuple[Hashable, ...]]


class ChangeWatch:
    """Compares a project with what it was when one last looked, or when this was made."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._stamp: Hashable = None
        with suppress(LettaError):  # then anything may have changed at the first look
            self._stamp = database.changed()
        self._digest: Digest | None = None

    def changed(self) -> dict[str, Any] | None:
        """Return ``what`` has changed and for which ``agents`` (None: it may be any); None if nothing has.

        Looking costs next to nothing while nobody writes, and a short transaction if somebody has.

        Raises
        ------
        StoreError
            The store cannot be read.
        """
        stamp = self.database.changed()
        same = stamp == self._stamp
        if same and self._digest is not None:
            return None
        digest = self.database.look(_read) if self.database.exists() else {}
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


def _read(tx: Tx) -> Digest:
    return {
        (what, row[0]): row[1:]
        for what, queries in _QUERIES.items()
        for query in queries
        for row in tx.query(query)
    }
