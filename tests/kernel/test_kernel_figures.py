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


def test_a_figure_in_braces_is_seen_by_the_model_and_small_in_the_run(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new seer")
    notebook.run(
        "import matplotlib.pyplot as plt\nfrom PIL import Image\n"
        "fig, axes = plt.subplots(); axes.plot([3, 1]); plt.close(fig)\n"
        "red = Image.new('RGB', (400, 200), 'red')"
    )
    server.say("A line, and red.")
    ran = notebook.run("%%agent\nWhat is in {fig} and {red}? Not {{this}}, {red.width}.")
    content = server.requests[-1]["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url", "text"]
    said = [part["text"].rpartition("</notebook>\n\n")[2] for part in content[::2]]
    assert said == ["What is in", "and", "? Not {this}, 400."]
    assert all(part["image_url"]["url"].startswith("data:image/png") for part in content[1::2])
    (shown,) = ran.items("pictures")
    assert shown["pictures"][1]["alt"].startswith("image 400x200 PNG, ")
    assert all(one["src"].startswith("data:image/jpeg;base64,") for one in shown["pictures"])
    saved = next(one for one in ran.displays if "text/html" in one)
    assert 'alt="image 400x200 PNG, ' in saved["text/html"]
    assert "▣ image 400x200 PNG" in saved["text/plain"]
    assert len(str(saved)) < 40_000
    history = notebook.run("%agent history").displays[-1]["text/html"]
    assert history.count('src="data:image/jpeg;base64,') == 2
    server.say("Again.")
    ran = notebook.run(
        "from letta_kernel import Agent\nAgent('seer').send('And now?', pictures=[red, axes])\nNone"
    )
    assert ran.status == "ok"
    content = server.requests[-1]["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "image_url"]
    ran = notebook.run("Agent('seer').send('And now?', pictures=['no.png'])")
    assert "'no.png' is no picture" in ran.text
    asked = len(server.requests)
    notebook.run("huge = b'\\x89PNG\\r\\n\\x1a\\n' + bytes(100)")
    assert "could not be filled in" in notebook.run("%%agent\nLook: {huge}").text
    assert len(server.requests) == asked
