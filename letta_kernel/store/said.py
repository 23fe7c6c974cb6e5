"""Which messages an agent finds when it searches what was said: its own threads', and those it inherits."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.records import Inherited
from letta_kernel.store.database import Tx
from letta_kernel.store.lineage import LAST
from letta_kernel.store.mapping import Where, load
from letta_kernel.store.scopes import HISTORY, Scope, Stretch

Pieces = Sequence[tuple[str, Scope | None]]
"""Whose messages are found, and which of them, None for all."""


def of_agent(tx: Tx, agent_id: str) -> Pieces:
    """Return what an agent finds: its history as it stands, its conversations, and what it inherits."""
    row = tx.one("SELECT CAST(inherits AS text), first_seq FROM agents WHERE id = $1", (agent_id,))
    inherits, first = row if row is not None else ("[]", 0)
    cut = tx.query(
        "SELECT id, CASE WHEN deleted_at IS NULL THEN first_seq ELSE $2 END FROM conversations"
        " WHERE agent_id = $1 AND (first_seq > 0 OR deleted_at IS NOT NULL AND NOT EXISTS (SELECT 1"
        " FROM conversations o WHERE o.agent_id = $1 AND o.deleted_at IS NULL"
        " AND position(conversations.id IN CAST(o.inherits AS text)) > 0))",
        (agent_id, LAST),
    )
    if (inherits or "[]") == "[]" and not first and not cut:
        return ((agent_id, None),)
    parts = [Inherited.model_construct(**one) for one in load(inherits or "[]")]
    found = _by_owner(agent_id, [one for one in parts if _history(one, agent_id)])
    own = [*found.pop(agent_id, ()), Stretch(first or 0, None, HISTORY)]
    own += [Stretch(int(begin), None, str(one)) for one, begin in cut]
    pieces = [(owner, Scope(tuple(stretches))) for owner, stretches in found.items()]
    return (*pieces, (agent_id, Scope(tuple(own), others=True)))


def of_guest(tx: Tx, agent_id: str, guest: str) -> Pieces:
    """Return what was said in the conversations that a guest has with an agent."""
    rows = tx.query(
        "SELECT id FROM conversations WHERE agent_id = $1 AND created_by = $2 AND deleted_at IS NULL",
        (agent_id, guest),
    )
    own = tuple(Stretch(0, None, str(row[0])) for row in rows)
    return ((agent_id, Scope(own)),) if own else ()


def of_line(agent_id: str, parts: Sequence[Inherited]) -> Pieces:
    """Return what there is in a line, and nothing else."""
    found = _by_owner(agent_id, parts)
    return [(owner, Scope(tuple(stretches))) for owner, stretches in found.items()]


def _history(part: Inherited, agent_id: str) -> bool:
    """Whether a part is none of the agent's own conversations, which it finds anyway."""
    return part.agent not in ("", agent_id) or part.thread == agent_id


def _by_owner(agent_id: str, parts: Sequence[Inherited]) -> dict[str, list[Stretch]]:
    found: dict[str, list[Stretch]] = {}
    for one in parts:
        owner = one.agent or agent_id
        if one.last >= one.first:
            source = HISTORY if one.thread == owner else one.thread
            last = None if one.last >= LAST else one.last
            found.setdefault(owner, []).append(Stretch(one.first, last, source))
    return found


def add_to(where: Where, pieces: Pieces) -> None:
    """Keep the messages of *pieces*."""
    source = f"coalesce(conversation_id, '{HISTORY}')"
    owners = [owner for owner, _ in pieces]
    parts = [
        f"agent_id = {{{number}}}" + (f" AND {scope.rows(source)}" if scope is not None else "")
        for number, (_, scope) in enumerate(pieces)
    ]
    where.add(f"({' OR '.join(f'({one})' for one in parts) or 'false'})", *owners)
