"""Figures that tools draw stand at their calls, and only there."""

from __future__ import annotations

from kernel_notebook import Notebook
from scripted_server import ScriptedServer

DEFINE = '''
import matplotlib.pyplot as plt

def draw(title: str):
    """Draw.

    Args:
        title: Above it.
    """
    plt.figure()
    plt.plot([1, 2]); plt.title(title)

def show(title: str) -> str:
    """Draw, show and tell."""
    draw(title); plt.show()
    return "shown"

def give(title: str):
    """Draw and return it."""
    draw(title)
    return plt.gcf()
'''


def test_a_figure_stands_at_the_call_that_drew_it(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new painter")
    assert notebook.run(DEFINE).status == "ok"
    for name in ("draw", "show", "give"):
        server.call(name, {"title": "Highs"})
        server.say("There it is.")
        ran = notebook.run("%%agent\nDraw.")
        (call,) = ran.items("tool_call")
        assert "image/png" in str(call["display"]) or isinstance(call["display"], int)
        assert "data:image/png" in str(ran.displays)
        others = [shown for shown in ran.displays if len(shown) < 3 and "image/png" in shown]
        assert others == [], name
    assert notebook.run("len(plt.get_fignums())").text.strip() == "0"


def test_figures_of_the_person_stay_where_they_are(
    notebook: Notebook, server: ScriptedServer
) -> None:
    server.call("draw", {"title": "Highs"})
    server.say("Nice.")
    talk = "get_ipython().run_cell_magic('agent', '', 'Draw.')"
    ran = notebook.run(f"plt.figure(); plt.plot([3, 1])\n{talk}")
    assert len(ran.items("tool_call")) == 1
    assert len([shown for shown in ran.displays if "image/png" in shown]) == 1  # the person's
