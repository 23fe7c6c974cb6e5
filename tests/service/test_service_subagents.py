"""Subagents: copies of an agent that do one task, at the same time if there are several, within limits."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from agent_bench import Bench, ended, kept_whole
from scripted_server import Answer
from scripted_wire import Call

from letta_kernel.agent_messages import SPAWN
from letta_kernel.messages import Event, Nested, RunEnded, RunStarted, ToolProgress
from letta_kernel.models.base import Cancel
from letta_kernel.records import AgentState

PAY = '''
def pay(euros: int) -> str:
    """Pay somebody.

    Args:
        euros: How much.
    """
    return f"{euros} paid"
'''


class Model:
    """Says for a subagent's task what a test wants, and lets the caller spawn what it is told to."""

    def __init__(self, bench: Bench) -> None:
        self.spawns: list[dict[str, Any]] = []
        self.does: dict[str, list[Answer]] = {}  # by task, in order
        self.seen: dict[str, list[dict[str, Any]]] = {}  # the requests, by task
        self._lock = threading.Lock()
        bench.server.default = self

    def __call__(self, body: dict[str, Any]) -> Answer:
        said = [str(one["content"]) for one in body["messages"] if one["role"] == "user"]
        with self._lock:
            for task, answers in self.does.items():
                if said[-1].endswith(task):
                    self.seen.setdefault(task, []).append(body)
                    return answers.pop(0)
            if self.spawns:
                calls = [
                    Call(f"call_{n}", SPAWN, json.dumps(one)) for n, one in enumerate(self.spawns)
                ]
                self.spawns = []
                return Answer(calls=calls)
        return Answer(text="All done.")


@pytest.fixture
def model(bench: Bench) -> Iterator[Model]:
    bench.service.agents.create("ada", model="openai/scripted", human="Kim.")
    bench.service.tools.attach(SPAWN, agent="ada")
    yield Model(bench)
    kept_whole(bench.service)


def results(bench: Bench) -> list[Any]:
    """What the newest step's calls came to, in their order."""
    found = []
    for one in reversed(bench.history("ada")):
        if one.role == "tool":
            found.append(json.loads(one.content) if one.content.startswith("{") else one.content)
        elif found:
            break
    return found[::-1]


def copies(bench: Bench) -> list[AgentState]:
    return [state for state, _ in bench.service.subagents.of("ada")]


def told(model: Model, task: str) -> str:
    return json.dumps(model.seen[task][0]["messages"])


def test_a_copy_does_a_task_and_only_its_answer_comes_back(bench: Bench, model: Model) -> None:
    bench.send("ada", "My cat is Tom.")
    model.spawns = [{"task": "Name the cat.", "blocks": ["human"], "tools": ["core_memory_append"]}]
    added = '{"label": "human", "content": " Has a cat."}'
    model.does["Name the cat."] = [
        Answer(calls=[Call("call_9", "core_memory_append", added)]),
        Answer(text="Tom."),
    ]
    live: list[Event] = []
    assert ended(bench.send("ada", "Which cat?", live=live.append)).stop_reason == "end_turn"
    (copy,) = copies(bench)
    assert results(bench) == [
        {
            "agent_id": copy.id,
            "agent_name": "ada › 1",
            "response": ["Tom."],
            "memory": "It wrote human in its own copy; your memory is as it was.",
        }
    ]
    request = model.seen["Name the cat."][0]
    assert [one["function"]["name"] for one in request["tools"]] == ["core_memory_append"]
    shown = told(model, "Name the cat.")
    for there in ("My cat is Tom.", "You are a subagent", "Kim."):
        assert there in shown
    assert "<persona>" not in shown
    human = {one.label: one.value for one in bench.service.blocks.list("ada")}["human"]
    assert human == "Kim."
    assert {one.label: one.value for one in bench.service.blocks.list(copy.id)} == {
        "human": "Kim.\n Has a cat."
    }
    said = [one.text for one in live if isinstance(one, ToolProgress)]
    assert said[:2] == ["ada › 1: calls core_memory_append", "ada › 1: step 1 is done"]
    nested = [one for one in live if isinstance(one, Nested)]
    assert isinstance(nested[0].event, RunStarted)
    assert isinstance(nested[-1].event, RunEnded)
    (run,) = bench.service.runs.whole(copy.id)
    assert run.asked == "Name the cat."
    assert run.asked_by == bench.service.runs.whole("ada")[0].id
    assert any(isinstance(one, Nested) for one in bench.service.runs.replay(run.asked_by)[1])
    assert [one.name for one in bench.service.agents.list(set_aside=True)] == ["ada"]


def test_several_work_at_the_same_time_each_with_a_line(bench: Bench, model: Model) -> None:
    model.spawns = [{"task": f"Task {n}"} for n in range(3)]
    model.does = {f"Task {n}": [Answer(text=f"Answer {n}")] for n in range(3)}
    meet = threading.Barrier(3)  # nobody is answered before all have asked

    def together(body: dict[str, Any]) -> Answer:
        found = model(body)
        if found.text.startswith("Answer"):
            meet.wait(30)
        return found

    bench.server.default = together
    live: list[Event] = []
    bench.send("ada", "Do three things.", live=live.append)
    assert [one["response"] for one in results(bench)] == [[f"Answer {n}"] for n in range(3)]
    assert len({one.call_id for one in live if isinstance(one, ToolProgress)}) == 3
    assert {one.name for one in copies(bench)} == {"ada › 1", "ada › 2", "ada › 3"}


def test_limits_are_checked_before_anything_is_made(bench: Bench, model: Model) -> None:
    wrong = [
        ({"task": " "}, "The task is empty"),
        ({"task": "x", "max_steps": 0}, "max_steps is a whole number from 1 to 100"),
        ({"task": "x", "seconds": 0}, "seconds is a number from 1"),
        ({"task": "x", "cost": -1}, "cost is a number"),
        ({"task": "x", "tools": ["core_memory_apend"]}, "Did you mean 'core_memory_append'?"),
        ({"task": "x", "blocks": ["humans"]}, "Did you mean 'human'?"),
    ]
    model.spawns = [given for given, _ in wrong]
    bench.send("ada", "Go.")
    for result, (_, why) in zip(results(bench), wrong, strict=True):
        assert why in result
    assert copies(bench) == []


def test_steps_cost_and_time_end_a_copy_with_a_line(bench: Bench, model: Model) -> None:
    again = Answer(calls=[Call("call_7", "archival_memory_search", '{"query": "x"}')])
    model.spawns = [{"task": "For ever.", "max_steps": 2}]
    model.does["For ever."] = [again] * 2
    bench.send("ada", "Go.")
    assert "Stopped after 2 steps" in str(results(bench))
    assert len(model.seen["For ever."]) == 2
    model.spawns = [{"task": "Slowly.", "seconds": 1}]
    model.does["Slowly."] = [Answer(text="Late.", before=60.0)]
    bench.send("ada", "Go.")
    assert results(bench) == [
        "ada › 1 was stopped before it had answered: give it less to do, or more seconds."
    ]


def test_a_call_that_needs_a_word_is_the_callers_to_make(bench: Bench, model: Model) -> None:
    bench.give("ada", PAY, requires_approval=True)
    model.spawns = [{"task": "Pay."}]
    model.does["Pay."] = [Answer(calls=[Call("call_7", "pay", '{"euros": 5}')])]
    bench.send("ada", "Go.")
    assert results(bench) == [
        "ada › 1 would have needed a person's approval of pay: do that yourself."
    ]


def test_copies_of_copies_are_no_deeper_than_the_limit(
    bench: Bench, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_ASK_DEPTH", "2")
    model.spawns = [{"task": "Deeper.", "tools": [SPAWN]}]
    deeper = Answer(calls=[Call("call_7", SPAWN, '{"task": "Deepest."}')])
    model.does["Deeper."] = [deeper, Answer(text="No further.")]
    bench.send("ada", "Go.")
    assert results(bench)[0]["response"] == ["No further."]
    assert "gone through 2 agents" in json.dumps(model.seen["Deeper."][1]["messages"])
    assert len(copies(bench)) == 1


def test_the_stop_button_reaches_every_copy(bench: Bench, model: Model) -> None:
    model.spawns = [{"task": "A."}, {"task": "B."}]
    model.does["A."] = [Answer(text="Late.", before=60.0)]
    model.does["B."] = [Answer(text="Late.", before=60.0)]
    switch = Cancel()

    def stop() -> None:
        bench.server.wait_for(3, 30.0)  # both wait for their model
        switch.cancel()

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    assert ended(bench.send("ada", "Go.", cancel=switch)).stop_reason == "cancelled"
    stopping.join(30)
    found = [run for one in copies(bench) for run in bench.service.runs.whole(one.id)]
    assert [run.status for run in found] == ["cancelled"] * 2


def test_copies_go_with_their_agent_and_old_ones_before(
    bench: Bench, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letta_kernel.service.subagents.KEPT", 2)
    for n in range(3):
        model.spawns = [{"task": f"Task {n}."}]
        model.does[f"Task {n}."] = [Answer(text="Done.")]
        bench.send("ada", "Go.")
    found = bench.service.subagents.of("ada")
    assert [run.asked for _, run in found if run] == ["Task 2.", "Task 1."]
    bench.service.agents.delete("ada")
    for state, _ in found:
        assert not bench.service.runs.list(agent_ids=[state.id])
