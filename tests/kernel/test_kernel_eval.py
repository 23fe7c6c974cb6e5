"""Experiments through a real kernel: a saved report, functions of the notebook, the stop button."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kernel_notebook import Notebook
from scripted_server import ScriptedServer
from scripted_wire import Answer, Call


def test_an_experiment_is_a_saved_output_and_its_cell_can_run_again(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    notebook.run(f"%cd {tmp_path}")
    server.default = lambda body: Answer(text="You are Kim.")
    notebook.run(
        "cases = [{'messages': ['Who am I?'], 'expected': name} for name in ('Kim', 'Ada')]\n"
        "def short(outcome):\n    return len(outcome.answer) < 20\n"
        "from letta_kernel import Experiment\n"
        "report = Experiment('names', cases, graders=[{'kind': 'contains'}, short]).run()"
    )
    shown = notebook.run("report")
    assert shown.status == "ok"
    assert "agent" in shown.text
    assert "50%" in shown.text
    assert len(server.requests) == 2
    assert notebook.run("print(report.df['passed'].tolist())").text.strip() == "[True, False]"
    notebook.run("import json; json.dump({'cases': cases}, open('names.json', 'w'))")
    for _ in range(2):
        ran = notebook.run("%agent eval names.json --threshold 0.5 --html names.html")
        assert ran.status == "ok", ran.text
        assert "Passed: the threshold of 50% is reached." in ran.text
    assert len(server.requests) == 2, "the same cases by the same agents: done already"
    # A run that is stopped is no result; the same line does it again.
    notebook.run("json.dump({'cases': cases, 'parallel': 1}, open('names.json', 'w'))")
    server.default = lambda body: Answer(text="Late.", before=60)
    request = notebook.send("%agent eval names.json --repeats 2")
    seen = len(server.received)
    stopped = notebook.finish(
        request, when=lambda ran: len(server.received) > seen, then=notebook.interrupt
    )
    assert stopped.status == "error"
    assert "the same line goes on where it was" in stopped.evalue + stopped.text
    server.default = lambda body: Answer(text="You are Ada.")
    went_on = notebook.run("%agent eval names.json --repeats 2")
    assert "4 runs are done." in went_on.text
    assert "50% (" in went_on.text
    wrong = notebook.run("%agent eval nmes.json")
    assert (wrong.status, "There is no file nmes.json" in wrong.evalue) == ("error", True)


def test_forks_of_an_agent_call_the_notebooks_functions(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    notebook.run(f"%cd {tmp_path}")
    notebook.run(
        'called = []\ndef weigh(thing: str) -> str:\n    """Weigh a thing."""\n'
        "    called.append(thing)\n    return f'{thing}: 7 kg'"
    )
    notebook.run("%agent new ada")

    def weighs(body: dict[str, Any]) -> Answer:
        last = body["messages"][-1]
        if last["role"] == "tool":
            return Answer(text=last["content"])
        return Answer(calls=[Call("call_1", "weigh", '{"thing": "owl"}')])

    server.default = weighs
    ran = notebook.run(
        "Experiment('weights', [{'messages': ['Weigh it.'], 'expected': '7 kg'}], agent='ada',"
        " repeats=2).run().passed, called"
    )
    assert ran.text.strip() == "(True, ['owl', 'owl'])"
    assert notebook.run("%agent history").text.strip().startswith("Nothing was said yet")
