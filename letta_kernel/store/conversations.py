"""Conversations: further threads with an agent, each with a lease and a window of its own.

Their messages are numbered with all of the agent's, so that what follows the history follows them too.
A thread's lease is the row of ``leases`` under the conversation's id.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from letta_kernel.errors import NotFoundError
from letta_kernel.ids import now
from letta_kernel.records import AgentState, Conversation, Inherited
from letta_kernel.store import agents, branches, indexes, pictures
from letta_kernel.store.database import Tx
from letta_kernel.store.encrypted_tables import EncryptedTable
from letta_kernel.store.mapping import Where

_CONVERSATIONS = EncryptedTable(
    "conversations", Conversation, json=("settings",), parts={"inherits": Inherited}
)

Order = Literal["created_at", "last_message_at", "last_run_completion"]
_ORDERS: dict[str, str] = {
    "created_at": "created_at",
    "last_message_at": "coalesce(last_message_at, created_at)",
    "last_run_completion": "coalesce((SELECT max(ended_at) FROM runs"
    " WHERE runs.conversation_id = conversations.id), created_at)",
}


def add(tx: Tx, conversation: Conversation) -> Conversation:
    """Insert a conversation with a lease of its own.

    Raises
    ------
    NotFoundError
        There is no such agent.
    """
    if tx.one("SELECT 1 FROM agents WHERE id = $1", (conversation.agent_id,)) is None:
        raise NotFoundError(f"There is no agent {conversation.agent_id}.")
    _CONVERSATIONS.insert(tx, [conversation])
    tx.execute(
        "INSERT INTO leases (agent_id, fence, next_seq, waiting) VALUES ($1, 0, 1, false)",
        (conversation.id,),
    )
    return conversation


def get(tx: Tx, conversation_id: str) -> Conversation | None:
    """Return the conversation of this id, None if there is none or it was deleted."""
    found = _CONVERSATIONS.get(tx, conversation_id)
    return found if found is not None and found.deleted_at is None else None


def list_all(
    tx: Tx,
    agent_id: str | None = None,
    *,
    archived: bool | None = None,
    text: str | None = None,
    after: str | None = None,
    limit: int | None = None,
    order_by: Order = "created_at",
    newest_first: bool = True,
    hidden: bool = False,
    created_by: str | None = None,
) -> list[Conversation]:
    """Return conversations, of one agent or of all.

    Parameters
    ----------
    archived
        Only those that are, or are not, archived.
    text
        Only those whose summary contains this, in any case.
    after
        Only those that follow the conversation of this id in the order asked for.
    hidden
        Those that are hidden too.
    created_by
        Only those that this person began.
    """
    key = _ORDERS[order_by]
    where = Where()
    where.add("deleted_at IS NULL")
    if agent_id is not None:
        where.add("agent_id = {}", agent_id)
    if archived is not None:
        where.add(f"archived_at IS {'NOT ' if archived else ''}NULL")
    if created_by is not None:
        where.add("created_by = {}", created_by)
    if not hidden:
        where.add("NOT hidden")
    if text:
        where.add("position({} IN lower(coalesce(summary, ''))) > 0", text.lower())
    if after is not None:
        where.beyond("conversations", key, "<" if newest_first else ">", after)
    way = "DESC" if newest_first else "ASC"
    tail = f"{where} ORDER BY {key} {way}, id {way}"
    if limit is not None:
        tail += f" LIMIT {where.place(limit)}"
    return _CONVERSATIONS.select(tx, tail, where.params)


def save(tx: Tx, conversation: Conversation) -> Conversation:
    """Write what a person changed of a conversation; its ``updated_at`` is set, its window left alone."""
    conversation.updated_at = now()
    kept = (
        "created_at",
        "created_by",
        "agent_id",
        "inherits",
        "first_seq",
        "window_start",
        "summary_id",
    )
    if not _CONVERSATIONS.update(tx, conversation, keep=kept):
        raise NotFoundError(f"There is no conversation {conversation.id}.")
    return conversation


def set_window(tx: Tx, conversation_id: str, window_start: int, summary_id: str | None) -> None:
    """Move the beginning of a conversation's context window."""
    tx.execute(
        "UPDATE conversations SET window_start = $2, summary_id = $3 WHERE id = $1",
        (conversation_id, window_start, summary_id),
    )


def move_window(tx: Tx, state: AgentState) -> None:
    """Write where the window of an agent, in the thread it is in, begins now."""
    move = agents.set_window if state.conversation_id is None else set_window
    move(tx, state.thread_id, state.window_start, state.summary_id)


def touch(tx: Tx, conversation_id: str, moment: datetime) -> None:
    """Note that a message was sent to a conversation."""
    tx.execute(
        "UPDATE conversations SET last_message_at = $2 WHERE id = $1", (conversation_id, moment)
    )


def delete(tx: Tx, conversation: Conversation) -> None:
    """Delete a conversation with its messages, those that a fork shares once no fork is left.

    The indexes are told. Its runs stay, as what they cost does.
    """
    tx.execute("UPDATE conversations SET deleted_at = $2 WHERE id = $1", (conversation.id, now()))
    _purge(tx, conversation.agent_id)


def _purge(tx: Tx, agent_id: str) -> None:
    """Remove the deleted conversations of an agent whose history no fork shares any more."""
    while True:
        every = _CONVERSATIONS.select(tx, "WHERE agent_id = $1", (agent_id,))
        shared = {part.thread for one in every for part in one.inherits}
        shared |= {part.thread for part in branches.shared(tx, agent_id)}
        gone = [one.id for one in every if one.deleted_at is not None and one.id not in shared]
        if not gone:
            return
        rows = tx.query(
            "DELETE FROM messages WHERE agent_id = $1 AND conversation_id = ANY($2::text[])"
            " RETURNING id",
            (agent_id, gone),
        )
        indexes.announce(tx, agent_id, "messages", "delete", [row[0] for row in rows])
        pictures.sweep(tx)
        tx.execute("DELETE FROM leases WHERE agent_id = ANY($1::text[])", (gone,))
        tx.execute("DELETE FROM conversations WHERE id = ANY($1::text[])", (gone,))


def check_idle(tx: Tx, agent_id: str) -> None:
    """Make sure that no run of any conversation of the agent is going on.

    Raises
    ------
    AgentBusyError
        A living owner holds the lease of one.
    """
    for (conversation_id,) in tx.query(
        "SELECT id FROM conversations WHERE agent_id = $1", (agent_id,)
    ):
        agents.check_idle(tx, conversation_id)


def forget_history(tx: Tx, agent_id: str, window_start: int) -> None:
    """Let every conversation of the agent begin anew at *window_start*; its messages are gone."""
    tx.execute(
        "UPDATE conversations SET window_start = $2, first_seq = $2, summary_id = NULL, inherits = '[]'"
        " WHERE agent_id = $1",
        (agent_id, window_start),
    )
    tx.execute(
        "UPDATE leases SET waiting = false WHERE agent_id IN"
        " (SELECT id FROM conversations WHERE agent_id = $1)",
        (agent_id,),
    )
    _purge(tx, agent_id)
