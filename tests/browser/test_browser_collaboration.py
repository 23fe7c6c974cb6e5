"""Two people in one notebook: what an agent changes for one is seen by both, and only that is undone.

Needs jupyter-collaboration, which would make every other test a shared session: `make test-collaboration`
has an environment of its own for it.
"""

from __future__ import annotations

import importlib.util

import pytest
from browser_lab import ARTIFACTS
from browser_stage import NOTEBOOK, connected, idle, open_stage
from playwright.sync_api import Browser, Page, expect
from test_browser_notebook import (
    FIXED,
    SHOP,
    ask,
    cell_with,
    press,
    proposals,
    shop,
    sources,
    sources_become,
)

pytestmark = pytest.mark.slow


def both(pages: tuple[Page, Page], wanted: list[str]) -> None:
    """Wait until both pages have these cells."""
    for page in pages:
        sources_become(page, wanted)


def test_two_people_see_one_change_and_only_that_is_undone(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if importlib.util.find_spec("jupyter_collaboration") is None:
        pytest.fail("this needs jupyter-collaboration: make test-collaboration", pytrace=False)
    with open_stage(browser, tmp_path_factory.mktemp("shared"), "shared", SHOP) as stage:
        page = stage.page
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        other = stage.watch(context.new_page())
        other.goto(stage.lab.address(stage.name))
        connected(other)
        idle(other)
        edit = {"cell": shop(page)["id"], "source": FIXED}
        calls = [("notebook_edit", edit), ("notebook_insert", {"source": "total([])"})]
        run = ask(stage, "Mend it.", *calls)
        expect(proposals(page)).to_have_count(2)
        expect(proposals(other)).to_have_count(2)
        other.screenshot(path=ARTIFACTS / "collaboration.png")
        other.get_by_role("button", name="Accept all").first.click()
        expect(stage.saved(run)).to_contain_text("So be it.")
        first, _, asked, made = sources(page)
        assert made == "total([])"
        both((page, other), [first, FIXED, asked, made])
        page.evaluate(f"() => {NOTEBOOK}.model.sharedModel.cells[0].updateSource(0, 0, '# mine')")
        both((page, other), ["# mine" + first, FIXED, asked, made])
        other.locator(".jp-InputPrompt").first.click()
        press(other, "z")
        both((page, other), ["# mine" + first, SHOP, asked])
        press(other, "Shift+z")
        both((page, other), ["# mine" + first, FIXED, asked, made])
        stage.start("%agent undo")
        expect(cell_with(page, "%agent undo")).to_contain_text("Cells are as before: 2.")
        both((page, other), ["# mine" + first, SHOP, asked, "%agent undo"])
        context.close()
        assert stage.errors.found == []
        assert stage.outside == []
