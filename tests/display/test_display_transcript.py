"""Events become one snapshot, whatever order and state they come in."""

from __future__ import annotations

import json
from typing import Any

from sample_run import ANSWER, events

from letta_kernel.display.items import REASONING_LIMIT
from letta_kernel.display.transcript import Transcript
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    MemoryChanged,
    Message,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
    Usage,
)


def after(*given: Event) -> dict[str, Any]:
    transcript = Transcript()
    for event in given:
        transcript.handle(event)
    return transcript.snapshot()


def ended(step: str, *messages: Message) -> StepEnded:
    return StepEnded(
        step_id=step, number=1, messages=list(messages), usage=Usage(), seconds=1.0, model="m"
    )


def test_a_whole_run() -> None:
    snapshot = after(*events())
    kinds = [item["kind"] for item in snapshot["items"]]
    assert kinds == [
        "retrieved",
        "reasoning",
        "tool_call",
        "memory",  # below the call that made it, though both calls were written before
        "tool_call",
        "tool_call",
        "tool_call",
        "notice",
        "answer",
    ]
    assert snapshot["state"] == "ended"
    assert snapshot["label"] == "demo model: no language model"
    assert snapshot["items"][-1]["text"] == ANSWER
    calls = [item for item in snapshot["items"] if item["kind"] == "tool_call"]
    assert [call["state"] for call in calls] == ["ok", "ok", "ok", "error"]
    assert calls[1]["arguments"]["city"] == "Freiburg"
    assert calls[1]["output"] == "fetching 7 days\n"
    assert snapshot["footer"]["stop_reason"] == "end_turn"
    assert snapshot["footer"]["prompt_tokens"] == 4212
    assert json.loads(json.dumps(snapshot, allow_nan=False)) == snapshot


def test_every_moment_of_a_run_has_a_snapshot() -> None:
    transcript = Transcript("hello")
    for event in events():
        transcript.handle(event)
        snapshot = transcript.snapshot()
        json.dumps(snapshot, allow_nan=False)
        assert snapshot["prompt"] == "hello"


def test_a_tool_call_fills_in_while_it_is_written() -> None:
    start = StepStarted(step_id="s", number=1)
    first = ToolCallDelta(index=0, id="c", name="f", arguments='{"a": 1')
    snapshot = after(start, first)
    assert snapshot["items"][0]["arguments"] == '{"a": 1'
    assert snapshot["items"][0]["state"] == "writing"
    snapshot = after(start, first, ToolCallDelta(index=0, arguments="}"), ended("s"))
    assert snapshot["items"][0]["arguments"] == '{"a": 1}'


def test_a_void_stream_is_forgotten_and_what_was_committed_stays() -> None:
    snapshot = after(
        StepStarted(step_id="s1", number=1),
        TextDelta(text="kept"),
        ended("s1"),
        StepStarted(step_id="s2", number=2),
        ReasoningDelta(text="void"),
        TextDelta(text="void"),
        ToolCallDelta(index=0, id="c", name="f", arguments="{"),
        StreamReset(),
        TextDelta(text="again"),
    )
    assert [item["text"] for item in snapshot["items"]] == ["kept", "again"]


def test_the_same_call_id_in_a_later_step_is_another_call() -> None:
    given: list[Event] = []
    for step in ("s1", "s2"):
        given += [
            StepStarted(step_id=step, number=1),
            ToolCallDelta(index=0, id="call_0", name="f", arguments="{}"),
            ToolStarted(call_id="call_0", name="f", arguments={"step": step}),
            ToolReturned(call_id="call_0", name="f", status="ok", text=step, seconds=0),
            ended(step),
        ]
    assert [item["result"] for item in after(*given)["items"]] == ["s1", "s2"]


def test_what_was_not_streamed_is_shown_when_it_is_committed() -> None:
    message = Message(
        agent_id="a",
        role="assistant",
        content="answer",
        reasoning="thought",
        tool_calls=[ToolCall(id="c", name="f", arguments='{"x": 1}')],
    )
    snapshot = after(StepStarted(step_id="s", number=1), ended("s", message))
    assert [item["kind"] for item in snapshot["items"]] == ["reasoning", "answer", "tool_call"]
    snapshot = after(
        StepStarted(step_id="s", number=1), TextDelta(text="answer"), ended("s", message)
    )
    assert [item["kind"] for item in snapshot["items"]].count("answer") == 1


def test_closing_in_the_middle_marks_what_was_open() -> None:
    transcript = Transcript()
    for event in (
        StepStarted(step_id="s", number=1),
        ToolCallDelta(index=0, id="c", name="f", arguments="{"),
        ToolStarted(call_id="c", name="f", arguments={}),
    ):
        transcript.handle(event)
    transcript.close()
    snapshot = transcript.snapshot()
    assert snapshot["state"] == "interrupted"
    assert snapshot["items"][0]["state"] == "interrupted"


def test_waiting_for_approval_and_going_on() -> None:
    call = ToolCall(id="c", name="pay", arguments='{"euros": 5}')
    stop = RunEnded(
        run_id="r", stop_reason="requires_approval", steps=1, usage=Usage(), seconds=1, model="m"
    )
    first: list[Event] = [StepStarted(step_id="s", number=1), ApprovalRequested(calls=[call]), stop]
    snapshot = after(*first)
    assert snapshot["state"] == "waiting"
    assert snapshot["items"][0]["state"] == "waiting"
    assert snapshot["items"][0]["arguments"] == {"euros": 5}
    snapshot = after(
        *first,
        RunStarted(run_id="r", agent_id="a", agent_name="ada", model="m"),
        ToolReturned(call_id="c", name="pay", status="denied", text="no", seconds=0),
    )
    assert snapshot["state"] == "running"
    assert [item["state"] for item in snapshot["items"]] == ["denied"]


def test_long_things_are_bounded() -> None:
    given: list[Event] = [StepStarted(step_id="s", number=1), ReasoningDelta(text="x" * 500_000)]
    given += [ToolProgress(call_id="c", text="y" * 1_000) for _ in range(200)]
    given += [
        ToolReturned(call_id="c", name="f", status="ok", text="z" * 500_000, seconds=1),
        MemoryChanged(
            label="human", before="", after="\n".join(map(str, range(50_000))), version=1
        ),
    ]
    snapshot = after(*given)
    assert len(snapshot["items"][0]["text"]) < REASONING_LIMIT + 100
    assert len(json.dumps(snapshot)) < 150_000


def test_a_memory_change_keeps_only_what_is_around_it() -> None:
    lines = [f"line {n}" for n in range(1_000)]
    before = "\n".join(lines)
    lines[500] = "changed"
    item = after(MemoryChanged(label="b", before=before, after="\n".join(lines), version=2))[
        "items"
    ][0]
    assert item["before"].split("\n") == [
        "…",
        "line 498",
        "line 499",
        "line 500",
        "line 501",
        "line 502",
        "…",
    ]
    assert "changed" in item["after"]


def test_numbers_json_cannot_hold_become_text() -> None:
    arguments = {"nan": float("nan"), "inf": float("inf"), "deep": [[[[[[[[1]]]]]]]]}
    snapshot = after(ToolStarted(call_id="c", name="f", arguments=arguments))
    json.dumps(snapshot, allow_nan=False)


def test_an_approved_run_goes_on_in_the_same_figures() -> None:
    begun = {"agent_id": "a", "agent_name": "ada", "model": "m"}
    call = ToolCall(id="c", name="pay", arguments="{}")
    usage = Usage(prompt_tokens=10, completion_tokens=5)
    asked = after(
        RunStarted(run_id="one", **begun),
        StepStarted(step_id="s", number=1),
        ApprovalRequested(calls=[call]),
        RunEnded(
            run_id="one",
            stop_reason="requires_approval",
            steps=1,
            usage=usage,
            seconds=1.0,
            first_token=0.25,
            model="m",
        ),
        RunStarted(run_id="two", **begun),
        StepStarted(step_id="t", number=1),
        ToolReturned(call_id="c", name="pay", status="denied", text="no", seconds=0.0),
        TextDelta(text="So be"),
        RunEnded(
            run_id="two", stop_reason="cancelled", steps=2, usage=usage, seconds=2.0, model="m"
        ),
    )
    figures = asked["footer"]
    assert (figures["steps"], figures["seconds"], figures["first_token"]) == (3, 3.0, 0.25)
    assert (figures["prompt_tokens"], figures["completion_tokens"]) == (20, 10)
    assert figures["cost"] is None
    assert asked["items"][0]["seconds"] is None  # of a call that was never made
    assert asked["items"][1]["interrupted"] is True


def test_arguments_keep_their_order_where_a_saved_notebook_sorts_its_keys() -> None:
    call = {"zeta": 1, "alpha": 2}
    told = [
        ToolStarted(call_id="c", name="f", arguments=given, runs_in="kernel")
        for given in (call, {"a": 1, "b": 2})
    ]
    [item] = after(told[0])["items"]
    saved = json.loads(json.dumps(item, sort_keys=True))
    assert [(name, saved["arguments"][name]) for name in saved["order"]] == list(call.items())
    assert "order" not in after(told[1])["items"][0]
