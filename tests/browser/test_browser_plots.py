"""Plots in the panel: drawn where people look at that, gone through by keys, read as a table."""

from __future__ import annotations

import re

import pytest
from browser_lab import ARTIFACTS, set_theme
from browser_office import Office
from browser_stage import accessible
from playwright.sync_api import Locator, Page, expect
from test_browser_panel import Desk, all_ran, section

LIVE = """
ada = Agent("ada")
for text in ("My name is Kim.", "I have a blue boat.", "Which colour has my boat?"):
    ada.send(text)
ada.remember("The boat needs new paint every spring.")
ada.remember("Oslo is cold in winter.")
ada.memory["human"].value += " She likes tea."
get_ipython().run_line_magic("agent", "fork bold")
Agent("bold").send("You are bold now.")
ada.send("A mistake.")
get_ipython().run_line_magic("agent", "undo")
ada.send("And what is colder?")
"""


@pytest.fixture
def desk(office: Office) -> Desk:
    return Desk(office.lab, office.model)


def opened(panel: Locator, where: str, title: str) -> Locator:
    fold = section(panel, where).locator("details.lk-Fold", has_text=title).first
    fold.locator("summary").first.click()
    chart = fold.locator("figure.lk-Chart")
    expect(chart).to_be_visible()
    return chart


def test_plots_are_drawn_gone_through_and_read(desk: Desk, page: Page) -> None:
    for call in (
        ("core_memory_append", {"label": "human", "content": "Kim lives in Oslo."}),
        ("archival_memory_insert", {"content": "Kim has a blue boat."}),
    ):
        desk.model.calls([call])
        desk.model.say("I see. " * 30)
    for _ in range(5):
        desk.model.say("Well, that is good to know. " * 20)
    model = "from letta_kernel import Agent\nAgent('ada', model='openai/scripted', human='Nobody yet.')\n"
    panel = desk.open(
        page, "plots", model + "get_ipython().run_line_magic('agent', 'use ada')\n" + LIVE
    )
    all_ran(page)
    panel.get_by_role("option").filter(has_text="ada").click()

    memory = opened(panel, "Memory", "Memory over time")
    slider = memory.get_by_role("slider", name="Memory of ada")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Before.*human 11"))
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Step 1.*human 30"))
    memory.get_by_text("As a table").click()
    # A head, what was before, seven steps, and three changes by hand: two passages and a block.
    expect(memory.get_by_role("row")).to_have_count(12)

    context = opened(panel, "Context window", "Step by step")
    expect(context).to_contain_text("memory blocks")
    runs = opened(panel, "Runs", "Tokens and cost of each step")
    expect(runs.get_by_role("slider")).to_have_attribute("aria-valuemax", "7")
    branches = opened(panel, "Timeline", "Branches as a graph")
    expect(branches.get_by_role("listitem")).to_have_count(7)
    archive = section(panel, "Archive")
    archive.get_by_role("searchbox").fill("Which colour has the boat?")
    archive.get_by_role("searchbox").press("Enter")
    found = opened(panel, "Archive", "Why they rank so")
    expect(found.get_by_role("listitem").filter(has_text="Kim has a blue boat.")).to_have_count(1)
    for theme in ("Light", "Dark"):
        set_theme(page, f"JupyterLab {theme}")
        accessible(page, "#letta-kernel-agents")
        for name, chart in (
            ("memory", memory),
            ("context", context),
            ("tokens", runs),
            ("branches", branches),
            ("retrieval", found),
        ):
            chart.screenshot(path=ARTIFACTS / f"plot-{name}-{theme.lower()}.png")
