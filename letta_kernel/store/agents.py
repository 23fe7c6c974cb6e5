"""Agents, and the lease that lets only one run at a time step each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from letta_kernel.errors import AgentBusyError, ConflictError, NotFoundError
from letta_kernel.records import AgentState, Inherited, ToolRule
from letta_kernel.store import (
    counters,
    known_leases,
    lease,
)
from letta_kernel.store.database import Tx
from letta_kernel.store.driver import Conflict
from letta_kernel.store.encrypted_tables import EncryptedTable
from letta_kernel.store.mapping import Where, dump

_AGENTS = EncryptedTable(
    "agents",
    AgentState,
    json=("settings", "metadata"),
    parts={"tool_rules": ToolRule, "inherits": Inherited},
)


def get(tx: Tx, agent_id: str) -> AgentState | None:
    """Return the agent of this id; None if there is none, or it is deleted and there for forks alone."""
    found = _AGENTS.get(tx, agent_id)
    return found if found is not None and found.deleted_at is None else None


def add(tx: Tx, agent: AgentState) -> AgentState:
    """Insert a new agent; others may have its name. What it has is numbered behind what it inherits."""
    _AGENTS.insert(tx, [agent])
    counters.start(tx, agent.id, "passages", max(agent.first_passage - 1, 0))
    tx.execute(
        "INSERT INTO leases (agent_id, fence, next_seq, waiting) VALUES ($1, 0, $2, false)",
        (agent.id, max(agent.first_seq, 1)),
    )
    return agent


def named(tx: Tx, name: str, *, set_aside: bool = False) -> list[AgentState]:
    """Return the agents of this name, oldest first: those in use, or those that are set aside."""
    where = (
        "WHERE name = $1 AND set_aside = $2 AND purpose = '' AND deleted_at IS NULL"
        " ORDER BY created_at, id"
    )
    return _AGENTS.select(tx, where, (name, set_aside))


def list_all(
    tx: Tx,
    *,
    tags: Sequence[str] | None = None,
    match: Literal["any", "all"] = "any",
    text: str | None = None,
    newest_first: bool = False,
    set_aside: bool = False,
) -> list[AgentState]:
    """Return agents in the order in which they were made.

    Parameters
    ----------
    tags, match
        Only agents with any, or all, of these tags.
    text
        Only agents whose name contains this, in any case.
    newest_first
        The other way round.
    set_aside
        Those too that are set aside. What machines forked for a purpose of theirs is never among them.
    """
    where = Where()
    where.add("purpose = '' AND deleted_at IS NULL")
    if not set_aside:
        where.add("set_aside = {}", False)
    if tags:
        where.add("tags && {}::text[]" if match == "any" else "tags @> {}::text[]", list(tags))
    if text:
        where.add("position({} IN lower(name)) > 0", text.lower())
    order = "DESC" if newest_first else "ASC"
    return _AGENTS.select(tx, f"{where} ORDER BY created_at {order}, id {order}", where.params)


def hidden(tx: Tx, purpose: str | None = None, of: str | None = None) -> list[AgentState]:
    """Return what machines forked for a purpose (or any), of one agent or of all, oldest first."""
    found = _AGENTS.select(
        tx,
        "WHERE purpose <> '' AND deleted_at IS NULL AND ($1::text IS NULL OR purpose = $1)"
        " ORDER BY created_at, id",
        (purpose,),
    )
    return [one for one in found if of is None or one.fork_of == of]


def save(tx: Tx, agent: AgentState) -> AgentState:
    """Write a changed agent; `NotFoundError` if it has been deleted."""
    return _AGENTS.save(tx, agent, "agent")


def set_window(tx: Tx, agent_id: str, window_start: int, summary_id: str | None) -> None:
    """Move the beginning of an agent's context window, leaving everything else as others set it."""
    tx.execute(
        "UPDATE agents SET window_start = $2, summary_id = $3 WHERE id = $1",
        (agent_id, window_start, summary_id),
    )


def acquire(tx: Tx, agent_id: str, owner: str, seconds: float) -> int:
    """Take the lease of an agent and return its fence number, which grows with every new holder.

    Parameters
    ----------
    agent_id
        The agent's id, which stands for its own thread, or a conversation's.
    owner
        `lease.process_owner()`, with a suffix after ``/`` if one process has several.
    seconds
        How long the lease holds unless renewed. A holder whose process has died loses it at once.

    Raises
    ------
    AgentBusyError
        Another living owner holds it, or has waited for it longer.
    NotFoundError
        There is no such agent.
    """
    # A write that changes nothing: from now on nobody else writes this row, whoever waits in it.
    row = tx.one(
        "UPDATE leases SET fence = fence WHERE agent_id = $1 RETURNING owner, fence", (agent_id,)
    )
    if row is None:
        raise NotFoundError(f"There is no agent {agent_id}.")
    holder, fence = row
    if holder != owner:
        check_free(tx, agent_id, owner)
    lease.leave(tx, agent_id, owner)
    new = int(fence) if holder == owner else int(fence) + 1
    changed = tx.one(
        "UPDATE leases SET owner = $2, fence = $3, expires_at = $4"
        " WHERE agent_id = $1 AND fence = $5 RETURNING fence",
        (agent_id, owner, new, tx.now() + timedelta(seconds=seconds), fence),
    )
    if changed is None:
        raise Conflict("lease")
    return new


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a commit of a run got: the first of its message numbers; ``stop``: somebody wants the run to end."""

    seq: int
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """Where an agent's history is written on: the fence of the lease, the next message's number.

    ``waiting``: the last run waits for an approval.
    """

    fence: int
    seq: int
    waiting: bool


def none_posted(tx: Tx, agent_id: str) -> bool:
    """Whether it is known without asking that no event waits for the agent's next run."""
    known = known_leases.find(tx, agent_id)
    return known is not None and not known.posted


def begin(
    tx: Tx,
    agent_id: str,
    owner: str,
    seconds: float,
    count: int,
    recover: Callable[[], object] = lambda: None,
) -> Head:
    """Take the lease and *count* message numbers in one statement, as a run begins; see `acquire`.

    RETURNING doubles what a statement costs: where a run here left the lease is known without it.
    *recover* is called before numbers are taken where the holder before had not given the lease back.
    """
    expires_at, known = tx.now() + timedelta(seconds=seconds), known_leases.find(tx, agent_id)
    if known is not None and not known.held:
        fence, seq = known.fence + 1, known.seq + count
        done = tx.one(
            "UPDATE leases SET owner = $2, fence = $3, expires_at = $4, next_seq = $5"
            " WHERE agent_id = $1 AND fence = $6",
            (agent_id, owner, fence, expires_at, seq, known.fence),
            within=known_leases.OF_RUNS,
        )
        row = (fence, seq, known.waiting, known.posted, known.begun) if done == (1,) else None
    else:
        row = tx.one(
            "UPDATE leases SET owner = $2, fence = fence + 1, expires_at = $3, next_seq = next_seq + $4"
            " WHERE agent_id = $1 AND owner IS NULL AND queue IS NULL"
            " RETURNING fence, next_seq, waiting, posted IS NOT NULL, begun IS NOT NULL",
            (agent_id, owner, expires_at, count),
            within=known_leases.OF_RUNS,
        )
    if row is not None:
        fence, seq, waiting, posted, begun = row
        known_leases.note(tx, agent_id, fence, seq, waiting, held=True, posted=posted, begun=begun)
        return Head(fence, seq - count, waiting)
    fence = acquire(tx, agent_id, owner, seconds)
    recover()
    row = tx.one(
        "UPDATE leases SET next_seq = next_seq + $2 WHERE agent_id = $1 RETURNING next_seq, waiting",
        (agent_id, count),
    )
    assert row is not None
    return Head(fence, int(row[0]) - count, bool(row[1]))


def advance(
    tx: Tx,
    agent_id: str,
    fence: int,
    seconds: float,
    count: int,
    *,
    end: bool = False,
    waiting: bool | None = None,
    begun: Sequence[str] = (),
) -> Advanced:
    """Take *count* message numbers for a commit of a run; return the first, and whether it is to end.

    The lease is prolonged, or given back at the *end* of the run; *waiting* says whether the agent waits
    for an approval from now on (None: as before). The calls *begun* are about to have their effect.

    Raises
    ------
    ConflictError
        Somebody has taken the agent over since *fence* was given out, or it was deleted.
    """
    known = known_leases.find(tx, agent_id)
    values: list[Any] = [agent_id, fence, count]
    changes = "next_seq = next_seq + $3"
    if begun or known is None or known.begun:
        values.append(dump(list(begun)) if begun else None)
        changes += f", begun = ${len(values)}::text"
    if end:
        changes += ", owner = NULL, expires_at = NULL"
    else:
        values.append(tx.now() + timedelta(seconds=seconds))
        changes += f", expires_at = ${len(values)}"
    if waiting is not None and (known is None or known.waiting != waiting):
        values.append(waiting)
        changes += f", waiting = ${len(values)}"
    sql = f"UPDATE leases SET {changes} WHERE agent_id = $1 AND fence = $2"
    if known is not None and known.held and known.fence == fence:
        done = tx.one(sql, values, within=known_leases.OF_RUNS)
        now_waiting = known.waiting if waiting is None else waiting
        # Whoever wants it to end writes to leases otherwise: then this would not be known.
        row = (known.seq + count, now_waiting, True, known.posted, False) if done == (1,) else None
    else:
        sql += " AND owner IS NOT NULL"
        asked = "coalesce(right(owner, length(stop) + 1) = '/' || stop, false)"
        returning = f" RETURNING next_seq, waiting, queue IS NULL, posted IS NOT NULL, {asked}"
        row = tx.one(sql + returning, values, within=known_leases.OF_RUNS)
    if row is None:
        check_fence(tx, agent_id, fence)
        raise ConflictError("The run had ended already: nothing more was saved.")
    seq, waits, alone, posted, stop = row
    if alone and not stop:
        known_leases.note(
            tx, agent_id, fence, seq, waits, held=not end, posted=posted, begun=bool(begun)
        )
    return Advanced(int(seq) - count, bool(stop))


def is_waiting(tx: Tx, agent_id: str) -> bool:
    """Return whether the agent's last run waits for an approval."""
    row = tx.one("SELECT waiting FROM leases WHERE agent_id = $1", (agent_id,))
    return bool(row and row[0])


def wait_no_more(tx: Tx, thread_id: str) -> None:
    """Let a thread wait for no approval any more; what was about to go on with it is refused."""
    tx.execute(
        "UPDATE leases SET waiting = false, fence = fence + 1 WHERE agent_id = $1", (thread_id,)
    )


def standing(tx: Tx, agent_id: str | None = None) -> dict[str, str]:
    """Return per agent id, of one agent or all, whether it is ``idle``, ``running`` or ``waiting``."""
    moment = tx.now()
    found = {}
    for key, owner, expires_at, waiting in tx.query(
        "SELECT agent_id, owner, expires_at, waiting FROM leases"
        " WHERE $1::text IS NULL OR agent_id = $1",
        (agent_id,),
    ):
        runs = owner and expires_at and expires_at > moment and not lease.is_dead(owner)
        found[str(key)] = "running" if runs else "waiting" if waiting else "idle"
    return found


def renew(tx: Tx, agent_id: str, owner: str, fence: int, seconds: float) -> None:
    """Prolong a lease to *seconds* from now.

    Raises
    ------
    ConflictError
        It was lost to somebody else, or given back.
    """
    changed = tx.one(
        "UPDATE leases SET expires_at = $4 WHERE agent_id = $1 AND owner = $2 AND fence = $3"
        " RETURNING fence",
        (agent_id, owner, fence, tx.now() + timedelta(seconds=seconds)),
    )
    if changed is None:
        raise ConflictError("The agent was released, or taken over by another run.")


def release(tx: Tx, agent_id: str, owner: str) -> None:
    """Give a lease back; does nothing if *owner* does not hold it."""
    tx.execute(
        "UPDATE leases SET owner = NULL, expires_at = NULL WHERE agent_id = $1 AND owner = $2",
        (agent_id, owner),
    )


def take_by_hand(tx: Tx, agent_id: str) -> list[tuple[str, str | None]]:
    """Take an agent, and its conversations, from whoever holds them; return owners, each with its notebook.

    A run of theirs that goes on finds out before it writes anything more.
    """
    threads = tx.query("SELECT id FROM conversations WHERE agent_id = $1", (agent_id,))
    own = {agent_id, *(str(row[0]) for row in threads)}
    found = [one for one in lease.held(tx) if one.thread_id in own]
    for one in found:
        lease.recover_thread(tx, one, lease.RELEASED)
    return [(one.owner, _notebook(tx, one.owner)) for one in found]


def check_fence(tx: Tx, agent_id: str, fence: int) -> None:
    """Make sure that nobody has taken the agent over since *fence* was given out.

    Raises
    ------
    ConflictError
        Somebody has, or the agent was deleted.
    """
    row = tx.one("SELECT fence FROM leases WHERE agent_id = $1", (agent_id,))
    if row is None:
        raise ConflictError("The agent was deleted while it was running: nothing more was saved.")
    if row[0] != fence:
        raise ConflictError(
            "The agent was released, or taken over by another run: nothing more was saved."
        )


def check_idle(tx: Tx, agent_id: str) -> None:
    """Make sure that no run of the agent is going on.

    Raises
    ------
    AgentBusyError
        A living owner holds the agent's lease.
    """
    if (holder := _holder(tx, agent_id)) is not None:
        raise _busy(tx, agent_id, *holder)


def check_free(tx: Tx, agent_id: str, owner: str) -> None:
    """Make sure that nobody runs the agent, and that nobody has waited for it longer than *owner*."""
    holder = _holder(tx, agent_id)
    if holder is None and (first := lease.first_waiting(tx, agent_id, owner)) is not None:
        holder = first["owner"], first["notebook"]
    if holder is not None:
        raise _busy(tx, agent_id, *holder)


def _holder(tx: Tx, agent_id: str) -> tuple[str, str | None] | None:
    """Return the living owner of a lease and the notebook of its run; None if there is none."""
    row = tx.one("SELECT owner, expires_at FROM leases WHERE agent_id = $1", (agent_id,))
    if not row or not row[0] or row[1] <= tx.now() or lease.is_dead(row[0]):
        return None
    return row[0], _notebook(tx, row[0])


def _notebook(tx: Tx, owner: str) -> str | None:
    """Return the notebook of the run that *owner* names, if it has one."""
    run = tx.one("SELECT notebook FROM runs WHERE id = $1", (owner.partition("/")[2],))
    return run[0] if run else None


def _busy(tx: Tx, agent_id: str, owner: str, notebook: str | None) -> AgentBusyError:
    name = tx.one("SELECT name FROM agents WHERE id = $1", (agent_id,))
    who = f"agent {name[0]!r}" if name else f"conversation {agent_id}"
    if lease.is_own(owner):
        return AgentBusyError(
            f"The {who} is in the middle of a run here: wait for it to end, or stop it."
        )
    where = lease.describe(owner, notebook)
    return AgentBusyError(
        f"The {who} is in the middle of a run in {where}: wait for it to end, or stop it there.",
        where,
    )


def tags(tx: Tx, text: str | None = None) -> list[str]:
    """Return the tags of all agents in the order of the alphabet, those that contain *text* in any case."""
    rows = tx.query(
        "SELECT DISTINCT tag FROM (SELECT unnest(tags) AS tag FROM agents"
        " WHERE purpose = '' AND deleted_at IS NULL) t"
        " WHERE $1::text IS NULL OR position($1 IN lower(tag)) > 0 ORDER BY tag",
        (text.lower() if text else None,),
    )
    return [str(row[0]) for row in rows]
