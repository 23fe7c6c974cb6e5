"""Archives and folders as they were attached to an agent at a point in time, and what is seen of them there.

They belong to all whom they are attached to, so no agent's fork or rewind changes them. A fork sees them as
they stood, and writes into none. An agent that was rewound sees them as they stood then, with all that
comes in from now on: what came in between is out of its sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from letta_kernel.ids import now
from letta_kernel.store import counters, passage_edits, passage_versions
from letta_kernel.store.database import Tx
from letta_kernel.store.sights import Span, kept_spans, spans_of

What = Literal["archive", "folder"]


def inherit(
    tx: Tx,
    what: What,
    ids: Sequence[str],
    source_id: str,
    target_id: str,
    line: int,
    moment: datetime,
    steps: Sequence[str] = (),
) -> tuple[list[str], bool]:
    """Let an agent have the archives, or folders, that another had, or it itself, at a point in time.

    Parameters
    ----------
    ids
        Those that were attached then, in order.
    source_id, target_id
        Whose they were, and who gets them in place of what it has: another for a fork, the same for a rewind.
    line, moment, steps
        On which line of the one they were, when, and which steps were done by then.

    Returns
    -------
    list of str, bool
        The ids of those that are gone, and whether anything changed.
    """
    there = _there(tx, what, ids)
    has = _links(tx, what, source_id, line)
    had = list(_links(tx, what, target_id).items())
    wanted = [
        (one, _then(tx, one, has.get(one) or (Span(),), moment, steps, source_id == target_id))
        for one in ids
        if one in there
    ]
    gone = [one for one in ids if one not in there]
    if [(one, seen or (Span(),)) for one, seen in had] == wanted:
        return gone, False
    tx.execute(f"DELETE FROM agent_{what}s WHERE agent_id = $1", (target_id,))
    for position, (one, spans) in enumerate(wanted, 1):
        tx.execute(
            f"INSERT INTO agent_{what}s (agent_id, {what}_id, position, seen) VALUES ($1, $2, $3, $4)",
            (target_id, one, position, kept_spans(spans) if spans != (Span(),) else None),
        )
    if what == "folder":
        tx.execute(
            "DELETE FROM agent_files WHERE agent_id = $1 AND file_id NOT IN (SELECT f.id FROM files f"
            " JOIN agent_folders a ON a.folder_id = f.folder_id WHERE a.agent_id = $1)",
            (target_id,),
        )
    sweep(tx)
    return gone, True


def seen_at(
    tx: Tx,
    what: What,
    ids: Sequence[str],
    agent_id: str,
    line: int,
    moment: datetime,
    steps: Sequence[str] = (),
) -> list[tuple[str, tuple[Span, ...]]]:
    """Return what of archives, or folders, an agent saw at a point in time, but of those that are gone."""
    there, has = _there(tx, what, ids), _links(tx, what, agent_id, line)
    return [
        (one, _then(tx, one, has.get(one) or (Span(),), moment, steps, False))
        for one in ids
        if one in there
    ]


def _then(
    tx: Tx,
    owner_id: str,
    known: tuple[Span, ...],
    moment: datetime,
    steps: Sequence[str],
    lives_on: bool,
) -> tuple[Span, ...]:
    """Return what was seen of an owner's passages at a moment."""
    newest = counters.last(tx, owner_id, "passages")
    last = passage_versions.number_at(tx, owner_id, moment, steps)
    live = known[-1].last is None and known[-1].until is None
    if lives_on and last == newest and not passage_versions.changed_since(tx, owner_id, moment):
        return known
    found = []
    for one in known:
        if one.since is not None and one.since > moment:
            continue
        upto = last if one.last is None else min(one.last, last)
        until = moment if one.until is None else min(one.until, moment)
        found.append(replace(one, last=upto, until=until))
    if lives_on and live:
        found.append(Span(newest + 1, None, now()))
    return tuple(found)


def _there(tx: Tx, what: What, ids: Sequence[str]) -> set[str]:
    rows = tx.query(f"SELECT id FROM {what}s WHERE id = ANY($1::text[])", (list(ids),))
    return {str(row[0]) for row in rows}


def leave(tx: Tx, agent_id: str, line: int) -> None:
    """Keep how an agent sees its archives and folders on a line that it leaves."""
    tx.execute("DELETE FROM line_links WHERE agent_id = $1 AND line = $2", (agent_id, line))
    for what in ("archive", "folder"):
        tx.execute(
            f"INSERT INTO line_links SELECT agent_id, $2, $3, {what}_id, seen FROM agent_{what}s"
            " WHERE agent_id = $1 AND seen IS NOT NULL",
            (agent_id, line, what),
        )


def _links(
    tx: Tx, what: What, agent_id: str, line: int | None = None
) -> dict[str, tuple[Span, ...]]:
    """Return how an agent sees what it has; or on another line of it, what it did not see whole there."""
    row = tx.one("SELECT line FROM agents WHERE id = $1", (agent_id,))
    if line is None or (row is not None and (row[0] or 0) == line):
        rows = tx.query(
            f"SELECT {what}_id, CAST(seen AS text) FROM agent_{what}s WHERE agent_id = $1"
            " ORDER BY position",
            (agent_id,),
        )
    else:
        rows = tx.query(
            "SELECT owner_id, CAST(seen AS text) FROM line_links WHERE agent_id = $1 AND line = $2"
            " AND what = $3",
            (agent_id, line, what),
        )
    return {str(one): spans_of(seen) for one, seen in rows}


def ids(tx: Tx, what: What, agent_id: str) -> list[str]:
    """Return the ids of the archives, or folders, that an agent has, in order."""
    return [*_links(tx, what, agent_id)]


def let_go(tx: Tx, what: What, owner_id: str) -> list[str]:
    """Take a deleted archive or folder from all who see it as it stands; return who sees it as it was."""
    rows = tx.query(
        f"SELECT agent_id, CAST(seen AS text) FROM agent_{what}s WHERE {what}_id = $1", (owner_id,)
    )
    looking_back = []
    for agent_id, seen in rows:
        spans = spans_of(seen)
        if spans and (spans[-1].last is not None or spans[-1].until is not None):
            looking_back.append(str(agent_id))
        else:
            tx.execute(
                f"DELETE FROM agent_{what}s WHERE agent_id = $1 AND {what}_id = $2",
                (agent_id, owner_id),
            )
    return looking_back


def sweep(tx: Tx) -> None:
    """Remove deleted archives and folders that nobody looks back at any more."""
    for what in ("archive", "folder"):
        for (one,) in tx.query(
            f"SELECT id FROM {what}s WHERE deleted_at IS NOT NULL"
            f" AND id NOT IN (SELECT {what}_id FROM agent_{what}s)"
        ):
            remove(tx, what, str(one))


def remove(tx: Tx, what: str, owner_id: str) -> None:
    """Remove an archive or folder with all that is in it."""
    tx.execute(f"DELETE FROM agent_{what}s WHERE {what}_id = $1", (owner_id,))
    tx.execute(f"DELETE FROM {what}s WHERE id = $1", (owner_id,))
    if what == "folder":
        tx.execute(
            "DELETE FROM agent_files WHERE file_id IN (SELECT id FROM files WHERE folder_id = $1)",
            (owner_id,),
        )
        tx.execute("DELETE FROM files WHERE folder_id = $1", (owner_id,))
    passage_edits.drop_owner(tx, owner_id)
