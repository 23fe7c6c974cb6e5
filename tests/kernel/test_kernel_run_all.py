"""Run All, again and again: what a notebook's cells do when what they make is there already."""

from __future__ import annotations

from pathlib import Path

from kernel_notebook import Notebook, Ran
from kernel_panel import Panel
from scripted_server import ScriptedServer


def quiet(ran: Ran) -> str:
    """The cell ended well and showed one line, which is returned."""
    assert ran.status == "ok", ran
    lines = ran.text.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_new_takes_the_agent_that_is_there(notebook: Notebook, server: ScriptedServer) -> None:
    line = '%agent new ada --human "Kim, of the puffins." --model openai/scripted --tags sea,ice'
    assert quiet(notebook.run(line)).startswith("Made ada")
    server.call("core_memory_append", {"label": "human", "content": "Likes tea."})
    server.say("Noted.")
    notebook.run("%%agent\nI like tea.")
    assert quiet(notebook.run(line)) == "Found ada; %%agent talks to it now."
    notebook.restart()
    assert quiet(notebook.run(line)) == "Found ada; %%agent talks to it now."
    assert "Likes tea." in notebook.run("%agent memory human").text

    said = quiet(notebook.run("%agent new ada --human Lee --max-steps 7 --tags sea --model demo"))
    assert "human is Kim, of the puffins. Likes tea. (%agent memory human Lee changes it)" in said
    assert "max_steps is 50 (%agent set max_steps 7 changes it)" in said
    assert "tags is sea, ice (%agent set tags sea changes it)" in said
    assert "model is openai/scripted (%agent set model demo changes it)" in said
    assert "Likes tea." in notebook.run("%agent memory human").text  # nothing was changed
    for change in ("memory human Lee", "set max_steps 7", "set tags sea", "set model demo"):
        assert notebook.run(f"%agent {change}").status == "ok"
    again = notebook.run("%agent new ada --human Lee --max-steps 7 --tags sea --model demo")
    assert quiet(again) == "Found ada; %%agent talks to it now."
    refused = notebook.run("%agent new ada --max-steps 100000")
    assert refused.status == "error"


def test_the_python_interface_keeps_what_the_agent_learned(
    notebook: Notebook, server: ScriptedServer
) -> None:
    cell = "from letta_kernel import Agent\nabe = Agent('abe', human='Kim.', max_steps=5)"
    notebook.run(cell)
    server.call("core_memory_append", {"label": "human", "content": "Likes tea."})
    server.say("Noted.")
    notebook.run("abe.send('I like tea.')")
    assert notebook.run(cell).status == "ok"
    assert "Likes tea." in notebook.run("abe.memory['human'].value").text
    notebook.run(cell.replace("Kim.", "Lee."))
    assert notebook.run("abe.memory['human'].value").text.strip() == "'Lee.'"
    notebook.run(cell.replace("max_steps", "fresh=True, max_steps"))
    assert notebook.run("abe.memory['human'].value").text.strip() == "'Kim.'"


def test_a_fresh_one_sets_the_old_one_aside(notebook: Notebook) -> None:
    notebook.run("%agent new eve --human First")
    said = quiet(notebook.run("%agent new eve --human Second --fresh"))
    assert "set aside" in said
    (old,) = [word for word in said.split() if word.startswith("agent-")]
    assert "Second" in notebook.run("%agent memory human").text
    assert old not in notebook.run("%agent list").text
    assert old in notebook.run("%agent list --all").text
    assert "Second" in notebook.run("%agent show eve").text
    said = quiet(notebook.run(f"%agent use {old}"))
    (new,) = [word for word in said.split() if word.startswith("agent-")]
    assert "First" in notebook.run("%agent memory human").text
    assert quiet(notebook.run("%agent new eve")) == "Found eve; %%agent talks to it now."
    assert "First" in notebook.run("%agent memory human").text
    notebook.run(f"%agent delete {new} --yes")
    assert new not in notebook.run("%agent list --all").text


def test_another_notebook_may_set_an_agent_aside_that_this_one_talks_to(
    notebook: Notebook,
) -> None:
    notebook.run("%agent new shared --human Here")
    notebook.run(
        "from letta_kernel import Agent\n"
        "_ = Agent('shared').service.agents.open('shared', fresh=True)"
    )
    panel = Panel(notebook).open()
    marked = panel.ask("notebook")["agent"]
    assert marked in [one["id"] for one in panel.ask("agents")]
    panel.close()
    listed = notebook.run("%agent list").text
    assert "set aside" in listed
    assert "* shared" in listed
    assert "Here" in notebook.run("%agent memory human").text


def test_a_name_that_several_have_is_asked_back(notebook: Notebook) -> None:
    """As agents made over REST may have."""
    notebook.run("%agent new twin")
    made = notebook.run(
        "from letta_kernel import Agent\n"
        "twin = Agent('twin')\n"
        "print(twin.id, twin.service.agents.create('twin', namesakes='keep').id)"
    )
    ids = made.stdout.split()
    for line in ("%agent use twin", "%agent new twin", "%%agent twin\nHello?", "Agent('twin')"):
        ran = notebook.run(line)
        assert ran.status == "error"
        assert all(one in ran.evalue for one in ids)
        assert "made 20" in ran.evalue
    listed = notebook.run("%agent list").text
    assert all(one in listed for one in ids)
    assert quiet(notebook.run(f"%agent use {ids[1]}")) == "%%agent talks to twin now."


def test_functions_go_to_the_agent_that_is_found(notebook: Notebook) -> None:
    notebook.run("%agent new tool-user")
    notebook.run("%agent new other")
    notebook.env["JPY_SESSION_NAME"] = "second.ipynb"
    notebook.restart()
    notebook.run(
        'def tern(n: int) -> int:\n    """Do.\n\n    Args:\n        n: It."""\n    return n'
    )
    assert "It can call tern." in quiet(notebook.run("%agent new tool-user"))
    assert (
        quiet(notebook.run("%agent new tool-user")) == "Found tool-user; %%agent talks to it now."
    )
    del notebook.env["JPY_SESSION_NAME"]
    notebook.restart()


def test_what_is_gone_need_not_be_deleted_again(notebook: Notebook) -> None:
    notebook.run("%agent new fleeting")
    assert quiet(notebook.run("%agent delete fleeting --yes")) == "Deleted fleeting."
    assert "Nothing to do" in quiet(notebook.run("%agent delete fleeting --yes"))
    assert notebook.run("%agent delete fleeting").status == "error"


TWICE = """
%agent new twice
%agent new partner
%agent use twice
%agent archival add --tags cliff The north cliff is closed.
%agent memory rules Log times are UTC.
%agent memory rules --share partner
%agent memory rules --description What to keep to.
%agent tools attach memory
%agent tools detach conversation_search
%agent rules add max_count_per_step memory 3
%agent rules add run_first memory
%agent rules remove run_first
%agent event Look out --every 1h
%agent event Once --in 2h
%agent memory gone --delete --yes
%agent archival delete passage-none
%agent delete nobody --yes
%agent record {folder}/tape.jsonl
%agent record --stop
%agent export {folder}/twice.af
%agent import {folder}/twice.af --name thrice
"""


def test_every_line_runs_a_second_time(notebook: Notebook, tmp_path: Path) -> None:
    lines = TWICE.format(folder=tmp_path).strip().splitlines()

    def all_of_them(when: str) -> None:
        for number, line in enumerate(lines):
            ran = notebook.run(line, f"cell-{number}")
            assert ran.status == "ok", (when, line, ran)

    def what_is_there() -> list[object]:
        code = (
            "from letta_kernel import Agent\n"
            "a = Agent('twice')\n"
            "print([len(a.service.passages.list(a.id)), len(a.service.blocks.versions(a.id, 'rules')),"
            " len(a.state.tool_rules), sorted(x.name for x in a.service.agents.list()),"
            " sorted(x.name for x in a.tools)])"
        )
        timers = notebook.run("%agent event").text.split(" · ")
        return [notebook.run(code).stdout, len(timers)]

    all_of_them("first")
    first = what_is_there()
    all_of_them("again")
    assert what_is_there() == first
    notebook.restart()
    all_of_them("after a restart")
    assert what_is_there() == first
    notebook.run("%agent rules add max_count_per_step memory 5")  # an edited cell
    assert notebook.run("%agent rules").text.count("max_count_per_step") == 1
    known = notebook.run("%agent archival add --tags cliff,north The north cliff is closed.")
    assert "already" in quiet(known)
    assert "north" in notebook.run("%agent archival list").text.split("tags")[1]
    notebook.run("%agent event Look out --every 3h", "cell-12")  # another edited cell
    assert notebook.run("%agent event").text.count("Look out") == 1
    notebook.run("%agent event --stop")


def test_an_agent_that_a_cell_renames_is_found_again(
    notebook: Notebook, server: ScriptedServer
) -> None:
    lines = ("%agent new cub", "%agent memory cub/a Hi", "%agent use cub", "%agent set name bear")
    for _ in range(3):
        for line in lines:
            assert notebook.run(line).status == "ok", line
        server.say("Hello.")
        assert notebook.run("%%agent cub\nHello").status == "ok"
        notebook.restart()
    found = quiet(notebook.run("%agent new cub"))
    assert found.startswith("Found bear, called cub before; %%agent talks to it now.")
    assert notebook.run("%agent list").text.count("bear") == 1
    # By its new name alone may it be deleted.
    assert "Nothing to do" in quiet(notebook.run("%agent delete cub --yes"))
    for _ in range(2):
        assert "set aside" in quiet(notebook.run("%agent new cub --fresh"))
        assert notebook.run("%agent set name bear").status == "ok"
    assert "called cub before" in notebook.run("%agent new cub").text
    notebook.run("from letta_kernel import Agent\nAgent('cub').service.agents.create('cub')")
    assert quiet(notebook.run("%agent new cub")) == "Found cub; %%agent talks to it now."
