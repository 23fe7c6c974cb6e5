"""What an agent does in the notebook it is talked to from: reads, runs, changes, and asks before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kernel_notebook import Notebook, Ran
from kernel_page import Page
from kernel_panel import PanelFailure
from scripted_server import ScriptedServer

from letta_kernel.errors import InvalidInputError
from letta_kernel.service import AgentService, Decision

BROKEN = "mean = sum(values) / len(valuse)"
MENDED = "mean = sum(values) / len(values)"

DOT = """
import base64
from IPython.display import Image
file = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
Image(base64.b64decode(file))
"""
PAY = """
from letta_kernel import tool
paid = []

@tool(requires_approval=True)
def pay(euros: int) -> str:
    'Pay.'
    paid.append(euros)
    return "paid"
"""


@pytest.fixture(scope="module", autouse=True)
def _values(notebook: Notebook) -> None:
    notebook.run("values = [3, 4, 8]\n_hidden = 1\nimport math")


@pytest.fixture
def page(notebook: Notebook) -> Iterator[Page]:
    opened = Page(
        notebook,
        [
            {"id": "data", "source": "values = [3, 4, 8]"},
            {"id": "broken", "source": BROKEN},
            {"id": "secret", "source": "password = 'hunter2'", "tags": ["private"]},
        ],
    )
    yield opened
    opened.leave()
    while notebook.run("get_ipython()._letta_magics.session.approvals.panels").text.strip() != "0":
        pass  # it has not heard of it yet


def returned(server: ScriptedServer, step: int = -1) -> str:
    """What the model was told of its last call."""
    return str(json.loads(server.requests[step]["messages"][-1]["content"])["message"])


def ask(
    notebook: Notebook, page: Page, agent: str, decide: Callable[[list[dict[str, Any]]], list[Any]]
) -> Ran:
    """Talk to *agent* in a cell; the page decides about what waits."""

    def answer() -> None:
        waiting = page.ask("pending", agent=agent)
        page.ask("approve", agent=agent, decisions=decide(waiting))

    return notebook.finish(
        notebook.send("%%agent\nMend the mean.", "talk"),
        when=lambda ran: "Waiting for your word" in ran.stdout,
        then=answer,
    )


def yes(**more: Any) -> Callable[[list[dict[str, Any]]], list[Any]]:
    return lambda calls: [{"call_id": one["id"], "approve": True, **more} for one in calls]


def test_an_agent_reads_edits_what_the_person_edits_runs_and_sees_the_output(
    notebook: Notebook, server: ScriptedServer, page: Page
) -> None:
    notebook.run("%agent new mender")
    server.call("notebook_read", {})
    server.call("notebook_edit", {"cell": "broken", "source": "mean = 5"})
    server.say("It is mended.")
    ran = ask(notebook, page, "mender", yes(arguments={"cell": "broken", "source": MENDED}))
    assert ran.answer == "It is mended."
    read = returned(server, -2)
    assert BROKEN in read
    assert "hunter2" not in str(server.requests)
    assert page.source("broken") == MENDED
    change = next(one["params"] for one in page.asked if one["method"] == "document.apply")
    assert change["agent_name"] == "mender"
    assert change["changes"][0]["before"] == BROKEN
    # Running asks each time, until it may for the run; a place will do for an id.
    server.calls([("notebook_variables", {"pattern": "m*"}), ("notebook_run_cell", {"cell": 1})])
    server.call("notebook_run", {"code": "print(mean * 2)\nmean"})
    server.say("Five.")
    ran = ask(notebook, page, "mender", yes(scope="run"))
    assert ran.answer == "Five."
    assert "math: module math" in str(server.requests[-2]["messages"])
    assert returned(server) == "10.0\n5.0"
    assert {"text/plain": "5.0"} in ran.displays
    # No secret goes to the model, whatever way it takes.
    notebook.run("db_password = 'correct-horse'")
    server.calls(
        [
            ("notebook_variables", {"pattern": "db_*"}),
            ("notebook_run", {"code": "print(db_password)"}),
        ]
    )
    server.call("notebook_run", {"code": "mean = 0"})
    server.say("So be it.")
    ran = ask(notebook, page, "mender", yes(scope="run"))
    assert "[hidden]" in ran.items("tool_call")[1]["result"]
    assert "correct-horse" not in str(server.requests)
    notebook.run("mean = 5.0")
    server.call("notebook_run", {"code": "mean = 0"})
    server.say("So be it.")
    ran = ask(notebook, page, "mender", lambda c: [{"call_id": c[0]["id"], "approve": False}])
    assert notebook.run("mean").text.strip() == "5.0"


def test_cells_are_put_in_moved_and_deleted_and_failures_are_told(
    notebook: Notebook, server: ScriptedServer, page: Page
) -> None:
    notebook.run("%agent new writer")
    notebook.run("%agent set notebook all")
    server.call("notebook_insert", {"source": "print('new')\n1 / 0", "after": "data"})
    server.call("notebook_insert", {"source": "# Title", "after": "top", "kind": "markdown"})
    server.call("notebook_insert", {"source": "last = 1"})
    server.call("notebook_move", {"cell": "broken", "after": "top"})
    server.call("notebook_run_cell", {"cell": "new-1"})
    server.call("notebook_delete", {"cell": "0"})
    for wrong in (
        {"cell": "nowhere", "source": ""},
        {"cell": "secret", "source": "known = 1"},
        {"cell": 99, "source": ""},
        {"source": "x"},
    ):
        server.call("notebook_edit", wrong)
    server.call("notebook_run", {"code": "def f(:"})
    server.say("Done.")
    ran = notebook.run("%%agent\nGo on.", "talk")
    assert ran.answer == "Done.", ran
    assert page.ids() == ["new-2", "data", "new-1", "secret", "new-3"]
    said = [item["result"] for item in ran.items("tool_call")]
    assert "ZeroDivisionError" in said[4]
    cell = next(one for one in page.cells if one["id"] == "new-1")
    assert [one["output_type"] for one in cell["outputs"]] == ["stream", "error"]
    for text, wanted in zip(
        said[6:], ("no cell", "private", "no cell", "cell", "SyntaxError"), strict=True
    ):
        assert wanted in text, said
    # What a person changed since the agent read it is left alone.
    server.call("notebook_read", {"cells": ["data"], "outputs": False})
    server.call("notebook_edit", {"cell": "data", "source": "values = [1]"})
    server.say("I leave it.")
    asked = len(server.requests)

    def change(_method: str) -> None:
        if len(server.requests) == asked + 2:  # it has read the cell, and edits it
            page.cells[1]["source"] = "values = []  # by hand"

    page.before_answer = change
    ran = notebook.run("%%agent\nChange the data.", "talk")
    assert "changed since you read it" in ran.items("tool_call")[1]["result"], ran
    assert page.source("data") == "values = []  # by hand"
    # What code draws is there for models that see, and what the tools take is in the context's account.
    server.call("notebook_run", {"code": DOT})
    server.say("A dot.")
    ran = notebook.run("%%agent\nDraw a dot.", "talk")
    assert "[image 1x1 PNG" in str(server.requests[-1]["messages"]), server.requests[-1][
        "messages"
    ][-2:]
    assert "notebook_run_cell" in notebook.run("%agent context --text").stdout


def test_policies_and_switches_say_what_is_offered_and_asks(
    notebook: Notebook, server: ScriptedServer, page: Page
) -> None:
    notebook.run("%agent new ruled")

    def asking(policy: str) -> dict[str, bool]:
        assert notebook.run(f"%agent set notebook {policy}").status == "ok"
        found = page.ask("notebook.tools", agent="ruled")
        assert found["policy"] == ("ask" if policy == "default" else policy)
        return {one["name"]: one["asks"] for one in found["tools"]}

    free = {name for name, asks in asking("ask").items() if not asks}
    assert free == {"notebook_read", "notebook_variables"}
    # JupyterLab's setting is what holds where the agent has none of its own.
    page.ask("settings", approval="approve")
    assert not any(asking("ask")[name] for name in free)
    assert asking("ask")["notebook_run"]
    notebook.run("%agent set notebook default")
    assert page.ask("notebook.tools", agent="ruled")["policy"] == "all"
    page.ask("settings", approval="ask")
    assert page.ask("notebook.tools", agent="ruled")["policy"] == "ask"
    runs = {name for name, asks in asking("edits").items() if asks}
    assert runs == {"notebook_run", "notebook_run_cell"}
    assert not any(asking("all").values())
    notebook.run("%agent rules add requires_approval notebook_run")
    assert asking("all")["notebook_run"]
    assert asking("off") == {}
    notebook.run("%agent set notebook_tools notebook_read,notebook_edit")
    assert set(asking("edits")) == {"notebook_read", "notebook_edit"}
    server.say("Two.")
    notebook.run("%%agent\nHow many?", "talk")
    offered = [one["function"]["name"] for one in server.requests[-1]["tools"]]
    assert [name for name in offered if name.startswith("notebook_")] == [
        "notebook_read",
        "notebook_edit",
    ]
    assert "notebook_" not in notebook.run("%agent tools").text
    assert "'notebook_red'" in notebook.run("%agent set notebook_tools notebook_red").evalue
    assert "ask" in notebook.run("%agent set notebook maybe").evalue
    # No code of the agent's goes around the word that a tool needs on every call.
    notebook.run(PAY)
    notebook.run(
        "%agent set notebook all\n%agent set notebook_tools default\n%agent rules remove 1"
    )
    server.call("notebook_run", {"code": "pay(3)"})
    server.say("I may not.")
    ran = notebook.run("%%agent\nPay by code.", "talk")
    assert "needs the person's word" in ran.items("tool_call")[0]["result"]
    assert notebook.run("paid").text.strip() == "[]"


def test_the_chat_that_runs_elsewhere_has_the_kernel_do_its_calls(
    notebook: Notebook, page: Page
) -> None:
    done = page.ask(
        "notebook.call", tool="notebook_run", arguments={"code": "print(sum(values))\n'end'"}
    )
    assert (done["status"], done["text"], done["output"]) == ("ok", "15\n'end'", "15\n")
    for code, text in (
        ("import asyncio\nawait asyncio.sleep(0)\n'awaited'", "awaited"),
        ("exit()", "nothing has been ended"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("from IPython.display import clear_output\nprint(1); clear_output(); print(2);", "2"),
        ("%nosuch", "not found"),
    ):
        done = page.ask("notebook.call", tool="notebook_run", arguments={"code": code})
        assert text in done["text"], done
    done = page.ask("notebook.call", tool="notebook_run_cell", arguments={"cell": "broken"})
    assert done["status"] == "error"
    assert "valuse" in done["text"]
    assert page.cells[1]["outputs"][-1]["ename"] == "NameError"
    done = page.ask("notebook.call", tool="notebook_variables", arguments={"pattern": 3})
    assert done["status"] == "error"
    with pytest.raises(PanelFailure, match="Did you mean 'notebook_run'"):
        page.ask("notebook.call", tool="notebook_rum", arguments={})


def test_an_error_goes_to_the_agent_and_what_it_changed_is_taken_back(
    notebook: Notebook, server: ScriptedServer, page: Page
) -> None:
    notebook.run("%agent new fixer")
    notebook.run("%agent memory human Works with means.")
    notebook.run("%agent set notebook edits")
    assert "No cell has failed" in notebook.run("%agent fix --cell data").evalue.replace(
        "This cell has not", "No cell has"
    )
    notebook.run(BROKEN, "broken")
    server.call("notebook_edit", {"cell": "broken", "source": MENDED})
    server.call("core_memory_append", {"label": "human", "content": "Mistypes."})
    server.say("A typing error.\n\n```python\nvalues[0]\n```\n\nor\n\n~~~\nvalues[1]\n~~~\n")
    ran = notebook.run("%agent fix Keep it short.")
    asked = server.requests[-3]["messages"][-1]["content"]
    for said in ("The cell broken", BROKEN, "NameError", "values: list, 3", "Keep it short."):
        assert said in asked
    assert page.source("broken") == MENDED
    assert notebook.run("%agent code").next_cell == "values[1]"
    assert notebook.run("%agent code 2").next_cell == "values[0]"
    assert "only 2" in notebook.run("%agent code 3").evalue
    server.say("It was a typing error.")
    ran = notebook.run("%agent explain-error --cell broken")
    assert "Change nothing" in server.requests[-1]["messages"][-1]["content"]
    # Run by run is taken back, in memory and in cells.
    assert "1 taken back" in notebook.run("%agent undo").text
    assert page.source("broken") == MENDED
    ran = notebook.run("%agent undo")
    assert "Cells are as before: 1" in ran.text
    assert page.source("broken") == BROKEN
    assert "Mistypes" not in notebook.run("%agent memory human").text.split("version")[0]
    assert "fixer has no run" in notebook.run("%agent undo").evalue
    # What was changed since is asked about, and left alone where nobody answers.
    server.call("notebook_edit", {"cell": "broken", "source": MENDED})
    server.call("core_memory_append", {"label": "human", "content": "Mistypes."})
    server.say("Again.")
    notebook.run("%agent fix --run")
    notebook.run("%agent memory human By hand.")
    page.cells[1]["source"] = "by_hand = 1"
    ran = notebook.run("%agent undo")
    assert "human left alone" in ran.text
    assert page.source("broken") == "by_hand = 1"


def test_the_stop_button_ends_code_an_agent_runs(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new looper")
    notebook.run("%agent set notebook all")
    server.call("notebook_run", {"code": "print('on', flush=True)\nwhile True: pass"})
    ran = notebook.finish(
        notebook.send("%%agent\nLoop.", "talk"),
        when=lambda _: len(server.requests) > 0 and server.waiting == 0,
        then=notebook.interrupt,
    )
    assert ran.ename == "Stopped", ran


def test_where_nobody_can_be_asked_there_are_proposals(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new alone")
    server.call("notebook_read", {})
    server.calls(
        [
            ("notebook_insert", {"source": "<b>new = 1</b>"}),
            ("notebook_run", {"code": "values = 0"}),
        ]
    )
    server.say("I proposed it.")
    ran = notebook.run("%%agent\nChange it.", "talk")
    assert ran.answer == "I proposed it."
    assert "values = [3, 4, 8]" in str(server.requests[-2]["messages"])  # what has run here
    assert "shown as a proposal" in returned(server)
    assert "Proposed: a new code cell" in ran.text
    assert "&lt;b&gt;new = 1&lt;/b&gt;" in str(ran.displays)
    assert notebook.run("values").text.strip() == "[3, 4, 8]"
    notebook.run("%agent set notebook edits")
    server.call("notebook_insert", {"source": "offered = 1"})
    server.say("There it is.")
    ran = notebook.run("%%agent\nChange it.", "talk")
    assert "Proposed" in ran.text
    assert "takes the proposal over" in returned(server)
    # What waits is approved later, with other arguments than the model's.
    notebook.run("%agent set notebook ask\n%env LETTA_APPROVAL=wait")
    server.call("notebook_run", {"code": "values = 0"})
    assert "waits for your word" in notebook.run("%%agent\nRun it.", "talk").text
    with AgentService(
        notebook.home
    ) as elsewhere:  # another door cannot do it, and leaves it waiting
        (call,) = elsewhere.runs.pending("alone")
        with pytest.raises(InvalidInputError, match="Approve it there"):
            elsewhere.runs.approve("alone", [Decision(call.id, approve=True)])
    server.say("So it is nine.")
    ran = notebook.run('%agent approve --args {"code": "values = [9]"} --for run')
    assert ran.answer == "So it is nine."
    assert notebook.run("values").text.strip() == "[9]"
    notebook.run("%env LETTA_APPROVAL=deny")
