"""Agents that ask each other in processes that die, or in several: nobody waits for ever or is asked twice."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_bench import kept_whole
from asking_children import ANSWERS, ASKS, TELLS, ask_and_die, ask_when_told, prepare
from store_children import children

from letta_kernel.agent_messages import SENT, SPAWN, WAIT
from letta_kernel.messages import DID_NOT_HAPPEN, MAY_HAVE_HAPPENED, Message
from letta_kernel.models.scripted import scripted
from letta_kernel.service import AgentService


def work(home: Path, moves: str, kill_at: int) -> list[tuple[str, str]]:
    """Let a process work until it ends or dies; return what it told."""
    ours, theirs = multiprocessing.Pipe()
    child = children().Process(  # type: ignore[attr-defined]
        target=ask_and_die, args=(str(home), moves, kill_at, theirs)
    )
    child.start()
    theirs.close()
    told: list[tuple[str, str]] = []
    try:
        while not told or told[-1][0] not in ("point", "over"):
            assert ours.poll(60), told
            told.append(ours.recv())
    finally:
        child.join(30)
        child.kill()
    return told


def heard(service: AgentService) -> list[Message]:
    return [one for one in service.messages.history("bob", limit=1000) if one.sender_id]


def asked_of(service: AgentService) -> Any:
    history = service.messages.history("ada", limit=1000)
    return next((one for one in history if one.role == "tool"), None)


@pytest.mark.parametrize(
    "moves",
    [pytest.param(ASKS, id="waits"), pytest.param(TELLS, id="tells", marks=pytest.mark.slow)],
)
def test_a_kill_at_any_point_leaves_one_question_and_the_truth(
    moves: str, tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    at, died = 0, True
    while died:
        at += 1
        home = fresh_project(tmp_path / str(at) / "home")
        with AgentService(home) as service:
            prepare(service)
        told = work(home, moves, at)
        died = told[-1][0] == "point"
        scripted(ANSWERS, "bob")
        scripted("say: Here.", "ada")
        with AgentService(home) as service:
            result, known = asked_of(service), heard(service)
            runs = service.runs.list(limit=1000)
            assert not [one for one in runs if one.status in ("created", "running")]
            shown = [text for kind, text in told if kind == "shown"]
            if shown:
                assert result.content == shown[0]
            service.deliveries.start()
            if moves == TELLS and result is not None and result.content == SENT:
                deadline = time.monotonic() + 30
                while not heard(service):
                    assert time.monotonic() < deadline, "nobody reads it"
                    time.sleep(0.02)
            elif moves == ASKS and result is not None and known:
                answered = [one.content for one in service.messages.history("bob")][-1]
                if answered == "On the cliff.":
                    assert json.loads(result.content)["response"] == ["On the cliff."]
                else:
                    assert result.content in (
                        "bob was asked, and had not answered when the process ended.",
                        MAY_HAVE_HAPPENED,
                    )
            elif result is not None and moves == ASKS:
                assert result.content in (MAY_HAVE_HAPPENED, DID_NOT_HAPPEN)
            assert list(service.runs.send("ada", "Still there?"))[-1].stop_reason == "end_turn"  # type: ignore[union-attr]
            assert len(heard(service)) <= 1
            if moves == ASKS:
                assert heard(service) == known
            kept_whole(service)
    assert at > 5


def test_a_kill_leaves_the_answer_that_a_subagent_gave(
    tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    home = fresh_project(tmp_path / "home")
    moves = 'call: spawn(task="Find it.")\n\nsay: On the cliff.'  # what the copy says too
    with AgentService(home) as service:
        prepare(service)
        service.tools.attach(SPAWN, agent="ada")
    # The call is kept and begun, the copy's first step ended, its second.
    assert work(home, moves, 4)[-1] == ("point", "ended")
    with AgentService(home) as service:
        ((copy, run),) = service.subagents.of("ada")
        assert run is not None
        assert run.status == "completed"
        told = {"agent_id": copy.id, "agent_name": "ada › 1", "response": ["On the cliff."]}
        assert json.loads(asked_of(service).content) == told
        kept_whole(service)


def test_agents_of_two_processes_that_ask_each_other_do_not_wait_for_ever(
    tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    home = fresh_project(tmp_path / "home")
    with AgentService(home) as service:
        prepare(service)
    pipes, started = {}, []
    for name, other in (("ada", "bob"), ("bob", "ada")):
        ours, theirs = multiprocessing.Pipe()
        moves = f'call: meet()\n\ncall: {WAIT}(message="?", other_agent_id="{other}")\n\nsay: Done.'
        child = children().Process(  # type: ignore[attr-defined]
            target=ask_when_told, args=(str(home), name, moves, theirs)
        )
        child.start()
        pipes[name] = ours
        started.append(child)
    try:
        for pipe in pipes.values():
            assert pipe.poll(60)
            assert pipe.recv() == "here"
        for pipe in pipes.values():
            pipe.send("go")
        for pipe in pipes.values():
            assert pipe.poll(60)
            assert pipe.recv() == "end_turn"
    finally:
        for child in started:
            child.join(30)
            child.kill()
    with AgentService(home) as service:
        results = [
            one
            for name in ("ada", "bob")
            for one in service.messages.history(name)
            if one.role == "tool" and one.name == WAIT
        ]
        (refused,) = [one for one in results if one.status == "error"]
        assert "waits for your answer itself" in refused.content
        kept_whole(service)
