"""`%agent tools …`, `%agent rules` and `%agent approve … --args`, through the real kernel."""

from __future__ import annotations

import json

import pytest
from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer

TOOLS = '''
from letta_kernel import tool
posted = []
base = 70

def boiling(tea: str, cups: int = 1) -> str:
    """How hot the water has to be.

    Args:
        tea: The kind of tea.
        cups: How many cups.
    """
    print("looking it up")
    if tea == "coffee":
        raise ValueError("that is no tea")
    return f"{tea}: {base + cups} degrees"

@tool(runs_in="sandbox")
def shout(text: str) -> str:
    """Say it loudly.

    Args:
        text: What to say.
    """
    return text.upper()

def post(text: str) -> str:
    """Send a letter.

    Args:
        text: What to write.
    """
    posted.append(text)
    return "sent"
'''

EGGS = '''
seen = []
def count_eggs(nest: str) -> int:
    """Count eggs."""
    seen.append(nest)
    return 3
'''


@pytest.fixture(scope="module")
def kettle(notebook: Notebook) -> Notebook:
    notebook.run("%agent new kettle")
    assert "kettle can call" in notebook.run(TOOLS, "tools-cell").text
    return notebook


def refused(ran: Ran, said: str) -> None:
    assert (ran.status, ran.ename) == ("error", "AgentError"), ran
    assert said in ran.evalue


def row(ran: Ran, name: str) -> str:
    return next(line for line in ran.text.splitlines() if line.startswith(f"{name}("))


def test_code_that_raised_is_shown_as_failed(kettle: Notebook, server: ScriptedServer) -> None:
    kettle.run("%agent tools attach run_code")
    server.call("run_code", {"code": "print('begun')\nopen('nowhere')"})
    server.say("It is not there.")
    (item,) = kettle.run("%%agent\nOpen it.").items("tool_call")
    assert (item["state"], item["error"][:18]) == ("error", "FileNotFoundError:")
    assert "open('nowhere')" in item["result"]
    assert "letta_kernel" not in item["traceback"]
    assert "begun" in server.requests[-1]["messages"][-1]["content"]
    assert "FileNotFoundError" in row(kettle.run("%agent tools"), "run_code")
    refused(
        kettle.run("%agent tools run run_code code=1 / 0"), "ZeroDivisionError: division by zero"
    )
    kettle.run("%agent tools detach run_code")


def test_run_by_hand_with_the_same_validation(kettle: Notebook) -> None:
    for arguments in ("tea=sencha cups=2", '{"tea": "sencha", "cups": 2}', "cups=2 tea='sencha'"):
        ran = kettle.run(f"%agent tools run boiling {arguments}")
        assert "sencha: 72 degrees" in ran.text, arguments
        assert "looking it up" in ran.stdout
    kettle.run("kind = 'green tea'")
    assert "green tea: 71 degrees" in kettle.run("%agent tools run boiling tea={kind}").text
    assert "LOUD AND CLEAR" in kettle.run("%agent tools run shout loud and clear").text
    refused(kettle.run("%agent tools run boiling tea=sencha cups=many"), "cups")
    refused(kettle.run("%agent tools run boiling sencha"), "tea=… cups=…")
    refused(kettle.run('%agent tools run boiling {"tea": '), "no JSON")
    refused(kettle.run("%agent tools run boilin tea=x"), "Did you mean 'boiling'?")
    failed = kettle.run("%agent tools run boiling tea=coffee")
    refused(failed, "ValueError: that is no tea")
    assert "letta_kernel" not in failed.text
    assert "raise ValueError" in kettle.run("%agent traceback").text


def test_the_table_and_the_schema(kettle: Notebook, server: ScriptedServer) -> None:
    server.calls([("boiling", {"tea": "sencha"}), ("boiling", {"tea": "coffee"})])
    server.say("71 degrees.")
    kettle.run("%%agent kettle\nHow hot?")
    shown = kettle.run("%agent tools")
    assert "boiling(tea: str, cups: int = …)" in shown.text
    for said in ("notebook", "tools-ce", "that is no tea"):
        assert said in row(shown, "boiling")
    assert "  2  " in row(shown, "boiling")
    assert "sandbox" in row(shown, "shout")
    schema = json.loads(kettle.run("%agent tools schema boiling").stdout)
    sent = next(
        tool["function"]
        for tool in server.requests[-1]["tools"]
        if tool["function"]["name"] == "boiling"
    )
    assert schema == sent


def test_attach_detach_and_who_has_a_changed_tool(kettle: Notebook) -> None:
    kettle.run("%agent new second")
    refused(kettle.run("%agent tools run boiling tea=sencha"), "has no tool 'boiling'")
    assert "second can call boiling" in kettle.run("%agent tools attach boiling").text
    assert "sencha: 71" in kettle.run("%agent tools run boiling tea=sencha").text
    changed = kettle.run(TOOLS.replace("How hot", "Just how hot"), "tools-cell")
    assert "boiling has changed for kettle too" in changed.text
    assert "shout has changed" not in changed.text
    assert "no longer has boiling" in kettle.run("%agent tools detach boiling").text
    gone = kettle.run("%agent tools detach boiling")  # as when a notebook runs again
    assert gone.status == "ok"
    assert "Nothing to do." in gone.text
    refused(kettle.run("%agent tools detach boilling"), "has no tool 'boilling'")


def test_approval_on_and_off_and_edited_arguments(kettle: Notebook, server: ScriptedServer) -> None:
    kettle.run("%agent use kettle")
    assert "asks before" in kettle.run("%agent tools approve post on").text
    kettle.run(TOOLS, "tools-cell")  # running the cell again does not take that away
    assert "asks first" in row(kettle.run("%agent tools"), "post")
    server.call("post", {"text": "one"})
    server.say("Nobody was there.")
    kettle.run("%%agent\nPost it.")  # no stdin and no policy: denied
    assert kettle.run("posted").text.strip() == "[]"

    kettle.run("import os; os.environ['LETTA_APPROVAL'] = 'wait'")
    server.calls([("post", {"text": "two"}), ("boiling", {"tea": "oolong"})])
    kettle.run("%%agent\nPost it.")
    call, harmless = kettle.complete("%agent approve call")
    refused(kettle.run("%agent approve shout"), f"it waits for: {call} (post), {harmless}")
    refused(kettle.run("%agent approve --args {}"), "--args is for one call")
    refused(kettle.run("%agent approve post --args {tea"), "no JSON")
    server.say("Posted as you like it.")
    ran = kettle.run(f'%agent approve {call} --args {{"text": "two, edited"}}')
    assert "Posted as you like it." in ran.text
    assert "oolong: 71 degrees" in str(server.requests[-1]["messages"][-1])
    assert kettle.run("posted").text.strip() == "['two, edited']"
    refused(kettle.run("%agent approve"), "waits for no approval")

    assert "without asking" in kettle.run("%agent tools approve post off").text
    server.call("post", {"text": "three"})
    server.say("Posted.")
    kettle.run("%%agent\nPost it.")
    assert kettle.run("posted[-1]").text.strip() == "'three'"


def test_rules(kettle: Notebook, server: ScriptedServer) -> None:
    kettle.run("%agent use kettle")
    assert "No rules" in kettle.run("%agent rules").text
    kettle.run("%agent rules add run_first boiling")
    kettle.run("%agent rules add constrain_child_tools boiling post shout")
    kettle.run("%agent rules add max_count_per_step post 2")
    listed = kettle.run("%agent rules add conditional shout YES=post NO=boiling --default post")
    for said in (
        "boiling must be called first.",
        "Right after boiling you may only call: post, shout.",
        "at most 2 times",
        "YES → post; NO → boiling; anything else → post",
    ):
        assert said in listed.displays[0]["text/html"]
    server.call("boiling", {"tea": "sencha"})
    server.call("post", {"text": "hot"})
    server.say("Posted.")
    kettle.run("%%agent\nHow hot? Post it.")
    first, second = server.requests[-3:-1]
    assert [tool["function"]["name"] for tool in first["tools"]] == ["boiling"]
    assert {tool["function"]["name"] for tool in second["tools"]} == {"post", "shout"}
    assert "max_count" not in kettle.run("%agent rules remove 3").text
    assert "No rules" not in kettle.run("%agent rules remove boiling").text
    assert "No rules" in kettle.run("%agent rules remove shout").text
    refused(kettle.run("%agent rules remove 7"), "no rule '7'")
    refused(kettle.run("%agent rules add run_frist post"), "Did you mean 'run_first'?")
    refused(kettle.run("%agent rules add run_first psot"), "Did you mean 'post'?")
    refused(kettle.run("%agent rules add run_first post shout"), "takes a tool and nothing else")
    refused(kettle.run("%agent rules add constrain_child_tools post"), "Name the tools")
    refused(kettle.run("%agent rules add max_count_per_step post many"), "How many times?")
    assert "No rules" in kettle.run("%agent rules").text


def test_completion(kettle: Notebook) -> None:
    kettle.run("%agent use kettle")
    assert kettle.complete("%agent tools run boil") == ["boiling"]
    assert kettle.complete("%agent tools approve post ") == ["on", "off", "--agent"]
    assert kettle.complete("%agent rules add run") == ["run_first"]
    assert kettle.complete("%agent rules add constrain_child_tools boiling sho") == ["shout"]
    assert set(kettle.complete("%agent tools ")) >= {"run", "schema", "approve", "attach"}


def test_a_stored_tool_finds_its_helpers_after_a_restart(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new brewer")
    notebook.run("from pydantic import BaseModel\n\nclass Pot(BaseModel):\n    litres: float")
    notebook.run("FACTOR = 4\n\ndef _cups(pot):\n    return pot.litres * FACTOR")
    notebook.run('''
def cups(pot: Pot) -> str:
    """How many cups a pot fills.

    Args:
        pot: The pot.
    """
    return f"{_cups(pot)} cups"
''')
    notebook.restart()
    notebook.run("%agent use brewer")
    assert "6.0 cups" in notebook.run('%agent tools run cups {"pot": {"litres": 1.5}}').text
    assert "from its source" in row(notebook.run("%agent tools"), "cups")


def test_agents_of_a_notebook_ask_each_other(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new warden")
    notebook.run(EGGS)
    notebook.run("%agent new asker")
    for name in ("send_message_to_agent_and_wait_for_reply", "send_message_to_agent_async"):
        ran = notebook.run(f"%agent tools attach {name}")
        assert ran.status == "ok", ran.text
    server.call(
        "send_message_to_agent_and_wait_for_reply",
        {"message": "How many eggs?", "other_agent_id": "warden"},
    )
    server.call("count_eggs", {"nest": "north"})
    server.say("Three.")
    server.say("The warden says three.")
    ran = notebook.run("%%agent\nAsk the warden.")
    assert ran.answer == "The warden says three."
    (call,) = ran.items("tool_call")
    (other,) = call["asked"]
    assert (other["agent"], other["state"]) == ("warden", "ended")
    assert [item["kind"] for item in other["items"]] == ["tool_call", "answer"]
    html = next(b["text/html"] for b in ran.displays if "text/html" in b)
    assert "<b>warden</b>" in html or "warden · " in html
    assert notebook.run("print(seen)").stdout == "['north']\n"  # called live, in this kernel
    history = notebook.run("%agent history --agent warden").text
    assert "How many eggs?" in history
    assert "asker" in history
    assert "Incoming message" not in history
    server.call("send_message_to_agent_async", {"message": "Thanks!", "other_agent_id": "warden"})
    server.say("Told.")
    server.say("You are welcome.")
    notebook.run("%%agent\nThank the warden.")
    waits = """
import time
from letta_kernel import Agent
until = time.monotonic() + 30
while len(Agent("warden").messages) < 6 and time.monotonic() < until:
    time.sleep(0.05)
print(Agent("warden").messages[-2].bare)
"""
    assert notebook.run(waits).stdout == "Thanks!\n"
