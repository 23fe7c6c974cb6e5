"""Conversations: threads with one agent that share its memory, not their history."""

from __future__ import annotations

import threading

import pytest
from agent_bench import Bench, ended

from letta_kernel.errors import AgentBusyError, InvalidInputError, NotFoundError
from letta_kernel.messages import Message, RunEnded, StepStarted
from letta_kernel.records import ToolRule
from letta_kernel.service import AgentService, Decision


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.service.agents.create("ada", human="Kim")
    return bench


def say(bench: Bench, text: str, answer: str, conversation: str | None = None) -> RunEnded:
    """Send *text* to a thread, to which the model answers *answer*."""
    bench.server.say(answer)
    return ended(list(bench.service.runs.send("ada", text, conversation=conversation)))


def told(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


def test_threads_share_memory_and_not_history(bench: Bench) -> None:
    service = bench.service
    tea = service.conversations.create("ada", summary="About tea").id
    say(bench, "Own one", "Own answer")
    bench.server.call("memory_insert", {"label": "human", "new_string": "drinks sencha"})
    say(bench, "I drink sencha", "Noted", tea)
    say(bench, "Own two", "Own answer two")
    shown = bench.server.requests[-1]["messages"]
    assert "drinks sencha" in shown[0]["content"]
    assert [m["content"] for m in shown[1:]] == ["Own one", "Own answer", "Own two"]
    assert told(service.messages.history("ada"))[-2:] == ["Own two", "Own answer two"]
    assert "Own one" not in told(service.messages.history("ada", conversation=tea))
    assert told(service.messages.history("ada", conversation=tea))[0] == "I drink sencha"
    assert service.conversations.retrieve(tea).last_message_at is not None
    run = service.runs.whole("ada")[1]
    assert (run.conversation_id, run.status) == (tea, "completed")
    found = {hit.message.content for hit in service.messages.search("sencha", agent="ada")}
    assert "I drink sencha" in found
    assert {hit.message.content for hit in service.messages.search("own answer", agent="ada")} >= {
        "Own answer"
    }


def test_a_conversation_goes_on_in_another_process(bench: Bench) -> None:
    one = bench.service.conversations.create("ada").id
    say(bench, "First", "One", one)
    say(bench, "Elsewhere", "Own")
    with AgentService(bench.service.home) as other:
        bench.server.say("Two")
        list(other.runs.send("ada", "Second", conversation=one))
    say(bench, "Third", "Three", one)
    shown = [m["content"] for m in bench.server.requests[-1]["messages"][1:]]
    assert shown == ["First", "One", "Second", "Two", "Third"]


def test_model_and_settings_of_a_conversation_win(bench: Bench) -> None:
    service = bench.service
    service.agents.update("ada", settings={"temperature": 0.1, "top_p": 0.5})
    one = service.conversations.create(
        "ada", model="openai/other", settings={"temperature": 0.9}
    ).id
    say(bench, "Hi", "Hello", one)
    request = bench.server.requests[-1]
    assert (request["model"], request["temperature"], request["top_p"]) == ("other", 0.9, 0.5)
    say(bench, "Hi", "Hello")
    assert bench.server.requests[-1]["temperature"] == 0.1
    with pytest.raises(InvalidInputError, match="temperature"):
        service.conversations.update(one, settings={"temperature": 9})
    service.conversations.update(one, settings={}, model=None, archived=True, summary="Old")
    assert [c.id for c in service.conversations.list("ada", archived=True)] == [one]
    assert service.conversations.list("ada", archived=False) == []
    assert service.conversations.update(one, archived=False).archived_at is None


def test_two_threads_run_at_the_same_time(bench: Bench) -> None:
    service = bench.service
    one = service.conversations.create("ada").id
    first = service.runs.send("ada", "Take your time")
    while not isinstance(next(first), StepStarted):
        pass
    ada = service.agents.retrieve("ada").id
    (run,) = service.runs.list(thread_id=ada, statuses=["running"])
    assert run.id == service.runs.whole("ada")[0].id
    assert service.runs.list(thread_id=one) == []
    with pytest.raises(AgentBusyError):
        list(service.runs.send("ada", "Now!"))
    say(bench, "Meanwhile", "Sure", one)
    with pytest.raises(AgentBusyError):
        service.agents.reset("ada")
    bench.server.say("Done")
    rest = list(first)
    assert ended(rest).stop_reason == "end_turn"
    assert told(service.messages.history("ada", conversation=one)) == ["Meanwhile", "Sure"]
    assert service.runs.list(thread_id=ada, statuses=["running"]) == []


def test_many_threads_at_once_lose_nothing(bench: Bench) -> None:
    service = bench.service
    threads = [service.conversations.create("ada").id for _ in range(6)]

    def talk(conversation: str) -> None:
        for number in range(3):
            list(service.runs.send("ada", f"{number} {conversation}", conversation=conversation))

    workers = [threading.Thread(target=talk, args=(one,)) for one in threads]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one in threads:
        said = [
            m.content for m in service.messages.history("ada", conversation=one) if m.role == "user"
        ]
        assert said == [f"{number} {one}" for number in range(3)]
    every = [m.seq for one in threads for m in service.messages.history("ada", conversation=one)]
    assert len(set(every)) == len(every) == 36


def test_an_approval_belongs_to_its_thread(bench: Bench) -> None:
    service = bench.service
    service.agents.update(
        "ada", tool_rules=[ToolRule(type="requires_approval", tool_name="memory_insert")]
    )
    one = service.conversations.create("ada").id
    bench.server.call("memory_insert", {"label": "human", "new_string": "tea"})
    list(service.runs.send("ada", "Remember tea", conversation=one))
    assert service.runs.pending("ada") == []
    (call,) = service.runs.pending("ada", one)
    say(bench, "Own", "Own answer")
    with pytest.raises(InvalidInputError, match="waits for your word"):
        list(service.runs.send("ada", "And?", conversation=one))
    with pytest.raises(InvalidInputError, match="waits for no approval"):
        service.runs.approve("ada", [Decision(call.id, approve=True)])
    bench.server.say("Done.")
    list(service.runs.approve("ada", [Decision(call.id, approve=True)], conversation=one))
    assert "tea" in service.blocks.retrieve("human", agent="ada").value
    assert told(service.messages.history("ada", conversation=one))[-1] == "Done."


def test_a_fork_goes_its_own_way(bench: Bench) -> None:
    service = bench.service
    say(bench, "One", "First")
    say(bench, "Two", "Second")
    ids = [message.id for message in service.messages.history("ada")]
    whole = service.conversations.fork("ada").id
    part = service.conversations.fork("ada", message_id=ids[1]).id
    say(bench, "Three", "Third")
    say(bench, "Else", "Other", part)
    assert [m.id for m in service.messages.in_context("ada", whole)] == ids
    shown = [m["content"] for m in bench.server.requests[-1]["messages"][1:]]
    assert shown == ["One", "First", "Else"]
    again = service.conversations.fork("ada", part).id
    say(bench, "More", "Still", again)
    assert told(service.messages.history("ada", conversation=again)) == [
        *("One", "First", "Else", "Other", "More", "Still")
    ]
    service.conversations.delete(part)
    assert len(service.messages.history("ada", conversation=again)) == 6
    with pytest.raises(NotFoundError, match="not in sight"):
        service.conversations.fork("ada", message_id="message-x")
    service.agents.reset("ada")
    assert service.messages.history("ada", conversation=again) == []
    say(bench, "Anew", "Yes", again)
    assert [m["content"] for m in bench.server.requests[-1]["messages"][1:]] == ["Anew"]


def test_compaction_moves_one_thread_only(bench: Bench) -> None:
    service = bench.service
    one = service.conversations.create("ada").id
    for number in range(4):
        say(bench, f"Own {number}", "Yes")
        say(bench, f"Other {number}", "Yes", one)
    bench.server.say("They counted.")
    summary = service.messages.compact("ada", one)
    assert summary is not None
    assert summary.conversation_id == one
    seen = service.messages.in_context("ada", one)
    assert seen[0].id == summary.id
    assert len(seen) < 9
    assert len(service.messages.in_context("ada")) == 8
    say(bench, "Go on", "Yes", one)
    assert "They counted." in bench.server.requests[-1]["messages"][1]["content"]
    fork = service.conversations.fork("ada", one).id
    assert service.messages.in_context("ada", fork)[0].id == summary.id


def test_a_thread_that_is_full_is_compacted_by_itself(bench: Bench) -> None:
    service = bench.service
    one = service.conversations.create("ada", settings={"context_window": 4000}).id
    for number in range(12):
        say(bench, f"{number}: " + "tea leaves " * 150, "Yes", one)
    assert service.conversations.retrieve(one).window_start > 0
    assert service.agents.retrieve("ada").window_start == 0
    assert service.messages.in_context("ada", one)[0].role == "summary"


def test_what_is_not_there_is_named(bench: Bench) -> None:
    service = bench.service
    service.agents.create("bob")
    other = service.conversations.create("bob").id
    with pytest.raises(NotFoundError, match="ada has no conversation"):
        service.runs.send("ada", "Hi", conversation=other)
    with pytest.raises(NotFoundError, match="There is no conversation 'conv-x'"):
        service.messages.history("ada", conversation="conv-x")
    service.conversations.delete(other)
    with pytest.raises(NotFoundError):
        service.conversations.retrieve(other)
    with pytest.raises(InvalidInputError, match="cannot be changed"):
        service.conversations.update(other, agent_id="x")
    assert service.conversations.list() == []
