"""`%agent event`: now, by a timer, posted by a tool of the agent itself; and its mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer


def later(notebook: Notebook, request: str, said: str) -> Ran:
    """Collect what appears under a cell that has ended, until it says *said*."""
    ran, by_id = Ran(), {}
    deadline = time.monotonic() + 60
    while said not in ran.text:
        assert time.monotonic() < deadline, ran.text
        try:
            message = notebook.next(request)
        except Empty:
            continue
        if message is not None:
            if message["msg_type"] == "update_display_data":
                by_id.setdefault(message["content"]["transient"]["display_id"], {})
            notebook._take(message, ran, by_id)
            if message["msg_type"] == "update_display_data":
                ran.displays.append(message["content"]["data"])
    return ran


def test_an_event_now(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new ada")
    server.say("I water the plants.")
    ran = notebook.run("%agent event The sun has risen")
    assert ran.answer == "I water the plants."
    shown = server.requests[-1]["messages"][-1]
    assert "The sun has risen" in str(shown["content"])
    assert "event" in notebook.run("%agent history").text


def test_a_timer_runs_between_cells_under_its_own_cell(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new timekeeper")
    server.say("Then I take the tea out.")
    request = notebook.send("%agent event The tea is ready --in 1s")
    set_ran = notebook.finish(request)
    assert "timekeeper: event at" in set_ran.text
    busy = notebook.run("import time; time.sleep(1.5); 'cell done'")
    assert "cell done" in busy.text
    assert "tea out" not in busy.text
    ran = later(notebook, request, "Then I take the tea out.")
    assert ran.status == ""  # the cell itself had ended before
    assert "The tea is ready" in str(server.requests[-1]["messages"][-1]["content"])
    assert "No timers" in notebook.run("%agent event").text


def test_a_timer_that_repeats_until_it_is_stopped(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new watcher")
    server.say("First look.")
    server.fault(401)
    server.say("Third look.")
    request = notebook.send("%agent event Look around --every 1s")
    notebook.finish(request)
    ran = later(notebook, request, "Third look.")  # the refused key in between did not end it
    assert "First look." in ran.text
    server.default = lambda body: server_answer("More.")
    assert "watcher: event at" in notebook.run("%agent event").text
    assert "Stopped 1 timer of watcher" in notebook.run("%agent event --stop").text
    count = len(server.requests)
    notebook.run("time.sleep(1.2)")
    notebook.run("1")
    assert len(server.requests) == count


def server_answer(text: str) -> object:
    from scripted_wire import Answer

    return Answer(text=text)


TOOL = '''
from letta_kernel import Agent

def remind(about: str) -> str:
    """Set a reminder.

    Args:
        about: What of.
    """
    posted = Agent("poster").event(f"Reminder: {about}")
    return f"set, {posted}"
'''


def test_a_tool_posts_an_event_for_its_own_agent(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new poster")
    notebook.run(TOOL)
    server.call("remind", {"about": "tea"})
    server.say("I set it.")
    server.say("The tea!")
    ran = notebook.run("%%agent\nRemind yourself of tea.")
    runs = [b["application/vnd.letta.run.v1+json"] for b in ran.displays if len(b) >= 3]
    assert [run["items"][-1]["text"] for run in runs] == ["I set it.", "The tea!"]
    assert "set, None" in ran.text
    server.call("remind", {"about": "cake"})
    server.say("Again.")
    server.say("The cake!")
    ran = notebook.run("Agent('poster').send('Remind yourself of cake.').text")
    assert "Again." in ran.text
    assert "The cake!" in notebook.run("%agent history").text
    server.say("Good night.")
    assert "Good night." in notebook.run("Agent('poster').event('It is late').text").text


def test_mistakes_with_events(notebook: Notebook) -> None:
    notebook.run("%agent new strict")
    for line, said in {
        "%agent event Tea --in soon": "no length of time",
        "%agent event Tea --in 0s": "one second",
        "%agent event --every 10m": "What is the event?",
        "%agent event Tea --stop": "--stop stands alone",
    }.items():
        ran = notebook.run(line)
        assert ran.ename == "AgentError", line
        assert said in ran.evalue
    assert "No timers" in notebook.run("%agent event").text


def test_the_stop_button_ends_what_a_timer_began(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new patient")
    server.hang(120)
    count = len(server.requests)
    request = notebook.send("%agent event Wake up --in 1s")
    notebook.finish(request)
    deadline = time.monotonic() + 60
    while len(server.requests) == count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    notebook.interrupt()
    later(notebook, request, "Stopped; %agent event --stop")  # the hanging answer takes longer
    server.say("Good morning.")
    assert "Good morning." in notebook.run("%%agent\nAwake?").text


def test_a_call_that_needs_a_word_waits_when_a_timer_made_it(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new humble")
    notebook.run("%agent tools approve memory_insert on")
    server.call("memory_insert", {"label": "human", "new_string": "Sleeps."})
    request = notebook.send("%agent event It is late --in 1s", stdin=True)
    notebook.finish(request)
    later(notebook, request, "%agent approve, or %agent deny REASON")
    server.say("Written.")
    assert "Written." in notebook.run("%agent approve").text
    assert "Sleeps." in notebook.run("%agent memory human").text


def test_a_timer_in_a_terminal(tmp_path: Path) -> None:
    typed = """%load_ext letta_kernel
%agent new ada
%agent event "Remember that the tea is ready" --in 1s
import time; time.sleep(1.5)
"said " + "next"
"""
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor"],
        input=typed,
        env={**os.environ, "LETTA_HOME": str(tmp_path / ".letta"), "LETTA_MODEL": "demo"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    shown = done.stdout
    assert "ada: event at" in shown
    assert shown.index("ada · demo") < shown.index("said next")
