"""Pictures of the real JupyterLab: kernels, demo model and all, in headless Chromium."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from images import write
from table import ROOT

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/browser")]

from browser_chromium import chromium  # noqa: E402
from browser_lab import Lab, run_all, running_lab, set_theme  # noqa: E402
from browser_stage import idle  # noqa: E402
from nbformat.v4 import new_code_cell  # noqa: E402
from playwright.sync_api import Browser, Locator, Page, expect  # noqa: E402

HERE = Path(__file__).parent
CELLS = "window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells"

# Scrolls whatever can be scrolled around a node.
TO_THE_TOP = "node => { for (let box = node; box; box = box.parentElement) box.scrollTop = 0; }"

SCROLL = """(node, above) => {
    let box = node.parentElement;
    while (box && !(box.scrollHeight > box.clientHeight + 5
        && getComputedStyle(box).overflowY !== 'visible')) box = box.parentElement;
    if (box) box.scrollTop += node.getBoundingClientRect().top - box.getBoundingClientRect().top - above;
}"""

SIGHTINGS = '''sightings = {"puffin": [3, 5, 2], "gannet": [12, 9]}

def count_sightings(species: str) -> int:
    """Count how many birds of a species were seen this week."""
    return sum(sightings[species])'''
TIMELINE = (
    '%agent new ada --model demo --human "Works at the sea bird station."',
    SIGHTINGS,
    "%%agent\nMy name is Kim, and I like gannets.",
    "%%agent\nHow many birds of the species puffin were seen this week?",
    "%agent timeline",
)


def make() -> None:
    """Take all screenshots, in light and dark."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        home = Path(folder)
        environment: dict[str, Any] = {"LETTA_MODEL": "demo", "LETTA_HOME": ""}
        with running_lab(home / "notebooks", home, anew=True, **environment) as lab:
            for name, picture in (("panel", panel), ("timeline", timeline)):
                with page_of(browser) as page:
                    picture(lab, page)
                    for theme in ("Light", "Dark"):
                        set_theme(page, f"JupyterLab {theme}")
                        page.wait_for_timeout(500)  # colours fade over
                        dark = "-dark" if theme == "Dark" else ""
                        write(page.screenshot(animations="disabled"), HERE / f"{name}{dark}.png")
                    set_theme(page, "JupyterLab Light")
                lab.end_kernels()


@contextmanager
def page_of(browser: Browser) -> Iterator[Page]:
    """A page of the size of the pictures."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB")
    context.set_default_timeout(60_000)
    try:
        yield context.new_page()
    finally:
        context.close()


def opened(page: Page, address: str) -> Locator:
    """Open a notebook, run all of it with the panel beside it, and return the panel."""
    page.goto(address)
    page.wait_for_function(
        "window.jupyterapp?.commands.hasCommand('letta-kernel:open-agents-panel')"
    )
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext")
    page.evaluate(
        "() => { window.jupyterapp.shell.collapseLeft();"
        " return window.jupyterapp.commands.execute('letta-kernel:open-agents-panel'); }"
    )
    run_all(page)
    page.wait_for_function(
        f"{CELLS}.every(cell => cell.cell_type !== 'code' || cell.execution_count"
        " || cell.source === '# Your turn')"
    )
    idle(page)
    panel = page.locator("#letta-kernel-agents")
    expect(panel).to_contain_text("demo model: no language model")
    return panel


def section(panel: Locator, name: str, *, shown: bool = True) -> Locator:
    """A section of the panel, opened or closed."""
    title = panel.get_by_role("button", name=name, exact=True)
    if title.get_attribute("aria-expanded") != str(shown).lower():
        title.click()
    return panel.get_by_role("region", name=name, exact=True)


def panel(lab: Lab, page: Page) -> None:
    """The quickstart: an agent was told something, and its memory is seen."""
    folder = lab.folder / "quickstart"
    shutil.copytree(ROOT / "notebooks/course/pictures", folder / "pictures")
    shutil.copy(ROOT / "notebooks/course/01-quickstart.ipynb", folder / "quickstart.ipynb")
    beside = opened(page, lab.address("quickstart/quickstart.ipynb"))
    section(beside, "Chat", shown=False)
    section(beside, "Context window")
    expect(beside).to_contain_text("memory blocks")
    beside.get_by_role("button", name="Memory", exact=True).evaluate(TO_THE_TOP)
    told = page.locator(".jp-Cell", has_text="My name is Kim.").first
    show(page, told, above=60)


def timeline(lab: Lab, page: Page) -> None:
    """A tree of what was said and done, and a fork beside it."""
    (lab.folder / "birds").mkdir()
    address = lab.write("birds/birds.ipynb", *map(new_code_cell, TIMELINE), kernel="letta")
    beside = opened(page, address)
    section(beside, "Chat", shown=False)
    section(beside, "Memory", shown=False)
    tree = section(beside, "Timeline").get_by_role("tree")
    row(tree, "My name is Kim").click()
    tree.get_by_role("button", name="Fork from here").click()
    tree.get_by_role("textbox", name="Name of the new agent").fill("eve")
    tree.get_by_role("button", name="Fork", exact=True).click()
    row(tree, "Fork: eve").click()
    tree.get_by_role("button", name="What differs").click()
    expect(tree.get_by_role("region")).to_contain_text("puffin")
    cell = page.locator(".jp-Cell").last
    row(cell.get_by_role("tree"), "My name is Kim").click()
    cell.scroll_into_view_if_needed()
    show(page, page.locator(".jp-Cell", has_text="How many birds of the species").first, above=110)


def row(tree: Locator, name: str) -> Locator:
    """What is clicked of an item."""
    return tree.get_by_role("treeitem", name=re.compile(name)).locator(".lk-Tree-row").first


def show(page: Page, cell: Locator, above: int) -> None:
    """Scroll the notebook to a cell, with *above* pixels before it, and leave the mouse nowhere."""
    for _ in range(2):  # cells above may be measured only after the first time
        cell.scroll_into_view_if_needed()
        cell.evaluate(SCROLL, above)
        page.wait_for_timeout(500)
    page.evaluate("() => document.activeElement?.blur()")
    page.mouse.move(0, 0)
