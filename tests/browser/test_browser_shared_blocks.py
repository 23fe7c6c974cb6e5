"""A block that two agents share, in the panel: who has it, whose edit came, and what becomes of one's own."""

from __future__ import annotations

import pytest
from browser_lab import ARTIFACTS
from browser_stage import accessible
from playwright.sync_api import Page, expect
from test_browser_panel import Desk, agents, block, desk, in_kernel, option, section

__all__ = ["desk"]

SHARE = """
ada, bob = Agent("ada"), Agent("bob")
ada.memory["team"] = "We count birds."
ada.memory.share("team", "bob")
"""

# An agent's edit as its tool makes it, in another process.
BY_BOB = """
import subprocess, sys
subprocess.run([sys.executable, "-c", '''
import sys
from letta_kernel.memory.blocks import CoreMemory
from letta_kernel.service import AgentService
with AgentService(sys.argv[1]) as service:
    bob = service.agents.retrieve("bob").id
    add = lambda text: text + chr(10) + sys.argv[2]
    CoreMemory(service.database, bob).edit("team", add, actor=bob, reason="memory_insert")
''', str(ada.service.home), {line!r}], check=True)
"""


@pytest.mark.slow
def test_edits_of_another_agent_arrive_and_meet_ones_own(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "shared", agents("ada", "bob"), SHARE)
    expect(option(panel, "bob")).to_be_visible()
    section(panel, "Memory")
    team = block(panel, "team")
    expect(team).to_contain_text("shared with bob")
    expect(team).to_contain_text("Last written by you")
    expect(block(panel, "human")).not_to_contain_text("shared")

    in_kernel(page, BY_BOB.format(line="Bob is back."))
    expect(team.locator(".lk-Block-value")).to_have_text("We count birds.\nBob is back.")
    expect(team).to_contain_text("Last written by bob, memory_insert")
    expect(panel.get_by_role("status").filter(has_text="team (by bob): changed.")).to_have_count(1)

    # Written by keyboard alone, while bob writes again: both texts, put together, saved.
    team.get_by_role("button", name="Edit team").press("Enter")
    field = team.get_by_role("textbox", name="Text of team")
    expect(field).to_be_focused()
    page.keyboard.press("Control+Home")
    page.keyboard.type("We meet on Mondays.\n")
    in_kernel(page, BY_BOB.format(line="At nine."))
    expect(team.get_by_role("alert")).to_contain_text("bob changed this block while you edit it")
    page.keyboard.press("Control+Enter")
    conflict = team.get_by_role("group", name="Conflict in team")
    expect(conflict).to_contain_text("team was changed by bob while you edited it.")
    expect(conflict).to_contain_text("by bob)")
    accessible(page, "#letta-kernel-agents")
    page.screenshot(path=ARTIFACTS / "shared-conflict.png")
    both = conflict.get_by_role("button", name="Put both together")
    page.keyboard.press("Tab")
    both.press("Enter")
    mine = conflict.get_by_role("textbox", name="Your text of team")
    expect(mine).to_be_focused()
    together = "We meet on Mondays.\nWe count birds.\nBob is back.\nAt nine."
    expect(mine).to_have_value(together)
    page.keyboard.press("Control+Enter")
    expect(conflict).to_have_count(0)
    expect(team.locator(".lk-Block-value")).to_have_text(together)

    # The other agent's memory says the same from its side, and the history whose edits there were.
    option(panel, "bob").click()
    team = block(panel, "team")
    expect(team).to_contain_text("shared with ada")
    expect(team.locator(".lk-Block-value")).to_have_text(together)
    team.get_by_role("button", name="History team").click()
    expect(team.locator(".lk-Version")).to_have_count(4)
    expect(team.locator(".lk-Version").nth(1)).to_contain_text("bob · memory_insert")
    page.screenshot(path=ARTIFACTS / "shared-history.png")
    in_kernel(page, "ada.memory.unshare('team', 'bob')")
    expect(team).to_have_count(0)
