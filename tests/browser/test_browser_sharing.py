"""The panel beside notebooks: whose agent it shows, how it fits, and two notebooks with one agent."""

from __future__ import annotations

import re

import pytest
from browser_lab import ARTIFACTS, set_theme
from browser_office import PAY
from browser_stage import connected
from playwright.sync_api import Locator, Page, expect
from test_browser_panel import Desk, agents, bring, desk, in_kernel, option, section

__all__ = ["desk"]

RUN_CELL = """source => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const cells = notebook.model.sharedModel;
    cells.insertCell(cells.cells.length, { cell_type: 'code', source, metadata: { trusted: true } });
    notebook.deselectAll();
    notebook.activeCellIndex = cells.cells.length - 1;
    void window.jupyterapp.commands.execute('notebook:run-cell');
}"""

NESTED = """panel => {
    const scrolls = node => {
        const { overflowY, overflowX } = getComputedStyle(node);
        const moves = value => value === 'auto' || value === 'scroll';
        return (moves(overflowY) && node.scrollHeight > node.clientHeight + 1) ||
            (moves(overflowX) && node.scrollWidth > node.clientWidth + 1);
    };
    const body = panel.querySelector('.lk-Panel-body');
    return Array.from(body.querySelectorAll('*'))
        .filter(node => node.tagName !== 'TEXTAREA' && scrolls(node)).map(node => node.className);
}"""


def run_cell(page: Page, source: str) -> Locator:
    """Add a cell to the notebook in front, run it, and return it."""
    page.evaluate(RUN_CELL, source)
    return page.locator(".jp-Notebook:visible .jp-CodeCell").last


def resize(page: Page, width: int) -> None:
    """Make the side with the panel as wide as that, in pixels."""
    panel = page.locator("#letta-kernel-agents").bounding_box()
    assert panel is not None
    x, y = panel["x"] - 1, panel["y"] + 200  # on the handle beside it
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + panel["width"] - width, y, steps=4)
    page.mouse.up()


def test_the_panel_follows_the_notebooks_agent(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "follow", agents("ada", "bob", "cleo"))
    expect(option(panel, "ada")).to_have_attribute("aria-selected", "true")
    expect(option(panel, "ada")).to_contain_text("this notebook")
    in_kernel(page, "%agent use bob")
    expect(option(panel, "bob")).to_have_attribute("aria-selected", "true")
    expect(option(panel, "bob")).to_contain_text("this notebook")
    expect(option(panel, "ada")).not_to_contain_text("this notebook")
    run_cell(page, "%%agent cleo\nHello.")
    expect(option(panel, "cleo")).to_have_attribute("aria-selected", "true")
    expect(panel.get_by_role("textbox", name="Message to cleo")).to_be_visible()
    option(panel, "ada").click()  # the person wants to look at another
    in_kernel(page, "%agent use bob")
    expect(option(panel, "bob")).to_contain_text("this notebook")
    expect(option(panel, "ada")).to_have_attribute("aria-selected", "true")
    panel.screenshot(path=ARTIFACTS / "panel-follow.png")


def newest_is_seen(page: Page, panel: Locator) -> None:
    """The newest message is in view, and so is the box to write in."""
    expect(panel.get_by_role("log").locator("> *").last).to_be_in_viewport(ratio=0.9)
    expect(panel.locator(".lk-Box")).to_be_in_viewport(ratio=0.9)


@pytest.mark.slow
def test_the_panel_fits_and_the_newest_message_is_seen(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "fits", agents("ada", model="openai/scripted"), PAY)
    box = panel.get_by_role("textbox", name="Message to ada")
    expect(box).to_be_visible()
    opened = panel.bounding_box()
    assert opened is not None
    assert opened["width"] >= 320
    for number in range(4):
        desk.model.say(f"Answer {number}: " + "some words about birds. " * 30)
        box.fill(f"Question {number}, which is not that short either, so that it takes two lines?")
        box.press("Enter")
        expect(panel.get_by_role("log").locator(".lk-Answer")).to_have_count(number + 1)
        expect(panel.get_by_role("button", name="Send")).to_be_visible()
    newest_is_seen(page, panel)
    last = panel.get_by_role("log").locator(".lk-Footer").last
    line = last.locator("summary")
    expect(line).to_contain_text("tokens")
    height = line.bounding_box()
    assert height is not None
    assert height["height"] < 24
    expect(last).not_to_contain_text("first token", use_inner_text=True)
    line.click()
    expect(last).to_contain_text("first token", use_inner_text=True)
    line.click()
    desk.model.call("send_money", {"to": "Mara", "euros": 12.5})
    box.fill("Pay Mara")
    box.press("Enter")
    ask = panel.get_by_role("group", name="Waits for your approval")
    expect(ask).to_be_in_viewport(ratio=0.9)
    runs = section(panel, "Runs")
    expect(runs.get_by_role("listitem")).to_have_count(5)
    expect(runs.get_by_role("listitem").first).to_contain_text("waits for approval")
    desk.model.say("It is done.")
    ask.get_by_role("button", name="Approve").click()
    expect(panel.get_by_role("log")).to_contain_text("It is done.")
    expect(runs.get_by_role("listitem")).to_have_count(5)
    expect(runs.get_by_role("listitem").first).to_contain_text("completed")
    expect(runs.get_by_role("listitem").first).to_contain_text("Pay Mara")
    expect(runs.get_by_role("listitem").first).to_contain_text("2 steps")
    expect(runs).not_to_contain_text("waits")
    runs.get_by_role("button", name="Pay Mara").click()
    expect(runs.get_by_role("table")).to_contain_text("send_money")
    for name in ("Memory", "Context window", "Tools", "Archive", "Messages"):
        section(panel, name)
    for width in (320, 400, 720):
        resize(page, width)
        for theme in ("Dark", "Light"):
            set_theme(page, f"JupyterLab {theme}")
            assert panel.evaluate(NESTED) == []
            panel.screenshot(path=ARTIFACTS / f"panel-{width}-{theme.lower()}.png")
            panel.locator(".lk-Panel-body").evaluate("body => { body.scrollTop = 1e6; }")
            panel.screenshot(path=ARTIFACTS / f"panel-{width}-{theme.lower()}-end.png")
            box.scroll_into_view_if_needed()


@pytest.mark.slow
def test_a_theme_change_leaves_the_newest_message_in_view(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "theme", agents("ada", model="openai/scripted"))
    box = panel.get_by_role("textbox", name="Message to ada")
    for number in range(3):
        desk.model.say(f"Answer {number}: " + "some words about birds. " * 60)
        box.fill(f"Question {number}")
        box.press("Enter")
        expect(panel.get_by_role("log").locator(".lk-Answer")).to_have_count(number + 1)
        expect(panel.get_by_role("button", name="Send")).to_be_visible()
    for theme in ("Dark", "Light"):
        set_theme(page, f"JupyterLab {theme}")
        expect(panel.locator(".lk-Box")).to_be_in_viewport(ratio=0.9)
        expect(panel.get_by_role("log").locator(".lk-Footer").last).to_be_in_viewport()
    first = panel.get_by_role("log").get_by_text("Question 0").first
    box.hover()
    for _ in range(10):  # to read what was said before; a busy page may miss a turn of the wheel
        page.mouse.wheel(0, -3000)
        page.wait_for_timeout(500)
        if first.evaluate("node => node.getBoundingClientRect().top") > 0:
            break
    expect(first).to_be_in_viewport()
    desk.model.say("And one more.")
    in_kernel(page, "Agent('ada').send('From the kernel')")
    expect(panel.get_by_role("log")).to_contain_text("And one more.")
    expect(first).to_be_in_viewport()


def test_two_notebooks_with_one_agent(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "share", agents("ada", model="openai/scripted"))
    desk.write("share/other.ipynb", "%agent use ada")
    desk.model.hang(seconds=600, text="Never said.")
    holding = run_cell(page, "%%agent\nI came first.")
    expect(holding).to_contain_text("running")
    bring(page, "share/other.ipynb")
    connected(page)
    waiting = run_cell(page, "%%agent ada\nI came second.")
    line = "ada is busy in the notebook 'share.ipynb'; this goes on when it is free."
    expect(waiting).to_contain_text(line)
    expect(waiting).to_contain_text("waits for its turn")
    said = panel.get_by_role("log")
    expect(said).to_contain_text(line)
    expect(said).to_contain_text("I came second.")
    page.screenshot(path=ARTIFACTS / "sharing-waits.png")
    panel.get_by_role("button", name="Stop ada").click()
    stopped = "Stopped waiting for the notebook 'share.ipynb': nothing was sent."
    expect(waiting).to_contain_text(stopped)
    expect(said).to_contain_text(stopped)
    expect(said).not_to_contain_text(line)
    # The kernel is done with the cell that failed: until then it would pass over the next.
    expect(waiting.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]"))
    again = run_cell(page, "%%agent ada --model demo\nI came third.")
    expect(again).to_contain_text(line)
    bring(page, "share/share.ipynb")
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    expect(holding).to_contain_text("Stopped; what was said")
    bring(page, "share/other.ipynb")
    expect(again.locator(".lk-Answer:visible")).to_be_visible()
    expect(again).to_contain_text("Waited")
    page.screenshot(path=ARTIFACTS / "sharing-went-on.png")


def test_the_documentation_shows_its_pictures(desk: Desk, page: Page) -> None:
    desk.open(page, "documents", "'a cell'")
    page.evaluate("() => window.jupyterapp.commands.execute('letta-kernel:open-documentation')")
    pictures = page.locator(".lk-Documentation img")
    expect(pictures).to_have_count(1)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).not_to_have_js_property("naturalWidth", 0)
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    pictures.first.scroll_into_view_if_needed()
    page.screenshot(path=ARTIFACTS / "documentation.png")
