"""`%agent sleeptime …`: memory is tidied behind the notebook's back, but never silently."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer
from scripted_wire import Answer, Call

EDIT = {"label": "human", "old_string": "Bergen", "new_string": "Oslo since May"}


@pytest.fixture(autouse=True)
def _tidies(server: ScriptedServer) -> Iterator[None]:
    """The model tidies once whenever it is asked to, and answers everything else."""

    def answer(body: dict[str, Any]) -> Answer:
        said = body["messages"]
        if "look after the memory of another agent" not in str(said[0]["content"]):
            return Answer(text="Fine.")
        if said[-1]["role"] == "tool":
            return Answer(text="It is in order.")
        call = Call(f"call_{len(server.received)}", "memory_replace", json.dumps(EDIT))
        return Answer(text="She moved.", calls=[call])

    before, server.default = server.default, answer
    yield
    server.default = before


def until(notebook: Notebook, line: str, said: str) -> Ran:
    """Run a line until it says something."""
    end = time.monotonic() + 60
    while said not in (ran := notebook.run(line)).text:
        assert time.monotonic() < end, ran.text
        time.sleep(0.2)
    return ran


def test_it_comes_by_itself_is_told_and_taken_back(notebook: Notebook) -> None:
    notebook.run("%agent new ada --human 'Lives in Bergen'")
    said = notebook.run("%agent sleeptime on --every 2").text
    assert "ada-sleeptime tidies its memory while ada rests, after 2 turns." in said
    notebook.run("%%agent\nI moved to Oslo in May.")
    assert "1 so far" in notebook.run("%agent sleeptime status").text
    notebook.run("%%agent\nIt rains there, too.")
    until(notebook, "%agent sleeptime status", "Tidied at")
    notebook.run("%agent sleeptime on --every 50")  # it shall not do so again
    assert "Oslo since May" in notebook.run("%agent memory human").text
    assert "ada-sleeptime" in notebook.run("%agent memory human --history").text
    told = notebook.run("%%agent\nHello.").notices
    assert [one["text"] for one in told] == [
        "ada-sleeptime tidied human. %agent sleeptime undo takes it back."
    ]
    assert not notebook.run("%%agent\nHello again.").notices
    assert "Taken back: human." in notebook.run("%agent sleeptime undo").text
    assert "Lives in Bergen" in notebook.run("%agent memory human").text
    assert "Nobody tidies" in notebook.run("%agent sleeptime off").text


def test_what_it_proposes_is_reviewed(notebook: Notebook) -> None:
    notebook.run("%agent new bea --human 'Lives in Bergen'")
    notebook.run("%agent sleeptime on --review")
    assert "Nothing was said" in notebook.run("%agent sleeptime now").text
    notebook.run("%%agent\nI moved to Oslo in May.")
    shown = notebook.run("%agent sleeptime now").text
    assert "human  She moved." in shown
    assert "+ Lives in Oslo since May" in shown
    assert "Lives in Bergen" in notebook.run("%agent memory human").text
    assert "Rejected: human." in notebook.run("%agent sleeptime review reject human").text
    assert "Nothing waits" in notebook.run("%agent sleeptime review").text
    notebook.run("%%agent\nIn May, as I said.")
    notebook.run("%agent sleeptime now")
    assert "Accepted: human." in notebook.run("%agent sleeptime review accept human").text
    assert "Oslo since May" in notebook.run("%agent memory human").text
    refused = notebook.run("%agent sleeptime review take")
    assert "Nothing waits" in refused.text or refused.status == "error"
