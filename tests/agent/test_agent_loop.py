"""The step loop against a scripted model over real HTTP: what is said, called, kept and sent back."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import pytest
from agent_bench import ADD, Bench, ended, valid

from letta_kernel.errors import AgentBusyError, InvalidInputError
from letta_kernel.messages import (
    Event,
    MemoryChanged,
    Notice,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    StreamReset,
    TextDelta,
    ToolReturned,
    ToolStarted,
)
from letta_kernel.models.base import Cancel
from letta_kernel.store import lease


def test_a_plain_answer_ends_the_turn(bench: Bench) -> None:
    bench.server.say("Hello there")
    events = bench.send("ada", "Hi")
    assert isinstance(events[0], RunStarted)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Hello there"
    assert ended(events).stop_reason == "end_turn"
    assert [(m.role, m.content) for m in bench.history("ada")] == [
        ("user", "Hi"),
        ("assistant", "Hello there"),
    ]
    assert bench.service.runs.whole("ada")[0].status == "completed"


def test_a_tool_call_is_run_and_its_result_goes_back(bench: Bench) -> None:
    bench.give("ada", ADD)
    bench.server.call("add", {"a": 2, "b": 3})
    bench.server.say("It is 5.")
    events = bench.send("ada", "What is 2 + 3?")
    started = next(e for e in events if isinstance(e, ToolStarted))
    assert started.arguments == {"a": 2, "b": 3}
    returned = next(e for e in events if isinstance(e, ToolReturned))
    assert (returned.status, returned.text) == ("ok", "5")
    shown = bench.server.requests[1]["messages"]
    valid(shown)
    package = json.loads(shown[-1]["content"])
    assert (package["status"], package["message"]) == ("OK", "5")
    assert ended(events).steps == 2
    assert bench.service.tools.stats("ada")["add"].calls == 1


def test_memory_is_edited_and_committed_before_it_is_told(bench: Bench) -> None:
    bench.server.call("core_memory_append", {"label": "human", "content": "Name: Kim"})
    bench.server.say("Noted.")
    seen = []

    def live(event: object) -> None:
        if isinstance(event, MemoryChanged):
            seen.append(bench.service.blocks.retrieve("human", agent="ada").value)

    events = bench.send("ada", "I am Kim", live=live)
    change = next(e for e in events if isinstance(e, MemoryChanged))
    assert (change.before, change.after) == ("", "Name: Kim")
    assert seen == ["Name: Kim"]
    bench.server.say("Kim.")
    bench.send("ada", "Who am I?")
    assert "Name: Kim" in bench.server.requests[-1]["messages"][0]["content"]
    version = bench.service.blocks.versions("human", agent="ada")[-1]
    assert version.step_id == next(e for e in events if isinstance(e, StepEnded)).step_id


def test_the_prefix_stays_the_same_within_a_turn(bench: Bench) -> None:
    bench.server.call("core_memory_append", {"label": "human", "content": "Likes tea"})
    bench.server.say("Noted.")
    bench.send("ada", "I like tea")
    first, second = bench.server.requests
    assert first["messages"] == second["messages"][: len(first["messages"])]
    assert first["tools"] == second["tools"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("ad", {"a": 1, "b": 2}, "There is no tool 'ad'. Did you mean 'add'?"),
        ("add", "{not json", "JSON"),
        ("add", {"a": "many", "b": 2}, "a"),
        ("add", {"a": 1}, "b"),
    ],
    ids=["unknown", "malformed", "wrong type", "missing"],
)
def test_a_bad_call_becomes_a_result_the_model_can_act_on(
    bench: Bench, name: str, arguments: object, said: str
) -> None:
    bench.give("ada", ADD)
    bench.server.call(name, arguments)
    bench.server.call("add", {"a": 1, "b": 2})
    bench.server.say("3")
    events = bench.send("ada", "Add")
    first, second = [e for e in events if isinstance(e, ToolReturned)]
    assert first.status == "error"
    assert said in first.text
    assert second.text == "3"
    for request in bench.server.requests:
        valid(request["messages"])
    assert ended(events).stop_reason == "end_turn"


def test_arguments_that_can_be_read_one_way_only_are_read(bench: Bench) -> None:
    """Quoted once more, alone in a list, fenced, null for none: the run goes on, and history is sent again."""
    bench.give("ada", ADD)
    bench.give("ada", 'def ring() -> str:\n    """Ring."""\n    return "rang"\n')
    given = {"a": 1, "b": 2}
    forms = [
        json.dumps(json.dumps(given)),
        json.dumps(json.dumps(json.dumps(given))),
        json.dumps([given]),
        f"```json\n{json.dumps(given)}\n```",
        json.dumps(given)[:-1] + ",}",
    ]
    for raw in forms:
        bench.server.call("add", raw)
    for raw in ("null", "", "  ", '""', "[]", '"{}"', '"null"'):
        bench.server.call("ring", raw)
    bench.server.say("Done.")
    events = bench.send("ada", "Go", max_steps=20)
    returned = [
        (e.name, e.status, e.text.partition("\n")[0]) for e in events if isinstance(e, ToolReturned)
    ]
    assert returned == [("add", "ok", "3")] * len(forms) + [("ring", "ok", "rang")] * 7
    assert ended(events).stop_reason == "end_turn"
    last = bench.server.requests[-1]["messages"]
    valid(last)
    assert "malformed" not in json.dumps(last)
    for raw in ('"text"', "[1, 2]", "3", '"{not json"', json.dumps([given, given])):
        bench.server.call("add", raw)
    bench.server.say("Sorry.")
    events = bench.send("ada", "Go", max_steps=20)
    assert {e.status for e in events if isinstance(e, ToolReturned)} == {"error"}
    assert all("JSON" in e.text for e in events if isinstance(e, ToolReturned))
    assert ended(events).stop_reason == "end_turn"


def test_what_turns_out_to_be_a_thought_is_shown_anew(bench: Bench) -> None:
    bench.server.say("I should greet.\n</think>\n\nHello!", pieces=8)
    events = bench.send("ada", "Hi")
    again = max(n for n, event in enumerate(events) if isinstance(event, StreamReset))
    shown = events[again:]
    assert "".join(e.text for e in shown if isinstance(e, TextDelta)) == "Hello!"
    assert "".join(e.text for e in shown if isinstance(e, ReasoningDelta)) == "I should greet."
    assert (bench.history("ada")[-1].content, bench.history("ada")[-1].reasoning) == (
        "Hello!",
        "I should greet.",
    )
    assert not [e for e in events if isinstance(e, Notice)]


def test_a_raising_tool_shows_one_line_and_leaves_the_agent_usable(bench: Bench) -> None:
    bench.give("ada", 'def boom() -> str:\n    """Explode."""\n    raise ValueError("too hot")\n')
    bench.server.call("boom", {})
    bench.server.say("It failed.")
    returned = next(e for e in bench.send("ada", "Go") if isinstance(e, ToolReturned))
    assert returned.status == "error"
    assert returned.error == "ValueError: too hot"
    assert "in boom" in (returned.traceback or "")
    bench.server.say("Fine.")
    assert ended(bench.send("ada", "And now?")).stop_reason == "end_turn"


def test_an_endless_loop_ends_at_max_steps(bench: Bench) -> None:
    bench.give("ada", ADD)
    for _ in range(10):
        bench.server.call("add", {"a": 1, "b": 1})
    events = bench.send("ada", "Loop", max_steps=4)
    assert ended(events).stop_reason == "max_steps"
    assert ended(events).steps == 4
    texts = [e.text for e in events if isinstance(e, ToolReturned)]
    assert "this very call 3 times" in texts[2]


def test_two_calls_with_one_id_get_two_results(bench: Bench) -> None:
    bench.give("ada", ADD)
    bench.server.calls([("add", {"a": 1, "b": 1}), ("add", {"a": 2, "b": 2})], ids=["x", "x"])
    bench.server.say("2 and 4")
    events = bench.send("ada", "Both")
    assert [e.text for e in events if isinstance(e, ToolReturned)] == ["2", "4"]
    valid(bench.server.requests[1]["messages"])


def test_an_error_of_the_provider_keeps_the_message_and_the_agent(bench: Bench) -> None:
    bench.server.fault(401)
    end = ended(bench.send("ada", "Hello?"))
    assert end.stop_reason == "llm_api_error"
    assert "OPENAI_API_KEY" in (end.error or "")
    bench.server.say("Here.")
    assert ended(bench.send("ada", "Still there?")).stop_reason == "end_turn"
    marked = ["Hello?", lease.FAILED_UNANSWERED, "Still there?", "Here."]
    assert [m.content for m in bench.history("ada")] == marked
    assert lease.FAILED_UNANSWERED in str(bench.server.requests[-1]["messages"])


def test_a_run_that_is_stopped_before_a_word_is_marked_as_unanswered(bench: Bench) -> None:
    switch = Cancel()

    def press_stop(event: Event) -> None:
        if isinstance(event, StepStarted):
            switch.cancel()

    end = ended(bench.send("ada", "Hello?", live=press_stop, cancel=switch))
    assert end.stop_reason == "cancelled"
    [_, mark] = bench.history("ada")
    assert (mark.content, mark.role, mark.run_id) == (
        lease.STOPPED_UNANSWERED,
        "event",
        end.run_id,
    )
    bench.server.say("Here.")
    bench.send("ada", "Still there?")
    valid(bench.server.requests[-1]["messages"])
    assert lease.STOPPED_UNANSWERED in str(bench.server.requests[-1]["messages"])


def test_an_interrupt_keeps_partial_text_and_the_history_valid(bench: Bench) -> None:
    bench.server.delay = 0.02
    bench.server.say("One two three four five six seven eight nine ten")

    seen = ""

    def press_stop(event: object) -> None:
        nonlocal seen
        if isinstance(event, TextDelta):
            seen += event.text
            if "three" in seen:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.send("ada", "Count", live=press_stop)
    last = bench.history("ada")[-1]
    assert last.role == "assistant"
    assert last.interrupted
    assert last.content.startswith("One two")
    assert bench.service.runs.whole("ada")[0].status == "cancelled"
    bench.server.delay = 0.0
    bench.server.say("Yes.")
    assert ended(bench.send("ada", "Go on")).stop_reason == "end_turn"
    valid(bench.server.requests[-1]["messages"])


def test_an_interrupted_tool_gets_a_result(bench: Bench) -> None:
    bench.give("ada", 'def stop() -> str:\n    """Stop."""\n    raise KeyboardInterrupt\n')
    bench.server.calls([("stop", {}), ("stop", {})])
    events: list[Event] = []
    with pytest.raises(KeyboardInterrupt):
        bench.send("ada", "Go", live=events.append)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].stop_reason == "cancelled"
    results = [m for m in bench.history("ada") if m.role == "tool"]
    assert [m.status for m in results] == ["interrupted", "interrupted"]
    bench.server.say("Fine.")
    bench.send("ada", "And?")
    valid(bench.server.requests[-1]["messages"])


def test_cancel_from_another_thread_ends_the_run(bench: Bench) -> None:
    bench.server.hang(30)
    cancel = Cancel()
    threading.Timer(0.3, cancel.cancel).start()
    assert ended(bench.send("ada", "Hello", cancel=cancel)).stop_reason == "cancelled"
    bench.server.say("Back.")
    assert ended(bench.send("ada", "Again")).stop_reason == "end_turn"


def test_one_agent_runs_once_at_a_time(bench: Bench) -> None:
    bench.server.say("Slow answer")
    with closing(bench.service.runs.send("ada", "First")) as first:
        next(first)
        with pytest.raises(AgentBusyError):
            list(bench.service.runs.send("ada", "Second"))
    bench.server.say("Now.")
    assert ended(bench.send("ada", "Third")).stop_reason == "end_turn"


@pytest.mark.parametrize("text", ["", "   \n", "x" * 1_000_001])
def test_bad_messages_are_refused_and_change_nothing(bench: Bench, text: str) -> None:
    with pytest.raises(InvalidInputError):
        bench.service.runs.send("ada", text)
    assert bench.history("ada") == []


def test_an_empty_answer_is_asked_for_once_more(bench: Bench) -> None:
    bench.server.reason("Hmm, let me think.")
    bench.server.say("42")
    events = bench.send("ada", "Answer?")
    assert ended(events).stop_reason == "end_turn"
    assert "no answer" in bench.server.requests[1]["messages"][-1]["content"]


def test_an_agent_outlives_its_service(bench: Bench) -> None:
    bench.give("ada", ADD)
    bench.server.call("core_memory_append", {"label": "human", "content": "Name: Kim"})
    bench.server.say("Noted.")
    bench.send("ada", "I am Kim")
    bench.service.close()
    bench.server.say("Kim")
    events = bench.send("ada", "Who am I?")
    assert ended(events).stop_reason == "end_turn"
    request = bench.server.requests[-1]
    assert "Name: Kim" in request["messages"][0]["content"]
    assert "add" in [tool["function"]["name"] for tool in request["tools"]]


WRITTEN = 'I look it up.\n<tool_call>{"name": "conversation_search", "arguments": {"query": "tea"}}'


@pytest.mark.parametrize("model", ["openai/scripted", "openai/gpt-3.5-turbo-16k"])
def test_a_call_written_after_a_few_words_is_made_and_never_shown(bench: Bench, model: str) -> None:
    bench.server.say(f"{WRITTEN}</tool_call>\nIt was green.", pieces=12)
    bench.server.say("Nothing yet.")
    events = bench.send("ada", "Which tea was it?", model=model)
    (called,) = (m for m in bench.history("ada") if m.tool_calls)
    assert called.content == "I look it up."
    assert ended(events).steps == 2
    shown = ""
    for event in events:
        if isinstance(event, StreamReset):
            shown = ""
        elif isinstance(event, TextDelta):
            shown += event.text
    assert shown.replace("\n", "") == "I look it up.Nothing yet."


@pytest.mark.parametrize("style", ["native", "heartbeat"])
def test_finishing_edits_ends_the_turn(bench: Bench, style: str) -> None:
    bench.service.agents.create("eve", style=style)
    bench.service.tools.attach("memory_finish_edits", agent="eve")
    beat = {"request_heartbeat": True} if style == "heartbeat" else {}
    append = ("core_memory_append", {"label": "human", "content": "x", **beat})
    bench.server.calls([append, ("memory_finish_edits", {})])
    end = ended(bench.send("eve", "Tidy your memory."))
    assert (end.stop_reason, end.steps) == ("tool_rule", 1)
    assert bench.service.blocks.retrieve("human", agent="eve").value == "x"


def test_a_run_takes_no_option_that_is_none(bench: Bench) -> None:
    with pytest.raises(TypeError, match="no option 'hots'"):
        bench.send("ada", "Hi", hots=1)
    assert bench.history("ada") == []
