"""Lines of history: which rows a thread reads that inherits parts of others'. No row is copied for it.

How parts work is said at `letta_kernel.records.Inherited`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def thread_of(parts: Sequence[Inherited]) -> OwnThread:
    """Return parts, each of which names its agent, as a thread that nothing is added to."""
    return OwnThread("", tuple(parts), LAST)


def where_of(parts: Sequence[Inherited]) -> Where:
    """Return the condition of the messages of parts."""
    where = Where()
    of_thread(where, thread_of(parts))
    return where


def of_parts(where: Where, parts: Sequence[Inherited]) -> None:
    """Keep the messages of these parts, each of which names its agent."""
    of_thread(where, OwnThread("", tuple(parts), LAST))


def line(state: AgentState, newest_passage: int, newest: int = LAST) -> list[Inherited]:
    """Return the whole line of an agent's own thread: what it inherits, and its own up to its *newest*."""
    own = Inherited(agent=state.id, thread=state.id, first=state.first_seq, last=newest)
    first = max(state.first_passage, 1)
    if newest_passage >= first:
        own.first_passage, own.last_passage = first, newest_passage
    if own.last < own.first:
        own.first, own.last = 0, -1
    parts = [part.model_copy(update={"agent": part.agent or state.id}) for part in state.inherits]
    return [*parts, own] if own.last >= 0 or own.last_passage else parts


def resumed(
    parts: Sequence[Inherited], agent_id: str, following: int, following_passage: int
) -> tuple[list[Inherited], tuple[int, int]]:
    """Return what an agent inherits that goes on behind *parts*, and where its own messages and passages begin.

    *following* and *following_passage* are the numbers its next ones get. Where the line ends with all that the
    agent has, that is its own again.
    """
    own = parts[-1] if parts else None
    passages = max((part.last_passage for part in parts), default=0)
    if (
        own is not None
        and own.agent == own.thread == agent_id
        and (own.last, passages) == (following - 1, following_passage - 1)
    ):
        return [*parts[:-1]], (own.first, own.first_passage or following_passage)
    return [*parts], (following, following_passage)


Span = tuple[str, str, int, int]


def _spans(parts: Iterable[Inherited]) -> list[Span]:
    """Return which messages parts have, joined where one goes on with the next number."""
    found: list[Span] = []
    for part in parts:
        if part.last < part.first:
            continue
        span = (part.agent, part.thread, part.first, part.last)
        if found and found[-1][:2] == span[:2] and found[-1][3] + 1 == part.first:
            span = (*span[:2], found.pop()[2], part.last)
        found.append(span)
    return found


def begins(one: Iterable[Inherited], other: Iterable[Inherited]) -> bool:
    """Return whether *other* begins with all messages of *one*."""
    short, long = _spans(one), _spans(other)
    if not short:
        return True
    if len(short) > len(long):
        return False
    last, there = short[-1], long[len(short) - 1]
    return short[:-1] == long[: len(short) - 1] and last[:3] == there[:3] and last[3] <= there[3]


def behind(one: Iterable[Inherited], other: Iterable[Inherited]) -> list[Inherited]:
    """Return the messages of *one* behind those that it begins with as *other* does."""
    rest, there = _spans(one), _spans(other)
    while rest and there and rest[0] == there[0]:
        rest.pop(0)
        there.pop(0)
    if rest and there and rest[0][:3] == there[0][:3]:
        agent, thread, _, last = rest.pop(0)
        if there[0][3] < last:
            rest.insert(0, (agent, thread, there[0][3] + 1, last))
    return [Inherited(agent=a, thread=t, first=f, last=e) for a, t, f, e in rest]
