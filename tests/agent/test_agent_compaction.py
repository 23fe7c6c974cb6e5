"""What happens when the conversation outgrows the window: it is summarised, never lost."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from agent_bench import Bench, ended, valid
from scripted_wire import Answer, Call

from letta_kernel.agent.decisions import Decision
from letta_kernel.agent.window import Window, fallback
from letta_kernel.messages import Event, Message, Notice, ToolCall
from letta_kernel.models.tokens import count
from letta_kernel.models.wire import NOTED
from letta_kernel.service import AgentService
from letta_kernel.store import messages as store


def test_the_oldest_part_becomes_a_summary(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 4096})
    for turn in range(12):
        bench.server.say(f"Answer {turn}. " + "word " * 150)
        assert ended(bench.send("ada", f"Question {turn}. " + "blah " * 150)).stop_reason in (
            "end_turn",
        )
    state = bench.service.agents.retrieve("ada")
    assert state.summary_id is not None
    assert state.window_start > 1
    history = bench.history("ada")
    assert "Question 0. " in history[0].content  # recall keeps everything
    assert any(m.role == "summary" for m in history)
    last = bench.server.requests[-1]["messages"]
    assert "out of sight" in last[1]["content"]
    valid(last)


def test_a_failing_summariser_leaves_a_plain_notice(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 700)
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 300)
    bench.server.empty()
    bench.server.empty()
    bench.server.empty()
    bench.server.empty()
    end = ended(bench.send("ada", "Next"))
    assert end.stop_reason in ("end_turn", "invalid_llm_response")
    summary = next(m for m in bench.history("ada") if m.role == "summary")
    assert "conversation_search" in summary.content


def test_the_providers_overflow_compacts_and_tries_again(bench: Bench) -> None:
    for turn in range(4):
        bench.server.say(f"Answer {turn}")
        bench.send("ada", f"Question {turn}")
    bench.server.overflow()
    bench.server.say("Summary of it all.")
    bench.server.say("Made it.")
    events = bench.send("ada", "One more")
    assert ended(events).stop_reason == "end_turn"
    summary = next(m for m in bench.history("ada") if m.role == "summary")
    assert summary.content == "Summary of it all."


def test_a_prompt_larger_than_the_window_says_so_and_leaves_the_agent_usable(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 600})
    end = ended(bench.send("ada", "Hi"))
    assert end.stop_reason == "context_window_overflow_in_system_prompt"
    assert "600 tokens" in (end.error or "")
    bench.service.agents.update("ada", settings={"context_window": None})
    bench.server.say("Better.")
    assert ended(bench.send("ada", "Hi")).stop_reason == "end_turn"


def _message(role: str, **fields: object) -> Message:
    return Message(agent_id="agent-1", role=role, content="x" * 40, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("room", [0, 30, 60, 100])
def test_a_cut_never_parts_a_call_from_its_result(room: int) -> None:
    messages = []
    for n in range(6):
        messages += [
            _message("user"),
            _message("assistant", tool_calls=[ToolCall(id=f"c{n}", name="f")]),
            _message("tool", tool_call_id=f"c{n}"),
            _message("assistant"),
        ]
    window = Window(messages, None, lambda text: len(text) // 4)
    cut = window.cut(room)
    assert 0 < cut < len(messages)
    rest = messages[cut:]
    assert rest[0].role != "tool"
    known = {call.id for m in rest for call in m.tool_calls}
    assert all(m.tool_call_id in known for m in rest if m.role == "tool")


def test_all_keeps_only_the_newest_message(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"compaction": "all"})
    for turn in range(4):
        bench.server.say(f"Answer {turn}")
        bench.send("ada", f"Question {turn}")
    bench.server.say("They talked.")
    summary = bench.service.messages.compact("ada")
    assert summary is not None
    assert summary.content == "They talked."
    bench.server.say("Yes.")
    bench.send("ada", "Still there?")
    shown = bench.server.requests[-1]["messages"]
    assert [m["role"] for m in shown] == ["system", "user", "assistant", "user"]
    assert shown[1]["content"].endswith("They talked.\n\nQuestion 3")


def test_in_self_compaction_the_agent_writes_with_its_own_prompt(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"compaction": "self"})
    for turn in range(4):
        bench.server.say(f"Answer {turn}")
        bench.send("ada", f"Question {turn}")
    bench.server.say("I keep this.")
    bench.service.messages.compact("ada")
    asked = bench.server.requests[-1]["messages"]
    assert "<memory_blocks>" in asked[0]["content"]
    assert "Question 0" in asked[1]["content"]


def test_a_conversation_too_short_is_not_compacted(bench: Bench) -> None:
    assert bench.service.messages.compact("ada") is None


def test_one_result_larger_than_the_window_is_shown_shortened(bench: Bench) -> None:
    source = (
        'def dump() -> str:\n    """Dump it all."""\n    return "start " + "x" * 40000 + " end"\n'
    )
    bench.give("ada", source)
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.call("dump", {})
    bench.server.say("Long.")
    assert ended(bench.send("ada", "Dump")).stop_reason == "end_turn"
    shown = bench.server.requests[-1]["messages"][-1]["content"]
    assert "left out: too long for the context window" in shown
    assert "start " in shown
    assert " end" in shown
    assert len(shown) < 12_000
    kept = next(m for m in bench.history("ada") if m.role == "tool")
    assert len(kept.content) > 40_000  # recall keeps it whole


def test_a_tiny_window_goes_on_for_as_long_as_one_likes(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 2048})
    for turn in range(8):
        bench.server.say(f"Answer {turn}. " + "word " * 100)
        end = ended(bench.send("ada", f"Question {turn}. " + "blah " * 100))
        assert end.stop_reason == "end_turn", end.error
        valid(bench.server.requests[-1]["messages"])
    questions = [m for m in bench.history("ada") if m.content.startswith("Question")]
    assert len(questions) == 8


def test_a_summariser_that_fails_leaves_a_usable_agent(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 700)
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 300)
    bench.server.fault(400)
    bench.server.say("Still here.")
    end = ended(bench.send("ada", "Next"))
    assert end.stop_reason == "end_turn", end.error
    assert any(m.role == "summary" for m in bench.history("ada"))
    assert bench.history("ada")[-1].content == "Still here."


def test_the_context_view_counts_what_is_sent(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.say("Long indeed.")
    assert ended(bench.send("ada", "blah " * 5000)).stop_reason == "end_turn"
    report = bench.service.runs.context("ada")
    assert report.used <= report.window
    [history] = [part for part in report.parts if part.name == "history"]
    assert "left out: too long for the context window" in history.text


DUMP = '''\
def dump(note: str = "", words: int = 4000) -> str:
    """Dump it all.

    Args:
        note: Anything.
        words: How many.
    """
    return "start " + "many words " * words + " end"
'''


def sent(bench: Bench) -> int:
    """Tokens of the last request's messages, about."""
    return count(json.dumps(bench.server.requests[-1]["messages"]))


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def test_results_that_only_together_outgrow_the_window_are_shown_shorter(bench: Bench) -> None:
    bench.give("ada", DUMP)
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.calls([("dump", {"note": str(n)}) for n in range(5)])
    bench.server.say("Long.")
    events = bench.send("ada", "Dump five times")
    assert ended(events).stop_reason == "end_turn"
    shown = bench.server.requests[-1]["messages"]
    valid(shown)
    assert [m["role"] for m in shown] == ["system", "user", "assistant", *["tool"] * 5]
    assert shown[1]["content"] == "Dump five times"
    assert sent(bench) < 2600  # the tools' schemas take the rest
    [said] = [text for text in notices(events) if "beginning and the end" in text]
    assert said.startswith("What dump returned has ")


def test_a_call_larger_than_the_window_is_shown_shortened(bench: Bench) -> None:
    bench.give("ada", DUMP)
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.call("dump", {"note": "word " * 6000, "words": 2})
    bench.server.say("Done.")
    assert ended(bench.send("ada", "Dump")).stop_reason == "end_turn"
    shown = bench.server.requests[-1]["messages"]
    valid(shown)
    given = json.loads(shown[-2]["tool_calls"][0]["function"]["arguments"])
    assert "left out: too long for the context window" in given["note"]
    assert given["words"] == 2
    assert sent(bench) < 2600
    [call] = next(m.tool_calls for m in bench.history("ada") if m.tool_calls)
    assert len(call.arguments) > 30_000  # recall keeps it whole


@pytest.mark.parametrize("mode", ["sliding_window", "all", "self"])
def test_a_turn_that_outgrows_the_window_by_itself_goes_on(bench: Bench, mode: str) -> None:
    bench.give("ada", DUMP)
    bench.service.agents.update("ada", settings={"context_window": 4096, "compaction": mode})
    steps: list[int] = []

    def answer(body: dict[str, Any]) -> Answer:
        if "tools" not in body:
            return Answer(text="They dumped.")
        steps.append(count(json.dumps(body["messages"])))
        if len(steps) <= 10:
            return Answer(calls=[Call(f"call-{len(steps)}", "dump", '{"words": 350}')])
        return Answer(text="Enough.")

    bench.server.default = answer
    events = bench.send("ada", "Dump ten times, please")
    assert ended(events).stop_reason == "end_turn"
    assert max(steps) < 2600
    asked = [one for one in bench.server.requests if "tools" in one]
    for one in asked:  # what is being answered stays in sight, once
        valid(one["messages"])
        assert str(one["messages"][1:]).count("Dump ten times, please") == 1
    summaries = [m for m in bench.history("ada") if m.role == "summary"]
    compacting = [text for text in notices(events) if text.startswith("Compacting")]
    assert len(summaries) == len(compacting) > 0


def test_what_is_answered_stays_in_sight_over_an_approval_in_another_process(bench: Bench) -> None:
    bench.give("ada", DUMP)
    bench.give(
        "ada", 'def pay() -> str:\n    """Pay."""\n    return "paid"\n', requires_approval=True
    )
    bench.service.agents.update("ada", settings={"context_window": 4096})

    def answer(body: dict[str, Any]) -> Answer:
        number = len(bench.server.requests)
        if "tools" not in body:
            return Answer(text="They dumped.")
        if number <= 10:
            return Answer(calls=[Call(f"call-{number}", "dump", '{"words": 350}')])
        return Answer(calls=[Call(f"call-{number}", "pay", "{}")])

    bench.server.default = answer
    assert ended(bench.send("ada", "Dump, then pay")).stop_reason == "requires_approval"
    assert any(m.role == "summary" for m in bench.history("ada"))
    bench.server.default = lambda body: Answer(text="Paid.")
    bench.service.close()
    with AgentService(bench.service.home) as other:
        calls = [Decision(call.id, True) for call in other.runs.pending("ada")]
        list(other.runs.approve("ada", calls, host=bench.host))
    valid(bench.server.requests[-1]["messages"])
    assert str(bench.server.requests[-1]["messages"][1:]).count("Dump, then pay") == 1


def test_a_notice_in_place_of_a_summary_keeps_the_last_summary_and_does_not_grow() -> None:
    gone = [_message("user"), _message("assistant")]
    summary = _message("summary").model_copy(update={"content": "Kim likes tea."})
    for _ in range(3):
        summary = summary.model_copy(update={"content": fallback(gone, summary)})
    assert summary.content.startswith("Kim likes tea.\nMessages up to ")
    assert summary.content.count("conversation_search") == 1


def test_the_summariser_of_a_tiny_window_gets_something_to_summarise(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 2048})
    bench.server.say("\u8336" * 3000)  # each a token or more
    bench.send("ada", "\u6c34" * 3000)
    bench.server.say("Of tea and water.")
    summary = bench.service.messages.compact("ada")
    assert summary is not None
    assert summary.content == "Of tea and water."
    asked = bench.server.requests[-1]["messages"][1]["content"]
    assert asked.startswith("user: \u6c34\u6c34")


def test_who_reads_along_is_told_why_there_is_no_summary(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 700)
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 300)
    bench.server.fault(400, message="not today")
    said = notices(bench.send("ada", "Next"))
    assert any(text.startswith("No summary of it: ") and "not today" in text for text in said)


def test_what_a_summary_took_is_counted_to_the_run(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"context_window": 4096})
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 700)
    bench.server.say("word " * 700)
    bench.send("ada", "blah " * 300)
    bench.server.say("A summary.", usage={"prompt_tokens": 1000, "completion_tokens": 100})
    bench.server.say("Still here.", usage={"prompt_tokens": 20, "completion_tokens": 3})
    usage = ended(bench.send("ada", "Next")).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (1020, 103)


@pytest.mark.parametrize("style", ["native", "heartbeat"])
def test_the_context_view_has_the_exact_text_of_what_is_sent(bench: Bench, style: str) -> None:
    bench.service.agents.create("eve", style=style)
    bench.server.call("archival_memory_insert", {"content": "A note.", "request_heartbeat": True})
    if style == "heartbeat":
        bench.server.call("send_message", {"message": "Kept."})
    else:
        bench.server.say("Kept.")
    bench.send("eve", "Keep this.")
    bench.server.say("They kept something.")
    bench.service.messages.compact("eve")
    seen = {part.name: part.text for part in bench.service.runs.context("eve").parts}
    bench.server.say("Go on.")
    bench.send("eve", "More?")
    request = bench.server.requests[-1]
    assert [json.loads(line) for line in seen["tools"].splitlines()] == request["tools"]
    assert seen["memory blocks"] in request["messages"][0]["content"]
    first, *rest = request["messages"][1:-1]
    summary = seen["summary"].removeprefix("user: ")
    assert first["content"].startswith(summary)
    assert first["content"].removeprefix(summary).strip() in seen["history"]
    for entry in rest:
        if entry["content"] == NOTED:  # stands between a result and the next message
            continue
        for call in entry.get("tool_calls", ()):
            assert call["function"]["arguments"] in seen["history"]
        assert (entry["content"] or "") in seen["history"]


@pytest.mark.parametrize("blank", ["", " " * 3000], ids=["words", "few tokens in many characters"])
def test_a_long_history_from_elsewhere_is_read_as_far_as_it_matters(
    bench: Bench, blank: str
) -> None:
    ada = bench.service.agents.update("ada", settings={"context_window": 4096})
    past: list[Message] = []
    for n in range(300):
        call = ToolCall(id=f"c{n}", name="look")
        past += [
            Message(agent_id=ada.id, role="user", content=f"Question {n}. {blank}"),
            Message(agent_id=ada.id, role="assistant", content="", tool_calls=[call]),
            Message(agent_id=ada.id, role="tool", content="word " * 20, tool_call_id=call.id),
            Message(agent_id=ada.id, role="assistant", content=f"Answer {n}."),
        ]
    bench.service.database.run(lambda tx: store.append(tx, ada.id, past))
    fork = bench.service.conversations.fork("ada").id
    for where in (None, fork):
        bench.server.say("They looked at much.")
        bench.server.say("Here.")
        events = bench.send("ada", "And now?", conversation=where)
        assert ended(events).stop_reason == "end_turn"
        assert sum(text.startswith("Compacting") for text in notices(events)) == 1
        asked, shown = (one["messages"] for one in bench.server.requests[-2:])
        valid(shown)
        # What is out of sight goes on to what is in sight, and neither is cut short.
        (first, *_) = re.findall(r"Question (\d+)", json.dumps(shown))
        assert int(first) > 250
        gone = re.findall(r"(?:Question|Answer) (\d+)", json.dumps(asked))
        assert len(gone) > 20
        assert int(gone[-1]) in (int(first) - 1, int(first))
        assert "They looked at much." in shown[1]["content"]
