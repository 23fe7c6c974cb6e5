"""`%agent timeline`, `rewind`, `undo`, `redo`, `fork`, `diff`, and the same in Python, in a real kernel."""

from __future__ import annotations

import re

from kernel_notebook import Notebook
from scripted_server import ScriptedServer

PAY = '''
from letta_kernel import Agent

paid = []

def pay(euros: float) -> str:
    """Pay an amount.

    Args:
        euros: How much.
    """
    paid.append(euros)
    return f"paid {euros}"
'''


def test_a_story_goes_back_and_on_beside(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new traveller --human Kim")
    notebook.run(PAY)
    server.call("pay", {"euros": 5})
    server.call("memory_insert", {"label": "human", "new_string": "Paid five."})
    server.say("Done.")
    notebook.run("%%agent\nPay five.", "pay")
    server.say("Sunny.")
    notebook.run("%%agent\nHow is the weather?", "weather")
    tree = notebook.run("%agent timeline").text
    assert tree.index("How is the weather?") < tree.index("Pay five.")
    steps = re.findall(r"step-[0-9a-f]{8}", tree)
    assert len(set(steps)) >= 4
    # A tool that is defined anew comes back with the source it had.
    notebook.run(PAY.replace('f"paid', 'f"PAID'))
    ran = notebook.run("%agent undo")
    assert "1 taken back" in ran.text
    assert "the source of pay" in ran.text
    ran = notebook.run("%agent rewind --steps 3")
    assert "Cannot be taken back: pay(" in ran.text
    assert "Memory is as before: human" in ran.text
    assert "Nothing of" in notebook.run("Agent('traveller').fork('lonely').redo()").evalue
    assert "Memory is as before: human" in notebook.run("%agent redo").text
    server.say("Rainy.")
    notebook.run("%%agent\nAnd now?", "now")
    assert "said since" in notebook.run("%agent redo").evalue
    made = notebook.run("%agent fork wanderer")
    assert "wanderer is traveller as it is" in made.text
    offered = notebook.complete("%agent rewind ")
    assert any(one.startswith("branch-") for one in offered)
    assert any(one.startswith(steps[-1]) for one in offered)
    inherited = notebook.complete("%agent timeline --agent wanderer --at ")
    assert any(one.startswith(steps[-1]) for one in inherited)
    assert {"now", "wanderer"} <= set(notebook.complete("%agent diff "))
    server.say("I am the other.")
    notebook.run("%%agent wanderer\nWho are you?", "who")
    shown = notebook.run("%agent diff traveller wanderer").text
    assert "Who are you?" in shown
    assert "And now?" not in shown
    looked = notebook.run(
        "then = Agent('traveller').at(Agent('traveller').timeline.runs[-1].steps[0].id)\n"
        "print(then.blocks['human'], [tool.name for tool in then.tools if tool.name == 'pay'])"
    )
    assert "Kim ['pay']" in looked.text
    assert "no step, run or branch" in notebook.run("%agent rewind step-00000000").evalue
    assert "Say where to" in notebook.run("%agent rewind").evalue
