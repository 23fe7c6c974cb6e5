"""What search needs of passages and messages: their text, and where and when it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from letta_kernel.messages import spoken
from letta_kernel.store.database import Tx
from letta_kernel.store.indexes import Kind
from letta_kernel.store.mapping import load, utc

_SELECT = {
    "passages": "SELECT id, seq, content, created_at, tags, source, position FROM passages",
    "messages": "SELECT id, seq, CASE WHEN role = 'tool' THEN '' ELSE content END, created_at, role,"
    " tool_calls, conversation_id FROM messages",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A passage or message as search sees it; ``source`` and ``position`` say what it stands beside."""

    id: str
    seq: int
    text: str
    created_at: datetime
    tags: tuple[str, ...]
    source: str | None
    position: int
    digest: str  # of what can be edited; messages never are, theirs is empty


def after(tx: Tx, kind: Kind, agent_id: str, seq: int, limit: int) -> tuple[list[Line], int]:
    """Return lines that follow *seq*, oldest first, and up to which seq that is all there is.

    At most *limit* rows are read; rows without words are left out.
    """
    rows = tx.query(
        f"{_SELECT[kind]} WHERE agent_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        (agent_id, seq, limit),
    )
    return _lines(kind, rows), (int(rows[-1][1]) if rows else seq)


def of_ids(tx: Tx, kind: Kind, agent_id: str, ids: Sequence[str]) -> list[Line]:
    """Return the lines of these ids that exist, oldest first."""
    if not ids:
        return []
    return _select(tx, kind, "id = ANY($2::text[]) ORDER BY seq", (agent_id, list(ids)))


def newest(tx: Tx, kind: Kind, agent_id: str) -> int:
    """Return the newest seq among an agent's passages or messages, 0 if it has none."""
    row = tx.one(f"SELECT max(seq) FROM {kind} WHERE agent_id = $1", (agent_id,))
    return int(row[0] or 0) if row else 0


def behind(
    tx: Tx, kind: Kind, index_name: str, embedding: str, default: str
) -> list[tuple[str, int, int]]:
    """Return (owner, mark, newest seq) of all whose rows an index lacks that should have them.

    Those of agents and archives that use another embedder are none of its business: they may not even be
    sent to this one's provider. *default* is the embedder of those that name none.
    """
    rows = tx.query(
        "WITH mine AS (SELECT id FROM agents WHERE coalesce(embedding, $3) = $2),"
        " named AS (SELECT id, embedding FROM archives UNION SELECT id, embedding FROM folders),"
        " links AS (SELECT agent_id, archive_id AS id FROM agent_archives"
        " UNION SELECT agent_id, folder_id FROM agent_folders),"
        " others AS (SELECT id FROM agents WHERE id NOT IN (SELECT id FROM mine)"
        " UNION SELECT id FROM named WHERE coalesce(embedding, $3) <> $2 AND id NOT IN"
        " (SELECT id FROM links WHERE agent_id IN (SELECT id FROM mine)))"
        " SELECT t.agent_id, coalesce(m.seq, 0), t.newest FROM (SELECT agent_id, max(seq) AS newest"
        f" FROM {kind} GROUP BY agent_id) t LEFT JOIN index_marks m ON m.agent_id = t.agent_id"
        " AND m.index_name = $1 WHERE t.newest > coalesce(m.seq, 0)"
        " AND t.agent_id NOT IN (SELECT id FROM others) ORDER BY t.agent_id",
        (index_name, embedding, default),
    )
    return [(str(agent), int(mark), int(last)) for agent, mark, last in rows]


def marked(tx: Tx, kind: Kind, index_name: str) -> int:
    """Return how many lines an index must have at least, by its marks."""
    spoken = (
        " AND t.role <> 'tool' AND t.content <> ''"
        " AND CAST(t.tool_calls AS text) NOT LIKE '%conversation_search%'"
    )
    row = tx.one(
        f"SELECT count(*) FROM {kind} t JOIN index_marks m ON m.agent_id = t.agent_id"
        f" WHERE m.index_name = $1 AND t.seq <= m.seq{spoken if kind == 'messages' else ''}",
        (index_name,),
    )
    return int(row[0]) if row else 0


def digests(tx: Tx, kind: Kind, agent_id: str) -> dict[str, str]:
    """Return the digest of each of an agent's passages or messages, by id."""
    text = "content || '|' || array_to_string(tags, '|')"
    digest = f"md5({text})" if kind == "passages" else "''"
    rows = tx.query(f"SELECT id, {digest} FROM {kind} WHERE agent_id = $1", (agent_id,))
    return {str(item): str(found) for item, found in rows}


def _digest(text: str, tags: Sequence[str]) -> str:
    whole = text + "|" + "|".join(tags)
    return hashlib.md5(whole.encode(), usedforsecurity=False).hexdigest()


def changes(tx: Tx) -> int:
    """Return a number that grows with every edit or delete an index was told of."""
    row = tx.one("SELECT value FROM counters WHERE owner_id = 'outbox' AND kind = 'entries'")
    return int(row[0]) if row else 0


def _select(tx: Tx, kind: Kind, tail: str, params: tuple[Any, ...]) -> list[Line]:
    return _lines(kind, tx.query(f"{_SELECT[kind]} WHERE agent_id = $1 AND {tail}", params))


def _lines(kind: Kind, rows: list[tuple[Any, ...]]) -> list[Line]:
    if kind == "passages":
        return [
            Line(
                id_,
                seq,
                content,
                utc(created),
                tuple(tags or ()),
                source,
                position,
                _digest(content, tags or ()),
            )
            for id_, seq, content, created, tags, source, position in rows
        ]
    return [line for row in rows if (line := _message(*row)) is not None]


def _message(
    id_: str,
    seq: int,
    content: str,
    created: datetime,
    role: str,
    tool_calls: str,
    conversation_id: str | None,
) -> Line | None:
    """Return a message as a line; None for tool results, searches and empty replies."""
    calls = load(tool_calls) if tool_calls != "[]" else []
    if role == "tool" or any(call["name"] == "conversation_search" for call in calls):
        return None  # a search must not find itself
    text = spoken(content, ((call["name"], call["arguments"]) for call in calls))
    if not text:
        return None
    # What stands beside a message is what was said before and after it in its own thread.
    source = conversation_id or "history"
    return Line(id_, seq, text, utc(created), (role,), source, seq, "")
