"""Agents that ask each other: answers, waits, limits, messages left for later, and what is kept of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_bench import Bench, ended, kept_whole
from scripted_server import Answer

from letta_kernel.agent_messages import BROADCAST, NOTIFY, SENT, WAIT
from letta_kernel.messages import Event, Nested, RunEnded, RunQueued, RunStarted, ToolProgress
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState, Run
from letta_kernel.service import AgentService, Decision

PAY = '''
def pay(euros: int) -> str:
    """Pay somebody.

    Args:
        euros: How much.
    """
    return f"{euros} paid"
'''

SPENT = {"prompt_tokens": 15_000, "completion_tokens": 10_000, "total_tokens": 25_000}


def make(bench: Bench, *names: str, **options: Any) -> list[AgentState]:
    """Make agents that have the three tools."""
    made = []
    for name in names:
        state = bench.service.agents.create(name, model="openai/scripted", **options)
        for tool in (WAIT, NOTIFY, BROADCAST):
            bench.service.tools.attach(tool, agent=state.id)
        made.append(state)
    return made


def ask(bench: Bench, other: str, message: str = "What is new?") -> None:
    """Let the model ask another agent."""
    bench.server.call(WAIT, {"message": message, "other_agent_id": other})


def result(bench: Bench, agent: str = "ada") -> Any:
    """The last result of a tool in an agent's history."""
    return next(m for m in reversed(bench.history(agent)) if m.role == "tool")


def whole(bench: Bench, ref: str) -> Run:
    return bench.service.runs.list(agent_ids=[bench.service.agents.retrieve(ref).id])[0]


def until(holds: Callable[[], Any]) -> Any:
    """Return what *holds* returns as soon as that is true."""
    deadline = time.monotonic() + 30
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_an_answer_comes_back_and_each_history_says_who_spoke(bench: Bench) -> None:
    ada, bob = make(bench, "ada", "bob")
    ask(bench, "bob")
    bench.server.say("The puffins are back.")
    bench.server.say("Bob says so.")
    events = bench.send("ada", "Ask bob.")
    assert ended(events).stop_reason == "end_turn"
    assert json.loads(result(bench).content) == {
        "agent_id": bob.id,
        "agent_name": "bob",
        "response": ["The puffins are back."],
    }
    said, answer = bench.history("bob")
    assert (said.role, said.sender_id, said.name, said.bare) == (
        "user",
        ada.id,
        "ada",
        "What is new?",
    )
    assert said.content == (
        f"[Incoming message from agent with ID '{ada.id}' (ada) - your response will be delivered to the"
        " sender] What is new?"
    )
    assert answer.content == "The puffins are back."
    asked, asking = whole(bench, "bob"), whole(bench, "ada")
    assert asked.asked_by == asking.id
    assert asked.asked_call == result(bench).tool_call_id
    assert said.content in str(bench.server.requests[1]["messages"])
    kept_whole(bench.service)


def test_what_was_kept_leads_to_the_words_of_who_asked(bench: Bench) -> None:
    make(bench, "ada", "bob")
    ask(bench, "bob", "Keep the figs.")
    bench.server.calls([("archival_memory_insert", {"content": "Figs."})])
    bench.server.say("Kept.")
    bench.server.say("Bob has them.")
    bench.send("ada", "Ask bob.")
    (origin,) = bench.service.passages.origins(bench.service.passages.list("bob"))
    assert origin.asked is not None
    assert origin.asked.message == "Keep the figs."


def test_the_other_run_is_told_as_it_goes_on(bench: Bench) -> None:
    _, bob = make(bench, "ada", "bob")
    ask(bench, bob.id)
    bench.server.say("All is quiet.")
    live: list[Event] = []
    yielded = bench.send("ada", "Ask bob.", live=live.append)
    nested = [one for one in live if isinstance(one, Nested)]
    assert {one.agent_id for one in nested} == {bob.id}
    first, last = nested[0].event, nested[-1].event
    assert isinstance(first, RunStarted)
    assert (first.agent_name, first.sender) == ("bob", "ada")
    assert isinstance(last, RunEnded)
    returned = next(n for n, one in enumerate(live) if one.type == "tool_returned")
    assert live.index(nested[-1]) < returned
    assert [one for one in yielded if isinstance(one, Nested)] == nested
    waits = [one.text for one in live if isinstance(one, ToolProgress) and one.stream == "progress"]
    assert waits[0] == "waits for bob"
    prompt, told = bench.service.runs.replay(whole(bench, "ada").id)
    again = [one for one in told if isinstance(one, Nested)]
    assert prompt == "Ask bob."
    assert isinstance(again[0].event, RunStarted)
    assert again[0].event.sender == "ada"
    assert [one.event.type for one in again] == [
        "run_started",
        "step_started",
        "step_ended",
        "run_ended",
    ]
    assert bench.service.runs.replay(whole(bench, "bob").id)[0] == "What is new?"
    own = bench.service.events.run(whole(bench, "bob").id)
    assert own is not None  # those who follow bob see it, too
    assert own.last == len(nested)


def test_who_waits_is_not_asked(bench: Bench) -> None:
    make(bench, "ada", "bob", "eve")
    ask(bench, "bob")
    ask(bench, "eve")
    ask(bench, "ada")
    bench.send("ada", "Go.")
    said = result(bench, "eve")
    assert said.status == "error"
    assert "ada waits for an answer already (ada → bob → eve)" in said.content
    assert result(bench, "bob").status == result(bench, "ada").status == "ok"
    ask(bench, "ada")
    bench.send("ada", "Ask yourself.")
    assert result(bench).content.startswith("That is you")
    kept_whole(bench.service)


def test_only_so_many_ask_in_a_row(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_ASK_DEPTH", "2")
    make(bench, "ada", "bob", "eve")
    ask(bench, "bob")
    ask(bench, "eve")
    bench.send("ada", "Go.")
    assert "gone through 2 agents" in result(bench, "bob").content
    assert bench.history("eve") == []


def test_an_answer_that_takes_too_long_is_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(bench, "ada", "bob")
    ask(bench, "bob")
    monkeypatch.setenv("LETTA_ASK_SECONDS", "0.5")
    bench.server.say("Too late.", delay=60, pieces=2)
    bench.server.say("Without bob, then.")
    events = bench.send("ada", "Ask bob.")
    assert ended(events).stop_reason == "end_turn"
    assert result(bench).content.startswith("bob had not answered in time and was stopped")
    assert whole(bench, "bob").status == "cancelled"
    kept_whole(bench.service)


def test_what_the_other_spends_counts(bench: Bench) -> None:
    make(bench, "ada", settings={"budget_tokens": 20_000})
    make(bench, "bob")
    ask(bench, "bob")
    bench.server.call("memory_insert", {"label": "human", "new_string": "x"}, usage=SPENT)
    events = bench.send("ada", "Ask bob.")
    assert ended(events).stop_reason == "max_tokens_exceeded"
    assert whole(bench, "bob").stop_reason == "max_tokens_exceeded"
    assert "budget" in result(bench).content
    assert whole(bench, "ada").prompt_tokens < 20_000  # its own figures are its own


def test_a_person_has_to_approve_first(bench: Bench) -> None:
    make(bench, "ada", "bob")
    bench.give("bob", PAY, requires_approval=True)
    ask(bench, "bob", "Pay 5.")
    bench.server.call("pay", {"euros": 5})
    bench.send("ada", "Let bob pay.")
    said = result(bench).content
    assert said.startswith("bob waits for a person's approval of pay")
    ask(bench, "bob", "And now?")
    bench.send("ada", "Again.")
    assert "bob waits for your word on pay" in result(bench).content
    (call,) = bench.service.runs.pending("bob")
    list(bench.service.runs.approve("bob", [Decision(call.id, approve=True)], host=bench.host))
    assert result(bench, "bob").content == "5 paid"


def test_functions_of_the_same_notebook_are_called_live(bench: Bench) -> None:
    make(bench, "ada", "bob")
    bench.give("bob", PAY)
    ran_on = []
    bench.host.live["pay"] = lambda euros: ran_on.append(threading.current_thread()) or "cash"
    ask(bench, "bob", "Pay 5.")
    bench.server.call("pay", {"euros": 5})
    bench.send("ada", "Let bob pay.")
    assert ran_on == [threading.current_thread()]
    assert result(bench, "bob").content == "cash"


def test_stopping_the_asker_stops_the_other(bench: Bench) -> None:
    make(bench, "ada", "bob")
    ask(bench, "bob")
    bench.server.say("Never said.", delay=60, pieces=2)
    switch = Cancel()

    def live(event: Event) -> None:
        if isinstance(event, Nested) and event.event.type == "step_started":
            switch.cancel()

    events = bench.send("ada", "Ask bob.", cancel=switch, live=live)
    assert ended(events).stop_reason == "cancelled"
    assert whole(bench, "bob").status == "cancelled"
    assert bench.service.agents.retrieve("bob")
    bench.server.forget()
    bench.server.say("Here.")
    assert ended(bench.send("bob", "Still there?")).stop_reason == "end_turn"
    kept_whole(bench.service)


def test_the_stop_button_reaches_the_other(bench: Bench) -> None:
    make(bench, "ada", "bob")
    bench.give("bob", PAY)

    def stop(euros: int) -> str:
        raise KeyboardInterrupt

    bench.host.live["pay"] = stop
    ask(bench, "bob", "Pay 5.")
    bench.server.call("pay", {"euros": 5})
    with pytest.raises(KeyboardInterrupt):
        bench.send("ada", "Let bob pay.")
    assert (whole(bench, "ada").status, whole(bench, "bob").status) == ("cancelled", "cancelled")
    kept_whole(bench.service)


def test_one_that_is_busy_is_waited_for_and_seen(bench: Bench) -> None:
    make(bench, "ada", "bob")
    bench.give("bob", PAY)
    begun, go_on = threading.Event(), threading.Event()

    def slow(euros: int) -> str:
        begun.set()
        assert go_on.wait(30)
        return "paid"

    bench.host.live["pay"] = slow
    bench.server.call("pay", {"euros": 1})
    busy = threading.Thread(target=bench.send, args=("bob", "Pay 1."))
    busy.start()
    assert begun.wait(30)
    ask(bench, "bob")
    bench.server.say("I paid.")  # to whoever asks first: bob's first turn, then its second
    queued: list[RunQueued] = []

    def live(event: Event) -> None:
        if isinstance(event, Nested) and isinstance(event.event, RunQueued):
            queued.append(event.event)
            go_on.set()

    assert ended(bench.send("ada", "Ask bob.", live=live)).stop_reason == "end_turn"
    busy.join()
    assert queued[0].text == "bob is busy in this program; this goes on when it is free."
    assert result(bench).status == "ok"
    kept_whole(bench.service)


# -- several at once ---------------------------------------------------------------------------------------


def by_name(answers: dict[str, Answer], otherwise: Answer) -> Callable[[dict[str, Any]], Answer]:
    """Answer by what the model is told to be."""

    def answer(body: dict[str, Any]) -> Answer:
        prompt = body["messages"][0]["content"]
        return next((one for name, one in answers.items() if f"I am {name}." in prompt), otherwise)

    return answer


def test_a_message_to_all_with_tags(bench: Bench) -> None:
    make(bench, "ada", tags=["bird"])
    for name, tags in (("bob", ["bird", "sea"]), ("eve", ["bird"]), ("kim", ["sea"])):
        make(bench, name, tags=tags, persona=f"I am {name}.")
    bench.server.call(BROADCAST, {"message": "Who?", "match_all": ["bird"], "match_some": []})
    bench.server.default = by_name(
        {"bob": Answer(text="Bob."), "eve": Answer(status=400, body=b"no")}, Answer(text="Done.")
    )
    assert ended(bench.send("ada", "Ask all.")).stop_reason == "end_turn"
    bob, eve = json.loads(result(bench).content)
    assert (bob["agent_name"], bob["response"]) == ("bob", ["Bob."])
    assert eve["agent_name"] == "eve"
    assert eve["error"].startswith("eve failed")
    assert bench.history("kim") == []
    call = {"message": "Who?", "match_all": ["bird"], "match_some": ["sea", "land"]}
    bench.server.call(BROADCAST, call)
    bench.send("ada", "Some.")
    assert [one["agent_name"] for one in json.loads(result(bench).content)] == ["bob"]
    for tags, said in (([], "Name at least one tag"), (["none"], "[]")):
        bench.server.call(BROADCAST, {"message": "?", "match_all": tags, "match_some": []})
        bench.send("ada", "Go.")
        assert result(bench).content.startswith(said)
    kept_whole(bench.service)


# -- messages left for later -------------------------------------------------------------------------------


def notify(bench: Bench, other: str, message: str = "News.") -> None:
    bench.server.call(NOTIFY, {"message": message, "other_agent_id": other})


def test_a_message_left_is_read_by_the_next_process_that_lives(bench: Bench) -> None:
    ada, _ = make(bench, "ada", "bob")
    notify(bench, "bob")
    events = bench.send("ada", "Tell bob.")
    assert result(bench).content == SENT
    assert any("reads it when a kernel or server" in getattr(one, "text", "") for one in events)
    assert bench.history("bob") == []
    bench.server.say("Noted.")
    home = bench.service.home
    bench.service.close()
    with AgentService(home) as one, AgentService(home) as other:
        one.deliveries.start()
        other.deliveries.start()
        said = until(lambda: len(found := one.messages.history("bob")) == 2 and found)
    assert (said[0].bare, said[0].sender_id) == ("News.", ada.id)
    assert "one-way notification" in said[0].content
    assert said[1].content == "Noted."
    run = whole(bench, "bob")
    assert (run.status, run.asked_by) == ("completed", whole(bench, "ada").id)
    assert len(bench.history("bob")) == 2


def test_looking_for_messages_makes_no_project(tmp_path: Path) -> None:
    with AgentService(tmp_path / ".letta") as service:
        service.deliveries.start()
        while service.deliveries._bell.is_set():  # it looks when this is cleared
            time.sleep(0.01)
        service.deliveries._look()
        assert not service.home.exists()


def test_messages_are_read_in_order_when_the_other_is_free(bench: Bench) -> None:
    make(bench, "ada", "bob")
    bench.service.deliveries.start()
    bench.give("bob", PAY, requires_approval=True)
    bench.server.call("pay", {"euros": 1})
    bench.send("bob", "Pay.")
    for text in ("One.", "Two."):
        notify(bench, "bob", text)
        bench.send("ada", "Tell bob.")
    (call,) = bench.service.runs.pending("bob")
    list(bench.service.runs.approve("bob", [Decision(call.id, approve=True)], host=bench.host))
    heard = until(
        lambda: len(found := [m.bare for m in bench.history("bob") if m.sender_id]) == 2 and found
    )
    assert heard == ["One.", "Two."]
    until(lambda: whole(bench, "bob").status == "completed")
    kept_whole(bench.service)


def test_events_and_messages_do_not_take_each_other_away(bench: Bench) -> None:
    make(bench, "ada", "bob")
    notify(bench, "bob")
    bench.send("ada", "Tell bob.")
    assert bench.service.runs.next_event("bob") is None
