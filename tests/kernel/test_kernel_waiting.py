"""Notebooks that want the same agent: who waits sees for whom, in what order, and can stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from kernel_notebook import Notebook, Ran
from kernel_panel import Panel
from scripted_server import ScriptedServer


@pytest.fixture(scope="module")
def three(notebook: Notebook) -> Iterator[list[Notebook]]:
    """Three notebooks that talk to one agent."""
    env = {key: value for key, value in notebook.env.items() if key != "LETTA_HOME"}
    made = [
        Notebook(notebook.home, **{**env, "JPY_SESSION_NAME": f"{name}.ipynb"})
        for name in ("first", "second", "third")
    ]
    made[0].run("%agent new ada")
    for one in made[1:]:
        one.run("%agent use ada")
    yield made
    for one in made:
        one.close()


def hold(notebook: Notebook, server: ScriptedServer) -> str:
    """Let a cell talk to the agent, whose model does not answer."""
    seen = len(server.requests)
    server.hang(seconds=600, text="Never said.")
    request = notebook.send("%%agent\nI came first.", stdin=True)
    while len(server.requests) == seen:
        time.sleep(0.05)
    return request


def waits(ran: Ran) -> bool:
    return "busy in the notebook 'first.ipynb'; this goes on when it is free" in ran.text


def wait_then(notebook: Notebook, code: str, then: Callable[[], None]) -> Ran:
    """Run a cell, and do *then* once a person sees that it waits for the first notebook."""
    return notebook.finish(notebook.send(code, stdin=True), when=waits, then=then)


def asked(server: ScriptedServer) -> str:
    return str(server.requests[-1]["messages"][-1]["content"])


def test_those_who_wait_see_for_whom_and_go_on_in_their_order(
    three: list[Notebook], server: ScriptedServer
) -> None:
    first, second, third = three
    holding = hold(first, server)
    server.say("To the second.")
    server.say("To the third.")
    later: list[Ran] = []

    def the_third_comes_too() -> None:
        later.append(wait_then(third, "%%agent\nI came third.", first.interrupt))

    ran = wait_then(second, "%%agent\nI came second.", the_third_comes_too)
    assert first.finish(holding).ename == "Stopped"
    assert ran.status == "ok"
    assert ran.answer == "To the second."
    assert later[0].answer == "To the third."
    (said,) = ran.notices
    assert "Waited" in said["text"]
    assert "for the notebook 'first.ipynb'" in said["text"]
    assert not said["waits"]
    history = second.run("%agent history").text
    assert history.index("I came second.") < history.index("To the second.")
    assert history.index("To the second.") < history.index("I came third.")


def test_the_stop_button_ends_the_wait_and_nothing_was_sent(
    three: list[Notebook], server: ScriptedServer
) -> None:
    first, second, third = three
    holding = hold(first, server)
    for code in ("%%agent\nNever sent.", "from letta_kernel import Agent; Agent('ada').send('No')"):
        ran = wait_then(second, code, second.interrupt)
        assert ran.ename == "Stopped", ran
        assert "nothing was sent" in ran.evalue
    assert "is busy in the notebook" in ran.stderr  # the Python door says it too
    server.say("To the third.")
    answered = wait_then(third, "%%agent\nI am still here.", first.interrupt)
    assert answered.answer == "To the third."
    assert "Never sent." not in third.run("%agent history").text
    first.finish(holding)


def test_stop_in_the_panel_ends_a_cell_as_the_stop_button_does(
    three: list[Notebook], server: ScriptedServer
) -> None:
    first, second, _ = three
    panels = [Panel(first).open(), Panel(second).open()]
    holding = hold(first, server)

    def stop(panel: Panel) -> None:
        told = panel.until(lambda: panel.of("events"))
        assert panel.ask("cancel", run=told[-1]["run_id"])

    waited = wait_then(second, "%%agent\nNever sent.", lambda: stop(panels[1]))
    assert (waited.ename, waited.evalue) == ("Stopped", "Stopped waiting; nothing was sent.")
    stop(panels[0])
    ran = first.finish(holding)
    assert ran.ename == "Stopped"
    assert ran.run["footer"]["stop_reason"] == "cancelled"
    for panel in panels:
        panel.close()


def test_who_waits_goes_on_when_the_holders_kernel_dies(
    three: list[Notebook], server: ScriptedServer
) -> None:
    first, second, _ = three
    hold(first, server)
    server.say("Alone now.")
    ran = wait_then(second, "%%agent\nAre you free?", first.kill)
    assert ran.answer == "Alone now."
    first.start()


def test_a_tool_that_talks_to_its_own_agent_is_told_at_once(
    three: list[Notebook], server: ScriptedServer
) -> None:
    second = three[1]
    second.run(
        "from letta_kernel import Agent\n"
        "def ask_yourself() -> str:\n    '''Ask the agent itself.'''\n"
        "    return Agent('ada').send('Who am I?').text\n"
    )
    server.call("ask_yourself", {})
    server.say("That did not work.")
    ran = second.run("%%agent\nAsk yourself.")
    assert "in the middle of a run here" in ran.items("tool_call")[0]["result"]
    assert asked(server) != "Who am I?"


APPROVED = '''
from letta_kernel import tool

@tool(requires_approval=True)
def pay(euros: float) -> str:
    """Pay somebody.

    Args:
        euros: How much.
    """
    return f"{euros} paid"
'''


def test_a_run_that_waited_for_an_approval_is_one_row(
    three: list[Notebook], server: ScriptedServer
) -> None:
    second = three[1]
    second.run("%agent new kim")
    second.run(APPROVED)
    server.call("pay", {"euros": 4})
    second.run("%env LETTA_APPROVAL=wait")
    second.run("%%agent\nPay four euros, please.")
    waiting = second.run("%agent runs").text
    assert "waits for approval" in waiting
    assert "Pay four euros, please." in waiting
    server.say("Done.")
    ran = second.run("%agent approve")
    assert ran.run["footer"]["steps"] == 1  # of this cell; the other one asked
    shown = second.run("%agent runs").text
    assert "waits" not in shown
    assert "end_turn" in shown
    assert shown.count("Pay four euros, please.") == 1
    figures = second.run(
        "from letta_kernel import Agent\n"
        "(run,) = Agent('kim').runs\n"
        "steps = Agent('kim').service.steps.of_run(run.id, whole=True)\n"
        "print(run.steps, run.status, [step.number for step in steps])"
    ).stdout
    assert figures == "2 completed [1, 2]\n"
