"""`%agent export`, `%agent import` and a look at the tools that came."""

from __future__ import annotations

import json
from pathlib import Path

from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer


def refused(ran: Ran, said: str) -> None:
    assert (ran.status, ran.ename) == ("error", "AgentError"), ran
    assert said in ran.evalue


def test_an_agent_goes_through_a_file(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    notebook.run("%agent new ada --human Kim")
    notebook.run(
        'def twice(n: int) -> int:\n    """Double.\n\n    Args:\n        n: It.\n    """\n    return 2 * n'
    )
    server.say("Hello Kim")
    notebook.run("%%agent\nHi")
    file = tmp_path / "ada.af"
    said = notebook.run(f"%agent export {file}").text
    assert "ada is in" in said
    assert json.loads(file.read_text())["agents"][0]["name"] == "ada"
    assert "ada is in" in notebook.run(f"%agent export {file}").text  # its own export of before
    theirs = tmp_path / "theirs.af"
    theirs.write_text("{}")
    refused(notebook.run(f"%agent export {theirs}"), "--force")
    assert "ada is in" in notebook.run(f"%agent export {file} --force --legacy").text
    assert "core_memory" in json.loads(file.read_text())
    refused(notebook.run(f"%agent export {tmp_path}/no/where.af"), "cannot be written")

    said = notebook.run(f"%agent import {file} --name eve").text
    assert "Made eve" in said
    assert "Not attached until you have looked: twice" in said
    assert "return 2 * n" in notebook.run("%agent tools source twice").text
    refused(notebook.run("%agent tools source twise"), "'twice'")
    again = notebook.run(f"%agent import {file} --name eve").text
    assert "Found eve, made from ada.af before" in again
    assert "Made eve_copy" in notebook.run(f"%agent import {file} --name eve --again").text
    notebook.run("%agent use eve")
    assert "Hello Kim" in notebook.run("%agent history").text
    refused(notebook.run(f"%agent import {tmp_path}/none.af"), "cannot be read")
    file.write_text("{}")
    refused(notebook.run(f"%agent import {file}"), "no agent file")


def test_help_and_completion_know_them(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "bob.af").write_text("{}")
    assert "without secrets" in notebook.run("%agent help export").text
    matches = notebook.complete(f"%agent import {tmp_path}/b")
    assert matches == [f"{tmp_path}/bob.af"]
    assert "--no-history" in notebook.complete("%agent export --")
