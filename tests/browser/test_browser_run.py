"""Runs of `%%agent` cells in JupyterLab, from the model's words over HTTP to the page and the file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from browser_lab import ARTIFACTS, interrupt, set_theme
from browser_stage import Stage, accessible, call, more, open_stage, thought, words
from playwright.sync_api import Browser, expect

TOOLS = '''
import pathlib, time
from IPython.display import HTML, SVG
from PIL import Image

sketch = Image.new("RGB", (400, 200), "teal")

def count_birds(species: str, days: int = 7) -> dict:
    """Count the birds of a species that were seen.

    Args:
        species: The English name, in the singular.
        days: How far to look back.
    """
    print(f"asking the station about {species}")
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    return {"species": species, "seen": 31, "days": days}

def tabulate(species: str):
    """A table of what was seen.

    Args:
        species: The English name, in the singular.
    """
    return HTML("<table><tr><th>Monday</th><td>12</td></tr><tr><th>Tuesday</th><td>19</td></tr></table>")

def draw(species: str):
    """A drawing of what was seen.

    Args:
        species: The English name, in the singular.
    """
    bars = '<rect x="10" y="40" width="60" height="60" fill="teal"/><rect x="90" y="5" width="60" height="95"/>'
    return SVG(f'<svg xmlns="http://www.w3.org/2000/svg" width="160" height="100">{bars}</svg>')

def ask_person(question: str) -> str:
    """Ask the person in front of the notebook.

    Args:
        question: What to ask.
    """
    return input(question + " ")
'''
ANSWER = r"""Mara, **31 puffins** were seen. The chance to see one on a walk is $1 - e^{-\lambda t}$.

```python
def chance(rate: float, hours: float) -> float:
    return 1 - math.exp(-rate * hours)  # Poisson
```

| day | seen |
|---|---:|
| Monday | 12 |
| Tuesday | 19 |
"""
USAGE = {"prompt_tokens": 812, "completion_tokens": 45, "total_tokens": 857}
FOOTER = re.compile(r"3 steps.*first token.*2,436 \+ 135 tokens.*end_turn")
HEBREW = "שלום, **מה שלומך**?"
WIDE = "width" * 80  # one word
HEIGHT = "node => Math.round(node.closest('.jp-OutputArea').getBoundingClientRect().height)"
FITS = "root => root.scrollWidth <= root.clientWidth + 1"


@pytest.fixture(scope="module")
def stage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(browser, tmp_path_factory.mktemp("run"), "run", TOOLS) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quiet(stage: Stage) -> Iterator[None]:
    """After each test: no error in a console, no request to another machine."""
    yield
    stage.go_on()
    assert stage.errors.found == []
    assert stage.outside == []


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_run_is_watched_from_the_first_thought_to_the_footer(stage: Stage, theme: str) -> None:
    page, name = stage.page, theme.split()[-1].lower()
    set_theme(page, theme)
    go = stage.lab.folder / "go"
    go.unlink(missing_ok=True)
    stage.stream(
        thought("Mara asks about puffins; "),
        thought("I have a tool that counts them."),
        call("count_birds", '{"species": "puf'),
        None,
        more('fin", "days": 2}'),
    )
    cell = stage.start("%%agent\nHow many puffins were seen in the last two days?")
    live = cell.locator(".lk-mod-live")
    expect(live.locator(".lk-Call")).to_contain_text('count_birds({"species": "puf…')
    expect(live.locator(".lk-Call")).to_contain_text("being written")
    expect(live.locator("summary")).to_contain_text("Thought · Mara asks about puffins")
    expect(live.get_by_role("status")).to_have_text("count_birds: being written.")
    memory = {"label": "human", "content": f"Watches puffins, in the {name}."}
    stage.model.call("core_memory_append", memory, usage=USAGE)
    stage.go_on()
    expect(live.locator(".lk-Call")).to_contain_text("running · ")
    expect(live.locator(".lk-Call-output")).to_have_text("asking the station about puffin\n")
    stage.picture(live, f"run-tool-{name}")
    accessible(page, ".lk-mod-live")
    stage.stream(*(words(ANSWER[i : i + 40]) for i in range(0, len(ANSWER), 40)), None)
    go.touch()
    expect(live).to_contain_text("memory human")
    expect(live.get_by_text(f"Watches puffins, in the {name}.").last).to_be_visible()
    expect(live.locator(".lk-Answer strong")).to_have_text("31 puffins")
    expect(live.locator(".lk-Answer math").first).to_be_visible()
    expect(live.locator(".lk-Answer pre span").first).to_be_visible()
    expect(live.locator(".lk-Aside details[open]")).to_have_count(0)
    stage.picture(live, f"run-answer-{name}")
    accessible(page, ".lk-mod-live")
    text, height = live.locator(".lk-Answer").inner_text(), live.evaluate(HEIGHT)
    stage.go_on()
    run = stage.saved(cell)
    assert run.locator(".lk-Answer").inner_text() == text
    assert run.evaluate(HEIGHT) == height  # nothing jumps when a run is over
    expect(run.locator(".lk-Footer")).to_have_text(FOOTER)
    expect(run.locator(".lk-Answer table td").first).to_have_text("Monday")
    expect(run.locator("details[open]")).to_have_count(0)
    stage.picture(run, f"run-saved-{name}")
    accessible(page, ".lk-Run")


def test_tables_and_pictures_of_tools_are_shown_as_such(stage: Stage) -> None:
    given = {"species": "puffin"}
    stage.model.calls([("tabulate", given), ("draw", given)])
    stage.stream(words("There you are."), None)
    cell = stage.start("%%agent\nShow me.")
    live = cell.locator(".lk-mod-live")
    expect(live.locator("img")).to_be_visible()
    live.locator("summary", has_text="tabulate").click()
    expect(live.get_by_role("rowheader", name="Tuesday")).to_be_visible()
    stage.picture(live, "run-pictures")
    stage.go_on()
    run = stage.saved(cell)
    expect(run.locator("img").first).to_be_visible()
    assert "There you are." in run.inner_text()


def test_a_picture_goes_to_the_model_and_stands_small_in_the_run(stage: Stage) -> None:
    stage.model.say("Teal.")
    cell = stage.start("%%agent\nWhich colour is {sketch}?")
    expect(cell.locator(".lk-Answer:visible")).to_have_text("Teal.")
    run = stage.saved(cell)
    shown = run.get_by_role("img", name=re.compile("^image 400x200 PNG, "))
    expect(shown).to_be_visible()
    assert shown.evaluate("node => node.naturalWidth") == 128
    content = stage.model.requests[-1]["messages"][-1]["content"]
    (image,) = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert image.startswith("data:image/png;base64,")
    assert content[-1]["text"] == "?"
    accessible(stage.page, ".lk-Run")


def test_a_tool_asks_the_person(stage: Stage) -> None:
    stage.model.call("ask_person", {"question": "Which colour?"})
    stage.model.say("Teal, then.")
    cell = stage.start("%%agent\nAsk me which colour I like.")
    field = cell.locator(".jp-Stdin-input")
    expect(cell.locator(".jp-Stdin-prompt")).to_have_text("Which colour? ")
    expect(field).to_be_focused()
    stage.picture(cell.locator(".lk-mod-live"), "run-question")
    stage.page.keyboard.type("teal")
    stage.page.keyboard.press("Enter")
    expect(stage.saved(cell)).to_contain_text("Teal, then.")
    assert '"message": "teal"' in stage.model.requests[-1]["messages"][-1]["content"]


def test_the_stop_button_keeps_what_was_said_and_the_agent_is_ready(stage: Stage) -> None:
    stage.stream(words("I begin to"), None, words(" never end"))
    cell = stage.start("%%agent\nCount to a million.")
    expect(cell.locator(".lk-Answer:visible")).to_contain_text("I begin to")
    interrupt(stage.page)
    run = stage.saved(cell)
    expect(run).to_contain_text("I begin to")
    expect(run).to_contain_text("interrupted")
    expect(cell.locator(".jp-OutputArea")).to_contain_text("Stopped; what was said and done so far")
    expect(cell.locator(".jp-OutputArea")).not_to_contain_text("Traceback")
    stage.picture(run, "run-stopped")
    stage.model.say("Ready again.")
    expect(stage.saved(stage.start("%%agent\nGo on."))).to_contain_text("Ready again.")


def test_a_run_that_fails_says_why_in_one_line(stage: Stage) -> None:
    stage.model.fault(401, message="Incorrect API key provided", code="invalid_api_key")
    cell = stage.start("%%agent\nHello?")
    run = stage.saved(cell)
    expect(run.locator(".lk-Footer-error")).to_be_visible()
    expect(cell.locator(".jp-OutputArea")).not_to_contain_text("Traceback")
    stage.picture(cell, "run-failed")


def test_narrow_windows_and_text_from_right_to_left(stage: Stage) -> None:
    page = stage.page
    page.set_viewport_size({"width": 400, "height": 800})
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    code = f"```python\n{WIDE}\n```"
    stage.model.call("draw", {"species": WIDE})
    stage.stream(
        words(f"{HEBREW}\n\n{WIDE}\n\n{code}\n\n| a | b |\n|---|---|\n| {WIDE} | 2 |\n\n."), None
    )
    cell = stage.start("%%agent\nשלום")
    live = cell.locator(".lk-mod-live")
    first = live.locator(".lk-Answer p").first
    expect(first).to_contain_text("שלום")
    assert first.evaluate("p => getComputedStyle(p).direction") == "rtl"
    expect(live.locator(".lk-Answer table")).to_be_visible()
    assert live.evaluate(FITS)
    stage.picture(live, "run-narrow")
    stage.go_on()
    run = stage.saved(cell)
    first = run.locator(".lk-Answer p").first
    assert first.evaluate("p => getComputedStyle(p).direction") == "rtl"
    assert first.evaluate("p => getComputedStyle(p).textAlign") == "start"
    assert run.evaluate(FITS)
    stage.picture(run, "run-narrow-saved")
    page.evaluate("() => window.jupyterapp.shell.expandLeft()")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_run_of_an_agent_that_is_asked_is_seen_inside_the_call(stage: Stage) -> None:
    tool = "send_message_to_agent_and_wait_for_reply"
    stage.start(f"Agent('bob')\n%agent tools attach {tool}")
    stage.model.call(tool, {"message": "What is new?", "other_agent_id": "bob"})
    stage.stream(thought("I look."), words("The **puffins** "), None, words("are back."))
    stage.model.say("Bob says so.")
    cell = stage.start("%%agent\nAsk bob.")
    live = cell.locator(".lk-mod-live")
    expect(live.locator(".lk-Call-said")).to_contain_text("waits for bob")
    nested = live.locator("details.lk-Nested")
    expect(nested.locator("summary").first).to_have_text("bob running")
    expect(nested.locator(".lk-Answer")).to_be_hidden()
    nested.locator("summary").first.click()
    expect(nested.locator(".lk-Answer strong")).to_have_text("puffins")
    stage.picture(live, "run-asks")
    accessible(stage.page, ".lk-mod-live")
    stage.go_on()
    run = stage.saved(cell)
    expect(run.locator(".lk-Body > .lk-Answer")).to_have_text("Bob says so.")
    nested = run.locator("details.lk-Nested")
    expect(nested.locator(".lk-Answer")).to_be_hidden()
    nested.locator("summary").first.click()
    expect(nested.locator(".lk-Answer")).to_have_text("The puffins are back.")
    accessible(stage.page, f".jp-Cell[data-windowed-list-index='{stage.number(cell)}'] .lk-Run")


def test_a_group_is_one_conversation_with_a_name_a_sign_and_a_colour_for_each(stage: Stage) -> None:
    stage.start("Agent('bob')\n%agent group new team ada,bob")
    stage.stream(words("The **puffins** "), None, words("are back."))
    stage.model.say("I saw them, too.")
    cell = stage.start("%%agent @team\nWhat is new?")
    live = cell.locator(".lk-mod-live")
    expect(live.locator(".lk-Speaker b")).to_have_text(["ada"])
    expect(live.locator(".lk-Answer strong")).to_have_text("puffins")
    stage.picture(live, "run-group")
    accessible(stage.page, ".lk-mod-live")
    stage.go_on()
    run = stage.saved(cell)
    expect(run.locator(".lk-Speaker b")).to_have_text(["ada", "bob"])
    expect(run.locator(".lk-Speaker-sign")).to_have_text(["●", "■"])
    expect(run.locator(".lk-Answer")).to_have_text(["The puffins are back.", "I saw them, too."])
    colours = run.locator(".lk-Answer").evaluate_all(
        "nodes => nodes.map(node => getComputedStyle(node).borderLeftColor)"
    )
    assert colours == ["rgb(0, 114, 178)", "rgb(213, 94, 0)"]
    accessible(stage.page, f".jp-Cell[data-windowed-list-index='{stage.number(cell)}'] .lk-Run")


def test_the_notebook_is_reopened_without_a_kernel(stage: Stage, browser: Browser) -> None:
    text = stage.save().read_text()
    assert "widget-view" not in text
    assert "widget-state" not in text
    notebook = json.loads(text)
    notebook["metadata"].pop("kernelspec")
    (stage.lab.folder / "reopened.ipynb").write_text(json.dumps(notebook))
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = stage.watch(context.new_page())
    page.goto(stage.lab.address("reopened.ipynb"))
    page.locator("dialog").get_by_role("button", name="No Kernel").click()
    run = page.locator(".lk-Run").first
    expect(run.locator(".lk-Answer strong")).to_have_text("31 puffins")
    expect(run.locator(".lk-Footer")).to_have_text(FOOTER)
    expect(run.get_by_text("running")).to_have_count(0)
    expect(page.get_by_text("model not found")).to_have_count(0)
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_nbconvert_makes_of_it(stage: Stage, browser: Browser, theme: str) -> None:
    saved = stage.save()
    made = saved.with_name(f"converted-{theme}.html")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--log-level=ERROR"]
    command += [f"--HTMLExporter.theme={theme}", "--output", made.name, saved.name]
    subprocess.run(command, cwd=saved.parent, check=True, timeout=100)
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    # The template's own scripts (require.js, MathJax) come from elsewhere; ours needs none.
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(made.as_uri(), wait_until="domcontentloaded")
    run = page.locator(".letta-run").first
    expect(run.get_by_text("31 puffins")).to_be_visible()
    expect(run.get_by_text("asking the station about puffin")).to_be_hidden()
    run.locator("summary", has_text="count_birds").click()
    expect(run.get_by_text("asking the station about puffin")).to_be_visible()
    expect(page.get_by_text("model not found")).to_have_count(0)
    assert run.evaluate(FITS)
    run.scroll_into_view_if_needed()
    page.screenshot(path=ARTIFACTS / f"nbconvert-{theme}.png")
    context.close()
