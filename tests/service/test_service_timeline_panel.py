"""The timeline as the panel asks for it: a tree that is read, rewound, forked."""

from __future__ import annotations

from typing import Any

import pytest
from agent_bench import Bench, ended

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.notebook.panel import rpc
from letta_kernel.service.debug import Debug, Move, Stop


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.service.agents.create("ada", human="Kim")
    return bench


def ask(bench: Bench, method: str, **params: Any) -> Any:
    return rpc.answer(bench.service, method, {"agent": "ada", **params})


def say(bench: Bench, text: str, fact: str = "") -> str:
    if fact:
        bench.server.call("memory_insert", {"label": "human", "new_string": fact})
    bench.server.say("Noted.")
    return ended(list(bench.service.runs.send("ada", text))).run_id


def test_a_line_is_read_in_pages_and_rewound(bench: Bench) -> None:
    first, second = (
        say(bench, "I drink tea", "Drinks tea."),
        say(bench, "I drink coffee", "Coffee."),
    )
    page = ask(bench, "timeline", limit=1)
    assert [run["asked"] for run in page["runs"]] == ["I drink coffee"]
    assert page["more"]
    older = ask(bench, "timeline", before=second)
    assert [run["id"] for run in older["runs"]] == [first]
    assert [step["tools"] for step in older["runs"][0]["steps"]] == [["memory_insert"], []]
    would = ask(bench, "timeline.preview", to=first)
    assert (would["runs"], would["blocks"], would["outside"]) == (1, ["human"], [])
    assert ask(bench, "timeline.rewind", to=first) == would
    now = ask(bench, "timeline")
    assert [run["id"] for run in now["runs"]] == [first]
    (left,) = now["branches"]
    assert (left["after"], left["messages"], left["agent"]) == (first, 4, "")
    assert "Coffee." in ask(bench, "timeline.at", at=left["id"])["html"]
    assert "I drink coffee" in ask(bench, "timeline.diff", other=left["id"])["html"]
    ask(bench, "timeline.redo")
    assert len(ask(bench, "timeline")["runs"]) == 2
    ask(bench, "timeline.undo")
    assert len(ask(bench, "timeline")["runs"]) == 1


def test_a_step_that_a_person_has_changed_is_marked(bench: Bench) -> None:
    def ask_person(stop: Stop, over: object) -> Move:
        changes = {"text": "Five."} if stop.point == "reply" else {}
        return Move("step", changes)

    bench.server.say("4")
    ended(list(bench.service.runs.send("ada", "2 + 2?", debug=Debug(ask_person, True))))
    say(bench, "Sure?")
    page = ask(bench, "timeline")
    assert [[step["edited"] for step in run["steps"]] for run in page["runs"]] == [[False], [True]]


def test_breakpoints_are_kept_and_refused(bench: Bench) -> None:
    known = ask(bench, "debugger.set", breakpoints=["tool:send_*"])
    assert known == {"breakpoints": ["tool:send_*"], "stepping": None, "held": None}
    with pytest.raises(InvalidInputError, match="no breakpoint"):
        ask(bench, "debugger.set", breakpoints=["tea"])
    assert ask(bench, "debugger") == known
    with pytest.raises(InvalidInputError, match="needs the kernel"):
        ask(bench, "debugger.go", action="step")
    assert ask(bench, "debugger.set", breakpoints=[])["breakpoints"] == []


def test_a_fork_is_made_at_a_step_and_stands_where_it_begins(bench: Bench) -> None:
    first = say(bench, "I drink tea")
    say(bench, "I drink coffee")
    made = ask(bench, "timeline.fork", name="eve", at=first)
    assert bench.service.agents.retrieve("eve").id == made["id"]
    (side,) = ask(bench, "timeline")["branches"]
    assert (side["agent"], side["after"]) == ("eve", first)
    forked = rpc.answer(bench.service, "timeline", {"agent": "eve"})
    assert (forked["origin"], forked["runs"][0]["of"]) == ("ada", "ada")
    with pytest.raises(NotFoundError):
        ask(bench, "timeline.rewind", to="step-none")
    with pytest.raises(InvalidInputError):
        ask(bench, "timeline.fork", name="")
