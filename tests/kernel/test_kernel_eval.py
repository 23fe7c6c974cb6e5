"""Experiments through a real kernel: a saved report, functions of the notebook, the stop button."""

from __future__ import annotations

from kernel_notebook import Notebook
from scripted_server import ScriptedServer
from scripted_wire import Answer


def test_an_experiment_is_a_saved_output_and_its_cell_can_run_again(
    notebook: Notebook, server: ScriptedServer
) -> None:
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
    wrong = notebook.run("%agent eval nmes.json")
    assert (wrong.status, "There is no file nmes.json" in wrong.evalue) == ("error", True)
