"""The debugger: where a run stops, what can be changed there, and how that is marked for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from agent_bench import ADD, Bench, ended, valid

from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import Edit, Event, StepEnded, TextDelta, ToolReturned
from letta_kernel.models.base import Cancel
from letta_kernel.service.debug import Debug, Move, Stop
from letta_kernel.store import purge, purge_rows

STEP, GO = Move("step"), Move("continue")


class Person:
    """Says at each stop what was planned, then lets the run go on."""

    def __init__(self, *moves: Move | None, stepping: bool = True) -> None:
        self.stops: list[Stop] = []
        self.moves = [*moves]
        self.debug = Debug(self.ask, stepping)

    def ask(self, stop: Stop, over: Callable[[], bool]) -> Move | None:
        self.stops.append(stop)
        return self.moves.pop(0) if self.moves else STEP

    @property
    def points(self) -> list[str]:
        return [one.point for one in self.stops]

    def text(self, key: str, at: int = -1) -> str:
        return next(one.text for one in self.stops[at].editable if one.key == key)


def change(action: Any = "step", **texts: str) -> Move:
    return Move(action, {key.lstrip("_"): text for key, text in texts.items()})


def edits(bench: Bench) -> list[Edit]:
    return [edit for message in bench.history("ada") for edit in message.edits or ()]


def marked(events: list[Event]) -> list[Edit]:
    ends = [event for event in events if isinstance(event, StepEnded)]
    return [edit for end in ends for message in end.messages for edit in message.edits or ()]


@pytest.fixture
def adds(bench: Bench) -> Bench:
    """ada, who can add and is about to."""
    bench.give("ada", ADD)
    bench.server.call("add", {"a": 2, "b": 3})
    bench.server.say("It is 5.")
    return bench


def test_stepping_stops_at_each_place_and_changes_nothing(adds: Bench) -> None:
    person = Person()
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert person.points == ["request", "reply", "call", "result", "request", "reply"]
    assert [one.step for one in person.stops] == [1, 1, 1, 1, 2, 2]
    assert ended(events).stop_reason == "end_turn"
    assert person.text("result", 3) == "5"
    assert json.loads(person.text("arguments", 2)) == {"a": 2, "b": 3}
    assert edits(adds) == []
    plain = adds.server.requests[1]["messages"]
    valid(plain)
    assert json.loads(plain[-1]["content"])["message"] == "5"


def test_a_request_is_shown_in_parts_with_their_tokens(adds: Bench) -> None:
    person = Person(GO)
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    (stop,) = person.stops
    parts = {part.name: part for part in stop.parts}
    assert list(parts) == ["system prompt", "memory blocks", "messages", "tools"]
    assert all(part.tokens > 0 for part in parts.values())
    sent = adds.server.requests[0]
    assert parts["memory blocks"].text in sent["messages"][0]["content"]
    assert "add two numbers" in parts["tools"].text.lower()
    assert [one.label for one in stop.editable] == ["system", "user"]
    assert stop.editable[1].text == sent["messages"][1]["content"]


def test_the_person_goes_on_to_the_next_model_call_or_to_the_end(adds: Bench) -> None:
    person = Person(Move("next"), GO)
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert person.points == ["request", "request"]
    assert person.debug.stepping is False


def test_an_edited_request_is_what_the_model_reads(adds: Bench) -> None:
    person = Person(change(_1="What is 1 + 1?"), Move("next"), change("continue", _0=""))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    first, second = (request["messages"] for request in adds.server.requests)
    assert first[-1]["content"] == "What is 1 + 1?"
    assert second[0]["role"] == "user"  # the system prompt was left out
    user, said, result, answer = adds.history("ada")
    assert user.content == "What is 2 + 3?"  # what was said stays said
    assert said.edits == [
        Edit(what="request", name="user", place=1, before=user.content, after="What is 1 + 1?")
    ]
    assert result.edits is None
    assert answer.edits is not None
    assert (answer.edits[0].place, answer.edits[0].after) == (0, "")
    assert marked(events) == edits(adds)


def test_a_message_that_calls_keeps_its_result(adds: Bench) -> None:
    person = Person(Move("next"), change("continue", _2="I add.", _3=""))
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    sent = adds.server.requests[1]["messages"]
    valid(sent)
    assert (sent[2]["content"], sent[3]["content"]) == ("I add.", "(nothing)")


def test_an_edited_reply_is_what_was_said(bench: Bench) -> None:
    bench.server.say("I do not know.")
    person = Person(STEP, change("continue", text="It is 42."))
    events = bench.send("ada", "What is it?", debug=person.debug)
    assert bench.history("ada")[-1].content == "It is 42."
    assert edits(bench) == [Edit(what="reply", before="I do not know.", after="It is 42.")]
    assert [one.text for one in events if isinstance(one, TextDelta)][-1] == "It is 42."
    bench.server.say("As I said.")
    bench.send("ada", "Again?")
    assert bench.server.requests[-1]["messages"][-2]["content"] == "It is 42."


def test_calls_of_a_reply_can_be_written_anew(adds: Bench) -> None:
    calls = (
        '[{"name": "add", "arguments": {"a": 20, "b": 1}}, {"name": "add", "arguments": {"a": 1}}]'
    )
    person = Person(STEP, change(calls="tea"), change(calls=calls), GO)
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert "no JSON" in person.stops[2].problem
    assert person.text("calls", 2) == "tea"  # what was typed is not lost
    results = [one for one in events if isinstance(one, ToolReturned)]
    assert [one.status for one in results] == ["ok", "error"]
    assert results[0].text == "21"
    (edit,) = edits(adds)
    assert (edit.what, json.loads(edit.before)[0]["arguments"]) == ("calls", {"a": 2, "b": 3})
    valid(adds.server.requests[1]["messages"])


def test_a_reply_without_calls_can_be_given_one_and_the_other_way(adds: Bench) -> None:
    person = Person(STEP, change("continue", calls="[]", text="Five."))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert (ended(events).stop_reason, ended(events).steps) == ("end_turn", 1)
    assert adds.history("ada")[-1].content == "Five."
    person = Person(
        STEP, change("continue", calls='[{"name": "add", "arguments": {"a": 4, "b": 4}}]')
    )
    events = adds.send("ada", "And 4 + 4?", debug=person.debug)
    assert next(one.text for one in events if isinstance(one, ToolReturned)) == "8"


def test_edited_arguments_are_what_runs(adds: Bench) -> None:
    person = Person(STEP, STEP, change("continue", arguments='{"a": 2, "b": 40}'))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert next(one.text for one in events if isinstance(one, ToolReturned)) == "42"
    (edit,) = edits(adds)
    assert (edit.what, edit.name) == ("arguments", "add")
    assert [json.loads(text) for text in (edit.before, edit.after)] == [
        {"a": 2, "b": 3},
        {"a": 2, "b": 40},
    ]
    call = adds.server.requests[1]["messages"][2]["tool_calls"][0]["function"]
    assert json.loads(call["arguments"]) == {"a": 2, "b": 40}


@pytest.mark.parametrize(("key", "status"), [("result", "ok"), ("error", "error")])
def test_a_call_is_answered_instead_of_being_run(adds: Bench, key: str, status: str) -> None:
    adds.host.live["add"] = lambda a, b: pytest.fail("it ran")
    person = Person(STEP, STEP, change("continue", **{key: "about 5"}))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    returned = next(one for one in events if isinstance(one, ToolReturned))
    assert (returned.status, returned.text) == (status, "about 5")
    assert edits(adds) == [Edit(what="result", name="add", after="about 5")]
    assert not adds.history("ada")[2].elsewhere


def test_an_edited_result_is_what_the_model_reads(adds: Bench) -> None:
    person = Person(STEP, STEP, STEP, change("continue", result="6"))
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert edits(adds) == [Edit(what="result", name="add", before="5", after="6")]
    sent = adds.server.requests[1]["messages"][-1]["content"]
    assert json.loads(sent)["message"] == "6"


def test_a_failure_is_mended_by_hand(adds: Bench) -> None:
    adds.host.live["add"] = lambda a, b: 1 / 0
    person = Person(STEP, STEP, STEP, change("continue", result="5"))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    returned = next(one for one in events if isinstance(one, ToolReturned))
    assert (returned.status, returned.error, returned.traceback) == ("ok", None, None)
    assert "ZeroDivisionError" in edits(adds)[0].before


def test_what_changed_memory_is_kept_with_its_result(bench: Bench) -> None:
    bench.server.call("core_memory_append", {"label": "human", "content": "Name: Kim"})
    person = Person(STEP, STEP, STEP, change(result="no"), GO)
    bench.send("ada", "I am Kim", debug=person.debug)
    stop = person.stops[3]
    assert (stop.point, stop.editable) == ("result", [])
    assert "cannot be changed here" in person.stops[4].problem
    assert bench.service.blocks.retrieve("human", agent="ada").value == "Name: Kim"


def test_calls_that_could_run_at_once_are_looked_at_one_by_one(bench: Bench) -> None:
    bench.give("ada", ADD, parallel_safe=True)
    bench.server.calls([("add", {"a": 1, "b": 1}), ("add", {"a": 2, "b": 2})])
    person = Person(
        STEP, STEP, STEP, STEP, change(arguments='{"a": 3, "b": 3}'), change(result="7"), GO
    )
    bench.send("ada", "Add.", debug=person.debug)
    assert person.points[2:6] == ["call", "result", "call", "result"]
    assert [message.content for message in bench.history("ada")[2:4]] == ["2", "7"]
    assert [edit.what for edit in edits(bench)] == ["arguments", "result"]


@pytest.mark.parametrize(
    ("breakpoint", "points"),
    [
        ("tool:add", ["call"]),
        ("tool:a*", ["call"]),
        ("tool:other", []),
        ("word:it is 5", ["reply"]),
        ("word:2 + 3", ["request"]),  # once, though it stays in sight
        ("steps:1", ["request"]),
        ("steps:2", []),
        ("cost:0.5", ["reply"]),
        ("memory:human", []),
    ],
)
def test_breakpoints(adds: Bench, breakpoint: str, points: list[str]) -> None:
    adds.service.agents.update("ada", settings={"breakpoints": [breakpoint]})
    person = Person(GO, GO, GO, stepping=False)
    if breakpoint.startswith("cost"):
        monkey_price(adds)
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert person.points == points
    assert all(one.why == breakpoint for one in person.stops)


def monkey_price(bench: Bench) -> None:
    """Let the scripted model's answers cost something, as a provider reports it."""
    for answer in bench.server._queue:
        answer.usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.6}


def test_a_breakpoint_on_a_block_stops_before_and_after_other_tools_wrote_it(bench: Bench) -> None:
    bench.service.agents.update("ada", settings={"breakpoints": ["memory:hum*"]})
    person = Person(GO, GO, stepping=False)
    bench.server.call("core_memory_append", {"label": "human", "content": "Name: Kim"})
    bench.server.say("Noted.")
    bench.send("ada", "I am Kim", debug=person.debug)
    bench.server.call("core_memory_append", {"label": "persona", "content": "Kind."})
    bench.server.say("Noted.")
    bench.send("ada", "Be kind", debug=person.debug)
    assert person.points == ["call"]


def test_breakpoints_ask_nobody_where_nobody_looks(adds: Bench) -> None:
    adds.service.agents.update("ada", settings={"breakpoints": ["steps:1", "tool:add"]})
    assert ended(adds.send("ada", "What is 2 + 3?")).stop_reason == "end_turn"


def test_where_nobody_answers_it_asks_no_more(adds: Bench) -> None:
    person = Person(None)
    assert ended(adds.send("ada", "2 + 3?", debug=person.debug)).stop_reason == "end_turn"
    assert person.points == ["request"]


@pytest.mark.parametrize(
    "line",
    ["tool", "tool:", "shape:round", "cost:much", "cost:0", "cost:nan", "steps:0", "steps:1.5"],
)
def test_what_is_no_breakpoint_is_refused(bench: Bench, line: str) -> None:
    with pytest.raises(InvalidInputError, match=r"breakpoint|dollars|model calls"):
        bench.service.agents.update("ada", settings={"breakpoints": [line]})


@pytest.mark.parametrize("point", [0, 1, 2, 3])
def test_a_run_is_stopped_where_it_waits(adds: Bench, point: int) -> None:
    person = Person(*[STEP] * point, Move("stop"))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert ended(events).stop_reason == "cancelled"
    adds.server.forget()
    adds.server.say("Yes.")
    adds.send("ada", "Are you there?")
    valid(adds.server.requests[-1]["messages"])


def test_what_was_edited_before_a_run_was_stopped_is_marked_too(adds: Bench) -> None:
    person = Person(STEP, change(text="I add."), Move("stop"))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert ended(events).stop_reason == "cancelled"
    assert [edit.after for edit in edits(adds)] == ["I add."]
    assert marked(events) == edits(adds)
    adds.server.forget()


def test_the_agents_of_a_group_are_looked_at(bench: Bench) -> None:
    bench.service.agents.create("ben")
    group = bench.service.groups.create(["ada", "ben"], name="pair")
    person = Person(Move("next"), GO)
    options: Any = {"each": lambda agent_id: {"debug": person.debug}}
    list(bench.service.groups.send(group.id, "Hello", **options))
    assert person.points == ["request", "request"]
    assert len({one.agent_id for one in person.stops}) == 2


def test_the_stop_button_reaches_a_run_that_waits(adds: Bench) -> None:
    def press(stop: Stop, over: Callable[[], bool]) -> Move:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adds.send("ada", "What is 2 + 3?", debug=Debug(press, True))
    assert adds.service.runs.whole("ada")[0].status == "cancelled"


def test_a_run_that_waits_is_cancelled_from_elsewhere(adds: Bench) -> None:
    cancel = Cancel()

    def wait(stop: Stop, over: Callable[[], bool]) -> Move | None:
        threading.Thread(target=cancel.cancel).start()
        assert cancel.wait(10)
        assert over()
        return None

    events = adds.send("ada", "2 + 3?", debug=Debug(wait, True), cancel=cancel)
    assert ended(events).stop_reason == "cancelled"


def test_a_fork_is_made_where_a_run_waits(adds: Bench) -> None:
    def fork(agent: str, name: str | None) -> str:
        return adds.service.forks.fork(agent, name).name

    person = Person(
        Move("next"),
        Move("fork", {"1": "What is 1 + 1?"}, "bea"),
        Move("fork", {}, "bea"),
        GO,
    )
    person.debug.fork = fork
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    assert person.stops[2].note.startswith("bea is what")
    assert "bea" in person.stops[3].problem  # the name is taken
    assert adds.server.requests[1]["messages"][1]["content"] == "What is 1 + 1?"  # as typed before
    assert [one.content for one in adds.history("bea")] == ["What is 2 + 3?", "", "5"]
    adds.server.say("Five it is.")
    adds.send("bea", "So?")
    valid(adds.server.requests[-1]["messages"])
    assert len(adds.history("ada")) == 4


def test_an_edited_request_is_explained_as_it_was_sent(adds: Bench) -> None:
    person = Person(change(_1="What is 1 + 1?"), STEP, STEP, change("continue", result="6"))
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    first, second = (step for step, _ in adds.service.steps.list(newest_first=False))
    told = adds.service.explain.step(first.id)
    assert (told.exact, told.missing) == (True, [])
    assert told.messages[-1]["content"] == "What is 1 + 1?"
    assert [one["what"] for one in told.edits] == ["request", "result"]
    assert adds.service.explain.step(second.id).exact


def test_what_is_forgotten_for_good_is_gone_from_edited_requests(bench: Bench) -> None:
    passage = bench.service.passages.create("The code of the lab is 4711.", agent="ada")[0]
    person = Person(change("continue", _1="What is the code?"))
    bench.send("ada", "What is the code of the lab?", debug=person.debug)
    (edit,) = edits(bench)
    assert "4711" in edit.before
    bench.service.passages.forget([passage.id], agent="ada")
    bench.service.database.close()
    purge.purge(bench.service.database, [passage.id])
    (edit,) = edits(bench)
    assert (edit.before, edit.after) == (purge_rows.FORGOTTEN, purge_rows.FORGOTTEN)


def test_edits_go_with_the_agent_file(adds: Bench) -> None:
    person = Person(STEP, change(text="I add."), STEP, change("continue", result="6"))
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    file = adds.service.agent_files.export("ada")
    copy = adds.service.agent_files.import_data(file, name="copy").agent
    there = [edit for m in adds.service.messages.history(copy.id) for edit in m.edits or ()]
    assert there == edits(adds)
    assert len(there) == 2


def test_a_run_says_how_often_it_was_edited(adds: Bench) -> None:
    person = Person(STEP, change(text="I add."), STEP, change("continue", result="6"))
    adds.send("ada", "What is 2 + 3?", debug=person.debug)
    adds.server.say("No.")
    adds.send("ada", "Anything else?")
    assert [run.edits for run in adds.service.runs.whole("ada")] == [0, 2]


def test_a_replay_shows_what_was_edited(adds: Bench) -> None:
    person = Person(STEP, change(text="I add."), STEP, change("continue", result="6"))
    events = adds.send("ada", "What is 2 + 3?", debug=person.debug)
    _, again = adds.service.runs.replay(ended(events).run_id)
    assert marked(again) == marked(events) == edits(adds)
