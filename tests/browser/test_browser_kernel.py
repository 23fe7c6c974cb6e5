"""A first conversation in JupyterLab: the letta kernel, the demo model, the saved notebook."""

from __future__ import annotations

from browser_lab import ARTIFACTS, Lab, run_all
from nbformat.v4 import new_code_cell
from playwright.sync_api import Page, expect

FUNCTION = '''
def count_birds(species: str) -> int:
    """How many birds of a species were seen this week.

    Args:
        species: The English name, in the singular.
    """
    return {"puffin": 31, "gannet": 128}[species]
'''


def test_a_run_is_shown_and_stays_in_the_saved_notebook(lab: Lab, page: Page) -> None:
    # Of a name that none of the project's other agents comes near, or it would not be made unasked.
    ask = new_code_cell(
        "%%agent ornithologist\nHow many birds of the species 'puffin' were seen this week?"
    )
    address = lab.write("first.ipynb", new_code_cell(FUNCTION), ask, kernel="letta")
    page.goto(address)
    run_all(page)
    run = page.locator(".lk-Run")
    expect(run.locator(".lk-Answer")).to_contain_text("31")
    expect(run.locator(".lk-Call-name")).to_have_text("count_birds")
    expect(run.locator(".lk-Header")).to_contain_text("ornithologist")
    expect(run.locator(".lk-Footer")).to_contain_text("end_turn")
    expect(page.locator(".lk-Widget")).to_be_hidden()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.goto(address)
    expect(run.locator(".lk-Answer")).to_contain_text("31")
    page.screenshot(path=ARTIFACTS / "first-run.png")
