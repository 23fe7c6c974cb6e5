"""kill -9 at every point at which a step is written, for each kind of effect: what was done is known."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agent_bench import kept_whole
from step_children import Host, book, prepare, take_a_turn
from store_children import children

from letta_kernel.messages import DID_NOT_HAPPEN, MAY_HAVE_HAPPENED, Message
from letta_kernel.models.scripted import scripted
from letta_kernel.service import AgentService
from letta_kernel.store.lease import UNANSWERED


@dataclass(frozen=True)
class Story:
    """A turn: what the model does in it, and how the tool and the agent are."""

    moves: str
    approve: bool = True
    sandbox: bool = False
    tool: tuple[tuple[str, Any], ...] = ()


STORIES = {
    "payments and memory": Story(
        "call: pay(euros=5)\n"
        'call: archival_memory_insert(content="Ebba is paid.")\n'
        'call: core_memory_append(label="human", content="Owes nothing.")\n'
        "call: pay(euros=7)\n\n"
        "say: All is paid."
    ),
    "memory alone": Story(
        'call: core_memory_append(label="human", content="Likes tea.")\n\n'
        'call: core_memory_replace(label="human", old_content="nowhere", new_content="x")\n\n'
        "say: Noted."
    ),
    "calls at the same time": Story(
        "call: pay(euros=1)\ncall: pay(euros=2)\n\ncall: pay(euros=3)\n\nsay: Paid.",
        tool=(("parallel_safe", True),),
    ),
    "an approval": Story(
        "call: pay(euros=5)\ncall: pay(euros=6)\n\nsay: Paid.", tool=(("requires_approval", True),)
    ),
    "a refusal": Story(
        "call: pay(euros=5)\n\nsay: Not paid.", approve=False, tool=(("requires_approval", True),)
    ),
    "heartbeats": Story(
        'call: core_memory_append(label="human", content="Rides.", request_heartbeat=True)\n'
        "call: pay(euros=9, request_heartbeat=True)\n\n"
        'call: send_message(message="Done.")',
        tool=(("style", "heartbeat"),),
    ),
    "the sandbox": Story(
        "call: pay(euros=4)\n\nsay: Paid.", sandbox=True, tool=(("runs_in", "sandbox"),)
    ),
    "an MCP server": Story("call: pay(euros=4)\n\nsay: Paid.", sandbox=True, tool=(("mcp", True),)),
}


def turn(home: Path, story: Story, kill_at: int) -> list[tuple[Any, ...]]:
    """Let a process take the turn, until it ends or dies; return what it told."""
    with AgentService(home) as service:
        prepare(service, str(home), **dict(story.tool))
    ours, theirs = multiprocessing.Pipe()
    arguments = (str(home), story.moves, story.approve, story.sandbox, kill_at, theirs)
    child = children().Process(target=take_a_turn, args=arguments)  # type: ignore[attr-defined]
    child.start()
    theirs.close()
    told = []
    try:
        while not told or told[-1][0] not in ("point", "whole"):
            assert ours.poll(60), told
            told.append(ours.recv())
    finally:
        child.join(10)
        child.kill()
    return told


def paid(home: Path) -> list[str]:
    return book(home).read_text().split() if book(home).exists() else []


def check(home: Path, shown: dict[str, str]) -> None:
    """What was shown is kept, what was done is said, and what is said not to have happened has not."""
    with AgentService(home) as service:
        kept_whole(service)
        history = service.messages.history("ada", limit=1000)
        results = {m.tool_call_id: m for m in history if m.role == "tool"}
        for call_id, text in shown.items():
            assert results[call_id].content == text
        waiting = {call.id for call in service.runs.pending("ada")}
        payments = paid(home)
        for call, result in _calls(history, results):
            if call.id in waiting:
                assert result is None
                continue
            assert result is not None
            said, done = result.content, _done(service, call, payments)
            assert result.status == "ok" or result.status == "interrupted" or not done, result
            if said == DID_NOT_HAPPEN:
                assert not done, call
            elif result.status == "ok":
                assert done, call
            elif said == MAY_HAVE_HAPPENED:
                assert call.name == "pay"  # of our own store it is known
        if history[-1].content == UNANSWERED:
            assert history[-1].name == "interrupted"
        else:
            assert waiting or history[-1].role in ("assistant", "tool")


def _calls(history: list[Message], results: dict[str | None, Message]) -> list[tuple[Any, Any]]:
    return [(call, results.get(call.id)) for m in history for call in m.tool_calls]


def _done(service: AgentService, call: Any, payments: list[str]) -> bool:
    import json

    arguments = json.loads(call.arguments)
    if call.name == "pay":
        assert payments.count(str(arguments["euros"])) <= 1
        return str(arguments["euros"]) in payments
    if call.name == "send_message":
        return True
    if call.name == "archival_memory_insert":
        return arguments["content"] in [p.content for p in service.passages.list("ada")]
    text = arguments.get("content") or arguments.get("new_content")
    return text in service.blocks.retrieve("human", agent="ada").value


LONG = ("an MCP server", "calls at the same time", "a refusal", "heartbeats")
"""Told by `make test-long` alone."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in STORIES],
)
def test_a_kill_at_any_point_leaves_the_truth(
    name: str, tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    story = STORIES[name]
    points, at = [], 0
    while True:
        at += 1
        home = fresh_project(tmp_path / str(at) / "home")
        told = turn(home, story, at)
        shown = {
            call_id: text for kind, *rest in told if kind == "shown" for call_id, text in [rest]
        }
        before = paid(home)
        check(home, shown)
        assert paid(home) == before  # looking runs nothing
        points.append(told[-1][1])
        if told[-1][0] == "whole":
            break
        go_on(home, story)
        check(home, shown)
        assert paid(home) == before  # nor does going on
    assert points[-1] == at - 1 >= 2, points


def go_on(home: Path, story: Story) -> None:
    """Ask the agent something else; the model is told how things stand."""
    with AgentService(home) as service:
        if service.runs.pending("ada"):
            return  # it still waits for the same word
        cut_off = service.messages.history("ada", limit=1000)[-1].content == UNANSWERED
        expected = f"expect conversation contains: {UNANSWERED}\n" if cut_off else ""
        answer = (
            'call: send_message(message="Here.")'
            if ("style", "heartbeat") in story.tool
            else "say: Here."
        )
        scripted(expected + answer, "turn")
        events = list(service.runs.send("ada", "Still there?", host=Host(str(home))))
        assert events[-1].error is None
        assert events[-1].stop_reason == "end_turn"
