"""Agent cells, tool badges, their commands and settings in JupyterLab."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from browser_lab import ARTIFACTS, Lab, run_all, set_theme
from browser_pages import ended_run, visit
from browser_stage import accessible
from nbformat.v4 import new_code_cell
from playwright.sync_api import Locator, Page, expect

CODE = "window.jupyterapp.shell.currentWidget.content"
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext?.session?.kernel"
SETTINGS = "letta-kernel:plugin"

WARMTH = '''
def warmth(city: str, days: int = 1) -> str:
    """How warm it will be in a city.

    Args:
        city: Its name.
        days: How many days to look ahead.
    """
    if city == "nowhere":
        raise ValueError("no such city")
    return f"{20 + days} degrees in {city}"
'''
GUARDED = '''
from letta_kernel import tool

@tool(requires_approval=True)
def publish(text: str) -> str:
    """Publish a text.

    Args:
        text: What to publish.
    """
    return f"published {text}"

@tool(runs_in="sandbox")
def add_up(numbers: list[int]) -> int:
    """Add numbers up.

    Args:
        numbers: Which ones.
    """
    return sum(numbers)
'''
SLOW = '''
import os, time

def measure_depth(lake: str) -> str:
    """Measure the depth of a lake.

    Args:
        lake: Its name.
    """
    if lake == "Styx":
        time.sleep(2)
        os._exit(1)
    time.sleep(8)
    return f"{lake} is 32 metres deep"
'''


def cell(page: Page, index: int) -> Locator:
    return page.locator(".jp-Notebook .jp-Cell").nth(index)


def source(page: Page, index: int) -> str:
    return str(page.evaluate(f"i => {CODE}.widgets[i].model.sharedModel.source", index))


def source_becomes(page: Page, index: int, text: str) -> None:
    """Wait until a cell's source is *text*."""
    page.wait_for_function(
        f"([i, text]) => {CODE}.widgets[i].model.sharedModel.source === text", arg=[index, text]
    )


def set_source(page: Page, index: int, text: str) -> None:
    page.evaluate(
        f"([i, text]) => {CODE}.widgets[i].model.sharedModel.setSource(text)", [index, text]
    )


def activate(page: Page, index: int) -> None:
    page.evaluate(f"i => {{ {CODE}.activeCellIndex = i; {CODE}.activate(); }}", index)


def command(page: Page, name: str, **args: Any) -> None:
    page.evaluate(
        "([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, args]
    )


def run_first(page: Page) -> None:
    """Run the first cell of the notebook in front, once its kernel is idle."""
    page.wait_for_function(f"{KERNEL}?.status === 'idle'")
    activate(page, 0)
    command(page, "notebook:run-cell")


def open_notebook(lab: Lab, page: Page, name: str, *cells: str, kernel: str = "letta") -> None:
    """Open a notebook and wait until it is drawn and its kernel has answered."""
    visit(page, lab.write(name, *(new_code_cell(text) for text in cells), kernel=kernel))
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()


@contextmanager
def settings(lab: Lab, **chosen: Any) -> Iterator[None]:
    """Choose settings as the settings editor does; they are forgotten afterwards."""

    def put(raw: str) -> None:
        request = urllib.request.Request(
            f"{lab.url}lab/api/settings/{SETTINGS}",
            json.dumps({"raw": raw}).encode(),
            {"Authorization": f"token {lab.token}"},
            method="PUT",
        )
        urllib.request.urlopen(request).close()

    put(json.dumps(chosen))
    try:
        yield
    finally:
        put("{}")


def test_a_message_is_edited_as_prose_while_its_first_line_says_so(lab: Lab, page: Page) -> None:
    open_notebook(
        lab, page, "prose.ipynb", "%%agent prose-1\n# Dear agent\nplease **look** " + "far " * 90
    )
    editor = cell(page, 0).locator(".cm-content")
    expect(editor).to_have_class(re.compile("lk-Prose"))
    expect(editor).to_have_attribute("spellcheck", "true")
    expect(editor.locator(".cm-line").first).to_have_class(re.compile("lk-AgentLine"))
    expect(editor.get_by_text("look", exact=True)).to_have_css("font-weight", "700")
    assert editor.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type('\nit is ("so')
    assert source(page, 0).endswith('\nit is ("so')  # nothing was closed for us
    page.keyboard.type("\nשלום")
    lines = editor.locator(".cm-line")
    expect(lines.last).to_have_css("direction", "rtl")
    expect(lines.first).to_have_css("direction", "ltr")
    set_source(page, 0, "def f(x):")
    expect(editor).not_to_have_class(re.compile("lk-Prose"))
    expect(editor).to_have_attribute("spellcheck", "false")
    page.wait_for_function(f"{CODE}.widgets[0].model.mimeType === 'text/x-ipython'")
    page.keyboard.press("Control+End")
    page.keyboard.type("\nreturn x")
    source_becomes(page, 0, "def f(x):\n    return x")
    set_source(page, 0, "%%agent\nHello")
    expect(editor).to_have_class(re.compile("lk-Prose"))
    # As the notebook does when a kernel has told its language.
    page.evaluate(f"{CODE}.widgets[0].model.mimeType = 'text/x-ipython'")
    assert page.evaluate(f"{CODE}.widgets[0].model.mimeType") == "text/x-letta-agent"


def test_the_badge_says_who_is_addressed_and_its_menu_changes_that(lab: Lab, page: Page) -> None:
    open_notebook(
        lab,
        page,
        "badge.ipynb",
        "%agent new first-one\n%agent new second-one",
        "%%agent\nHello\nthere",
        "x = 1",
    )
    run_all(page)
    agent, model = cell(page, 1).locator(".lk-AgentBadge"), cell(page, 1).locator(".lk-ModelBadge")
    expect(agent).to_contain_text("second-one")
    expect(model).to_contain_text("demo")
    expect(cell(page, 2).locator(".lk-Strip")).to_be_hidden()
    menu = page.locator(".lk-CellMenu")
    set_theme(page, "JupyterLab Dark")
    accessible(page, ".lk-Strip")
    page.screenshot(path=ARTIFACTS / "agent-cell-dark.png")
    set_theme(page, "JupyterLab Light")
    agent.click()
    expect(menu.get_by_role("menuitemcheckbox")).not_to_have_count(0)
    page.screenshot(path=ARTIFACTS / "agent-cell-light.png")
    menu.get_by_text("first-one", exact=True).click()
    source_becomes(page, 1, "%%agent first-one\nHello\nthere")
    expect(agent).to_contain_text("first-one")
    model.click()
    menu.get_by_text("demo", exact=True).click()
    source_becomes(page, 1, "%%agent first-one --model demo\nHello\nthere")
    activate(page, 1)
    page.keyboard.press("Control+Alt+Comma")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # whom the notebook talks to
    source_becomes(page, 1, "%%agent --model demo\nHello\nthere")
    agent.click()
    menu.get_by_text("New Agent…").click()
    page.locator(".jp-Dialog input").fill("third-one")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(agent).to_contain_text("third-one")
    expect(agent).not_to_have_class(re.compile("lk-mod-unknown"))
    accessible(page, ".lk-Strip")
    page.reload()
    expect(agent).to_contain_text("second-one")


def test_agent_cells_are_inserted_by_button_and_keys(lab: Lab, page: Page) -> None:
    open_notebook(lab, page, "insert.ipynb", "x = 1", "")
    activate(page, 0)
    page.locator(
        "[data-jp-item-name='letta-agent-cell'] button, "
        "[data-jp-item-name='letta-agent-cell'] jp-button"
    ).first.click()
    expect(cell(page, 1).locator(".cm-content")).to_be_focused()
    page.keyboard.type("Hello")
    assert [source(page, i) for i in range(3)] == ["x = 1", "%%agent\nHello", ""]
    page.keyboard.press("Control+Alt+Enter")
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(4)
    page.keyboard.type("Again")
    source_becomes(page, 2, "%%agent\nAgain")
    page.keyboard.press("Escape")
    activate(page, 3)
    page.keyboard.press("Control+Alt+Enter")  # an empty cell becomes one
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(4)
    source_becomes(page, 3, "%%agent\n")


def test_names_and_options_are_completed(lab: Lab, page: Page) -> None:
    open_notebook(lab, page, "complete.ipynb", "%agent new completed-name", "%%agent comple\nHi")
    run_all(page)  # the second cell fails: there is no agent of that name
    expect(cell(page, 0).locator(".jp-OutputArea")).to_contain_text("Made completed-name")
    cell(page, 1).locator(".cm-line").first.click()
    page.keyboard.press("End")
    complete(page, "completed-name")
    page.keyboard.type(" --mo")
    complete(page, "--model")
    source_becomes(page, 1, "%%agent completed-name --model\nHi")


def complete(page: Page, word: str) -> None:
    """Press Tab; take the word from the list, unless it was the only one and stands there already."""
    page.keyboard.press("Tab")
    page.wait_for_function(
        f"word => {CODE}.widgets[1].model.sharedModel.source.includes(word)"
        " || document.querySelector('.jp-Completer-item')",
        arg=word,
    )
    if word not in source(page, 1):
        page.locator(".jp-Completer-item", has_text=word).first.click()


def test_a_tool_has_a_badge_with_its_schema_and_is_run_by_hand(lab: Lab, page: Page) -> None:
    open_notebook(lab, page, "badges.ipynb", "%agent new tool-owner", WARMTH, GUARDED, "y = 2")
    run_all(page)
    badge = cell(page, 1).locator(".lk-ToolBadge")
    expect(badge).to_have_attribute("data-state", "ok")
    states = cell(page, 2).locator(".lk-ToolBadge")
    expect(states).to_have_count(2)
    expect(cell(page, 2).locator("[data-state=approval]")).to_contain_text("publish")
    expect(cell(page, 2).locator("[data-state=sandbox]")).to_contain_text("add_up")
    expect(cell(page, 3).locator(".lk-ToolBadge")).to_have_count(0)
    badge.hover()
    card = page.locator(".lk-ToolCard")
    expect(card).to_contain_text("How warm it will be in a city.")
    expect(card.locator("tr").nth(1)).to_contain_text("integer (optional)")
    page.screenshot(path=ARTIFACTS / "tool-badges.png")
    badge.click()
    expect(card).to_have_count(0)
    form = page.locator(".lk-ToolForm")
    form.locator("textarea").fill("Rome")
    form.locator("input[type=number]").fill("3")
    form.get_by_role("button", name="Run").click()
    expect(form.locator(".lk-ToolForm-result")).to_have_text("23 degrees in Rome")
    form.locator("textarea").fill("nowhere")
    form.get_by_role("button", name="Run").click()
    expect(form.locator(".lk-ToolForm-result.lk-mod-error")).to_contain_text("no such city")
    accessible(page, ".lk-ToolForm")
    page.get_by_role("button", name="Close", exact=True).click()
    badge.focus()
    expect(card).to_be_visible()
    accessible(page, ".jp-Cell:nth-child(2) .lk-Strip", ".lk-ToolCard")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    activate(page, 1)
    page.keyboard.press("Control+Alt+Slash")
    expect(form).to_be_visible()


def test_the_launcher_opens_a_notebook_with_an_agent_cell(lab: Lab, page: Page) -> None:
    visit(page, f"{lab.url}lab/workspaces/launcher?token={lab.token}&reset")
    page.locator(".jp-LauncherCard", has_text="Agent notebook").click()
    expect(page.locator(".jp-Notebook .lk-Prose")).to_be_focused()
    page.keyboard.type("Hello!")
    source_becomes(page, 0, "%%agent\nHello!")
    expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text("Letta")


def test_the_help_menu_opens_the_quickstart_and_the_documentation(lab: Lab, page: Page) -> None:
    visit(page, f"{lab.url}lab/workspaces/help?token={lab.token}&reset")
    page.get_by_role("menuitem", name="Help").click()
    page.get_by_text("Agents Documentation").click()
    expect(page.locator(".lk-Documentation h1").first).to_be_visible()
    page.get_by_role("menuitem", name="Help").click()
    page.get_by_text("Agents Quickstart").click()
    picture = page.locator(".jp-Notebook img[alt^='A notebook with cells']")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


@pytest.mark.slow
@pytest.mark.page(fresh=True)  # it reads the settings when it is loaded
def test_the_settings_have_effect_in_kernel_and_page(lab: Lab, page: Page) -> None:
    with settings(lab, approvalPolicy="approve", folds={"calls": False}):
        open_notebook(
            lab,
            page,
            "settings.ipynb",
            "%agent new chosen",
            GUARDED,
            "%%agent\nPlease publish the text 'good news'",
        )
        run_all(page)
        run = ended_run(page)
        expect(run.locator(".lk-Footer")).to_contain_text("end_turn")
        expect(run).to_contain_text("published")
        call = run.locator(".lk-Call details").first
        expect(call).to_have_attribute("open", "")
        accessible(page, ".lk-Run")
        command(page, "docmanager:save")
        page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    with settings(lab, defaultModel="demo", streaming=False):
        page.reload()
        expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
        expect(run.locator(".lk-Footer")).to_contain_text("end_turn")
        expect(run.locator(".lk-Call details[open]")).to_have_count(0)
        command(page, "letta-kernel:open-settings")
        editor = page.locator("#json-setting-editor, .jp-SettingsPanel").first
        expect(editor).to_contain_text("Approval policy")


def test_a_run_is_searched(lab: Lab, page: Page) -> None:
    open_notebook(
        lab,
        page,
        "search.ipynb",
        "%agent new searched",
        WARMTH,
        "%%agent\nHow warm will it be in the city of 'Oslo'?",
    )
    run_all(page)
    run = ended_run(page)
    expect(run.locator(".lk-Answer")).to_contain_text("Oslo")
    run.hover()
    run.get_by_role("button", name="Search this run").click()
    page.keyboard.type("degrees")
    expect(run.locator(".lk-Find-count")).to_have_text(re.compile("1 of [23]"))
    expect(run.locator(".lk-Call details")).to_have_attribute("open", "")
    page.wait_for_function("CSS.highlights.get('lk-found').size > 1")
    page.keyboard.press("Escape")
    page.wait_for_function("CSS.highlights.get('lk-found').size === 0")
    run.get_by_role("button", name="Unfold or fold everything").click()
    run.get_by_role("button", name="Unfold or fold everything").click()
    expect(run.locator("details[open]")).to_have_count(0)


def test_a_run_that_ended_while_the_page_was_away_is_made_good(lab: Lab, page: Page) -> None:
    open_notebook(
        lab,
        page,
        "away.ipynb",
        "%agent new away",
        SLOW,
        "%%agent\nMeasure the depth of the lake 'Sils'",
    )
    run_all(page)
    expect(page.locator(".lk-mod-live").get_by_text("measure_depth").first).to_be_visible()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    run = page.locator(".lk-Run")
    expect(run.locator(".lk-Answer")).to_contain_text("32 metres")
    expect(run).to_be_visible()
    expect(run.locator(".lk-Chip", has_text="running")).to_have_count(0)
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    command(page, "docmanager:save")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    saved = json.loads((lab.folder / "away.ipynb").read_text())["cells"][2]["outputs"]
    assert any("32 metres" in json.dumps(output) for output in saved)
    assert "widget-view" not in json.dumps(saved)


def test_a_run_whose_kernel_died_says_so(lab: Lab, page: Page) -> None:
    open_notebook(
        lab,
        page,
        "died.ipynb",
        "%agent new dying",
        SLOW,
        "%%agent\nMeasure the depth of the lake 'Styx'",
    )
    run_all(page)
    expect(page.locator(".lk-mod-live").get_by_text("measure_depth").first).to_be_visible()
    # It appears to have died. A name that only contains the word is also that of "Notebook": another tab.
    page.get_by_role("dialog").get_by_role("button", name="Ok", exact=True).click()
    expect(page.locator(".lk-mod-live")).to_have_count(0)
    run = page.locator(".lk-Run")
    expect(run).to_be_visible()
    expect(run.locator(".lk-Footer-error")).to_be_visible()
    expect(run.locator(".lk-Chip", has_text="running")).to_have_count(0)
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    # After the restart the tool's cell has not run: it would run from its source.
    expect(cell(page, 1).locator(".lk-ToolBadge")).to_have_attribute("data-state", "sandbox")


def test_a_plain_python_kernel_has_no_badges(lab: Lab, page: Page) -> None:
    open_notebook(lab, page, "plain.ipynb", "def f(x: int): 'd'", "%%agent\nHi", kernel="python3")
    page.wait_for_timeout(2000)
    expect(page.locator(".lk-Badge")).to_have_count(0)
    expect(page.locator(".lk-Prose")).to_be_visible()


def test_two_notebooks_keep_their_own_badges(lab: Lab, page: Page) -> None:
    open_notebook(lab, page, "left.ipynb", "%agent new left-one", "%%agent\nHi")
    run_first(page)
    left = page.locator(".lk-AgentBadge", has_text="left-one")
    expect(left).to_be_visible()
    lab.write(
        "right.ipynb",
        new_code_cell("%agent new right-one"),
        new_code_cell("%%agent\nHo"),
        kernel="letta",
    )
    command(page, "docmanager:open", path="right.ipynb", options={"mode": "split-right"})
    right = page.locator(".lk-AgentBadge", has_text="right-one")
    expect(page.locator(".jp-NotebookPanel")).to_have_count(2)
    page.wait_for_function("window.jupyterapp.shell.currentWidget.context.path === 'right.ipynb'")
    page.wait_for_function(f"{CODE}.widgets.length === 2")
    run_first(page)
    expect(right).to_be_visible()
    expect(left).to_be_visible()
