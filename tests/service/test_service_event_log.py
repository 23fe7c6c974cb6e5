"""The event log: every reader, early, late or slow, reads what runs tell once and whole."""

from __future__ import annotations

import asyncio
import threading

import pytest
from agent_bench import Bench

from letta_kernel.messages import (
    Event,
    Notice,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StreamReset,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
    ToolReturned,
    Usage,
)
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.remedies import Do, remedy
from letta_kernel.service import event_json, event_log
from letta_kernel.service.event_log import EventLog, Gap, Numbered, RunLog


def begun(run_id: str = "run-1") -> RunStarted:
    return RunStarted(run_id=run_id, agent_id="agent-1", agent_name="ada", model="m")


def ended(run_id: str = "run-1") -> RunEnded:
    return RunEnded(
        run_id=run_id, stop_reason="end_turn", steps=1, usage=Usage(), seconds=0.1, model="m"
    )


def log_of(*events: Event) -> RunLog:
    log = RunLog("run-1", "agent-1")
    for event in events:
        log.add(event)
    return log


def texts(found: list[Numbered | Gap]) -> list[tuple[int, str]]:
    """The numbers and pieces of what was read, in which there is no gap."""
    events = [(one.number, one.event) for one in found if isinstance(one, Numbered)]
    assert len(events) == len(found)
    return [
        (number, getattr(event, "text", getattr(event, "arguments", event.type)))
        for number, event in events
    ]


def test_every_piece_is_read_as_it_was_told_and_those_behind_read_them_as_one() -> None:
    log = log_of(begun(), *(TextDelta(text=f"w{n} ") for n in range(100)), ended())
    assert [n for n, _ in texts(log.read())] == list(range(1, 103))
    assert texts(log.read(50)) == [(n + 2, f"w{n} ") for n in range(49, 100)] + [(102, "run_ended")]
    whole = "".join(f"w{n} " for n in range(100))
    assert texts(log.read(behind=10)) == [(1, "run_started"), (101, whole), (102, "run_ended")]
    assert texts(log.read(99, behind=10)) == texts(log.read(99))  # which is not behind
    assert texts(log.read(99, behind=0)) == [(101, "w98 w99 "), (102, "run_ended")]
    assert log.read(log.last) == []


def test_only_pieces_of_one_text_are_read_as_one() -> None:
    log = log_of(
        ReasoningDelta(text="a"),
        ReasoningDelta(text="b"),
        TextDelta(text="c"),
        StreamReset(),
        TextDelta(text="d"),
        ToolCallDelta(index=0, id="x", name="f", arguments="{"),
        ToolCallDelta(index=0, arguments="}"),
        ToolCallDelta(index=1, id="y", name="f", arguments="{"),
        ToolCallDelta(index=0, arguments=" "),
        ToolProgress(call_id="x", text="1"),
        ToolProgress(call_id="x", text="2"),
        ToolProgress(call_id="y", text="3"),
        ToolProgress(call_id="y", text="4", stream="stderr"),
        ToolProgress(call_id="y", text="10 %", stream="progress"),
        ToolProgress(call_id="y", text="20 %", stream="progress"),
    )
    pieces = ["ab", "c", "stream_reset", "d", "{}", "{", " ", "12", "3", "4", "20 %"]
    assert [text for _, text in texts(log.read(behind=0))] == pieces
    whole = log.read(5, behind=0)[0]
    assert isinstance(whole, Numbered)
    assert whole.event == ToolCallDelta(index=0, id="x", name="f", arguments="{}")
    rest = log.read(6, behind=0)[0]
    assert isinstance(rest, Numbered)
    assert rest.event == ToolCallDelta(index=0, arguments="}")
    assert len(log.read()) == 15


def test_readers_on_several_loops_hear_everything_once_while_it_is_told() -> None:
    log = RunLog()
    heard: dict[str, list[Numbered | Gap]] = {name: [] for name in ("early", "late", "behind")}

    async def follow(after: int = 0, behind: int | None = None) -> list[Numbered | Gap]:
        return [one async for one in log.follow(after, behind=behind) if one is not None]

    def listen(name: str, after: int, behind: int | None) -> None:
        heard[name] += asyncio.run(follow(after, behind))

    async def all_told() -> list[list[Numbered | Gap]]:
        loops = [asyncio.create_task(follow()) for _ in range(3)]
        await asyncio.to_thread(tell)
        return [*await asyncio.gather(*loops), await follow()]

    def tell() -> None:
        for number in range(2000):
            log.add(TextDelta(text=f"{number} "))
            if number % 100 == 0:
                log.add(Notice(text="hundred "))
        log.finish()

    threads = [
        threading.Thread(target=listen, args=("early", 0, None)),
        threading.Thread(target=listen, args=("late", 1000, None)),
        threading.Thread(target=listen, args=("behind", 0, 0)),
    ]
    for thread in threads:
        thread.start()
    loops = asyncio.run(all_told())
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    told = texts(heard["early"])
    assert [number for number, _ in told] == list(range(1, 2021))
    assert texts(heard["late"]) == told[1000:]
    assert all(texts(one) == told for one in loops)
    together = texts(heard["behind"])
    assert "".join(text for _, text in together) == "".join(text for _, text in told)


def test_silence_is_told_and_a_closed_reader_is_forgotten() -> None:
    log = log_of(begun())

    async def follow() -> list[Numbered | Gap | None]:
        heard = []
        async for one in log.follow(idle=0.01):
            heard.append(one)
            if one is None:
                log.finish()
        return heard

    assert [one is None for one in asyncio.run(follow())] == [False, True]
    log.add(ended())  # nobody is left to be woken


def test_an_agents_log_is_its_runs_in_the_order_they_were_told() -> None:
    log = EventLog()
    for run_id, event in [
        ("run-1", begun("run-1")),
        ("run-1", TextDelta(text="a")),
        ("run-2", begun("run-2")),
        ("run-1", TextDelta(text="b")),
        ("run-2", TextDelta(text="c")),
        ("run-1", TextDelta(text="d")),
        ("run-1", ended("run-1")),
        ("run-2", TextDelta(text="e")),
    ]:
        log.add("agent-1", run_id, event)
    log.finish("run-1")
    log.finish("run-3")  # it could not begin
    agent = log.agent("agent-1")
    told = ["run_started", "a", "run_started", "b", "c", "d", "run_ended", "e"]
    assert texts(agent.read()) == list(enumerate(told, start=1))
    assert [one.run_id for one in agent.read(5) if isinstance(one, Numbered)] == [
        *["run-1"] * 2,
        "run-2",
    ]
    assert texts(agent.read(6, behind=0)) == [(7, "run_ended"), (8, "e")]
    assert agent.running == ["run-2"]
    assert agent.now() == 2
    run = log.run("run-1")
    assert run is not None
    assert run.over
    assert texts(run.read(behind=0)) == [(1, "run_started"), (4, "abd"), (5, "run_ended")]
    assert log.agent("agent-2").read() == []


def test_old_runs_and_the_beginning_of_endless_ones_are_forgotten_and_the_gap_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_log, "KEPT_RUNS", 2)
    log = EventLog()
    for run_id in ("run-1", "run-2", "run-3", "run-4"):
        for event in (begun(run_id), TextDelta(text="x"), ended(run_id)):
            log.add("agent-1", run_id, event)
        log.finish(run_id)
    agent = log.agent("agent-1")
    assert [run.run_id for run in log.runs()] == ["run-3", "run-4"]
    assert log.run("run-1") is None
    assert agent.read(1)[0] == Gap(1, 6)
    assert texts(agent.read(1)[1:])[0] == (7, "run_started")
    assert agent.read(7)[0] == Numbered(8, "run-3", TextDelta(text="x"))

    monkeypatch.setattr(event_log, "KEPT_BYTES", 10_000)
    log.add("agent-1", "run-5", TextDelta(text="y" * 20_000))
    log.finish("run-5")
    assert [run.run_id for run in log.runs()] == ["run-5"]

    monkeypatch.setattr(event_log, "RUN_BYTES", 100_000)
    endless = log_of(*(Notice(text=f"{n}") for n in range(1000)))
    assert endless.bytes <= 100_000
    gap, first = endless.read()[:2]
    assert isinstance(gap, Gap)
    assert gap.after == 0
    assert first == Numbered(gap.number + 1, "run-1", Notice(text=f"{gap.number}"))
    assert endless.read(999) == [Numbered(1000, "run-1", Notice(text="999"))]


def test_agents_that_told_nothing_are_forgotten_before_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_log, "KEPT_AGENTS", 3)
    log = EventLog()
    log.add("agent-1", "run-1", begun())
    first, second = log.agent("agent-1").id, log.agent("agent-2").id
    for number in range(3, 8):
        log.agent(f"agent-{number}")
    assert log.agent("agent-1").id == first
    assert log.agent("agent-2").id != second


def test_a_front_end_gets_what_it_has_not_seen_in_valid_json_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = log_of(
        begun(),
        TextDelta(text="half a \ud83d"),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        ToolReturned(
            call_id="x",
            name="f",
            status="ok",
            text="ok",
            seconds=0.1,
            display={"text/html": "x" * 3_000_000},
        ),
        Notice(text="No key.", remedies=(remedy(Do.CHOOSE_MODEL),)),
    )
    (told,) = event_json.messages(log, 0, WORDS)
    assert {**told, "events": None} == {
        "type": "events",
        "run_id": "run-1",
        "agent_id": "agent-1",
        "after": 0,
        "until": 6,
        "events": None,
    }
    kinds = [event["type"] for event in told["events"]]
    assert kinds == ["run_started", "text_delta", "tool_returned", "notice"]
    assert told["events"][1]["text"] == "half a ?Hello"
    assert told["events"][2]["display"] is None
    assert "%agent model" in told["events"][3]["text"]
    (rest,) = event_json.messages(log, 3, WORDS)
    assert (rest["after"], rest["until"]) == (3, 6)
    assert rest["events"][0]["text"] == "lo"
    assert list(event_json.messages(log, 6, WORDS)) == []
    monkeypatch.setattr(event_json, "_MOST", 2)
    parts = list(event_json.messages(log, 0, WORDS))
    assert [(one["after"], one["until"]) for one in parts] == [(0, 4), (4, 6)]
    assert [event for one in parts for event in one["events"]] == told["events"]


def test_a_front_end_is_told_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "RUN_BYTES", 10_000)
    log = log_of(*(Notice(text=f"{n}") for n in range(100)))
    (told,) = event_json.messages(log, 0, WORDS)
    assert told["after"] == 0
    assert told["until"] == 100
    assert told["lost"] + len(told["events"]) == 100


def test_a_run_is_in_the_log_and_over_however_it_ends(bench: Bench) -> None:
    bench.service.agents.create("ada")
    agent = bench.service.agents.retrieve("ada")
    told: list[tuple[str, str]] = []
    bench.service.events.listeners.append(
        lambda _, run_id, event: told.append((run_id, event.type))
    )
    bench.server.say("Hello there.", pieces=3)
    list(bench.service.runs.send("ada", "Hi"))
    bench.server.say("Once upon a time.", pieces=5)
    stopped = bench.service.runs.send("ada", "A story.")
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    runs = bench.service.events.runs()
    assert [run.over for run in runs] == [True, True]
    first = [(one.run_id, one.event.type) for run in runs for one in run.read() if one.run_id]
    assert first == told
    assert told[0][1] == "run_started"
    assert bench.service.events.agent(agent.id).last == len(told)
    assert bench.service.events.agent(agent.id).running == []
