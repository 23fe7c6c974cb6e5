"""The history of each agent: appended to, never rewritten."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from letta_kernel.errors import NotFoundError
from letta_kernel.messages import MARK, Edit, Message, ToolCall
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import Conversation, OwnThread
from letta_kernel.store import branches, lineage, pictures, said
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, Where

Thread = Conversation | OwnThread
"""A conversation, or the agent's own thread."""

_MESSAGES = Table(
    "messages",
    Message,
    json=("thinking",),
    parts={"tool_calls": ToolCall, "pictures": Picture, "edits": Edit},
)

get, get_many = _MESSAGES.get, _MESSAGES.get_many


def run_of(tx: Tx, agent_id: str, otid: str) -> str | None:
    """Return the newest run of an agent that has a message which its client calls *otid*."""
    row = tx.one(
        "SELECT run_id FROM messages WHERE agent_id = $1 AND otid = $2 AND run_id IS NOT NULL"
        " ORDER BY seq DESC LIMIT 1",
        (agent_id, otid),
    )
    return None if row is None else str(row[0])


def append(
    tx: Tx,
    agent_id: str,
    messages: Sequence[Message],
    first: int | None = None,
    conversation_id: str | None = None,
    *,
    group_id: str | None = None,
) -> list[Message]:
    """Add *messages* to an agent's history, in this order.

    Parameters
    ----------
    first
        The number of the first one, where the writer has taken numbers already (`agents.begin`).
    conversation_id, group_id
        The conversation, and the group, they belong to; None leaves it to what each of them says.

    Returns
    -------
    list of Message
        The messages as stored: with ``seq`` (1, 2, … within the agent) and clean text. Their pictures are
        kept beside them, and are without bytes from here on.
    """
    if not messages:
        return []
    if first is None:
        row = tx.one(
            "UPDATE leases SET next_seq = next_seq + $2 WHERE agent_id = $1 RETURNING next_seq",
            (agent_id, len(messages)),
        )
        if row is None:
            raise NotFoundError(f"There is no agent {agent_id}.")
        first = int(row[0]) - len(messages)
    given: dict[str, object] = {"agent_id": agent_id}
    if conversation_id is not None:
        given["conversation_id"] = conversation_id
    if group_id is not None:
        given["group_id"] = group_id
    numbered = [
        message.model_copy(update={**given, "seq": seq})
        for seq, message in enumerate(messages, start=first)
    ]
    stored = _MESSAGES.insert_stored(tx, numbered)
    pictures.keep(tx, (picture for message in messages for picture in message.pictures))
    return stored


def window(tx: Tx, thread: Thread, from_seq: int) -> list[Message]:
    """Return the messages of a thread from number *from_seq* on, those it inherits among them, oldest first."""
    where = _in_window(thread, from_seq)
    return _MESSAGES.select(tx, f"{where} ORDER BY seq", where.params)


def between(tx: Tx, thread: Thread, first: int, last: int) -> list[Message]:
    """Return the messages of a thread from number *first* to *last*, oldest first."""
    where = _in_window(thread, first)
    where.add("seq <= {}", last)
    return _MESSAGES.select(tx, f"{where} ORDER BY seq", where.params)


def newest(tx: Tx, thread: Thread, from_seq: int, *, characters: int) -> int:
    """Return from which number on a window has its newest *characters*; *from_seq* if it has no more.

    It begins with what a user or the model said, so that no call is parted from its result.
    """
    where = _in_window(thread, from_seq)
    row = tx.one(
        "SELECT max(seq) FROM (SELECT seq, role, sum(length(content) + length(CAST(tool_calls AS text)))"
        f" OVER (ORDER BY seq DESC) AS size FROM messages {where}) AS sized"
        f" WHERE role IN ('user', 'assistant') AND size >= {where.place(characters)}",
        where.params,
    )
    return int(row[0]) if row and row[0] is not None else from_seq


def _in_window(thread: Thread, from_seq: int) -> Where:
    where = Where()
    where.add("seq >= {}", from_seq)
    lineage.of_thread(where, thread)
    return where


def turn(tx: Tx, thread: Thread) -> Message | None:
    """Return what the newest turn of a thread answers: the newest message or event that began a run."""
    where = Where()
    where.add("role IN ('user', 'event')")
    lineage.of_thread(where, thread)
    found = _MESSAGES.select(
        tx,
        f"{where} AND seq = (SELECT min(first.seq) FROM messages first"
        " WHERE first.agent_id = messages.agent_id AND first.run_id = messages.run_id)"
        " ORDER BY seq DESC LIMIT 1",
        where.params,
    )
    return found[0] if found else None


def page(
    tx: Tx,
    agent_id: str | None,
    *,
    before: int | str | None = None,
    after: int | str | None = None,
    limit: int = 50,
    roles: Sequence[str] | None = None,
    newest_first: bool = True,
    start: datetime | None = None,
    end: datetime | None = None,
    run_id: str | None = None,
    step_id: str | None = None,
    thread: Thread | None = None,
    pieces: said.Pieces | None = None,
    marks: bool = True,
) -> list[Message]:
    """Return part of a history.

    Parameters
    ----------
    agent_id
        Whose; None for everybody's (then *before* and *after* must be ids, and order is by time).
    before, after
        Only messages with a smaller, or greater, seq; or those before or after the message of this
        id.
    limit
        At most so many, counted from the newest or, without *newest_first*, from the oldest.
    roles
        Only these.
    start, end
        Only messages made at *start* or later, and before *end*.
    run_id, step_id
        Only messages of that run or step.
    thread
        Only messages of that thread, with those it inherits; None for all that the agent's own rows have.
    pieces
        Only messages of these, whosever they are.
    marks
        Also the marks behind runs that ended before an answer (`Message.is_mark`).
    """
    key = "seq" if agent_id is not None else "created_at"
    where = Where()
    if thread is not None:
        lineage.of_thread(where, thread)
    elif pieces is not None:
        said.add_to(where, pieces)
    elif agent_id is not None:
        where.add("agent_id = {}", agent_id)
    for other, sign in ((before, "<"), (after, ">")):
        if isinstance(other, int):
            where.add(f"seq {sign} {{}}", other)
        elif other is not None:
            where.beyond("messages", key, sign, other)
    if roles is not None:
        where.add("role = ANY({}::text[])", list(roles))
    if start is not None:
        where.add("created_at >= {}", start)
    if end is not None:
        where.add("created_at < {}", end)
    if run_id is not None:
        where.add("run_id = {}", run_id)
    if step_id is not None:
        where.add("step_id = {}", step_id)
    if not marks:
        where.add("(role <> 'event' OR name IS DISTINCT FROM {})", MARK)
    way = "DESC" if newest_first else "ASC"
    tail = f"{where} ORDER BY {key} {way}, id {way} LIMIT {where.place(limit)}"
    return _MESSAGES.select(tx, tail, where.params)


def last_asking(tx: Tx, thread: Thread) -> Message | None:
    """Return the last message of a thread some of whose calls asked for approval, or None."""
    where = Where()
    where.add("asked <> ARRAY[]::text[]")
    lineage.of_thread(where, thread)
    found = _MESSAGES.select(tx, f"{where} ORDER BY seq DESC LIMIT 1", where.params)
    return found[0] if found else None


def since_answer(tx: Tx, agent_id: str, conversation_id: str | None) -> list[Message]:
    """Return the last thing an agent said in a thread and what came after it, oldest first.

    What a thread inherits is left out: there all was answered.
    """
    of_thread = "agent_id = $1 AND conversation_id IS NOT DISTINCT FROM $2::text"
    first = (
        "SELECT first_seq FROM agents WHERE id = $1"
        if conversation_id is None
        else "SELECT first_seq FROM conversations WHERE id = $2"
    )
    return _MESSAGES.select(
        tx,
        f"WHERE {of_thread} AND seq >= greatest(coalesce((SELECT max(seq) FROM messages"
        f" WHERE {of_thread} AND role = 'assistant'), 0), coalesce(({first}), 0)) ORDER BY seq",
        (agent_id, conversation_id),
    )


def before_steps(tx: Tx, step_ids: Collection[str]) -> list[Message]:
    """Return, for those of these steps in which nothing was said, what was last said before them."""
    found = []
    for agent_id, seq, conversation_id in tx.query(
        "SELECT agent_id, min(seq), max(conversation_id) FROM messages WHERE step_id = ANY($1::text[])"
        " GROUP BY agent_id, step_id HAVING count(*) FILTER (WHERE role = 'assistant') = 0",
        (list(step_ids),),
    ):
        found += _MESSAGES.select(
            tx,
            "WHERE agent_id = $1 AND seq < $2 AND role = 'assistant'"
            " AND conversation_id IS NOT DISTINCT FROM $3::text ORDER BY seq DESC LIMIT 1",
            (agent_id, seq, conversation_id),
        )
    return found


def last(tx: Tx, agent_id: str) -> Message | None:
    """Return the newest message, or None."""
    found = page(tx, agent_id, limit=1)
    return found[0] if found else None


def following(tx: Tx, agent_id: str) -> int:
    """Return the number that an agent's next message gets."""
    row = tx.one("SELECT next_seq FROM leases WHERE agent_id = $1", (agent_id,))
    return int(row[0]) if row else 0


def go_on_behind(tx: Tx, agent_id: str, seq: int) -> None:
    """Let an agent's next message have a number behind *seq*."""
    tx.execute(
        "UPDATE leases SET next_seq = $2 WHERE agent_id = $1 AND next_seq < $2", (agent_id, seq + 1)
    )


def clear(tx: Tx, agent_id: str) -> int:
    """Delete an agent's whole history but what forks share; return how many messages that was.

    Indexes are told. That the agent reads what stays no more is its caller's business.
    """
    tx.execute("UPDATE leases SET waiting = false WHERE agent_id = $1", (agent_id,))
    return branches.sweep(tx, agent_id)
