"""An agent changes the notebook it is talked to from: diffs at the cells, decided there, and taken back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from browser_lab import ARTIFACTS, Errors, set_theme
from browser_stage import NOTEBOOK, PREPARE, Stage, accessible, connected, idle, open_stage
from nbformat.v4 import new_code_cell
from playwright.sync_api import Browser, Locator, Page, expect
from test_browser_approval import NOTEBOOKS_OWN

SHOP = """prices = {"tea": 3, "cake": 5}

def total(order):
    return sum(prices[one] for one in order)"""
FIXED = SHOP.replace("prices[one]", "prices.get(one, 0)")
SHOP_CELL = 1

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def stage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(browser, tmp_path_factory.mktemp("notebook"), "notebook", SHOP) as opened:
        yield opened


def cells(page: Page) -> list[dict[str, Any]]:
    """The cells as they are in the page."""
    found: list[dict[str, Any]] = page.evaluate(
        f"() => {NOTEBOOK}.model.sharedModel.toJSON().cells"
    )
    return found


def sources(page: Page) -> list[str]:
    return [cell["source"] for cell in cells(page)]


def shop(page: Page) -> dict[str, Any]:
    """The cell that defines `total`."""
    return next(cell for cell in cells(page) if "def total" in cell["source"])


def sources_become(page: Page, wanted: list[str]) -> None:
    """Wait until the notebook in front has these cells."""
    page.wait_for_function(
        f"""wanted => JSON.stringify({NOTEBOOK}.model.sharedModel.cells.map(({{ source }}) => source))
            === JSON.stringify(wanted)""",
        arg=wanted,
    )


def shop_becomes(page: Page, text: str) -> None:
    """Wait until the source of the cell that defines `total` is *text*."""
    page.wait_for_function(
        f"text => {NOTEBOOK}.model.sharedModel.cells.some(({{ source }}) => source === text)",
        arg=text,
    )
    assert shop(page)["source"] == text


def cell_with(page: Page, text: str) -> Locator:
    """The cell with a text in its source; its place may change."""
    return page.locator(".jp-Cell").filter(has=page.locator(".jp-InputArea", has_text=text))


def proposals(page: Page) -> Locator:
    return page.get_by_role("group", name="Change proposed by ada")


def answer(stage: Stage, *calls: tuple[str, dict[str, Any]]) -> None:
    """Have the agent read the notebook, make *calls*, and say that it is done."""
    stage.model.call("notebook_read", {})
    stage.model.calls(list(calls))
    stage.model.say("So be it.")


def ask(stage: Stage, said: str, *calls: tuple[str, dict[str, Any]]) -> Locator:
    """Run a cell that says something to the agent, who then makes *calls*."""
    answer(stage, *calls)
    stage.start(f"%%agent\n{said}")
    return cell_with(stage.page, said)


def told(stage: Stage) -> str:
    """What the model was told about its last calls."""
    messages = stage.model.requests[-1]["messages"]
    return "\n".join(one["content"] for one in messages[-3:] if one["role"] == "tool")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_a_fix_is_proposed_edited_accepted_run_and_undone(stage: Stage) -> None:
    page = stage.page
    failing = stage.start('total(["tea", "scone"])')
    expect(failing.get_by_role("group", name="Error").get_by_role("button")).to_have_text(
        ["Explain", "Fix"]
    )
    stage.picture(failing, "notebook-error")
    accessible(page, ".lk-Errors")
    answer(stage, ("notebook_edit", {"cell": shop(page)["id"], "source": FIXED}))
    failing.get_by_role("button", name="Fix").click()
    box = proposals(page)
    expect(box).to_contain_text("Change cell [2]?")
    expect(failing.locator(".jp-RenderedText")).to_contain_text("KeyError")  # the run is below it
    assert "KeyError: 'scone'" in stage.model.requests[-2]["messages"][-1]["content"]
    expect(box.locator(".lk-Diff-gone")).to_contain_text("prices[one]")
    expect(box.locator(".lk-Diff-come")).to_contain_text("prices.get(one, 0)")
    approval = failing.get_by_role("group", name="Approval")
    expect(approval).to_contain_text("proposed in the notebook")
    stage.picture(approval, "notebook-fix")
    expect(page.locator(".lk-ChangeBar")).to_contain_text("ada proposes a change")
    expect(page.locator(".Toastify__toast")).to_have_count(0)  # it is in sight already
    stage.picture(box, "notebook-change-light")
    accessible(page, ".lk-Change", ".lk-ChangeBar", ".lk-mod-live")
    shop_becomes(page, SHOP)
    box.get_by_role("button", name="Edit").click()
    field = box.get_by_role("textbox", name="New source of the cell")
    expect(field).to_be_focused()
    by_hand = FIXED + "\n\ntotal([])"
    field.fill(by_hand)
    stage.picture(box, "notebook-change-edited")
    accessible(page, ".lk-Change")
    box.get_by_role("button", name="Accept and run").click()
    expect(stage.saved(failing)).to_contain_text("So be it.")
    expect(box).to_have_count(0)
    expect(page.locator(".lk-ChangeBar")).to_have_count(0)
    expect(failing.get_by_role("group", name="Error")).to_be_visible()
    expect(cell_with(page, "def total").locator(".jp-OutputArea-output")).to_have_text("0")
    shop_becomes(page, by_hand)
    assert shop(page)["metadata"]["letta"]["by"] == "ada"
    assert "is changed" in told(stage)
    cell_with(page, "def total").locator(".cm-content").click()
    press(page, "Control+z")
    shop_becomes(page, SHOP)
    press(page, "Control+Shift+z")
    shop_becomes(page, by_hand)
    expect(stage.start("%agent undo")).to_contain_text("Cells are as before: 1.")
    shop_becomes(page, SHOP)
    assert "letta" not in shop(page)["metadata"]


def test_the_changes_of_a_run_are_decided_by_keyboard_and_are_one_step(stage: Stage) -> None:
    page = stage.page
    set_theme(page, "JupyterLab Dark")
    before = sources(page)
    run = ask(
        stage,
        "Say what the shop is.",
        ("notebook_insert", {"source": "total([])"}),
        ("notebook_edit", {"cell": shop(page)["id"], "source": FIXED}),
        ("notebook_insert", {"after": "top", "kind": "markdown", "source": "# The shop"}),
    )
    expect(proposals(page)).to_have_count(3)
    expect(page.locator(".lk-ChangeBar")).to_have_text(re.compile("^ada proposes 3 changes"))
    page.get_by_role("button", name="Next change").click()
    expect(proposals(page).first.get_by_role("button", name="Accept")).to_be_focused()
    stage.picture(proposals(page).first, "notebook-changes-dark")
    accessible(page, ".lk-Change", ".lk-ChangeBar")
    press(page, "Alt+F5")
    second = proposals(page).nth(1)
    expect(second.get_by_role("button", name="Accept", exact=True)).to_be_focused()
    press(page, "Tab", "Tab", "Tab", "Tab")
    expect(second.get_by_role("textbox", name="Why not")).to_be_focused()
    page.keyboard.type("dd as it is")  # dd would be a shortcut of the notebook
    press(page, "Enter")
    expect(second).to_contain_text("rejected")
    assert sources(page)[: len(before)] == before
    page.get_by_role("button", name="Accept all").first.click()
    expect(stage.saved(run)).to_contain_text("So be it.")
    expect(proposals(page)).to_have_count(0)
    agent_cell = "%%agent\nSay what the shop is."
    sources_become(page, ["# The shop", *before, agent_cell, "total([])"])
    assert "dd as it is" in json.dumps(stage.model.requests[-1]["messages"])
    run.locator(".jp-InputPrompt").click()
    press(page, "z")
    sources_become(page, [*before, agent_cell])
    set_theme(page, "JupyterLab Light")


def test_running_code_asks_once_for_as_long_as_it_is_said(stage: Stage) -> None:
    page = stage.page
    stage.model.call("notebook_run", {"code": "prices['tea'] * 7"})
    stage.model.call("notebook_run", {"code": "prices['cake'] * 7"})
    stage.model.say("So be it.")
    run = stage.start("%%agent\nHow much are they?")
    group = run.get_by_role("group", name="Approval")
    expect(group).to_contain_text("prices['tea'] * 7")
    group.get_by_role("combobox", name="For how long").select_option("for this run")
    stage.picture(group, "notebook-run")
    accessible(page, ".lk-mod-live")
    group.get_by_role("button", name="Approve").click()
    expect(stage.saved(run)).to_contain_text("So be it.")
    assert '"21' in told(stage)
    assert '"35' in told(stage)


def test_code_of_an_answer_goes_into_cells(stage: Stage, browser: Browser) -> None:
    page = stage.page
    spare = stage.start("'to be replaced'")
    expect(spare.locator(".jp-OutputArea-output")).to_be_visible()
    stage.model.say("So:\n\n```python\nprint(6 * 7)\n```\n\nThat is it.")
    stage.start("%%agent\nShow me how.")
    run = stage.saved(cell_with(page, "Show me how."))
    block = run.locator(".lk-Code")
    count = len(sources(page))
    block.scroll_into_view_if_needed()
    block.hover()
    expect(block.get_by_role("button")).to_have_text(["Copy", "Insert below", "Replace", "Run"])
    page.screenshot(path=ARTIFACTS / "notebook-code.png")
    accessible(page, ".lk-Answer")
    block.get_by_role("button", name="Insert below").click()
    expect(stage.cell(count)).to_be_visible()
    assert sources(page)[-2:] == ["%%agent\nShow me how.", "print(6 * 7)"]
    block.get_by_role("button", name="Run").click()
    expect(stage.cell(count).locator(".jp-OutputArea-output")).to_have_text("42\n")
    spare.locator(".jp-InputPrompt").click()
    block.get_by_role("button", name="Replace").click()
    page.wait_for_function(
        f"""() => {NOTEBOOK}.model.sharedModel.cells
            .every(({{ source }}) => source !== "'to be replaced'")"""
    )
    assert sources(page).count("print(6 * 7)") == 3
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == "print(6 * 7)"
    notebook = json.loads(stage.save().read_text())
    notebook["metadata"].pop("kernelspec")
    (stage.lab.folder / "read.ipynb").write_text(json.dumps(notebook))
    context = browser.new_context()
    other = stage.watch(context.new_page())
    other.goto(stage.lab.address("read.ipynb"))
    other.locator("dialog").get_by_role("button", name="No Kernel").click()
    read = other.locator(".lk-Code").last
    read.hover()
    expect(read.get_by_role("button")).to_have_text(["Copy"])
    context.close()


def test_of_two_tabs_the_one_that_decides_is_changed(stage: Stage) -> None:
    page = stage.page
    stage.save()
    other = stage.watch(page.context.new_page())
    other.goto(stage.lab.address(stage.name).replace("workspaces/notebook", "workspaces/other"))
    connected(other)
    idle(other)
    edit = {"cell": shop(page)["id"], "source": FIXED}
    ask(stage, "Once more, please.", ("notebook_edit", edit))
    expect(proposals(page)).to_be_visible()
    expect(proposals(other)).to_be_visible()
    other.screenshot(path=ARTIFACTS / "notebook-second-tab.png")
    proposals(other).get_by_role("button", name="Accept", exact=True).click()
    expect(proposals(page)).to_have_count(0)
    expect(stage.saved(cell_with(page, "Once more, please."))).to_contain_text("So be it.")
    shop_becomes(other, FIXED)
    shop_becomes(page, SHOP)
    other.close()


def test_notebook_7(stage: Stage) -> None:
    stage.lab.write(
        "seven.ipynb", *map(new_code_cell, (PREPARE, SHOP, "%%agent\nPlease.")), kernel="letta"
    )
    stage.model.call("notebook_insert", {"source": "total([])"})
    stage.model.say("So be it.")
    page = stage.page.context.new_page()
    errors = Errors()
    errors.watch(page)
    page.goto(f"{stage.lab.url}notebooks/seven.ipynb?token={stage.lab.token}")
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
    expect(page.get_by_role("button", name="Agent:")).to_be_visible()  # the kernel has answered
    page.get_by_role("menuitem", name="Run").click()
    page.get_by_text("Run All Cells", exact=True).click()
    expect(proposals(page)).to_be_visible()
    page.screenshot(path=ARTIFACTS / "notebook-change-notebook-7.png")
    page.get_by_role("button", name="Accept all").click()
    expect(page.locator(".lk-mod-live")).to_have_count(0)
    expect(page.locator(".lk-Run")).to_contain_text("So be it.")
    expect(cell_with(page, "total([])")).to_be_visible()
    page.close()
    assert [text for text in errors.found if not NOTEBOOKS_OWN.search(text)] == []
