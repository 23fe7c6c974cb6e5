"""The MIME renderer in JupyterLab: saved runs, and the choice between a live widget and the snapshot."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser_lab import ARTIFACTS, Lab, interrupt, run_all, set_theme
from browser_pages import close_documents, ended_run, visit
from nbformat.v4 import new_code_cell, new_output
from playwright.sync_api import Page, expect

sys.path.insert(0, str(Path(__file__).parents[1] / "display"))
from hostile_run import hostile_run
from hostile_strings import HOSTILE

RUN = "application/vnd.letta.run.v1+json"
VIEW = "application/vnd.jupyter.widget-view+json"

SNAPSHOT: dict[str, Any] = {
    "version": 1,
    "run_id": "run-1",
    "agent": "ada",
    "model": "demo",
    "label": "demo model: no language model",
    "state": "ended",
    "prompt": "How warm is it in Paris? I like it warm.",
    "items": [
        {"kind": "retrieved", "passages": [{"text": "Paris lies on the Seine."}]},
        {"kind": "reasoning", "text": "A question about the weather; there is a tool for it."},
        {
            "kind": "tool_call",
            "id": "call-1",
            "name": "temperature",
            "arguments": {"city": "Paris", "days": 3},
            "state": "ok",
            "runs_in": "notebook",
            "seconds": 0.042,
            "result": "21.5",
            "display": None,
            "error": None,
            "traceback": None,
            "output": "asking the station\n",
        },
        {
            "kind": "memory",
            "label": "human",
            "before": "Name: Lin\nLives in Rome",
            "after": "Name: Lin\nLives in Paris\nLikes it warm",
            "version": 3,
            "call_id": "call-2",
        },
        {
            "kind": "tool_call",
            "id": "call-3",
            "name": "forecast",
            "arguments": {"city": "Pariss"},
            "state": "error",
            "runs_in": "sandbox",
            "seconds": 0.2,
            "result": "Error: there is no city of that name",
            "display": None,
            "error": "LookupError: there is no city of that name",
            "traceback": "Traceback (most recent call last):\n  …",
            "output": "",
        },
        {"kind": "notice", "level": "warning", "text": "The forecast could not be had."},
        {
            "kind": "answer",
            "text": "It is **21.5 °C** in Paris:\n\n| day | °C |\n|---|---|\n| today | 21.5 |\n\n"
            "```python\ntemperature('Paris')\n```\n\nand $e^{i\\pi} = -1$ as ever."
            "<script>window.hacked = 1</script><details open ontoggle='window.hacked = 1'></details>\n\n"
            "![a map](https://elsewhere.invalid/map.png?secret=1)",
        },
    ],
    "footer": {
        "stop_reason": "end_turn",
        "error": None,
        "steps": 3,
        "seconds": 1.84,
        "first_token": 0.31,
        "prompt_tokens": 1234,
        "completion_tokens": 56,
        "cached_tokens": 1000,
        "reasoning_tokens": 0,
        "cost": 0.00042,
    },
}


def saved_cell(**more: Any) -> Any:
    """A cell as it was saved after a run."""
    data = {RUN: SNAPSHOT, "text/html": "<p>html</p>", "text/plain": "ada: plain", **more}
    cell = new_code_cell("%%agent\nHow warm is it in Paris? I like it warm.", execution_count=1)
    cell.outputs = [new_output("display_data", data=data)]
    return cell


# Shows a widget and a snapshot in one output as a run does, and replaces them when told to.
LIVE = f"""
import time
from IPython.display import publish_display_data
from ipywidgets import HTML
snapshot = {json.dumps(SNAPSHOT)!r}
import json
snapshot = json.loads(snapshot)
live = HTML("<b class='the-live-view'>live</b>")
view = {{"model_id": live.model_id, "version_major": 2, "version_minor": 0}}
shown = {{"{RUN}": {{**snapshot, "state": "running"}}, "{VIEW}": view, "text/plain": "running"}}
publish_display_data(shown, transient={{"display_id": "run-1"}})
"""
SAVE = f"""
ended = {{"{RUN}": snapshot, "text/plain": "ended"}}
publish_display_data(ended, transient={{"display_id": "run-1"}}, update=True)
live.close()
"""

COUNT_BIRDS = '''
def count_birds(species: str) -> int:
    """How many birds of a species were seen this week.

    Args:
        species: The English name, in the singular.
    """
    return {"puffin": 31, "gannet": 128}[species]
'''


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_saved_run_is_drawn_in_either_theme(lab: Lab, page: Page, theme: str) -> None:
    name = theme.split()[-1].lower()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, lab.write(f"saved-{name}.ipynb", saved_cell()))
    run = page.locator(".lk-Run")
    expect(run.locator(".lk-Answer strong")).to_have_text("21.5 °C")
    set_theme(page, theme)
    expect(run.locator(".lk-Answer table")).to_be_visible()
    expect(run.locator(".lk-Answer code").first).to_be_visible()
    expect(run.locator(".lk-Answer math")).to_have_count(1)
    expect(run.locator(".lk-Footer")).to_contain_text("3 steps · 1.8 s")
    expect(run.locator(".lk-Call-error")).to_have_text("LookupError: there is no city of that name")
    expect(page.get_by_text("asking the station")).to_be_hidden()
    run.locator("summary", has_text="temperature").click()
    expect(page.get_by_text("asking the station")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    expect(run.get_by_role("link", name="a map")).to_be_visible()
    assert not [url for url in asked if "elsewhere.invalid" in url]
    run.screenshot(path=ARTIFACTS / f"saved-run-{name}.png")


def test_a_widget_that_is_gone_leaves_the_snapshot(lab: Lab, page: Page) -> None:
    view = {"model_id": "0123456789abcdef0123456789abcdef", "version_major": 2, "version_minor": 0}
    visit(page, lab.write("orphan.ipynb", saved_cell(**{VIEW: view})))
    expect(page.locator(".lk-Answer strong")).to_be_visible()
    expect(page.get_by_text("model not found")).to_have_count(0)
    expect(page.get_by_text("Loading widget")).to_have_count(0)


def test_a_run_is_shown_and_stays_in_the_saved_notebook(lab: Lab, page: Page) -> None:
    # Of a name that none of the project's other agents comes near, or it would not be made unasked.
    ask = new_code_cell(
        "%%agent ornithologist\nHow many birds of the species 'puffin' were seen this week?"
    )
    address = lab.write("first.ipynb", new_code_cell(COUNT_BIRDS), ask, kernel="letta")
    visit(page, address)
    run_all(page)
    run = ended_run(page)
    expect(run.locator(".lk-Answer")).to_contain_text("31")
    expect(run.locator(".lk-Call-name")).to_have_text("count_birds")
    expect(run.locator(".lk-Header")).to_contain_text("ornithologist")
    expect(run.locator(".lk-Footer")).to_contain_text("end_turn")
    expect(page.locator(".lk-Widget")).to_be_hidden()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    close_documents(page)
    visit(page, address)
    expect(run.locator(".lk-Answer")).to_contain_text("31")
    page.screenshot(path=ARTIFACTS / "first-run.png")


def test_the_live_view_stands_while_it_lives_and_the_saved_run_after(lab: Lab, page: Page) -> None:
    visit(page, lab.write("live.ipynb", new_code_cell(LIVE + "input('go on?')\n" + SAVE)))
    run_all(page)
    expect(page.locator(".the-live-view")).to_be_visible()
    expect(page.locator(".lk-Run")).to_be_hidden()
    page.locator(".jp-Stdin-input").press("Enter")
    expect(page.locator(".lk-Run")).to_be_visible()
    expect(page.locator(".the-live-view")).to_have_count(0)
    expect(page.locator(".lk-Chip", has_text="running")).to_have_count(0)


def test_a_reload_in_mid_run_shows_what_was_known(lab: Lab, page: Page) -> None:
    visit(page, lab.write("reload.ipynb", new_code_cell(LIVE), new_code_cell("time.sleep(60)")))
    run_all(page)
    expect(page.locator(".the-live-view")).to_be_visible()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    expect(page.locator(".lk-Run")).to_be_visible()
    expect(page.locator(".lk-Chip", has_text="running")).to_be_visible()
    expect(page.get_by_text("Loading widget")).to_have_count(0)
    interrupt(page)
    # Now the kernel can say that the widget is still there.
    expect(page.locator(".the-live-view")).to_be_visible()


# Where JupyterLab's own code, settings, themes and notebooks come from; not /files/, where a relative
# address in an output leads.
OWN_PATHS = re.compile(
    r"/(?:lab/?(?:$|workspaces/|tree/|extensions/|api/)|static/|api/|kernelspecs/|favicon\.ico$|"
    r"custom/custom\.css$|voila/|lsp/)"
)
# The line to search a run with comes first and is our own.
HARMFUL = """root => [...root.querySelectorAll('*')].filter(node =>
    !root.querySelector('.lk-Find').contains(node)
    && !node.matches('button.lk-Code-tool')
    && (['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'STYLE', 'LINK', 'META', 'BASE', 'FORM', 'INPUT', 'BUTTON']
        .includes(node.tagName)
    || [...node.attributes].some(a => /^on|commandlinker/.test(a.name)
        || (a.name === 'style' && /url/i.test(a.value)))
    || (node.hasAttribute('href') && !/^(https?|mailto):/.test(node.getAttribute('href')))
    || (node.hasAttribute('src') && !node.getAttribute('src').startsWith('data:image/')))
).map(node => node.outerHTML.slice(0, 200))"""


@pytest.mark.page(fresh=True)  # it says what is asked for as the page is loaded
def test_a_hostile_saved_notebook_asks_for_nothing_and_runs_nothing(lab: Lab, page: Page) -> None:
    cells = []
    for name, whole in HOSTILE.items():
        text = whole[:10_000].encode(errors="replace").decode()  # a file holds no half characters
        snapshot = hostile_run(text).snapshot()
        # A file can hold what the kernel would never have written.
        bare = {"text/html": text, "text/plain": name}
        call = {**SNAPSHOT["items"][2], "name": "by_hand", "display": bare}
        snapshot["items"] += [call, {"kind": "answer", "text": f"{name}: end\n\n{text}"}]
        cell = new_code_cell("%%agent")
        cell.outputs = [new_output("display_data", data={RUN: snapshot, "text/plain": "plain"})]
        cells.append(cell)
    mermaid = 'flowchart\n  A@{ img: "https://evil.example/mermaid.png" }'
    costs = (
        "```mermaid\n" + mermaid + "\n```\n\nIt costs $5 or $10, and $x_1$ is said. The end of it."
    )
    last = saved_cell()
    last.outputs[0]["data"][RUN] = {**SNAPSHOT, "items": [{"kind": "answer", "text": costs}]}
    address = lab.write("hostile-saved.ipynb", *cells, last)
    asked: list[str] = []
    opened: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    page.on("popup", lambda popup: opened.append(popup.url))
    visit(page, address)
    expect(page.locator(".lk-Run").first).to_be_attached()
    for index in range(len(cells) + 1):  # cells are drawn when they come into sight
        page.evaluate("i => window.jupyterapp.shell.currentWidget.content.scrollToItem(i)", index)
        run = page.locator(f".jp-Cell[data-windowed-list-index='{index}'] .lk-Run")
        expect(run).to_be_attached()
        run.evaluate("run => run.querySelectorAll('details').forEach(d => (d.open = true))")
        assert run.evaluate(HARMFUL) == []
    ending = page.locator(".lk-Answer", has_text="The end of it.")
    expect(ending).to_contain_text("It costs $5 or $10, and")
    expect(ending.locator("math")).to_have_count(1)
    expect(ending.locator("code")).to_contain_text("evil.example/mermaid.png")
    base = urlsplit(lab.url)
    elsewhere = [
        url
        for url in asked
        if not url.startswith(("data:", "blob:"))
        and (urlsplit(url).netloc != base.netloc or not OWN_PATHS.match(urlsplit(url).path))
    ]
    assert elsewhere == []
    assert opened == []
    assert page.evaluate("window.hacked") is None
