"""Approving, denying and editing calls of agents in JupyterLab and Notebook 7, while the cell is busy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from browser_lab import ARTIFACTS, Errors, interrupt, set_theme
from browser_stage import PREPARE, Stage, accessible, connected, idle, open_stage
from nbformat.v4 import new_code_cell
from playwright.sync_api import Browser, Locator, expect

PAY = '''
from letta_kernel import tool

sent = []

@tool(requires_approval=True)
def send_money(to: str, euros: float, note: str = "") -> str:
    """Send money to somebody.

    Args:
        to: Who gets it.
        euros: How much.
        note: What it is for.
    """
    sent.append((to, euros))
    return f"{to} has {euros} euros more"
'''
# What Notebook 7.6 says of itself, without any extension too.
NOTEBOOKS_OWN = re.compile(r"reading 'schema'|'filebrowser:open-path' not registered")
ASK = "%%agent\nPlease send Mara 12.50 euros."
GIVEN = {"to": "Mara", "euros": 12.5, "note": "for the birds"}

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def stage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(browser, tmp_path_factory.mktemp("approval"), "approval", PAY) as opened:
        yield opened


def asked(stage: Stage, *calls: dict[str, Any]) -> tuple[Locator, Locator]:
    """Run a cell whose agent wants to make *calls*; return the cell and what it asks."""
    stage.model.calls([("send_money", one) for one in calls])
    stage.model.say("So be it.")
    cell = stage.start(ASK)
    ask = cell.get_by_role("group", name="Approval")
    expect(ask).to_be_visible()
    return cell, ask


def told(stage: Stage, count: int = 1) -> list[str]:
    """What the model was told about the last calls."""
    messages = stage.model.requests[-1]["messages"]
    return [one["content"] for one in messages if one["role"] == "tool"][-count:]


def test_approving_by_button(stage: Stage) -> None:
    cell, ask = asked(stage, GIVEN)
    expect(ask).to_contain_text('"note": "for the birds"')
    expect(cell.get_by_role("status")).to_have_text("ada waits for your approval.")
    expect(cell.locator(".lk-Call:visible")).to_contain_text("waits for approval")
    stage.picture(ask, "approval-light")
    accessible(stage.page, ".lk-mod-live")
    ask.get_by_role("button", name="Approve").click()
    run = stage.saved(cell)
    expect(run).to_contain_text("So be it.")
    expect(run.locator(".lk-Footer")).to_contain_text("end_turn")
    assert "Mara has 12.5 euros more" in told(stage)[0]


def test_denying_by_keyboard_tells_the_agent_why(stage: Stage) -> None:
    set_theme(stage.page, "JupyterLab Dark")
    cell, ask = asked(stage, GIVEN)
    accessible(stage.page, ".lk-mod-live")
    keyboard = stage.page.keyboard
    ask.get_by_role("button", name="Approve").focus()
    for _ in range(3):
        keyboard.press("Tab")
    expect(ask.get_by_role("textbox", name="Why not")).to_be_focused()
    keyboard.type("dd she has enough")  # dd would be a shortcut of the notebook
    stage.picture(ask, "approval-deny-dark")
    keyboard.press("Enter")
    run = stage.saved(cell)
    expect(run).to_contain_text("denied")
    assert "dd she has enough" in told(stage)[0]
    set_theme(stage.page, "JupyterLab Light")


def test_editing_arguments_by_keyboard(stage: Stage) -> None:
    cell, ask = asked(stage, GIVEN)
    keyboard = stage.page.keyboard
    ask.get_by_role("button", name="Approve").focus()
    for key in ("Tab", "Tab", "Enter"):
        keyboard.press(key)
    field = ask.get_by_role("textbox", name="Arguments of send_money, as JSON")
    expect(field).to_be_focused()
    keyboard.press("Control+a")
    keyboard.insert_text('{"to": "Mara", "euros": "a lot"}')
    stage.picture(ask, "approval-edit")
    accessible(stage.page, ".lk-mod-live")
    keyboard.press("Tab")
    keyboard.press("Enter")  # Approve
    # What the person wrote is checked as what the model writes is.
    expect(stage.saved(cell)).to_contain_text("So be it.")
    assert "euros" in told(stage)[0]
    assert "Mara has" not in told(stage)[0]
    cell, ask = asked(stage, GIVEN)
    ask.get_by_role("button", name="Edit").click()
    field = ask.get_by_role("textbox", name="Arguments of send_money, as JSON")
    field.fill('{"to": "Mara", "euros": 4}')
    ask.get_by_role("button", name="Approve").click()
    run = stage.saved(cell)
    expect(run.locator(".lk-Call").first).to_contain_text("euros=4")
    assert "Mara has 4" in told(stage)[0]


def test_several_calls_are_decided_one_by_one_or_at_once(stage: Stage) -> None:
    three = [{"to": name, "euros": 1} for name in ("Ann", "Ben", "Cem")]
    cell, ask = asked(stage, *three)
    cards = ask.locator(".lk-Ask-card")
    expect(cards).to_have_count(3)
    cards.nth(1).get_by_role("button", name="Deny").click()
    expect(cards.nth(1)).to_contain_text("denied")
    stage.picture(ask, "approval-several")
    ask.get_by_role("button", name="Approve all").click()
    stage.saved(cell)
    first, second, third = told(stage, 3)
    assert "Ann has" in first
    assert "Ben has" not in second
    assert "Cem has" in third


def test_stopping_leaves_the_call_waiting_for_a_word(stage: Stage) -> None:
    cell, _ = asked(stage, GIVEN)
    interrupt(stage.page)
    run = stage.saved(cell)
    expect(run).to_contain_text("waits for approval")
    expect(cell).to_contain_text("%agent approve")
    stage.picture(cell, "approval-stopped")
    idle(stage.page)
    cell = stage.start("%agent approve")
    expect(stage.saved(cell)).to_contain_text("So be it.")
    assert "Mara has 12.5 euros more" in told(stage)[0]


@pytest.mark.slow
def test_two_tabs_show_one_run_and_either_answers(stage: Stage) -> None:
    cell, _ = asked(stage, GIVEN)
    index = stage.number(cell)
    stage.save()  # a tab that opens the notebook now gets it from the file
    other = stage.watch(stage.page.context.new_page())
    address = stage.lab.address(stage.name)
    other.goto(address.replace("workspaces/approval", "workspaces/other"))
    connected(other)
    other.evaluate("i => window.jupyterapp.shell.currentWidget.content.scrollToItem(i)", index)
    there = stage.cell(index, other)
    # The kernel is busy and cannot tell this tab of views made before; it shows what the store knows.
    expect(there).to_contain_text("waits for approval")
    expect(there).to_contain_text("send_money")
    expect(there.get_by_text("being written")).to_have_count(0)
    other.screenshot(path=ARTIFACTS / "approval-second-tab.png")
    other.get_by_role("button", name="Approve").first.click()
    expect(stage.saved(cell)).to_contain_text("So be it.")
    expect(stage.saved(there)).to_contain_text("So be it.")
    expect(other.get_by_text("Error displaying widget")).to_have_count(0)
    other.close()


def test_narrow_windows(stage: Stage) -> None:
    page = stage.page
    page.set_viewport_size({"width": 400, "height": 800})
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    cell, ask = asked(stage, {**GIVEN, "note": "word" * 100}, GIVEN)
    live = cell.locator(".lk-mod-live")
    assert live.evaluate("root => root.scrollWidth <= root.clientWidth + 1")
    ask.get_by_role("button", name="Edit").first.click()
    assert live.evaluate("root => root.scrollWidth <= root.clientWidth + 1")
    stage.picture(ask, "approval-narrow")
    ask.get_by_role("button", name="Deny all").click()
    stage.saved(cell)
    page.evaluate("() => window.jupyterapp.shell.expandLeft()")
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.slow
def test_notebook_7(stage: Stage) -> None:
    stage.lab.write("seven.ipynb", *map(new_code_cell, (PREPARE, PAY, ASK)), kernel="letta")
    stage.model.call("send_money", GIVEN)
    stage.model.say("So be it.")
    page = stage.page.context.new_page()
    errors = Errors()
    errors.watch(page)
    page.goto(f"{stage.lab.url}notebooks/seven.ipynb?token={stage.lab.token}")
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    expect(page.get_by_role("button", name="Agent:")).to_be_visible()  # the kernel has answered
    page.get_by_role("menuitem", name="Run").click()
    page.get_by_text("Run All Cells", exact=True).click()
    ask = page.get_by_role("group", name="Approval")
    expect(ask).to_be_visible()
    page.screenshot(path=ARTIFACTS / "approval-notebook-7.png")
    ask.get_by_role("button", name="Approve").click()
    expect(page.locator(".lk-mod-live")).to_have_count(0)
    run = page.locator(".lk-Run")
    expect(run).to_contain_text("So be it.")
    expect(run.locator(".lk-Footer")).to_contain_text("end_turn")
    page.close()
    assert [text for text in errors.found if not NOTEBOOKS_OWN.search(text)] == []
