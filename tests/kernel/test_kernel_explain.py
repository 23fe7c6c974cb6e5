"""`%agent explain` and `%agent memory --why`: from an answer to its request, from words to their step."""

from __future__ import annotations

import re

from kernel_notebook import Notebook, Ran
from scripted_server import ScriptedServer


def _html(ran: Ran) -> str:
    return "".join(str(one.get("text/html", "")) for one in ran.displays)


def test_a_step_is_explained_in_a_cell(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new ada --human Kim")
    server.call("core_memory_append", {"label": "human", "content": "Likes <b>figs</b>."})
    server.say("Noted.")
    notebook.run("%%agent\nI like figs.")

    ran = notebook.run("%agent explain")
    assert "byte for byte, what was sent" in ran.text
    assert "said: Noted." in ran.text
    sent = notebook.run("%agent explain --request").text
    assert sent.strip() == server.received[-1].raw.decode()
    first = notebook.run("%agent explain 1")
    assert "+ Likes <b>figs</b>." in first.text
    assert "core_memory_append" in first.text
    assert "<b>figs</b>" not in _html(first)
    assert "&lt;b&gt;figs&lt;/b&gt;" in _html(first)

    why = notebook.run('%agent memory human --why "likes"')
    [step] = set(re.findall(r"#(step-[0-9a-f-]{36})", _html(why)))
    assert f'id="{step}"' in _html(first)  # it leads there, without a kernel
    assert f"%agent explain {step[:13]} tells of that step." in why.text
    assert notebook.run(f"%agent explain {step[:13]}").text == first.text
    told = notebook.run("from letta_kernel import Agent\nAgent('ada').explain(1)").text
    assert told == first.text
    assert step in notebook.complete("%agent explain ")
    assert notebook.run("%agent explain 7").evalue.startswith("The last run has 2 steps")
