"""kill -9 in imports and after a posted event: nothing acknowledged is lost, nothing half done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from store_children import children

from letta_kernel.agent import journal
from letta_kernel.models.scripted import scripted
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools.schema import schema_from_source

FILES = 5


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(target: Callable[..., None], *arguments: Any) -> list[Any]:
    """Run *target* in a process until that is gone; return what it told."""
    ours, theirs = multiprocessing.Pipe()
    child = children().Process(target=target, args=(*arguments, theirs))  # type: ignore[attr-defined]
    child.start()
    theirs.close()
    told = []
    try:
        while True:
            assert ours.poll(60), told
            told.append(ours.recv())
    except EOFError:
        return told
    finally:
        child.join(10)
        child.kill()


def add_files(home: str, folder: str, kill_at: int, told: Connection) -> None:
    steps = 0

    def progress(step: Any) -> None:
        nonlocal steps
        told.send((step.file, step.done))
        steps += 1
        if steps == kill_at:
            die()

    with AgentService(home) as service:
        service.passages.add_files([folder], progress=progress, agent="ada")
    told.send("whole")


def test_files_are_read_whole_after_kills(
    tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    home, folder = fresh_project(tmp_path / "home"), tmp_path / "texts"
    folder.mkdir()
    texts = [
        "\n\n".join(f"Chapter {n} of book {book}. " + "Gulls and boats. " * 60 for n in range(6))
        for book in range(FILES)
    ]
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
    with AgentService(home) as service:
        service.agents.create("ada")
    at = 0
    while True:
        at += 1
        if run(add_files, str(home), str(folder), at)[-1] == "whole":
            break
    assert at >= FILES
    with AgentService(home) as service:
        kept = [passage.content for passage in service.passages.list("ada", limit=1000)]
    for book in range(FILES):
        for chapter in range(6):
            assert sum(f"Chapter {chapter} of book {book}." in text for text in kept) == 1


def import_agents(home: str, path: str, delay: float, told: Connection) -> None:
    threading.Timer(delay, die).start()
    with AgentService(home) as service:
        told.send("begins")
        service.agent_files.import_file(Path(path))
        told.send("done")
        time.sleep(10)


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.1, 0.2, 1.0])
def test_an_agent_file_comes_in_whole_or_not_at_all(
    delay: float, tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    with AgentService(fresh_project(tmp_path / "there")) as service:
        scripted("say: Good day.", "turn")
        service.agents.create("ada", model="scripted/turn")
        list(service.runs.send("ada", "Hello."))
        service.passages.create("Gulls eat bread.", agent="ada")
        service.agent_files.export_file("ada", tmp_path / "ada.af")
    home = fresh_project(tmp_path / "here")
    told = run(import_agents, str(home), str(tmp_path / "ada.af"), delay)
    with AgentService(home) as service:
        there = [agent.name for agent in service.agents.list()]
        assert there == ["ada"] or "done" not in told
        if there:
            said = [message.content for message in service.messages.history("ada")]
            assert said[-2:] == ["Hello.", "Good day."]
            assert [p.content for p in service.passages.list("ada")] == ["Gulls eat bread."]


def post(home: str, told: Connection) -> None:
    scripted("call: remind()\n\nsay: Later.", "turn")

    class Host:
        notebook = None

        def lookup(self, tool: Tool) -> Any:
            return lambda: str(service.runs.post_event("ada", "The tea is ready."))

    journal.passing = lambda point: die() if point == "ended" else None
    with AgentService(home) as service:
        for _ in service.runs.send("ada", "Tea, please.", host=Host()):
            pass
    told.send("whole")


def test_a_posted_event_outlives_the_process(
    tmp_path: Path, fresh_project: Callable[[Path], Path]
) -> None:
    home = fresh_project(tmp_path / "home")
    with AgentService(home) as service:
        service.agents.create("ada", model="scripted/turn")
        source = "def remind() -> str:\n    '''Remind later.'''\n"
        tool = Tool(**schema_from_source(source), source=source)
        service.tools.attach(service.tools.upsert(tool).id, agent="ada")
    assert run(post, str(home)) == []  # it was killed
    with AgentService(home) as service:
        assert "True" in [m.content for m in service.messages.history("ada") if m.role == "tool"]
        for _ in range(2):  # looking does not take it
            assert service.runs.next_event("ada") == "The tea is ready."
        scripted("say: Thank you.", "turn")
        list(service.runs.send("ada", "The tea is ready.", role="event"))
        assert service.runs.next_event("ada") is None
