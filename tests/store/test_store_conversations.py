"""Conversations: threads with histories and leases of their own over one agent."""

from __future__ import annotations

import pytest

from letta_kernel.errors import AgentBusyError, NotFoundError
from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Conversation, Inherited, Run
from letta_kernel.store import agent_deletion, agents, conversations, indexes, lease, messages, runs
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lease import process_owner


def say(tx: Tx, agent: AgentState, text: str, thread: Conversation | None = None) -> Message:
    """Append a message to a thread."""
    message = Message(
        agent_id=agent.id,
        role="user",
        content=text,
        conversation_id=thread.id if thread else None,
    )
    return messages.append(tx, agent.id, [message])[0]


def made(database: Database, agent: AgentState, **fields: object) -> Conversation:
    """Add a conversation."""
    one = Conversation.model_validate({"agent_id": agent.id, **fields})
    return database.run(lambda tx: conversations.add(tx, one))


def test_threads_have_histories_of_their_own(database: Database, ada: AgentState) -> None:
    first, second = made(database, ada), made(database, ada)

    def work(tx: Tx) -> list[list[str]]:
        say(tx, ada, "own 1")
        say(tx, ada, "first 1", first)
        say(tx, ada, "second 1", second)
        say(tx, ada, "own 2")
        say(tx, ada, "first 2", first)
        threads: list[messages.Thread] = [ada.thread, first, second]
        return [[m.content for m in messages.window(tx, one, 0)] for one in threads]

    assert database.run(work) == [["own 1", "own 2"], ["first 1", "first 2"], ["second 1"]]
    every = database.run(lambda tx: messages.page(tx, ada.id, newest_first=False))
    assert [m.seq for m in every] == [1, 2, 3, 4, 5]
    newest = database.run(lambda tx: messages.page(tx, ada.id, thread=first, limit=1))
    assert [m.content for m in newest] == ["first 2"]


def test_a_fork_shares_what_was_there_and_no_more(database: Database, ada: AgentState) -> None:
    source = made(database, ada)
    database.run(lambda tx: [say(tx, ada, f"before {n}", source) for n in (1, 2)])
    fork = made(database, ada, inherits=[Inherited(thread=source.id, first=1, last=2).model_dump()])
    database.run(lambda tx: say(tx, ada, "after", source))
    database.run(lambda tx: say(tx, ada, "forked", fork))
    own = made(database, ada, inherits=[Inherited(thread=ada.id, first=1, last=99).model_dump()])
    database.run(lambda tx: say(tx, ada, "in the agent's own thread"))

    def seen(thread: messages.Thread) -> list[str]:
        return [m.content for m in database.run(lambda tx: messages.window(tx, thread, 0))]

    assert seen(fork) == ["before 1", "before 2", "forked"]
    assert seen(source) == ["before 1", "before 2", "after"]
    assert seen(own) == ["in the agent's own thread"]


def test_deleting_a_source_leaves_its_forks_whole(database: Database, ada: AgentState) -> None:
    source = made(database, ada)
    database.run(lambda tx: indexes.mark(tx, "index", ada.id, "messages"))
    shared = database.run(lambda tx: say(tx, ada, "shared", source))
    fork = made(database, ada, inherits=[{"thread": source.id, "first": 1, "last": 1}])
    database.run(lambda tx: conversations.delete(tx, source))
    assert database.run(lambda tx: conversations.get(tx, source.id)) is None
    assert database.run(lambda tx: messages.window(tx, fork, 0)) == [shared]
    database.run(lambda tx: conversations.delete(tx, fork))
    assert database.run(lambda tx: len(messages.page(tx, ada.id))) == 0
    assert [e.item_id for e in database.run(lambda tx: indexes.outbox(tx, "index"))] == [shared.id]
    assert database.run(lambda tx: tx.query("SELECT agent_id FROM leases")) == [(ada.id,)]


def test_each_thread_has_a_lease_of_its_own(database: Database, ada: AgentState) -> None:
    one = made(database, ada)
    owner = process_owner()
    database.run(lambda tx: agents.begin(tx, ada.id, f"{owner}/a", 60, 1))
    database.run(lambda tx: agents.begin(tx, one.id, f"{owner}/b", 60, 0))
    with pytest.raises(AgentBusyError, match="conversation conv-"):
        database.run(lambda tx: agents.begin(tx, one.id, f"{owner}/c", 60, 0))
    database.run(lambda tx: agents.release(tx, ada.id, f"{owner}/a"))
    with pytest.raises(AgentBusyError):
        database.run(lambda tx: conversations.check_idle(tx, ada.id))
    database.run(lambda tx: agents.release(tx, one.id, f"{owner}/b"))
    database.run(lambda tx: conversations.check_idle(tx, ada.id))


def test_runs_are_recovered_thread_by_thread(database: Database, ada: AgentState) -> None:
    one = made(database, ada)
    for _ in range(3):  # the agent's own fence is ahead of the conversation's
        database.run(lambda tx: agents.begin(tx, ada.id, "gone|1|1", 60, 0))
    head = database.run(lambda tx: agents.begin(tx, one.id, process_owner(), 60, 0))
    run = Run(agent_id=ada.id, conversation_id=one.id)
    database.run(lambda tx: runs.start(tx, run, head.fence))
    assert database.run(lambda tx: lease.recover(tx, ada.id)) == []
    assert database.run(lambda tx: lease.recover(tx, ada.id, one.id)) == []  # it goes on
    database.run(lambda tx: agents.release(tx, one.id, process_owner()))
    assert database.run(lambda tx: lease.recover(tx, ada.id, one.id)) == [run.id]
    found = database.run(lambda tx: runs.find(tx, conversation_id=one.id))
    assert [r.id for r in found] == [run.id]


def test_lists_are_filtered_ordered_and_paged(database: Database, ada: AgentState) -> None:
    made_ = [made(database, ada, summary=text) for text in ("Tea", "coffee", "More tea")]
    hidden = made(database, ada, hidden=True)

    def ids(**asked: object) -> list[str]:
        return [
            one.id
            for one in database.run(
                lambda tx: conversations.list_all(tx, ada.id, **asked)  # type: ignore[arg-type]
            )
        ]

    tea, coffee, more = (one.id for one in made_)
    assert ids() == [more, coffee, tea]
    assert ids(newest_first=False, hidden=True)[-1] == hidden.id
    assert ids(text="TEA") == [more, tea]
    assert ids(after=more, limit=1) == [coffee]
    database.run(lambda tx: conversations.touch(tx, tea, made_[2].created_at.replace(year=2100)))
    assert ids(order_by="last_message_at") == [tea, more, coffee]
    assert ids(order_by="last_message_at", after=tea) == [more, coffee]
    assert ids(order_by="last_run_completion", newest_first=False) == [tea, coffee, more]
    archived = made_[1].model_copy(update={"archived_at": made_[1].created_at})
    database.run(lambda tx: conversations.save(tx, archived))
    assert ids(archived=True) == [coffee]
    assert ids(archived=False) == [more, tea]


def test_an_agent_takes_its_conversations_with_it(database: Database, ada: AgentState) -> None:
    one = made(database, ada)
    database.run(lambda tx: say(tx, ada, "hello", one))
    database.run(lambda tx: agent_deletion.delete(tx, ada.id))
    left = "SELECT id FROM conversations UNION SELECT id FROM messages UNION SELECT agent_id FROM leases"
    assert database.run(lambda tx: tx.query(left)) == []
    with pytest.raises(NotFoundError):
        made(database, ada)
