"""kill -9 of a process that tidies memory: nothing is half done, and it is taken up again once."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import pytest
import sleep_child
from agent_bench import kept_whole
from store_children import children

from letta_kernel.models.scripted import scripted
from letta_kernel.service import AgentService

BEFORE = "Lives in Bergen"
AFTER = ("Lives in Oslo since 3 May 2025", ["Answer in English."], 1)


def killed(home: Path, kill_at: int) -> str | int:
    """Let a process tidy until it dies at a point; return that, or how many there were."""
    ours, theirs = multiprocessing.Pipe()
    child = children().Process(target=sleep_child.tidy, args=(str(home), kill_at, theirs))  # type: ignore[attr-defined]
    child.start()
    theirs.close()
    try:
        assert ours.poll(60)
        told: str | int = ours.recv()
        return told
    finally:
        child.join(10)
        child.kill()


def memory(service: AgentService) -> tuple[str, list[str], int]:
    blocks = {one.label: one.value for one in service.blocks.list("ada")}
    lines = [blocks["instructions"]] if "instructions" in blocks else []
    return blocks["human"], lines, len(service.passages.list("ada"))


@pytest.mark.duckdb
def test_all_of_it_lands_once_or_nothing_does(tmp_path: Path) -> None:
    first = tmp_path / "first"
    scripted("say: Fine.", "turn")
    with AgentService(first) as service:
        service.agents.create("ada", model="scripted/turn", human=BEFORE)
        service.sleeptime.enable("ada", model="scripted/sleep")
        list(service.runs.send("ada", "I moved to Oslo; my first boat was called Terna."))
    shutil.copytree(first, whole := tmp_path / "whole")
    points = killed(whole, 0)
    assert isinstance(points, int)
    with AgentService(whole) as service:
        assert memory(service) == AFTER
    for kill_at in (1, points // 2, points):
        home = tmp_path / f"killed-{kill_at}"
        shutil.copytree(first, home)
        assert isinstance(killed(home, kill_at), str)
        with AgentService(home) as service:
            assert memory(service) == (BEFORE, [], 0)
            standing = service.sleeptime.standing("ada")
            assert standing is not None
            assert standing.last is not None
            if kill_at == points:  # its run had come to its end: who looks first lets it land
                assert standing.last.status == "done"
                assert service.sleeptime.now("ada") is None
            else:
                assert standing.last.status == "stopped"
                assert memory(service) == (BEFORE, [], 0)
                scripted(sleep_child.TIDY, "sleep")
                done = service.sleeptime.now("ada")
                assert done is not None
                assert done.status == "done"
            assert memory(service) == AFTER
            assert len(service.blocks.versions("human", agent="ada")) == 2
            kept_whole(service)
            assert not service.store.check().findings
