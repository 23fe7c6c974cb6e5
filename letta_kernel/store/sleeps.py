"""What sleep-time agents do: each look of theirs at what was said, and what they would write."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.ids import now
from letta_kernel.messages import MARK
from letta_kernel.records import Group, Proposal, Sleep
from letta_kernel.store import groups, lease
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, utc

_SLEEPS = Table("sleeps", Sleep)
_PROPOSALS = Table("proposals", Proposal)

get, add, get_proposal = _SLEEPS.get, _SLEEPS.add, _PROPOSALS.get


def list_all(tx: Tx, agent_id: str, limit: int = 50) -> list[Sleep]:
    """Return the looks at what an agent said and heard, newest first."""
    tail = "WHERE agent_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
    return _SLEEPS.select(tx, tail, (agent_id, limit))


def unfinished(tx: Tx, group_id: str) -> list[Sleep]:
    """Return those of a group whose end is not written."""
    return _SLEEPS.select(
        tx, "WHERE group_id = $1 AND status = 'open' ORDER BY created_at", (group_id,)
    )


def is_open(tx: Tx, sleep_id: str) -> bool:
    """Return whether what one would write can come to anything still."""
    row = tx.one("SELECT 1 FROM sleeps WHERE id = $1 AND status = 'open'", (sleep_id,))
    return row is not None


def untold(tx: Tx, agent_id: str) -> list[Sleep]:
    """Return those that are over and that nobody has been told of, oldest first."""
    return _SLEEPS.select(
        tx,
        "WHERE agent_id = $1 AND NOT told AND status IN ('done', 'failed') ORDER BY created_at",
        (agent_id,),
    )


def tell(tx: Tx, ids: Sequence[str]) -> None:
    """Note that the person has been told of these."""
    if ids:
        tx.execute("UPDATE sleeps SET told = true WHERE id = ANY($1::text[])", (list(ids),))


def end(tx: Tx, sleep: Sleep) -> None:
    """Write how one ended, or that it was taken back."""
    sleep.ended_at = sleep.ended_at or now()
    _SLEEPS.change(tx, sleep, ("status", "run_id", "note", "told", "ended_at"))


def proposals(tx: Tx, sleep_id: str, statuses: Sequence[str] | None = None) -> list[Proposal]:
    """Return what one would write, passages and blocks in the order in which they were first thought of."""
    chosen = "" if statuses is None else " AND status = ANY($2::text[])"
    params = (sleep_id, *([] if statuses is None else [list(statuses)]))
    return _PROPOSALS.select(tx, f"WHERE sleep_id = $1{chosen} ORDER BY created_at, id", params)


def waiting(tx: Tx, agent_id: str) -> list[Proposal]:
    """Return what waits for a person's word, oldest first."""
    tail = "WHERE agent_id = $1 AND status = 'open' ORDER BY created_at, id"
    return _PROPOSALS.select(tx, tail, (agent_id,))


def staged(tx: Tx, sleep_id: str, label: str) -> Proposal | None:
    """Return what one would write to the block of a label so far."""
    found = _PROPOSALS.select(
        tx,
        "WHERE sleep_id = $1 AND kind = 'block' AND label = $2 AND status = 'staged'",
        (sleep_id, label),
    )
    return found[0] if found else None


def propose(tx: Tx, proposal: Proposal) -> Proposal:
    """Keep something that would be written."""
    return _PROPOSALS.add(tx, proposal)


def change(tx: Tx, proposal: Proposal) -> None:
    """Write what has become of a proposal, and what is left of it."""
    _PROPOSALS.change(
        tx, proposal, ("before", "after", "version", "reason", "step_id", "status", "decided_at")
    )


def sleeper_group(tx: Tx, agent_id: str) -> Group | None:
    """Return the group by which an agent's memory is tidied while it rests; None if there is none."""
    found = groups.list_all(tx, manager_type="sleeptime", manager_agent_id=agent_id, hidden=True)
    return next((one for one in found if one.agent_ids), None)


def turns(tx: Tx, agent_id: str, after: int) -> int:
    """Return how many turns an agent has had since its message of a number, in all its threads."""
    row = tx.one(
        "SELECT count(*) FROM messages WHERE agent_id = $1 AND seq > $2 AND role IN ('user', 'event')"
        " AND step_id IS NULL AND run_id IS NOT NULL AND name IS DISTINCT FROM $3",
        (agent_id, after, MARK),
    )
    return int(row[0]) if row else 0


def last_upto(tx: Tx, group_id: str) -> int:
    """Return the number of the last message that was looked at; 0 for none."""
    row = tx.one(
        "SELECT max(upto) FROM sleeps WHERE group_id = $1 AND status IN ('done', 'undone')",
        (group_id,),
    )
    return int(row[0] or 0) if row else 0


def run_of(tx: Tx, message_id: str) -> str | None:
    """Return the run that a message began, None while there is none."""
    row = tx.one("SELECT run_id FROM messages WHERE id = $1", (message_id,))
    return None if row is None else row[0]


def is_busy(tx: Tx, agent_id: str) -> bool:
    """Return whether a run of an agent goes on, in any of its threads."""
    rows = tx.query(
        "SELECT owner, expires_at FROM leases WHERE owner IS NOT NULL AND (agent_id = $1"
        " OR agent_id IN (SELECT id FROM conversations WHERE agent_id = $1))",
        (agent_id,),
    )
    return any(utc(at) > tx.now() and not lease.is_dead(owner) for owner, at in rows)


def sleepers(tx: Tx, agent_id: str) -> list[str]:
    """Return the ids of those that tidy an agent's memory."""
    group = sleeper_group(tx, agent_id)
    return [] if group is None else list(group.agent_ids)


def news(tx: Tx) -> tuple[int, int]:
    """Return how many changes are proposed, and of how many agents nobody was told that memory was tidied.

    Agents that are set aside do not count.
    """
    here = "agent_id NOT IN (SELECT id FROM agents WHERE set_aside)"
    row = tx.one(
        f"SELECT (SELECT count(*) FROM proposals WHERE status = 'open' AND {here}),"
        " (SELECT count(DISTINCT agent_id) FROM sleeps WHERE NOT told AND NOT review"
        f" AND status IN ('done', 'failed') AND {here})"
    )
    assert row is not None
    return int(row[0]), int(row[1])
