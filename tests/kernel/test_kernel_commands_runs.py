"""`%agent cost`, `compact`, `context --text`, `record` and `replay`, and settings nobody may see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kernel_notebook import Notebook
from scripted_server import ScriptedServer

STORY = [
    "%agent new ada --human Kim",
    '''
def boiling(tea: str, cups: int = 1) -> str:
    """How hot the water has to be.

    Args:
        tea: The kind of tea.
        cups: How many cups.
    """
    return f"{tea}: {70 + cups} degrees"
''',
    "%%agent\nHow hot for sencha, two cups? And my name is Kim.",
    "%%agent\nThank you.",
]


def tell(notebook: Notebook, story: list[str]) -> list[dict[str, object]]:
    """Run the cells and return what the agent said and did."""
    said = []
    for code in story:
        ran = notebook.run(code)
        assert ran.status == "ok", ran
        if code.startswith("%%agent"):
            calls = [(i["name"], i["arguments"], i["result"]) for i in ran.items("tool_call")]
            said.append({"answer": ran.answer, "calls": calls, "model": ran.run["model"]})
    return said


def test_recorded_and_replayed_without_the_model(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    tape = tmp_path / "tea.jsonl"
    notebook.run("import os; os.environ['OPENAI_API_KEY'] = 'sk-very-secret-key-0123456789'")
    assert "Recording into" in notebook.run(f"%agent record {tape}").text
    server.calls([("boiling", {"tea": "sencha", "cups": 2})])
    server.say("72 degrees, Kim.")
    server.say("Enjoy it.")
    first = tell(notebook, STORY)
    assert "Recording into" in notebook.run("%agent record").text
    assert "answer for themselves" in notebook.run("%agent record --stop").text
    server.say("Not on the tape.")
    notebook.run("%%agent\nStill there?")
    assert "very-secret" not in tape.read_text()
    assert first[0]["calls"] == [("boiling", {"tea": "sencha", "cups": 2}, "sencha: 72 degrees")]

    replaying = Notebook(tmp_path / ".letta")  # no server, key or model
    try:
        refused = replaying.run(f"%agent replay {tmp_path / 'none.jsonl'}")
        assert refused.ename == "AgentError"
        assert "cannot be read" in refused.evalue
        assert "3 calls" in replaying.run(f"%agent replay {tape}").text
        assert tell(replaying, STORY) == first
        replaying.run(f"%agent replay {tape}")
        replaying.run("%agent new bob --human Kim")
        missed = replaying.run("%%agent\nHow hot for gyokuro?")
        assert missed.ename == "AgentError"
        assert "holds no answer" in missed.text
        assert "How hot for gyokuro?" in missed.text
        assert "answer for themselves" in replaying.run("%agent replay --stop").text
    finally:
        replaying.close()


def test_a_recording_never_overwrites_another_file(notebook: Notebook, tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("Years of work\n")
    ran = notebook.run(f"%agent record {precious}")
    assert ran.ename == "AgentError"
    assert "no recording" in ran.evalue
    assert precious.read_text() == "Years of work\n"
    assert "Nothing is recorded" in notebook.run("%agent record").text


def test_cost_of_runs_and_what_budgets_leave(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new saver")
    server.say("One.")
    notebook.run("%%agent\nCount.")
    server.say("Two.")
    notebook.run("%%agent\nGo on.")
    shown = notebook.run("%agent cost").text
    lines = {line[:20].strip(): line.split() for line in shown.splitlines()}
    assert lines["saver"][1] == "2"
    assert lines["the last run"][3] == "1"
    assert int(lines["saver"][3].replace(",", "")) > int(lines["the last run"][5].replace(",", ""))
    assert "budget" not in shown
    notebook.run("%agent set budget_tokens 50")
    assert "50 tokens" in notebook.run("%agent cost").text
    server.calls([("memory_insert", {"label": "human", "new_string": "Counts."})])
    ran = notebook.run("%%agent\nRemember that I count.")
    assert "budget of 50 tokens" in ran.text
    assert " is whole: " in notebook.run("%agent check").text


def test_a_spent_budget_asks_no_model(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new spender --model openai/gpt-5-mini")
    server.say("Dear.", usage={"prompt_tokens": 100, "completion_tokens": 2_000})
    notebook.run("%%agent\nSpend.")
    notebook.run("%agent set budget_total 0.002")
    asked = len(server.requests)
    ran = notebook.run("%%agent\nSpend more.")
    assert ran.run["footer"]["stop_reason"] == "max_tokens_exceeded"
    assert "budget of $0.002 for this agent is used up ($0.004" in ran.text
    assert len(server.requests) == asked


def test_a_budget_in_dollars_needs_a_price(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new blind")
    notebook.run("%agent set budget 0.01")
    server.say("One.")
    (notice,) = notebook.run("%%agent\nCount.").notices
    assert "what openai/scripted costs is not known" in notice["text"]
    notebook.run("%agent model demo")
    assert notebook.run("%%agent\nWhat can you do?").notices == []
    assert "$0" in notebook.run("%agent cost").text


def test_runs_know_their_notebook(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new clerk")
    assert "this notebook" not in notebook.run("%agent cost").text  # nothing names it yet
    notebook.run("os.environ['JPY_SESSION_NAME'] = 'tea.ipynb'")
    server.say("Yes.")
    notebook.run("%%agent clerk\nHello?")
    server.say("Yes again.")
    notebook.run("from letta_kernel import Agent; Agent('clerk').send('Hello?')")
    shown = notebook.run("%agent cost --agent clerk").text
    notebook.run("del os.environ['JPY_SESSION_NAME']")
    row = next(line for line in shown.splitlines() if line.startswith("this notebook"))
    assert row.split()[2] == "2"


def test_compacting_by_hand_and_the_exact_text(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new terse --human Kim likes sencha")
    assert "too short" in notebook.run("%agent compact").text
    for number in range(6):
        server.say(f"Answer {number}. " + "word " * 200)
        notebook.run(f"%%agent\nQuestion {number}: " + "why " * 200)
    server.say("They asked questions 0 to 5.")
    assert "They asked questions" in notebook.run("%agent compact").text
    exact = notebook.run("%agent context --text").stdout
    assert "=== memory blocks (" in exact
    assert "Kim likes sencha" in exact
    assert "They asked questions 0 to 5." in exact


def test_environment_variables_are_never_shown(notebook: Notebook) -> None:
    notebook.run("%agent new keeper")
    said = notebook.run('%agent set environment {"TEA_KEY": "hunter2"}').text
    said += notebook.run("%agent set environment POT_KEY=hunter23=").text
    said += notebook.run("%agent set").text + notebook.run("%agent show").text
    assert "TEA_KEY" in said
    assert "TEA_KEY=…, POT_KEY=…" in said
    code = (
        "from letta_kernel import Agent; Agent('keeper').state.settings['environment']['POT_KEY']"
    )
    assert "hunter23=" in notebook.run(code).text  # it is kept
    said += notebook.run("Agent('keeper').state").text  # as a cell ends, and is saved
    assert "hunter2" not in said
    assert "CUP_KEY is not set" in notebook.run("%agent set environment CUP_KEY").evalue
    notebook.run("import os; os.environ['CUP_KEY'] = 'hunter24'")
    assert "CUP_KEY=…" in notebook.run("%agent set environment CUP_KEY").text
    assert "hunter24" in notebook.run(code.replace("POT_KEY", "CUP_KEY")).text


@pytest.mark.duckdb
def test_a_kernel_s_files_are_its_user_s_whatever_the_umask(
    notebook: Notebook, tmp_path: Path
) -> None:
    opened = f"from letta_kernel.service import AgentService; AgentService({str(tmp_path / 'p')!r})"
    notebook.run(f"import os; before = os.umask(0)\n{opened}.agents.create('ada')")
    notebook.run("%agent new guarded")
    notebook.run("os.umask(before)")
    for home in (tmp_path / "p", notebook.home):
        modes = [path.stat().st_mode for path in (home, *home.rglob("*"))]
        assert not any(mode & 0o077 for mode in modes)
    (tmp_path / "p").chmod(0o755)
    assert "now only you can" in notebook.run(f"{opened}.agents.list()").stderr
    assert notebook.run(f"{opened}.agents.list()").stderr == ""


def test_files_are_completed(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "one tape.jsonl").touch()
    (tmp_path / "two.jsonl").touch()
    found = notebook.complete(f"%agent replay {tmp_path}{os.sep}")
    assert f'"{tmp_path / "one tape.jsonl"}"' in found
    assert str(tmp_path / "two.jsonl") in found


def test_list_lists_everywhere(notebook: Notebook) -> None:
    notebook.run("%agent new lister")
    for word in (
        "memory",
        "archival",
        "tools",
        "rules",
        "mcp",
        "runs",
        "model",
        "event",
        "set",
        "history",
    ):
        listed = notebook.run(f"%agent {word} list")
        assert listed.status == "ok", listed
        assert listed.text == notebook.run(f"%agent {word}").text
        assert "list" in notebook.complete(f"%agent {word} l")
        assert f"%agent {word}" in notebook.run(f"%agent help {word} list").stdout
    assert notebook.run("%agent tools list --agent lister").status == "ok"
    assert "--limit" in notebook.complete("%agent runs list --")
    notebook.run("%agent memory list Bread, tea.")  # a block may be called so
    assert "Bread, tea." in notebook.run('%agent memory "list"').text
    assert "Bread, tea." in notebook.run("%agent memory list").text
    assert "persona" in notebook.run("%agent memory list").text


def test_plots_are_pictures_that_say_what_they_show(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new plotted")
    assert "has made no step yet" in notebook.run("%agent plot").text
    server.say("Hello.")
    notebook.run("%%agent plotted\nHi!")
    for code in ("%agent plot", "from letta_kernel import Agent\nAgent('plotted').plot()"):
        ran = notebook.run(code)
        assert set(ran.displays[-1]) == {"image/png", "text/plain"}
        assert "Tokens of each step of plotted" in ran.text
    for what, title in (
        ("memory", "Memory of"),
        ("context", "Context window of"),
        ("branches", "Branches of"),
    ):
        assert f"{title} plotted" in notebook.run(f"%agent plot {what}").text
    notebook.run("%agent archival add The boat is blue.")
    ran = notebook.run("%agent plot retrieval Which colour has the boat? --limit 3")
    assert set(ran.displays[-1]) == {"image/png", "text/plain"}
    assert "The boat is blue." in ran.text
    assert "Did you mean 'tokens'?" in notebook.run("%agent plot token").text
