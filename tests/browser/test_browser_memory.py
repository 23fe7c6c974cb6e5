"""The memory panel in JupyterLab: editing in place, conflicts, undo, live updates, what is saved; tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser_lab import ARTIFACTS, Lab, run_all, set_theme
from browser_pages import close_documents, visit
from nbformat.v4 import new_code_cell
from playwright.sync_api import Locator, Page, expect

sys.path.insert(0, str(Path(__file__).parent.parent / "display"))
from hostile_strings import HOSTILE

# What must not be in the panel, whatever a block holds.
HARMFUL = """root => [...root.querySelectorAll('*')].filter(node =>
    ['SCRIPT', 'IFRAME', 'IMG', 'OBJECT', 'EMBED', 'STYLE', 'LINK', 'A', 'FORM', 'SVG']
        .includes(node.tagName.toUpperCase())
    || [...node.attributes].some(a => /^on/.test(a.name) || /^\\s*javascript:/i.test(a.value))
    || getComputedStyle(node).position === 'fixed'
).map(node => node.outerHTML.slice(0, 200))"""

PERSONA = "I am Ada. I keep notes short."
HUMAN = "Name: Mara"


def prepare(name: str) -> str:
    """Code that makes an agent of its own for one test."""
    return (
        "from letta_kernel import Agent\n"
        f"ada = Agent({name!r}, model='demo', persona={PERSONA!r}, human={HUMAN!r})\n"
        f"get_ipython().run_line_magic('agent', 'use {name}')"
    )


def open_panel(lab: Lab, page: Page, name: str, *more: str) -> Locator:
    cells = [prepare(name), "%agent memory", *more]
    address = lab.write(f"{name}.ipynb", *map(new_code_cell, cells), kernel="letta")
    visit(page, address)
    run_all(page)
    panel = page.get_by_role("group", name=f"Memory of {name}")
    expect(panel).to_be_visible()
    return panel


def block(panel: Locator, label: str) -> Locator:
    return panel.get_by_role("group", name=f"Memory block {label}")


def save(page: Page) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")


def run_hidden(page: Page, code: str) -> None:
    """Run code in the notebook's kernel, outside of its cells."""
    page.evaluate(
        "code => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({ code, store_history: false }).done",
        code,
    )


@pytest.fixture
def page_two(page: Page) -> Iterator[Page]:
    """Another tab of the same browser."""
    opened = page.context.new_page()
    yield opened
    opened.close()


def test_a_block_is_edited_in_place_by_keyboard_and_undone(lab: Lab, page: Page) -> None:
    panel = open_panel(lab, page, "edits")
    human = block(panel, "human")
    expect(human).to_contain_text("10 of 20,000 characters · 3 tokens · v1")
    expect(human.get_by_role("meter")).to_have_attribute("aria-valuenow", "10")
    page.screenshot(path=ARTIFACTS / "memory-light.png")
    human.get_by_role("button", name="Edit human").press("Enter")
    field = human.get_by_role("textbox", name="Text of human")
    expect(field).to_be_focused()
    page.keyboard.type("\nLives in Freiburg <b>💛")
    expect(human).to_contain_text("33 of 20,000 characters")
    page.keyboard.press("Control+Enter")
    expect(field).to_have_count(0)
    expect(human).to_contain_text("Lives in Freiburg <b>💛")
    expect(human).to_contain_text("v2")
    expect(panel.get_by_role("status")).to_have_text("human is saved.")
    expect(page.locator(".jp-CodeCell")).to_have_count(2)  # no key reached the notebook's shortcuts
    human.get_by_role("button", name="History human").click()
    changed = human.get_by_role("region", name="What changed")
    expect(changed).to_contain_text("Lives in Freiburg")
    human.get_by_role("button", name="Undo human").click()
    expect(human.locator(".lk-Block-value")).to_have_text(HUMAN)
    expect(human.locator(".lk-Version")).to_have_count(3)
    human.get_by_role("combobox", name="From version").select_option("1")
    expect(changed).to_have_text("The two are the same.")
    human.get_by_role("button", name="Redo human").click()
    expect(human.locator(".lk-Block-value")).to_contain_text("Freiburg")
    expect(human.get_by_role("button", name="Redo human")).to_be_disabled()
    run_hidden(page, "assert 'Freiburg' in ada.memory['human'].value")
    page.screenshot(path=ARTIFACTS / "memory-history.png")


def test_a_conflict_shows_both_texts_and_the_person_chooses(lab: Lab, page: Page) -> None:
    panel = open_panel(lab, page, "conflicts")
    human = block(panel, "human")
    human.get_by_role("button", name="Edit human").click()
    human.get_by_role("textbox").fill("Name: Mara Berg")
    run_hidden(page, "ada.memory['human'] = 'Name: Mara, a doctor'")
    expect(human.get_by_role("alert")).to_contain_text("was changed while you edit it")
    human.get_by_role("button", name="Save").click()
    conflict = human.get_by_role("group", name="Conflict in human")
    expect(conflict).to_contain_text("Name: Mara, a doctor")
    mine = conflict.get_by_role("textbox", name="Your text of human")
    expect(mine).to_have_value("Name: Mara Berg")
    set_theme(page, "JupyterLab Dark")
    conflict.locator("summary").click()
    expect(conflict.locator(".lk-Diff")).to_contain_text("Berg")
    page.screenshot(path=ARTIFACTS / "memory-conflict-dark.png")
    run_hidden(page, "assert ada.memory['human'].value == 'Name: Mara, a doctor'")
    mine.fill("Name: Mara Berg, a doctor")
    conflict.get_by_role("button", name="Save yours").click()
    expect(conflict).to_have_count(0)
    expect(human.locator(".lk-Block-value")).to_have_text("Name: Mara Berg, a doctor")
    human.get_by_role("button", name="Edit human").click()
    human.get_by_role("textbox").fill("mine")
    run_hidden(page, "ada.memory['human'] = 'theirs'")
    expect(human.get_by_role("alert")).to_contain_text("was changed")
    human.get_by_role("button", name="Save").click()
    human.get_by_role("button", name="Keep theirs").click()
    expect(human.locator(".lk-Block-value")).to_have_text("theirs")
    run_hidden(page, "assert ada.memory['human'].value == 'theirs'")


def test_blocks_are_made_and_limits_are_kept(lab: Lab, page: Page) -> None:
    panel = open_panel(lab, page, "makes")
    panel.get_by_role("button", name="New block").click()
    form = panel.get_by_role("group", name="New memory block")
    expect(form.get_by_label("Label")).to_be_focused()
    form.get_by_label("Label").fill("human")
    form.get_by_role("button", name="Create block").click()
    expect(form.get_by_role("alert")).to_contain_text("already")
    form.get_by_label("Label").fill("plans")
    form.get_by_label("Limit in characters").fill("12")
    form.get_by_label("Text").fill("a tour")
    form.get_by_role("button", name="Create block").click()
    plans = block(panel, "plans")
    expect(plans).to_contain_text("6 of 12 characters")
    plans.get_by_role("button", name="Edit plans").click()
    plans.get_by_role("textbox").fill("a tour through Rome")
    expect(plans.get_by_role("button", name="Save")).to_be_disabled()
    expect(plans.locator(".lk-Fill-part")).to_have_attribute("data-level", "over")
    page.keyboard.press("Escape")
    expect(plans.get_by_role("alert")).to_contain_text("Escape again")
    page.keyboard.press("Escape")
    expect(plans.locator(".lk-Block-value")).to_have_text("a tour")


def test_a_run_is_seen_in_the_panel_and_edits_arrive_while_it_goes_on(lab: Lab, page: Page) -> None:
    wait = (
        "import time\n"
        "deadline = time.monotonic() + 60\n"
        "while ada.memory['persona'].value != 'Edited meanwhile.' and time.monotonic() < deadline:\n"
        "    time.sleep(0.1)\n"
        "print(ada.memory['persona'].value)"
    )
    panel = open_panel(lab, page, "watches", "%%agent\nPlease remember that I like tea.", wait)
    expect(block(panel, "human").locator(".lk-Block-value")).to_contain_text("tea")
    last = page.locator(".jp-CodeCell").nth(3)
    expect(last.locator(".jp-InputPrompt")).to_have_text("[*]:")  # busy
    persona = block(panel, "persona")
    persona.get_by_role("button", name="Edit persona").click()
    persona.get_by_role("textbox").fill("Edited meanwhile.")
    persona.get_by_role("button", name="Save").click()
    expect(last.locator(".jp-OutputArea")).to_contain_text("Edited meanwhile.")


@pytest.mark.slow
def test_two_tabs_show_the_same_and_another_process_is_seen(
    lab: Lab, page: Page, page_two: Page
) -> None:
    panel = open_panel(lab, page, "twice")
    save(page)
    page_two.goto(lab.address("twice.ipynb"))
    other = page_two.get_by_role("group", name="Memory of twice")
    expect(other).to_be_visible()  # the same widget, live in both
    human = block(other, "human")
    human.get_by_role("button", name="Edit human").click()
    human.get_by_role("textbox").fill("From the second tab")
    human.get_by_role("button", name="Save").click()
    expect(block(panel, "human").locator(".lk-Block-value")).to_have_text("From the second tab")
    page.bring_to_front()
    code = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', \"from letta_kernel import Agent; "
        "Agent('twice').memory['human'] = 'From elsewhere'\"], check=True)"
    )
    run_hidden(page, code)
    expect(block(panel, "human").locator(".lk-Block-value")).to_have_text("From elsewhere")
    expect(human.locator(".lk-Block-value")).to_have_text("From elsewhere")


def test_the_notebook_reopened_without_a_kernel_shows_the_blocks(lab: Lab, page: Page) -> None:
    panel = open_panel(lab, page, "reopens")
    human = block(panel, "human")
    human.get_by_role("button", name="Edit human").click()
    human.get_by_role("textbox").fill("Name: Mara, from Freiburg")
    human.get_by_role("button", name="Save").click()
    expect(human.locator(".lk-Block-value")).to_contain_text("Freiburg")
    # The saved form follows; the file then holds what was seen last.
    page.wait_for_function(
        "JSON.stringify(window.jupyterapp.shell.currentWidget.context.model.toJSON())"
        ".match(/text.html[^]*Freiburg/)"
    )
    save(page)
    text = (lab.folder / "reopens.ipynb").read_text()
    assert "widget-state" not in text
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("trusted", None)
    notebook.metadata.kernelspec = {"name": "gone", "display_name": "gone", "language": "python"}
    (lab.folder / "reopened.ipynb").write_text(json.dumps(notebook))
    close_documents(page)
    visit(page, lab.address("reopened.ipynb"))
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="No Kernel").click()
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
    expect(output).to_contain_text("Name: Mara, from Freiburg")
    expect(output).to_contain_text("25 of 20,000 characters")
    expect(output).not_to_contain_text("not found")
    expect(page.locator(".lk-Blocks")).to_have_count(0)
    page.screenshot(path=ARTIFACTS / "memory-reopened.png")


def test_the_panel_in_the_dark_and_in_a_narrow_window(lab: Lab, page: Page) -> None:
    panel = open_panel(lab, page, "dark")
    run_hidden(page, "ada.memory['human'] = '\\u202e' + 'שלום ' * 400 + 'x' * 17_000")
    expect(block(panel, "human").locator(".lk-Fill-part")).to_have_attribute("data-level", "high")
    set_theme(page, "JupyterLab Dark")
    block(panel, "persona").get_by_role("button", name="Edit persona").click()
    page.screenshot(path=ARTIFACTS / "memory-dark.png")
    page.set_viewport_size({"width": 480, "height": 800})
    page.screenshot(path=ARTIFACTS / "memory-narrow.png")
    assert panel.evaluate("root => root.scrollWidth <= root.clientWidth + 1")


def test_hostile_blocks_do_nothing_in_the_page(lab: Lab, page: Page) -> None:
    panel = open_panel(lab, page, "hostile")
    value = "\n".join(text[:200] for text in HOSTILE.values())
    value = value.encode("utf-8", "replace").decode()
    run_hidden(
        page,
        f"ada.memory['human'] = {value!r}\n"
        f"ada.service.blocks.update(ada.id, 'human', description={value[:5000]!r})",
    )
    human = block(panel, "human")
    expect(human.locator(".lk-Block-value")).to_contain_text("<script>")
    human.get_by_role("button", name="History human").click()
    expect(human.get_by_role("region", name="What changed")).to_contain_text("<script>")
    assert panel.evaluate(HARMFUL) == []
    human.get_by_role("button", name="Edit human").click()
    expect(human.get_by_role("textbox")).to_be_focused()
    assert page.evaluate("() => document.title").startswith("hostile")


def test_tables_filter_and_sort_in_place(lab: Lab, page: Page) -> None:
    name = "tabled"
    cells = [prepare(name), "%agent tools", "%agent context"]
    visit(page, lab.write(f"{name}.ipynb", *map(new_code_cell, cells), kernel="letta"))
    run_all(page)
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
    field = output.get_by_role("searchbox")
    field.fill("archival insert")
    rows = output.locator("tbody tr:visible")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("archival_memory_insert")
    field.fill("")
    head = output.get_by_role("columnheader", name="tool", exact=True)
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(rows.first).to_contain_text("archival_memory_insert")
    head.get_by_role("button").press("Enter")
    expect(rows.first).not_to_contain_text("archival_memory_insert")
    expect(page.locator(".jp-CodeCell")).to_have_count(3)
    set_theme(page, "JupyterLab Dark")
    page.screenshot(path=ARTIFACTS / "tables-dark.png")
