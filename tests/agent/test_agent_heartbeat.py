"""Heartbeat style: the answer is a call, thoughts are an argument, and a heartbeat is asked for."""

from __future__ import annotations

import json

from agent_bench import ADD, Bench, ended, valid

from letta_kernel.messages import ReasoningDelta, TextDelta, ToolCallDelta
from letta_kernel.service import Decision


def heartbeat(bench: Bench) -> Bench:
    bench.service.agents.update("ada", style="heartbeat")
    return bench


def test_send_message_is_the_answer_and_thoughts_stream(bench: Bench) -> None:
    heartbeat(bench).server.call("send_message", {"thinking": "A greeting.", "message": "Hello!"})
    events = bench.send("ada", "Hi")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Hello!"
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "A greeting."
    assert ended(events).stop_reason == "end_turn"
    assert ended(events).steps == 1
    assistant = next(m for m in bench.history("ada") if m.role == "assistant")
    assert assistant.reasoning == "A greeting."


def test_schemas_ask_for_thinking_first_and_heartbeat_last(bench: Bench) -> None:
    heartbeat(bench).give("ada", ADD)
    bench.server.call("send_message", {"thinking": "", "message": "Hello!"})
    bench.send("ada", "Hi")
    tools = {t["function"]["name"]: t["function"] for t in bench.server.requests[0]["tools"]}
    assert list(tools["add"]["parameters"]["properties"]) == [
        "thinking", "a", "b", "request_heartbeat",
    ]  # fmt: skip
    assert tools["add"]["parameters"]["required"] == ["thinking", "a", "b", "request_heartbeat"]
    assert list(tools["send_message"]["parameters"]["properties"]) == ["thinking", "message"]


def test_a_heartbeat_goes_on_and_no_heartbeat_ends(bench: Bench) -> None:
    heartbeat(bench).give("ada", ADD)
    call = {"thinking": "Sum.", "a": 1, "b": 2}
    bench.server.call("add", {**call, "request_heartbeat": True})
    bench.server.call("add", {**call, "request_heartbeat": False})
    events = bench.send("ada", "Add twice")
    assert ended(events).stop_reason == "end_turn"
    assert ended(events).steps == 2
    event = json.loads(bench.server.requests[1]["messages"][-1]["content"])
    assert event["type"] == "heartbeat"
    valid(bench.server.requests[1]["messages"])


def test_a_failed_call_is_always_called_again(bench: Bench) -> None:
    heartbeat(bench).server.call("nothing_like_it", {"request_heartbeat": False})
    bench.server.call("send_message", {"thinking": "", "message": "I cannot."})
    events = bench.send("ada", "Try")
    assert ended(events).steps == 2
    assert ended(events).stop_reason == "end_turn"


def test_a_plain_answer_is_accepted_too(bench: Bench) -> None:
    heartbeat(bench).server.say("Just text.")
    assert ended(bench.send("ada", "Hi")).stop_reason == "end_turn"


def test_native_style_accepts_send_message(bench: Bench) -> None:
    bench.server.call("send_message", {"message": "Old habits."})
    events = bench.send("ada", "Hi")
    assert ended(events).stop_reason == "end_turn"
    names = [t["function"]["name"] for t in bench.server.requests[0]["tools"]]
    assert "send_message" not in names


def test_a_thought_comes_before_the_call_it_leads_to(bench: Bench) -> None:
    heartbeat(bench).give("ada", ADD)
    first = {"thinking": "First this.", "a": 1, "b": 2, "request_heartbeat": True}
    second = {"a": 3, "b": 4, "thinking": "Then that.", "request_heartbeat": False}
    bench.server.calls([("add", first), ("add", second)], interleave=False)
    events = bench.send("ada", "Add twice")
    kinds = [type(e) for e in events if isinstance(e, ReasoningDelta | ToolCallDelta)]
    assert kinds[0] is ReasoningDelta
    assert kinds.index(ToolCallDelta) > 0
    written = "".join(e.arguments for e in events if isinstance(e, ToolCallDelta) and e.index == 0)
    assert json.loads(written) == first
    assistant = next(m for m in bench.history("ada") if m.role == "assistant")
    assert assistant.reasoning == "First this.\nThen that."


def test_a_result_given_from_outside_keeps_the_wish_to_go_on(bench: Bench) -> None:
    heartbeat(bench).give("ada", ADD, requires_approval=True)
    call = {"thinking": "Sum.", "a": 1, "b": 2, "request_heartbeat": True}
    for decided in ({"result": "three"}, {"arguments": {"a": 1, "b": 3}}):
        bench.server.call("add", call)
        bench.server.call("send_message", {"thinking": "", "message": "There it is."})
        bench.send("ada", "Add")
        (asked,) = bench.history("ada")[-1].tool_calls
        decision = Decision(asked.id, approve=True, **decided)
        events = list(bench.service.runs.approve("ada", [decision]))
        assert ended(events).stop_reason == "end_turn"
        assert bench.history("ada")[-2].said == "There it is."


def test_what_was_answered_is_read_again(bench: Bench) -> None:
    heartbeat(bench).server.call("send_message", {"thinking": "", "message": "It is in the attic."})
    bench.send("ada", "Where is the kettle?")
    look = {"thinking": "", "query": "attic", "request_heartbeat": True}
    bench.server.call("conversation_search", look)
    bench.send("ada", "Look it up.")
    found = json.loads(bench.server.requests[-1]["messages"][-3]["content"])["message"]
    assert "It is in the attic." in [hit["content"] for hit in json.loads(found)]
