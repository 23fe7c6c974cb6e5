"""The lab in JupyterLab: a timeline that is looked at, rewound and forked, and a run that is stopped."""

from __future__ import annotations

import re

from browser_lab import ARTIFACTS, run_all, set_theme
from browser_office import Office
from browser_pages import visit
from browser_stage import accessible, idle
from playwright.sync_api import Locator, Page, expect

PREPARE = """
from letta_kernel import Agent
Agent("ada", model="openai/scripted", persona="I am Ada.", human="Name: Mara")
%agent use ada
"""
PAY = '''
def send_money(to: str, euros: float) -> str:
    """Send money to somebody.

    Args:
        to: Who gets it.
        euros: How much.
    """
    return f"{to} has {euros} euros more"
'''
CELLS = (PREPARE, PAY, "%%agent\nI drink tea", "%%agent\nPay Mara", "%agent timeline")
SHELL = "window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells"


def row(tree: Locator, name: str) -> Locator:
    """What is clicked of an item."""
    item = tree.get_by_role("treeitem", name=re.compile(name))
    return item.locator(".lk-Tree-row").first


def section(panel: Locator, name: str, *, opened: bool = True) -> Locator:
    title = panel.get_by_role("button", name=name, exact=True)
    if title.get_attribute("aria-expanded") != str(opened).lower():
        title.click()
    return panel.get_by_role("region", name=name, exact=True)


def test_an_agents_past_is_looked_at_changed_and_stepped_through(
    office: Office, page: Page
) -> None:
    model = office.model
    model.call("memory_insert", {"label": "human", "new_string": "Drinks tea."})
    model.say("Noted.")
    model.call("send_money", {"to": "Mara", "euros": 5})
    model.say("Mara has it.")
    visit(page, office.write("lab/lab.ipynb", *CELLS))
    page.wait_for_function(
        "window.jupyterapp?.commands.hasCommand('letta-kernel:open-agents-panel')"
    )
    page.evaluate("() => window.jupyterapp.commands.execute('letta-kernel:open-agents-panel')")
    run_all(page)
    page.wait_for_function(f"{SHELL}.every(cell => cell.execution_count)")
    idle(page)
    panel = page.locator("#letta-kernel-agents")
    look_and_explain(page, panel)
    rewind_in_the_cell(page, panel)
    fork(panel)
    accessible(page, "#letta-kernel-agents")
    for theme in ("Dark", "Light"):
        set_theme(page, f"JupyterLab {theme}")
        page.screenshot(path=ARTIFACTS / f"timeline-{theme.lower()}.png")
    stop_and_go_on(office, page, panel)


def look_and_explain(page: Page, panel: Locator) -> None:
    """Go through the tree by keys; from a block's words to the step that wrote them."""
    memory = section(panel, "Memory")
    words = memory.get_by_role("group", name="Memory block human").get_by_text("Drinks tea.")
    words.click(position={"x": 20, "y": 30})
    memory.get_by_role("button", name="Explain").click()
    told = memory.get_by_role("region", name="What is told of it")
    expect(told).to_contain_text("What it changed in memory")
    section(panel, "Memory", opened=False)
    section(panel, "Chat", opened=False)
    tree = section(panel, "Timeline").get_by_role("tree")
    expect(tree.get_by_role("treeitem")).to_have_count(2)
    tree.get_by_role("treeitem").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    step = tree.get_by_role("treeitem", name="Step 1: memory_insert")
    expect(step).to_be_focused()
    page.keyboard.press("Enter")
    step.get_by_role("button", name="Look").click()
    expect(step.get_by_role("region")).to_contain_text("Drinks tea.")
    step.get_by_role("button", name="Explain").click()
    expect(step.get_by_role("region")).to_contain_text("What it was made of")
    panel.screenshot(path=ARTIFACTS / "timeline-explain.png")


def rewind_in_the_cell(page: Page, panel: Locator) -> None:
    """What the cell does the panel shows; what was done outside is told first."""
    tree = page.locator(".jp-Cell").last.get_by_role("tree")
    row(tree, "I drink tea").click()
    tree.get_by_role("button", name="Rewind to here").click()
    expect(tree).to_contain_text("What was done outside cannot be taken back")
    expect(tree).to_contain_text("send_money")
    page.screenshot(path=ARTIFACTS / "timeline-rewind.png")
    tree.get_by_role("button", name="Rewind", exact=True).click()
    for shown in (tree, section(panel, "Timeline")):
        left = shown.get_by_role("treeitem", name=re.compile("An end that was left"))
        expect(left).to_have_count(1)
        expect(shown.get_by_role("treeitem", name=re.compile("Pay Mara"))).to_have_count(0)
    chat = section(panel, "Chat")
    expect(chat).to_contain_text("I drink tea")
    expect(chat).not_to_contain_text("Pay Mara")
    section(panel, "Chat", opened=False)
    timeline = section(panel, "Timeline")
    timeline.get_by_role("button", name="Redo").click()
    for shown in (tree, timeline):
        expect(shown.get_by_role("treeitem", name=re.compile("Pay Mara"))).to_have_count(1)


def fork(panel: Locator) -> None:
    tree = section(panel, "Timeline").get_by_role("tree")
    row(tree, "I drink tea").click()
    tree.get_by_role("button", name="Fork from here").click()
    tree.get_by_role("textbox", name="Name of the new agent").fill("eve")
    tree.get_by_role("button", name="Fork", exact=True).click()
    expect(tree.get_by_role("treeitem", name=re.compile("Fork: eve"))).to_have_count(1)
    expect(panel.get_by_role("option", name=re.compile("eve"))).to_have_count(1)
    row(tree, "Fork: eve").click()
    tree.get_by_role("button", name="What differs").click()
    expect(tree.get_by_role("region")).to_contain_text("Pay Mara")


def stop_and_go_on(office: Office, page: Page, panel: Locator) -> None:
    """A breakpoint of the panel stops a cell, which the panel lets go on."""
    section(panel, "Timeline", opened=False)
    debugger = section(panel, "Debugger")
    debugger.get_by_role("textbox").fill("tool:send_*")
    debugger.get_by_role("button", name="Add").click()
    expect(debugger.get_by_role("list")).to_contain_text("tool:send_*")
    office.model.call("send_money", {"to": "Kim", "euros": 3})
    office.model.say("Kim has it.")
    page.evaluate(
        """() => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            const cells = notebook.model.sharedModel;
            cells.insertCell(cells.cells.length, { cell_type: 'code', source: '%%agent\\nPay Kim' });
            notebook.activeCellIndex = cells.cells.length - 1;
            void window.jupyterapp.commands.execute('notebook:run-cell');
        }"""
    )
    cell = page.locator(".jp-Cell").last
    asked = cell.get_by_role("group", name="Debugger")
    expect(asked).to_contain_text("Stopped before the call of send_money")
    held = debugger.get_by_role("group", name="A run has stopped")
    expect(held).to_contain_text("tool:send_*")
    page.screenshot(path=ARTIFACTS / "timeline-stopped.png")
    accessible(page, "#letta-kernel-agents")
    held.get_by_role("button", name="Continue").click()
    expect(cell).to_contain_text("Kim has it.")
    expect(held).to_have_count(0)
    expect(cell.locator(".lk-mod-live")).to_have_count(0)
    debugger.get_by_role("button", name="Do not stop at tool:send_*").click()
    expect(debugger.get_by_role("list")).not_to_contain_text("tool:send_*")
