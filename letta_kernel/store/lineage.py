"""Lines of history: which rows a thread reads that inherits parts of others'. No row is copied for it.

How parts work is said at `letta_kernel.records.Inherited`.
"""

from __future__ import annotations

from collections.abc import Iterable

from letta_kernel.records import AgentState, Conversation, Inherited, OwnThread
from letta_kernel.store.mapping import Where

LAST = 2**62
"""Behind every number: the end of a part that still grows."""


def of_thread(where: Where, thread: Conversation | OwnThread) -> None:
    """Keep the messages of *thread*, those it inherits among them."""
    if isinstance(thread, Conversation):
        own, values = "agent_id = {} AND conversation_id = {}", [thread.agent_id, thread.id]
        first = thread.first_seq
    else:
        own, values = "agent_id = {} AND conversation_id IS NULL", [thread.agent_id]
        first = thread.first
    given: list[object] = [*values]
    if first:
        own += " AND seq >= {}"
        given.append(first)
    if not thread.inherits:
        where.add(own, *given)
        return
    conditions = [own]
    for part in thread.inherits:
        if part.last < part.first:  # it has passages only
            continue
        owner = part.agent or thread.agent_id
        own_thread = part.thread == owner
        conditions.append(
            "agent_id = {} AND seq >= {} AND seq <= {} AND conversation_id "
            + ("IS NULL" if own_thread else "= {}")
        )
        given += [owner, part.first, part.last, *([] if own_thread else [part.thread])]
    where.add("(" + " OR ".join(f"({one})" for one in conditions) + ")", *given)


def line(state: AgentState, newest_passage: int = 0) -> list[Inherited]:
    """Return the whole line of an agent's own thread: what it inherits, and its own as a part that grows."""
    own = Inherited(
        agent=state.id,
        thread=state.id,
        first=state.first_seq,
        last=LAST,
        first_passage=state.first_passage,
        last_passage=newest_passage,
    )
    return joined([*map(_named(state.id), state.inherits), own])


def _named(agent_id: str):  # type: ignore[no-untyped-def]
    return lambda part: part if part.agent else part.model_copy(update={"agent": agent_id})


def joined(parts: Iterable[Inherited]) -> list[Inherited]:
    """Return *parts* with those joined that go on where the one before ends."""
    found: list[Inherited] = []
    for part in parts:
        before = found[-1] if found else None
        if (
            before is not None
            and (before.agent, before.thread) == (part.agent, part.thread)
            and before.last + 1 >= part.first
            and not before.moment
        ):
            part = part.model_copy(
                update={"first": before.first, "first_passage": before.first_passage}
            )
            found.pop()
        found.append(part)
    return found
