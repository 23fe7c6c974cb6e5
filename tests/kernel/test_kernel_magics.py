"""`%agent` and `%%agent` as a person types them: commands, mistakes, help, Tab, filling, approvals."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer


def refused(ran: Ran, said: str) -> None:
    """The cell failed with one line, and nothing of ours is to be seen."""
    assert (ran.status, ran.ename) == ("error", "AgentError"), ran
    assert said in ran.evalue
    assert len(ran.traceback) == 1
    assert "\n" not in ran.traceback[0]
    assert "letta_kernel/" not in ran.text


def test_a_notebook_without_an_agent(notebook: Notebook) -> None:
    """First in this file: nothing may make a project before an agent is wanted."""
    notebook.run("x = 1")
    assert "No agent yet" in notebook.run("%agent").text
    assert "No agents yet" in notebook.run("%agent list").text
    refused(notebook.run("%agent memory"), "This notebook has no agent yet")
    refused(notebook.run("%agent use ada"), "%agent new ada")
    notebook.complete("%agent use ")
    assert not notebook.home.exists()


def test_making_choosing_listing_showing(notebook: Notebook) -> None:
    made = notebook.run(
        "%agent new ada --persona I'm Ada's \"twin\" --human Kim {x + 1} --model openai/other "
        "--max-steps 7 --description helps with tea --style native"
    )
    assert made.status == "ok"
    shown = notebook.run("%agent show ada").text
    for part in ("openai/other", "I'm Ada's \"twin\"", "Kim 2", "helps with tea"):
        assert part in shown
    assert "7" in notebook.run("%agent set").text
    notebook.run("%agent new bob")
    assert "* bob" in notebook.run("%agent list").text
    notebook.run("%agent use ada")
    assert "* ada" in notebook.run("%agent list").text
    assert notebook.run("%agent new ada").text.strip() == "Found ada; %%agent talks to it now."
    assert len(notebook.run("%agent list").text.strip().splitlines()) == 4


def test_memory_of_the_current_agent(notebook: Notebook) -> None:
    notebook.run("%agent new keeper")
    notebook.run("%agent memory human It's Kim's: {\"a\": 1}, 'quoted', {x}")
    assert "It's Kim's: {\"a\": 1}, 'quoted', 1" in notebook.run("%agent memory human").text
    notebook.run("%agent memory goals Learn to brew")  # a new block
    assert "Learn to brew" in notebook.run("%agent memory").text
    notebook.run('%agent memory goals ""')
    assert "Learn to brew" not in notebook.run("%agent memory").text
    refused(notebook.run("%agent memory humn"), "Did you mean 'human'?")


def test_archive_and_search(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new archivist")
    notebook.run("%agent archival add --tags tea,heat Sencha wants water of 70 degrees")
    notebook.run("%agent archival add The bicycle is in the cellar")
    found = notebook.run("%agent archival search how hot for sencha?").text
    assert "Sencha wants water" in found
    assert "heat" in found
    listed = notebook.run("%agent archival").text
    assert "bicycle" in listed
    (passage,) = [line.split()[-1] for line in listed.splitlines() if "bicycle" in line]
    assert passage in notebook.complete("%agent archival delete ")
    notebook.run(f"%agent archival delete {passage}")
    assert "bicycle" not in notebook.run("%agent archival list").text
    refused(notebook.run("%agent archival serach tea"), "Did you mean 'search'?")
    server.say("At 70 degrees, as I said.")
    notebook.run("%%agent\nHow hot was that?")
    assert "70 degrees, as I said" in notebook.run("%agent search degrees").text
    assert "How hot was that?" in notebook.run("%agent history --limit 5").text
    assert "end_turn" in notebook.run("%agent runs").text
    assert "memory blocks" in notebook.run("%agent context").text
    assert "archival_memory_search" in notebook.run("%agent tools").text


def test_settings_and_model(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new tuned")
    assert "openai/scripted" in notebook.run("%agent model").text
    notebook.run("%agent set temperature 0.25")
    notebook.run("%agent set max-steps 3")
    shown = notebook.run("%agent set").text
    assert "0.25" in shown
    server.say("Yes.")
    notebook.run("%%agent\nHello?")
    assert server.requests[-1]["temperature"] == 0.25
    notebook.run("%agent set temperature default")
    assert "0.25" not in notebook.run("%agent set").text
    notebook.run("%agent model openai/another")
    server.say("Yes.")
    assert notebook.run("%%agent\nHello?").run["model"] == "openai/another"
    assert server.requests[-1]["model"] == "another"
    server.say("Yes.")
    assert notebook.run("%%agent --model openai/once\nHello?").run["model"] == "openai/once"
    notebook.run("%agent model default")
    assert "openai/scripted" in notebook.run("%agent show").text
    refused(notebook.run("%agent set temprature 1"), "Did you mean 'temperature'?")
    refused(notebook.run("%agent set temperature hot"), "temperature")
    refused(notebook.run("%agent set max-steps 0"), "max_steps")


def test_reset_and_delete(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new fleeting --human Kim")
    server.say("Hello.")
    notebook.run("%%agent\nHello?")
    notebook.run("%agent reset")
    assert "Hello?" not in notebook.run("%agent history").text
    assert "Kim" in notebook.run("%agent memory human").text
    refused(notebook.run("%agent delete fleeting"), "--yes")
    assert "still there" in notebook.run("%agent delete fleeting", answers=["n"]).text
    assert "Deleted" in notebook.run("%agent delete fleeting", answers=["y"]).text
    refused(notebook.run("%agent show fleeting"), "no agent 'fleeting'")
    refused(notebook.run("%agent memory"), "This notebook has no agent")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%agent shwo", "Did you mean 'show'?"),
        ("%agent keeper", "%agent use keeper"),
        ("%agent use keper", "Did you mean 'keeper'?"),
        ("%agent new", "NAME is missing"),
        ("%agent new x --modle y", "Did you mean '--model'?"),
        ("%agent new x y", "'y' is more than was expected"),
        ("%agent new 'x", "no spaces around"),
        ("%agent history --limit lots", "--limit needs a number"),
        ("%agent help shwo", "Did you mean 'show'?"),
        ("%%agent keper\nHello?", "Did you mean 'keeper'?"),
        ("%%agent keeper --max-setps 3\nHello?", "Did you mean '--max-steps'?"),
        ("%%agent keeper says hello\nHello?", "more than was expected"),
        ("%%agent keeper\n  \n", "nothing to send"),
        ("%%agent keeper\n{1 / (x - 1)}", "ZeroDivisionError"),
    ],
)
def test_mistakes_get_one_line(notebook: Notebook, line: str, said: str) -> None:
    if "'x" in line:  # an odd name, not an error
        ran = notebook.run(line)
        assert ran.status == "ok"
        return
    refused(notebook.run(line), said)


def test_run_all_stops_at_refused_input(notebook: Notebook) -> None:
    before = notebook.send("import time\ntime.sleep(3)")  # until both others have arrived
    first = notebook.send("%%agent nobody --max-setps 3\nHello?")
    second = notebook.send("print('must not run')")
    notebook.finish(before)
    notebook.finish(first)
    reply = notebook.client.get_shell_msg(timeout=60)
    assert reply["parent_header"]["msg_id"] == second
    assert reply["content"]["status"] == "aborted"


def test_what_a_cell_sends(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new listener\nname = 'Kim'")
    cell = 'Hi {name!r}, {{name}}, {"a": 1}, \\frac{a}{b}, {nobody}?\n\n  indented\n'
    server.say("Yes.")
    ran = notebook.run("%%agent\n" + cell)
    sent = server.requests[-1]["messages"][-1]["content"]
    filled = "Hi 'Kim', {name}, {\"a\": 1}, \\frac{a}{b}, {nobody}?\n\n  indented"
    assert sent.endswith(f"</notebook>\n\n{filled}")  # beside it stands the cell before
    assert "nobody is not defined" in ran.text
    server.say("Yes.")
    notebook.run("%%agent --raw\n{name} {{}}")
    assert server.requests[-1]["messages"][-1]["content"] == "{name} {{}}"
    server.say("Yes.")
    assert notebook.run("%%agent bob\nHello?").run["agent"] == "bob"
    server.say("Yes.")
    assert notebook.run("%%agent\nHello?").run["agent"] == "bob"  # it is the current one now


def test_lines_beside_python(notebook: Notebook) -> None:
    ran = notebook.run("%agent use keeper\nfor name in ['a', 'b']:\n    %agent memory human\nx = 1")
    assert ran.status == "ok"
    assert len(ran.displays) == 3
    assert notebook.run("%agent search isn't it?").status == "ok"


def test_help(notebook: Notebook) -> None:
    assert "%agent memory [LABEL [VALUE]]" in notebook.inspect("%agent")
    asked = notebook.client.execute("%agent?", reply=True, timeout=20)
    assert "%agent archival" in asked["content"]["payload"][0]["data"]["text/plain"]
    asked = notebook.client.execute("%%agent?", reply=True, timeout=20)
    assert "--raw" in asked["content"]["payload"][0]["data"]["text/plain"]
    shown = notebook.run("%agent help").text
    for word in ("new", "use", "memory", "archival search", "delete", "context"):
        assert f"%agent {word}" in shown
    assert "--persona" in notebook.run("%agent help new").text


def test_completion(notebook: Notebook) -> None:
    notebook.run("%agent use keeper")
    assert "memory" in notebook.complete("%agent ")
    assert notebook.complete("%agent mem") == ["memory"]
    assert notebook.complete("%agent use kee") == ["keeper"]
    assert "human" in notebook.complete("%agent memory ")
    assert notebook.complete("%agent memory per") == ["persona"]
    assert notebook.complete("%agent archival se") == ["search"]
    assert "--persona" in notebook.complete("%agent new x --")
    assert notebook.complete("%agent new x --per") == ["--persona"]
    assert "demo" in notebook.complete("%agent new x --model ")
    assert notebook.complete("%agent model dem") == ["demo"]
    assert notebook.complete("%agent set temp") == ["temperature"]
    assert notebook.complete("%agent new x --style ") == ["native", "heartbeat"]
    assert notebook.complete("%%agent kee") == ["keeper"]
    assert notebook.complete("%%agent keeper --ra\nHello", 19) == ["--raw"]
    assert notebook.complete("x = 1\n%agent tools det") == ["detach"]
    assert notebook.complete("%agent history --agent kee") == ["keeper"]
    notebook.run("apple_pie = 1")
    assert "apple_pie" in notebook.complete("apple_p")  # IPython's own goes on


def test_the_last_agent_is_the_notebooks_own(
    notebook: Notebook, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: notebook.env.pop("JPY_SESSION_NAME", None))
    for name in ("theirs", "ours"):
        notebook.run(f"%agent new {name}")
    notebook.run("%agent use ours")
    notebook.restart()
    assert "* ours" in notebook.run("%agent list").text
    notebook.env["JPY_SESSION_NAME"] = str(notebook.home.parent / "other.ipynb")
    notebook.restart()
    refused(notebook.run("%agent memory"), "This notebook has no agent yet")
    notebook.run("%agent use theirs")
    notebook.env["JPY_SESSION_NAME"] = "other.ipynb"  # the same notebook, named by a relative path
    notebook.restart()
    assert "* theirs" in notebook.run("%agent list").text
    del notebook.env["JPY_SESSION_NAME"]
    notebook.restart()
    assert "* ours" in notebook.run("%agent list").text


def test_an_error_inside_is_one_line_too(notebook: Notebook) -> None:
    notebook.run(
        "%agent new inside\n"
        "from letta_kernel.service.agents import Agents\n"
        "kept = Agents.list\n"
        "Agents.list = lambda self, **options: 1 / 0"
    )
    ran = notebook.run("%agent list")
    refused(ran, "Something went wrong inside letta-kernel (ZeroDivisionError")
    assert "ZeroDivisionError" in notebook.run("%agent traceback").stdout
    assert notebook.run("Agents.list = kept").status == "ok"
    assert notebook.run("%agent list").status == "ok"


APPROVAL = '''
from letta_kernel import tool
sent = []

@tool(requires_approval=True)
def post(text: str) -> str:
    """Send a letter.

    Args:
        text: What to write.
    """
    sent.append(text)
    return "sent"
'''


def test_approvals(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new clerk")
    assert "post(text)" in notebook.run(APPROVAL, "approval").text

    server.call("post", {"text": "one"})
    server.say("Posted.")
    ran = notebook.run("%%agent\nPost it.", answers=["y"])
    assert ran.status == "ok"
    assert "Posted." in ran.text
    assert notebook.run("sent").text.strip() == "['one']"

    server.call("post", {"text": "two"})
    server.say("Then not.")
    notebook.run("%%agent\nPost it.", answers=["not on a Sunday"])
    assert "not on a Sunday" in str(server.requests[-1]["messages"][-1]["content"])

    server.call("post", {"text": "three"})
    server.say("Nobody said yes.")
    notebook.run("%%agent\nPost it.")  # no stdin: nobody is there
    assert notebook.run("sent").text.strip() == "['one']"

    notebook.run("import os; os.environ['LETTA_APPROVAL'] = 'wait'")
    server.call("post", {"text": "four"})
    assert "%agent approve" in notebook.run("%%agent\nPost it.").text
    refused(notebook.run("%%agent\nHello?"), "%agent approve")
    server.say("Posted after all.")
    assert "Posted after all." in notebook.run("%agent approve").text
    assert notebook.run("sent").text.strip() == "['one', 'four']"
    refused(notebook.run("%agent deny too late"), "waits for no approval")


def test_stopping_an_approval_leaves_it_open(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new hesitant")
    notebook.run(APPROVAL, "approval")
    server.call("post", {"text": "later"})
    request = notebook.send("%%agent\nPost it.", stdin=True)

    def asked(_: Ran) -> bool:
        return notebook.client.stdin_channel.msg_ready()

    ran = notebook.finish(request, when=asked, then=notebook.interrupt)
    assert (ran.status, ran.ename) == ("error", "Stopped")
    assert "%agent approve" in ran.evalue
    server.say("Posted later.")
    assert "Posted later." in notebook.run("%agent approve").text


PERSON = """
from pydantic import BaseModel

class Person(BaseModel):
    name: str
    age: int
"""


def test_an_answer_becomes_a_variable_of_a_type(notebook: Notebook, server: ScriptedServer) -> None:
    """The cell shows the answer as any other; one that does not fit goes back once, then nothing is set."""
    notebook.run("%agent new registrar")
    notebook.run(PERSON)
    server.call("give_answer", {"name": "Kim", "age": "a lot"})
    server.call("give_answer", {"name": "Kim", "age": 36})
    ran = notebook.run("%%agent --as person Person\nWho am I?")
    assert ran.status == "ok", ran
    assert [item["text"] for item in ran.items("answer")][-1] == '{"name": "Kim", "age": 36}'
    assert notebook.run("print(type(person).__name__, person.age)").stdout.strip() == "Person 36"
    server.call("give_answer", {"columns": ["a", "b"], "rows": [[1, "x"], [2, "y"]]})
    assert notebook.run("%%agent registrar --as table DataFrame\nA table.").status == "ok"
    assert notebook.run("print(table['b'].tolist())").stdout.strip() == "['x', 'y']"
    server.call("give_answer", {"age": 1})
    server.say("I cannot.")
    refused(
        notebook.run("%%agent --as person Person\nOnce more?"),
        "The answer is not a valid Person: it is not valid JSON",
    )
    assert notebook.run("print(person.name)").stdout.strip() == "Kim"
    server.say("Just words.")
    assert notebook.run("%%agent --as words str\nHi").status == "ok"
    assert notebook.run("print(words)").stdout.strip() == "Just words."
    for wrong, said in (
        ("2x int", "--as needs a variable and a type"),
        ("x", "--as needs a variable and a type"),
        ("x Persn", "Persn is no type here (NameError"),
        ("x print", "An answer cannot be a"),
    ):
        refused(notebook.run(f"%%agent --as {wrong}\nHi"), said)
    server.call("give_answer", {"value": [{"name": "Kim", "age": 36}]})
    asked = notebook.run(
        "from letta_kernel import Agent\n"
        "print(Agent('registrar').ask('Who is there?', as_type=list[Person])[0].name)"
    )
    assert asked.stdout.strip() == "Kim", asked
    server.say("No.")
    server.say("Never.")
    failed = notebook.run("Agent('registrar').ask('Who?', as_type=Person)")
    assert (failed.ename, failed.status) == ("AnswerError", "error")
    assert "The answer is not a valid Person" in failed.evalue
    assert "letta_kernel/" not in failed.text


def test_skills_beside_the_notebook_are_offered_after_a_yes(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    notebook.run(f"%env XDG_CONFIG_HOME={tmp_path}")
    notebook.run("%agent new skilled")
    assert "No skills here" in notebook.run("%agent skills").text
    folder = notebook.home.parent / "skills" / "tea"
    folder.mkdir(parents=True)
    try:
        text = "---\nname: tea\ndescription: Brews tea.\n---\nRun brew.py."
        (folder / "SKILL.md").write_text(text)
        (folder / "brew.py").write_text("import sys\nprint('tea for', sys.argv[1])")
        server.say("Hello.")
        ran = notebook.run("%%agent\nHi")
        told = [item["text"] for item in ran.notices]
        assert any("not offered yet: tea" in one and "%agent skills allow" in one for one in told)
        assert "tea" not in str(server.requests[-1]["messages"])
        refused(notebook.run("%agent skills allow"), "Nobody can be asked here; add --yes")
        assert "waits for your yes" in notebook.run("%agent skills").text
        assert "Nothing has changed" in notebook.run("%agent skills allow", answers=["n"]).text
        allowed = notebook.run("%agent skills allow tea", answers=["y"]).text
        assert "tea (skills/tea; with brew.py): Brews tea." in allowed
        assert "Agents are offered: tea." in allowed
        server.call("skill_run", {"name": "tea", "script": "brew.py", "arguments": ["two"]})
        server.say("Brewed.")
        ran = notebook.run("%%agent\nTea, please.", answers=["y"])
        assert "- tea: Brews tea." in server.requests[-1]["messages"][0]["content"]
        assert ran.items("tool_call")[0]["result"].strip() == "tea for two", ran.run
        (folder / "brew.py").write_text("print('coffee')")
        assert "has changed" in notebook.run("%agent skills").text
        refused(notebook.run("%agent skills allow coffee"), "There is no skill 'coffee' here")
        assert "Not offered any more: tea." in notebook.run("%agent skills off").text
        assert " off " in f"{notebook.run('%agent skills').text} "
    finally:
        shutil.rmtree(folder.parent)
