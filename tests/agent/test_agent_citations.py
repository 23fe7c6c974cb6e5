"""What an answer may cite by number: the passages beside a message, and what the turn's searches found."""

from __future__ import annotations

import json
from typing import Any

from agent_bench import Bench

from letta_kernel.agent.decisions import Decision
from letta_kernel.display.transcript import Transcript
from letta_kernel.messages import Event, Message, RunStarted, ToolReturned
from letta_kernel.records import Passage
from letta_kernel.store import passages


def _cited(events: list[Event]) -> list[tuple[int, str, str]]:
    transcript = Transcript()
    for event in events:
        transcript.handle(event)
    return [
        (one["n"], one["text"], one["origin"]) for one in transcript.snapshot().get("cites", [])
    ]


def _marks(message: Message) -> dict[str, Any]:
    return {one["content"]: one["cite"] for one in json.loads(message.content)}


def test_hits_are_numbered_through_a_turn_and_shown_where_the_answer_cites_them(
    bench: Bench,
) -> None:
    service = bench.service
    service.passages.create("The walrus lives in the bathtub.", agent="ada", reason="panel")
    service.passages.create("Taxes are due in May.", agent="ada", reason="panel")
    search = ("archival_memory_search", {"query": "walrus taxes May"})
    bench.server.calls([search], ids=["call-1"])
    bench.server.calls([("conversation_search", {"query": "walrus"})], ids=["call-2"])
    bench.server.say("In the bathtub [1], taxes in May [2], as you asked [3]; not [9].")
    events = bench.send("ada", "Where does the walrus live?")
    asked = bench.server.requests[0]["messages"][-1]["content"]
    assert "- [1] [" in asked
    found, said = (m for m in bench.history("ada") if m.role == "tool")
    assert _marks(found) == {
        "The walrus lives in the bathtub.": "[1]",
        "Taxes are due in May.": "[2]",
    }
    assert _marks(said) == {"Where does the walrus live?": "[3]"}
    cited = [
        (1, "The walrus lives in the bathtub.", "you, panel"),
        (2, "Taxes are due in May.", "you, panel"),
        (3, "Where does the walrus live?", "message of you"),
    ]
    assert _cited(events) == cited

    # Read back from the store it says the same; the next turn counts from 1 again.
    run_id = next(event.run_id for event in events if isinstance(event, RunStarted))
    assert _cited(service.runs.replay(run_id)[1]) == cited
    bench.server.calls([search], ids=["call-3"])
    bench.server.say("Nothing.")
    again = bench.send("ada", "Thanks a lot")
    (returned,) = (event for event in again if isinstance(event, ToolReturned))
    assert [one["n"] for one in returned.cites] == [1, 2]


def test_what_is_shown_of_a_long_passage_is_what_was_asked_for(bench: Bench) -> None:
    service = bench.service
    rain = "It rained all day and nobody said much about it. "
    ada = service.agents.retrieve("ada").id
    texts = [
        f"{rain * 9}The walrus sleeps. {rain * 9}",
        f"{rain * 9}It sings at noon in Oslo. {rain * 9}",
    ]
    made = [
        Passage(agent_id=ada, content=text, source="diary", position=n, reason="panel")
        for n, text in enumerate(texts)
    ]
    service.database.run(lambda tx: passages.append(tx, made))
    long = f"{rain * 9}The ferry to Bergen leaves at nine. {rain * 9}"
    service.passages.create(long, agent="ada")
    for number, query in enumerate(("walrus sings noon Oslo", "ferry Bergen")):
        bench.server.calls([("archival_memory_search", {"query": query})], ids=[f"call-{number}"])
    bench.server.say("At noon [1], at nine [2].")
    events = bench.send("ada", "Does the walrus sing at noon?")
    (_, sings, _), (_, ferry, _) = _cited(events)
    assert "sings at noon in Oslo" in sings
    assert "leaves at nine" in ferry
    assert max(len(sings), len(ferry)) <= 300
    run_id = next(event.run_id for event in events if isinstance(event, RunStarted))
    replayed = _cited(service.runs.replay(run_id)[1])
    assert [one.count("sings at noon") for _, one, _ in replayed] == [1, 0]
    assert [one.count("… …") + one.count("leaves at nine") for _, one, _ in replayed] == [0, 1]
    # Of what is deleted meanwhile nothing is shown, though it stood in one text with the other.
    service.passages.delete(made[1].id, agent="ada")
    assert "sings" not in str(_cited(service.runs.replay(run_id)[1]))


def test_numbers_go_on_after_an_approval(bench: Bench) -> None:
    service = bench.service
    service.passages.create("The walrus lives in the bathtub.", agent="ada")
    service.passages.create("Taxes are due in May.", agent="ada")
    rule = {"type": "requires_approval", "tool_name": "archival_memory_search"}
    service.agents.update("ada", tool_rules=[rule])
    bench.server.calls([("archival_memory_search", {"query": "taxes"})], ids=["call-1"])
    bench.send("ada", "Where does the walrus live?")
    bench.server.say("In the bathtub [1], and taxes [2].")
    events = list(service.runs.approve("ada", [Decision("call-1", approve=True)]))
    assert [n for n, _, _ in _cited(events)] == [1, 2]
