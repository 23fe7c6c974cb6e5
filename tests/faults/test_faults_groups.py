"""kill -9 in the midst of a group's turn: histories are whole, nobody hears anything twice, it goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from agent_bench import kept_whole
from store_children import children

from letta_kernel.agent import journal
from letta_kernel.messages import GroupEnded
from letta_kernel.models.scripted import scripted
from letta_kernel.service import AgentService
from letta_kernel.store import invariants

NAMES = ("ada", "ben")
MOVES = {
    "round_robin": {
        "ada": 'call: core_memory_append(label="human", content="Is here.")\n\nsay: One.',
        "ben": "say: Two.",
    },
    "supervisor": {
        "lea": 'call: send_message_to_all_agents_in_group(message="Well?")\n\nsay: Three.',
        "ada": "say: One.",
        "ben": "say: Two.",
    },
}


def take_a_turn(home: str, kind: str, kill_at: int, told: Connection) -> None:
    """Let the group work, and die at point *kill_at*; say how many points there were without so many."""
    passed = 0

    def passing(point: str) -> None:
        nonlocal passed
        passed += 1
        if passed == kill_at:
            told.send(("point", point))
            os.kill(os.getpid(), signal.SIGKILL)

    for name, moves in MOVES[kind].items():
        scripted(moves, name)
    with AgentService(home) as service:
        journal.passing = passing
        for event in service.groups.send("team", "Hello"):
            last = event
        assert isinstance(last, GroupEnded), last
        assert last.stop_reason == "end_turn", last
        told.send(("whole", passed))


def turn(home: Path, kind: str, kill_at: int) -> tuple[str, object]:
    """Let a process take the turn until it ends or dies; return what it told."""
    with AgentService(home) as service:
        for name in MOVES[kind]:
            service.agents.create(name, model=f"scripted/{name}")
        manager = {"manager": "lea"} if kind == "supervisor" else {}
        service.groups.create(NAMES, name="team", manager_type=kind, **manager)
    ours, theirs = multiprocessing.Pipe()
    child = children().Process(target=take_a_turn, args=(str(home), kind, kill_at, theirs))  # type: ignore[attr-defined]
    child.start()
    theirs.close()
    try:
        assert ours.poll(60)
        return ours.recv()  # type: ignore[no-any-return]
    finally:
        child.join(10)
        child.kill()


@pytest.mark.parametrize(
    ("kind", "first", "further"),
    [pytest.param("round_robin", 2, 3, marks=pytest.mark.slow), ("supervisor", 5, 6)],
)
def test_a_kill_leaves_a_group_that_goes_on(
    kind: str, first: int, further: int, tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    at = first
    while True:
        home = fresh_project(tmp_path / str(at) / "home")
        told = turn(home, kind, at)
        with AgentService(home) as service:
            kept_whole(service)
            assert service.database.run(invariants.find) == []
            said = service.groups.messages(service.groups.message_ids("team"))
            assert said[0].content == "Hello"  # it was kept before anybody worked
            for name in MOVES[kind]:
                scripted(MOVES[kind][name], name)
            events = [*service.groups.send("team", "Again")]
            ended = events[-1]
            assert isinstance(ended, GroupEnded)
            assert ended.stop_reason == "end_turn", (told, ended)
            kept_whole(service)
            assert service.database.run(invariants.find) == []
            for name in NAMES:
                heard = [m.content for m in service.messages.history(name, limit=1000)]
                others = [text for text in heard if text.startswith(("ada: ", "ben: ", "lea: "))]
                assert heard.count("Again") == (kind == "round_robin")
                assert heard.count("Hello") <= 1
                assert len(others) <= 2, (told, others)
        if told[0] == "whole":
            break
        at += further
