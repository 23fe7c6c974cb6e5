"""How search indexes follow the store: a watermark for new rows, an outbox for edits and deletes.

An index is known by its name, which carries its embedder and dimension. It asks for its `mark` of
an agent (which makes it known here), adds the rows after it, then moves the mark. From the moment
it is known every edit or delete leaves it an entry in the outbox; such an entry must be applied
after the rows that were being added meanwhile, and is removed with `outbox_done`. All of it may be
repeated after a crash, so the index must take adding or deleting a row twice. What it holds of a passage
or message is a `Line`: the text, and where and when it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from letta_kernel.ids import now
from letta_kernel.messages import spoken
from letta_kernel.store import counters
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import load, utc
from letta_kernel.store.scopes import HISTORY, Scope

Kind = Literal["passages", "messages"]

STALE_DAYS = 30
"""After so many days without following an index is given up by the others."""
NO_TABLE = "-none"
"""How the name of an index ends while it has no table."""
_RETIRED = ""  # whose mark says that of an index; nobody has this id


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Something an index has to do: *item_id* None means all rows of the agent.

    To purge is to write it anew, so that no older version has the row; whose that was does not matter.
    """

    id: int
    agent_id: str
    item_id: str | None
    action: Literal["update", "delete", "purge"]


def mark(tx: Tx, index_name: str, agent_id: str, kind: Kind = "passages") -> int:
    """Return the last seq of an agent's *kind* the index has, 0 at first; the index is known from now."""
    row = tx.one(
        "SELECT seq FROM index_marks WHERE index_name = $1 AND agent_id = $2",
        (index_name, agent_id),
    )
    if row is not None:
        return int(row[0])
    if not tx.read_only:
        tx.execute("INSERT INTO index_marks VALUES ($1, $2, $3, 0)", (index_name, agent_id, kind))
    return 0


def move_mark(tx: Tx, index_name: str, agent_id: str, seq: int) -> None:
    """Say that the index has everything up to *seq*; a mark never moves back."""
    tx.execute(
        "UPDATE index_marks SET seq = $3 WHERE index_name = $1 AND agent_id = $2 AND seq < $3",
        (index_name, agent_id, seq),
    )


def forget_index(tx: Tx, index_name: str) -> None:
    """Forget an index that is no longer used: its marks and what waits for it."""
    tx.execute("DELETE FROM index_marks WHERE index_name = $1", (index_name,))
    tx.execute("DELETE FROM outbox WHERE index_name = $1", (index_name,))


def retire(tx: Tx, names: Sequence[str]) -> None:
    """Let indexes that may be out of reach be made anew by whoever still has them."""
    for name in names:
        forget_index(tx, name)
        if not name.endswith(NO_TABLE):
            tx.execute("INSERT INTO index_marks VALUES ($1, $2, 'passages', -1)", (name, _RETIRED))


def is_retired(tx: Tx, index_name: str) -> bool:
    """Return whether an index was to follow no longer, so that it does not know what was done since."""
    sql = "SELECT 1 FROM index_marks WHERE index_name = $1 AND agent_id = $2"
    return tx.one(sql, (index_name, _RETIRED)) is not None


def known(tx: Tx) -> list[str]:
    """Return the names of all indexes that have begun to follow."""
    rows = tx.query(
        "SELECT DISTINCT index_name FROM index_marks WHERE agent_id <> $1 ORDER BY 1", (_RETIRED,)
    )
    return [str(row[0]) for row in rows]


def retire_stale(tx: Tx, but: Collection[str]) -> None:
    """Retire indexes that have not repeated for long what was done: their servers or folders are gone.

    Else each edit would be noted for each of them for ever. *but*: not these, which are here.
    """
    rows = tx.query(
        "SELECT index_name FROM outbox GROUP BY index_name HAVING min(created_at) < $1",
        (tx.now() - timedelta(days=STALE_DAYS),),
    )
    retire(tx, sorted({str(row[0]) for row in rows} - {*but}))


def have_purged(tx: Tx, done: Collection[str], ids: Sequence[str]) -> None:
    """Have all indexes of passages but those that are *done* written anew without *ids*."""
    others = [name for name in known(tx) if name.startswith("passages-") and name not in done]
    tell(tx, others, _RETIRED, "purge", ids)


def outbox(tx: Tx, index_name: str, limit: int = 1000) -> list[OutboxEntry]:
    """Return the oldest entries that wait for an index."""
    rows = tx.query(
        "SELECT id, agent_id, item_id, action FROM outbox WHERE index_name = $1"
        " ORDER BY id LIMIT $2",
        (index_name, limit),
    )
    return [OutboxEntry(*row) for row in rows]


def outbox_length(tx: Tx) -> int:
    """Return how many entries wait, of all indexes."""
    row = tx.one("SELECT count(*) FROM outbox")
    return int(row[0]) if row is not None else 0


def outbox_done(tx: Tx, ids: Sequence[int]) -> None:
    """Remove entries that have been applied."""
    tx.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", (list(ids),))


def announce(
    tx: Tx, agent_id: str, kind: Kind, action: str, item_ids: Sequence[str | None]
) -> None:
    """Leave an entry per item for every index of this agent's *kind*; None stands for all its rows."""
    names = tx.query(
        "SELECT index_name FROM index_marks WHERE agent_id = $1 AND kind = $2", (agent_id, kind)
    )
    tell(tx, [name for (name,) in names], agent_id, action, item_ids)


def tell(
    tx: Tx, names: Sequence[str], agent_id: str, action: str, item_ids: Sequence[str | None]
) -> None:
    """Leave an entry per item for each of these indexes."""
    if not names or not item_ids:
        return
    first = counters.take(tx, "outbox", "entries", len(names) * len(item_ids))
    moment = now()
    entries = [(name, item) for name in names for item in item_ids]
    for start in range(0, len(entries), 200):
        params: list[object] = [agent_id, action, moment]
        places = []
        for number, (name, item) in enumerate(entries[start : start + 200], start=first + start):
            at = len(params)
            params += [number, name, item]
            places.append(f"(${at + 1}, ${at + 2}, $1, ${at + 3}, $2, $3)")
        tx.execute("INSERT INTO outbox VALUES " + ", ".join(places), params)


def drop_agent(tx: Tx, agent_id: str) -> None:
    """Tell every index to drop an agent's rows, and forget its marks."""
    for kind in ("passages", "messages"):
        announce(tx, agent_id, kind, "delete", [None])
    tx.execute("DELETE FROM index_marks WHERE agent_id = $1", (agent_id,))


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


def of_seqs(tx: Tx, kind: Kind, agent_id: str, seqs: Sequence[int]) -> list[Line]:
    """Return the lines of these seqs that exist, oldest first."""
    return _select(tx, kind, "seq = ANY($2::bigint[]) ORDER BY seq", (agent_id, list(seqs)))


_SOURCES = {"passages": "source", "messages": f"coalesce(conversation_id, '{HISTORY}')"}
_COLUMNS = {
    "passages": "content, '[]' AS calls, source, position, coalesce(tags, ARRAY[]::text[]) AS tags",
    "messages": "CASE WHEN role = 'tool' THEN '' ELSE content END AS content,"
    " CASE WHEN role = 'tool' THEN '[]' ELSE CAST(tool_calls AS text) END AS calls,"
    f" coalesce(conversation_id, '{HISTORY}') AS source, seq AS position, ARRAY[role] AS tags",
}

_MATCHES = {"any": "&&", "all": "@>"}
# A number for a source, microseconds since 1970, how many tags are asked for.
_OF_DUCKDB = ("CAST(hash(source) // 2 AS bigint)", "epoch_us(created_at)", "len($2::text[])")
_OF_POSTGRESQL = (
    "(hashtextextended(source, 0) & 9223372036854775807)",
    "CAST(extract(epoch FROM created_at) * 1000000 AS bigint)",
    "cardinality($2::text[])",
)


def columns(
    tx: Tx,
    kind: Kind,
    agent_id: str,
    tags: Sequence[str],
    match: Literal["any", "all"],
    without: Sequence[str],
    scope: Scope | None = None,
) -> dict[str, np.ndarray]:
    """Return what all of an agent's lines, or those in *scope*, say and where they stand, oldest first.

    They are ``seq``, ``content`` (empty where there is no line), ``calls`` (of a message, as JSON), ``source``
    (a number, -1 for none), ``position``, ``created`` (microseconds since 1970) and ``found`` (whether it
    has the *tags*, and is none of the ids *without*).
    """
    given: list[object] = [agent_id, list(tags), list(without)]
    seen = "" if scope is None else f" AND {scope.rows(_SOURCES[kind])}"
    if scope is not None and scope.without:
        given.append(sorted(scope.without))
        seen += f" AND id NOT IN (SELECT unnest(${len(given)}::text[]))"
    if scope is not None and scope.only is not None:
        given.append(sorted(scope.only))
        seen += f" AND id IN (SELECT unnest(${len(given)}::text[]))"
    number, moment, count = _OF_DUCKDB if tx.in_file else _OF_POSTGRESQL
    return tx.columns(
        "SELECT seq, content, calls,"
        f" CASE WHEN source IS NULL THEN -1 ELSE {number} END AS source,"
        f" CAST(position AS bigint) AS position, {moment} AS created,"
        f" ({count} = 0 OR tags {_MATCHES[match]} $2::text[]) AND id <> ALL($3::text[])"
        f" AS found FROM (SELECT id, seq, created_at, {_COLUMNS[kind]}"
        f" FROM {kind} WHERE agent_id = $1{seen}) AS line ORDER BY seq",
        given,
    )


def said(content: str, tool_calls: str) -> str:
    """Return the text by which a message is found; nothing if it is no line."""
    if tool_calls == "[]":
        return content
    calls = load(tool_calls)
    if any(call["name"] == "conversation_search" for call in calls):
        return ""  # a search must not find its own call
    return spoken(content, ((call["name"], call["arguments"]) for call in calls))


def newest(tx: Tx, kind: Kind, agent_id: str) -> int:
    """Return the newest seq among an agent's passages or messages, 0 if it has none."""
    row = tx.one(f"SELECT max(seq) FROM {kind} WHERE agent_id = $1", (agent_id,))
    return int(row[0] or 0) if row else 0


def longest(tx: Tx, kind: Kind) -> int:
    """Return the newest seq among all owners' passages or messages, 0 without any."""
    row = tx.one(f"SELECT max(seq) FROM {kind}")
    return int(row[0] or 0) if row else 0


DECISIVE = (
    *("agents", "archives", "folders", "agent_archives", "agent_folders"),
    *("index_marks", "outbox"),
)
"""Tables that, beside the lines themselves, decide what `behind` and `outbox` return."""


def numbers(tx: Tx, kind: Kind) -> int:
    """Return how many numbers lines were given, of all owners together: each new one takes one."""
    counted = {
        "messages": "sum(next_seq) FROM leases WHERE agent_id IN (SELECT id FROM agents)",
        "passages": "sum(value) FROM counters WHERE kind = 'passages'",
    }
    row = tx.one(f"SELECT {counted[kind]}")
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
        " AND replace(t.agent_id, '/past', '') NOT IN (SELECT id FROM others) ORDER BY t.agent_id",
        (index_name, embedding, default),
    )
    return [(str(agent), int(mark), int(last)) for agent, mark, last in rows]


def alike_rows(tx: Tx, lines: Sequence[Line]) -> dict[str, list[tuple[str, str]]]:
    """Return, by the id of each passage, rows that have or had its very text: their ids, and digests then.

    They are itself, before it was moved, and the row that it is a version of.
    """
    ids = [line.id for line in lines]
    found = {line.id: [(line.id, line.digest)] for line in lines}
    texts = {line.id: line.text for line in lines}
    for one, other, content, tags in tx.query(
        "SELECT v.id, v.passage_id, p.content, p.tags FROM passage_versions v"
        " LEFT JOIN passages p ON p.id = v.passage_id"
        " WHERE v.id IN (SELECT unnest($1::text[])) AND v.passage_id <> v.id",
        (ids,),
    ):
        digest = next(line.digest for line in lines if line.id == one)
        found[one].append((other, digest))
        if content == texts[one]:
            found[one].append((other, _digest(content, tags or ())))
    return found


def newest_texts(tx: Tx, number: int) -> list[str]:
    """Return the newest *number* messages of people, and as many passages, whosever they are."""
    return [
        str(text)
        for table in ("messages WHERE role = 'user'", "passages")
        for (text,) in tx.query(
            f"SELECT content FROM {table} ORDER BY created_at DESC LIMIT $1", (number,)
        )
    ]


def marked(tx: Tx, kind: Kind, index_name: str) -> int:
    """Return how many lines an index must have at least, by its marks."""
    spoken = (
        " AND t.role <> 'tool' AND t.content <> ''"
        " AND CAST(t.tool_calls AS text) NOT LIKE '%conversation_search%'"
    )
    row = tx.one(
        f"SELECT count(*) FROM {kind} t JOIN index_marks m ON m.agent_id = t.agent_id"
        f" WHERE m.index_name = $1 AND t.seq <= m.seq{spoken if kind == 'messages' else ''}"
        # What came back after it was forgotten waits in the outbox.
        " AND t.id NOT IN (SELECT item_id FROM outbox WHERE index_name = $1 AND item_id IS NOT NULL)",
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
    text = "" if role == "tool" else said(content, tool_calls)
    if not text:
        return None
    # What stands beside a message is what was said before and after it in its own thread.
    source = conversation_id or HISTORY
    return Line(id_, seq, text, utc(created), (role,), source, seq, "")
