"""Ends of history that agents were rewound from, and what of histories somebody's line still reads.

An agent whose history forks share stays when it is deleted, for these forks alone, until the last of them goes.
"""

from __future__ import annotations

from collections.abc import Iterable

from letta_kernel.records import AgentState, Branch, Inherited
from letta_kernel.store import indexes, passage_edits, pictures
from letta_kernel.store.database import Tx
from letta_kernel.store.lineage import LAST
from letta_kernel.store.mapping import Table, load

_BRANCHES = Table("branches", Branch, json=("blocks",), parts={"inherits": Inherited})

add, get = _BRANCHES.add, _BRANCHES.get


def of_agent(tx: Tx, agent_id: str) -> list[Branch]:
    """Return the ends that an agent can return to, the newest first."""
    return _BRANCHES.select(
        tx, "WHERE agent_id = $1 ORDER BY created_at DESC, id DESC", (agent_id,)
    )


def delete(tx: Tx, branch_id: str) -> None:
    """Forget an end; the messages stay where another line reads them."""
    tx.execute("DELETE FROM branches WHERE id = $1", (branch_id,))


def forget(tx: Tx, agent_id: str) -> None:
    """Forget all the ends that an agent could return to."""
    tx.execute("DELETE FROM branches WHERE agent_id = $1", (agent_id,))


def shared(tx: Tx, agent_id: str) -> list[Inherited]:
    """Return the parts of an agent's history that others inherit: forks, and the ends these left."""
    found = []
    for table, column in (
        ("agents", "id"),
        ("branches", "agent_id"),
        ("conversations", "agent_id"),
    ):
        for (text,) in tx.query(
            f"SELECT CAST(inherits AS text) FROM {table} WHERE {column} <> $1"
            " AND position($1 IN CAST(inherits AS text)) > 0",
            (agent_id,),
        ):
            found += [Inherited.model_validate(part) for part in load(text)]
    return [part for part in found if part.agent == agent_id]


def sweep(tx: Tx, agent_id: str, own: Iterable[Inherited] = ()) -> int:
    """Delete the messages of an agent that nobody's line reads: only *own* parts and what others share stay.

    Returns how many that were. Indexes are told.
    """
    kept = [part for part in (*own, *shared(tx, agent_id)) if part.last >= part.first]
    params: list[object] = [agent_id]
    conditions = []
    for part in kept:
        params += [part.first, part.last]
        span = f"seq >= ${len(params) - 1} AND seq <= ${len(params)}"
        if part.thread == agent_id:
            conditions.append(f"({span} AND conversation_id IS NULL)")
        else:
            params.append(part.thread)
            conditions.append(f"({span} AND conversation_id = ${len(params)})")
    rest = f" AND NOT coalesce({' OR '.join(conditions)}, false)" if conditions else ""
    rows = tx.query(f"DELETE FROM messages WHERE agent_id = $1{rest} RETURNING id", params)
    gone = [str(row[0]) for row in rows]
    indexes.announce(tx, agent_id, "messages", "delete", gone if conditions else [None])
    pictures.sweep(tx)
    return len(gone)


def tidy(tx: Tx, state: AgentState) -> None:
    """Delete what a living agent has cleared and no fork shares any more."""
    own = [Inherited(thread=state.id, first=state.first_seq, last=LAST), *state.inherits]
    for end in of_agent(tx, state.id):
        own += end.inherits
    for one, first, deleted, text in tx.query(
        "SELECT id, first_seq, deleted_at IS NOT NULL, CAST(inherits AS text) FROM conversations"
        " WHERE agent_id = $1",
        (state.id,),
    ):
        own += [] if deleted else [Inherited(thread=one, first=first, last=LAST)]
        own += [Inherited.model_validate(part) for part in load(text)]
    sweep(tx, state.id, [part for part in own if part.agent in ("", state.id)])
    if state.first_passage > 1:  # it was rewound: of an end that is forgotten there may be passages
        ends = [*state.inherits, *(one for end in of_agent(tx, state.id) for one in end.inherits)]
        ends = [one for one in ends if one.agent in ("", state.id)]
        now_own = Inherited(
            thread=state.id, first=0, last=-1, first_passage=state.first_passage, last_passage=LAST
        )
        passage_edits.keep_only(tx, state.id, [now_own, *ends, *shared(tx, state.id)])
