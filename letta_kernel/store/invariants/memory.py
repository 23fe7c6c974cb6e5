"""Rules about memory: blocks and their versions, passages, files, and the pictures of messages."""

from __future__ import annotations

import json

from letta_kernel.store import passage_edits, pictures, purge_due
from letta_kernel.store.database import Tx
from letta_kernel.store.invariants.rule import OWNERS, Rule

_ASTRAY = (
    "SELECT b.id FROM blocks b LEFT JOIN (SELECT block_id, max(version) AS last FROM block_versions"
    " GROUP BY 1) v ON v.block_id = b.id"
    " LEFT JOIN block_versions n ON n.block_id = b.id AND n.version = b.version"
    " LEFT JOIN block_versions s ON s.block_id = b.id AND s.version = b.shown"
    " WHERE v.last IS DISTINCT FROM b.version OR n.value IS DISTINCT FROM b.value OR s.version IS NULL"
)


def _write_versions(tx: Tx, broken: list[str]) -> None:
    tx.execute(
        "UPDATE blocks SET version = greatest(version, coalesce((SELECT max(v.version) FROM"
        " block_versions v WHERE v.block_id = blocks.id), 0)) + 1 WHERE id = ANY($1::text[])",
        (broken,),
    )
    tx.execute("UPDATE blocks SET shown = version WHERE id = ANY($1::text[])", (broken,))
    tx.execute(
        "INSERT INTO block_versions (block_id, version, value, actor, reason, created_at)"
        " SELECT id, version, value, created_by, 'repaired', updated_at FROM blocks"
        " WHERE id = ANY($1::text[])",
        (broken,),
    )


_UNMARKED = (
    "((superseded_by IS NULL) <> (superseded_at IS NULL) OR superseded_by IS NOT NULL AND superseded_by"
    " NOT IN (SELECT id FROM passages UNION ALL SELECT id FROM forgotten))"
)
_NOT_FORGOTTEN = (
    f"id IN (SELECT id FROM passages) OR replace(agent_id, '/past', '') NOT IN ({OWNERS})"
)
_NO_ROW = "id NOT IN (SELECT id FROM passages UNION ALL SELECT id FROM forgotten)"


def _let_go(tx: Tx, ids: list[str]) -> None:
    """Drop rows of forgotten passages; texts that are nowhere else are purged from copies, too."""
    tx.execute("DELETE FROM forgotten WHERE id = ANY($1::text[])", (ids,))
    rows = tx.query("SELECT id FROM passages WHERE id = ANY($1::text[])", (ids,))
    purge_due.note(tx, [*{*ids} - {row[0] for row in rows}])


def _rings(tx: Tx) -> list[str]:
    """Return the passages that would supersede themselves through others."""
    rows = tx.query("SELECT id, superseded_by FROM passages WHERE superseded_by IS NOT NULL")
    by = {str(one): str(other) for one, other in rows}
    clear: set[str] = set()
    found = []
    for first in by:
        path, at = {first: None}, by[first]  # in order
        while at in by and at not in clear and at not in path:
            path[at] = None
            at = by[at]
        if at in path:
            found += list(path)[list(path).index(at) :]
        clear.update(path)
    return found


_LINKED = (
    "block_versions o WHERE o.block_id = block_versions.block_id AND o.version = block_versions"
)
MEMORY = (
    Rule(
        "blocks",
        "memory blocks differ from their last version",
        _ASTRAY,
        "keep the text they have as another version",
        _write_versions,
    ),
    *(
        Rule(
            "blocks",
            f"versions of blocks would {way} to one that is gone",
            f"SELECT block_id FROM block_versions WHERE {way}_to IS NOT NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {_LINKED}.{way}_to)",
            "let them end there",
            (
                f"UPDATE block_versions SET {way}_to = NULL WHERE {way}_to IS NOT NULL"
                f" AND NOT EXISTS (SELECT 1 FROM {_LINKED}.{way}_to)",
            ),
        )
        for way in ("undo", "redo")
    ),
    Rule(
        "blocks",
        "memory blocks lack versions in their midst",
        "SELECT block_id FROM block_versions GROUP BY block_id"
        " HAVING count(*) < max(version) - min(version) + 1",
    ),
    Rule(
        "files",
        "files have another number of passages than they say",
        "SELECT f.id FROM files f LEFT JOIN (SELECT source, count(*) AS n FROM passages GROUP BY 1) p"
        " ON p.source = f.id WHERE f.chunks <> coalesce(p.n, 0)",
        "count them anew",
        ("UPDATE files SET chunks = (SELECT count(*) FROM passages p WHERE p.source = files.id)",),
    ),
    Rule(
        "passages",
        "passages are superseded by what is gone",
        f"SELECT id FROM passages WHERE {_UNMARKED}",
        "let them stand again",
        (f"UPDATE passages SET superseded_by = NULL, superseded_at = NULL WHERE {_UNMARKED}",),
    ),
    Rule(
        "passages",
        "versions of passages are gone",
        f"SELECT id FROM passage_versions WHERE {_NO_ROW}",
        "forget that there were any",
        (f"DELETE FROM passage_versions WHERE {_NO_ROW}",),
    ),
    Rule(
        "passages",
        "passages of before are of no time",
        "SELECT id FROM passages WHERE agent_id LIKE '%/past'"
        " AND id NOT IN (SELECT id FROM passage_versions WHERE until IS NOT NULL)",
        "let them have ended when they were kept",
        (
            "INSERT INTO passage_versions SELECT id, id, replace(agent_id, '/past', ''), seq, seq, NULL,"
            " coalesce(kept_at, created_at) FROM passages WHERE agent_id LIKE '%/past'"
            " AND id NOT IN (SELECT id FROM passage_versions WHERE until IS NOT NULL)"
            " ON CONFLICT (id) DO UPDATE SET until = excluded.until",
        ),
    ),
    Rule(
        "passages",
        "passages supersede each other in a ring",
        lambda tx: _rings(tx),
        "let them stand again",
        passage_edits.stand_again,
    ),
    Rule(
        "passages",
        "forgotten passages are there, or their owners are gone",
        f"SELECT id FROM forgotten WHERE {_NOT_FORGOTTEN}",
        "take the forgotten ones away",
        _let_go,
    ),
    Rule(
        "pictures",
        "pictures of messages are gone",
        lambda tx: sorted(_pictures(tx)[0] - _pictures(tx)[1]),
    ),
)


def _pictures(tx: Tx) -> tuple[set[str], set[str]]:
    """Return the ids of the pictures that messages name, and of those there are."""
    named = tx.query(pictures.NAMED)
    return (
        {one["id"] for (text,) in named for one in json.loads(text)},
        {row[0] for row in tx.query("SELECT id FROM pictures")},
    )
