"""Every task by keys alone: the focus is seen, comes to everything in order, is never caught, and returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from browser_lab import ARTIFACTS
from browser_office import PAY
from browser_stage import Stage, idle, open_stage, words
from playwright.sync_api import Browser, Locator, Page, expect

OPEN = "Show the Agents Panel"
MOST_TABS = 160  # from anywhere in the page to anywhere else
NO_SHORTCUTS = "document.activeElement.closest('[data-lm-suppress-shortcuts]') !== null"
FOCUSED = """() => {
    let node = document.activeElement;
    while (node?.shadowRoot?.activeElement) {
        node = node.shadowRoot.activeElement;
    }
    const seen = one => {
        const look = getComputedStyle(one);
        return (look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0) || look.boxShadow !== 'none';
    };
    const text = node.getAttribute('aria-label') || node.labels?.[0]?.innerText || node.innerText ||
        node.title || node.placeholder || '';
    return {
        name: text.trim().split('\\n')[0],
        ours: node.closest('[class*="lk-"]') !== null && !node.closest('.cm-editor'),
        seen: seen(node) || [...node.children].some(seen),
        look: node.className,
    };
}"""

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def stage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    ARTIFACTS.mkdir(exist_ok=True)
    with open_stage(browser, tmp_path_factory.mktemp("keyboard"), "keyboard", PAY) as opened:
        Keys(opened, opened.page).palette(OPEN)
        expect(opened.page.get_by_role("option", name="ada")).to_be_visible()
        yield opened


@dataclass
class Keys:
    """Somebody at a keyboard, without a pointer."""

    stage: Stage
    page: Page
    unseen: set[str] = field(default_factory=set)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str, *keys: str) -> None:
        self.page.keyboard.type(text)
        self.press(*keys)

    def focus(self) -> dict[str, Any]:
        """What has the focus; where one of ours has it, it has to be seen."""
        found: dict[str, Any] = self.page.evaluate(FOCUSED)
        if found["ours"] and not found["seen"]:
            self.unseen.add(f"{found['name']} ({found['look']})")
        return found

    def to(self, name: str, key: str = "Tab") -> None:
        """Go on by Tab, or another key, until what is called *name* has the focus."""
        passed = []
        for _ in range(MOST_TABS):
            self.press(key)
            passed.append(self.focus()["name"])
            if passed[-1] == name:
                return
        raise AssertionError(f"{name!r} is not reached: {passed}")

    def back(self, name: str) -> None:
        self.to(name, "Shift+Tab")

    def palette(self, command: str) -> None:
        """Run a command from the palette, which no shortcut opens from within memory or a timeline."""
        for _ in range(MOST_TABS):
            if not self.page.evaluate(NO_SHORTCUTS):
                break
            self.press("Tab")
        self.press("Control+Shift+C")
        expect(self.page.locator(".lm-CommandPalette-input")).to_be_focused()
        self.type(command)
        expect(self.page.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text(command)
        self.press("Enter")


@pytest.fixture
def keys(stage: Stage) -> Iterator[Keys]:
    """A keyboard before the panel, whose focus was always seen."""
    keys = Keys(stage, stage.page)
    keys.palette(OPEN)
    expect(
        keys.page.locator("#letta-kernel-agents [role=option][aria-selected=true]")
    ).to_be_focused()
    yield keys
    assert keys.unseen == set()


@pytest.fixture
def panel(stage: Stage) -> Locator:
    return stage.page.locator("#letta-kernel-agents")


def test_an_agent_is_made_and_the_list_is_gone_through(keys: Keys, panel: Locator) -> None:
    keys.back("New agent")
    keys.press("Enter")
    dialog = keys.page.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_be_focused()
    keys.press("Escape")
    expect(dialog).to_have_count(0)
    assert keys.focus()["name"] == "New agent"
    keys.press("Enter")
    expect(dialog.get_by_label("Name")).to_be_focused()
    keys.type("bob", "Tab")
    keys.type("demo")
    keys.to("Create")
    keys.press("Enter")
    bob = panel.get_by_role("option").filter(has_text="bob")
    expect(bob).to_have_attribute("aria-selected", "true")
    keys.page.wait_for_function("document.activeElement !== document.body")
    bob.focus()  # as the palette's command does
    keys.press("ArrowUp")
    expect(panel.get_by_role("option").filter(has_text="ada")).to_be_focused()
    keys.to("What can be done with ada")
    keys.press("Enter", "ArrowDown")
    expect(keys.page.locator(".lm-Menu-item.lm-mod-active")).to_be_visible()
    keys.press("Escape")
    assert keys.focus()["name"] == "What can be done with ada"


def test_talking_stopping_approving_and_denying(keys: Keys, panel: Locator) -> None:
    model, said = keys.stage.model, panel.get_by_role("log")
    model.say("so be it")
    keys.to("Message to ada")
    keys.type("hello", "Enter")
    expect(said).to_contain_text("so be it")
    expect(panel.get_by_role("textbox", name="Message to ada")).to_be_focused()

    keys.stage.stream(words("it goes on"), None, words("and on"))
    keys.type("again", "Enter")
    expect(said).to_contain_text("it goes on")
    keys.to("Stop ada")
    keys.press("Enter")
    expect(panel.get_by_role("button", name="Send")).to_be_visible()
    keys.stage.go_on()

    for name, told in (("Approve", "has 5.0 euros more"), ("Why not (optional)", "too much")):
        model.call("send_money", {"to": "Mara", "euros": 5})
        model.say(f"that was: {name}")
        keys.to("Message to ada", "Shift+Tab")
        keys.type("pay mara", "Enter")
        expect(panel.get_by_role("group", name="Waits for your approval")).to_be_visible()
        keys.back(name)
        if name == "Approve":
            keys.press("Enter")
        else:
            keys.type(told, "Enter")
        expect(said).to_contain_text(f"that was: {name}")
        # Who has decided goes on in the box.
        expect(panel.get_by_role("textbox", name="Message to ada")).to_be_focused()
        assert told in str(model.requests[-1]["messages"])


def test_a_block_is_edited_and_taken_back(keys: Keys, panel: Locator) -> None:
    human = panel.get_by_role("group", name="Memory block human")
    keys.to("Edit human")
    keys.press("Enter")
    expect(human.get_by_role("textbox")).to_be_focused()
    keys.press("Control+End")
    keys.type(" and birds", "Escape")
    expect(human).to_contain_text("Escape again throws your text away.")
    keys.press("Escape")
    assert keys.focus()["name"] == "Edit human"
    keys.press("Enter", "Control+End")
    keys.type(" and birds", "Control+Enter")
    expect(human).to_contain_text("and birds")
    keys.page.wait_for_function(
        "document.activeElement.getAttribute('aria-label') === 'Edit human'"
    )
    keys.to("Undo human")
    keys.press("Enter")
    expect(human).not_to_contain_text("and birds")
    keys.to("History human")
    keys.press("Enter")
    expect(human.get_by_role("region", name="What changed")).to_be_visible()


def test_the_archive_is_filled_and_searched(keys: Keys, panel: Locator) -> None:
    keys.to("Archive")
    keys.press("Enter")
    archive = panel.get_by_role("region", name="Archive", exact=True)
    keys.to("Text to add")
    keys.type("Mara plays the viola")
    keys.to("Add")
    keys.press("Enter")
    expect(archive.get_by_role("listitem")).to_have_count(1)
    field = archive.get_by_role("searchbox")
    keys.to(field.get_attribute("aria-label") or "", "Shift+Tab")
    keys.type("viola", "Enter")
    expect(archive.get_by_role("listitem").first).to_contain_text("viola")
    keys.press("Escape")
    expect(field).to_have_value("")
    keys.to("Delete the passage Mara plays the viola")
    keys.press("Enter")
    expect(keys.page.get_by_role("dialog")).to_be_visible()
    keys.press("Escape")
    assert keys.focus()["name"] == "Delete the passage Mara plays the viola"
    keys.back("Archive")
    keys.press("Enter")


def test_the_timeline_is_rewound_and_forked(keys: Keys, panel: Locator) -> None:
    keys.to("Timeline")
    keys.press("Enter")
    timeline = panel.get_by_role("region", name="Timeline", exact=True)
    tree = timeline.get_by_role("tree")
    items = tree.get_by_role("treeitem")
    expect(items.first).to_be_visible()
    count = items.count()
    assert count >= 3
    keys.to("Undo")
    while not keys.page.evaluate("document.activeElement.matches('[role=treeitem]')"):
        keys.press("Tab")
        keys.focus()
    keys.press("ArrowDown", "Enter")
    keys.to("Rewind to here")
    keys.press("Enter")
    expect(timeline.get_by_role("button", name="Rewind", exact=True)).to_be_focused()
    keys.press("Enter")
    expect(timeline.get_by_role("treeitem", name="An end that was left")).to_have_count(1)
    assert keys.page.evaluate("document.activeElement.matches('[role=treeitem]')")
    keys.to("Fork from here")
    keys.press("Enter")
    keys.type("eve", "Enter")
    expect(panel.get_by_role("option").filter(has_text="eve")).to_have_count(1)
    keys.back("Redo")
    keys.press("Enter")
    expect(timeline.get_by_role("treeitem", name="An end that was left")).to_have_count(0)
    keys.back("Timeline")
    keys.press("Enter")


def test_a_breakpoint_is_set_and_a_tool_run_by_hand(keys: Keys, panel: Locator) -> None:
    keys.to("Debugger")
    keys.press("Enter")
    debugger = panel.get_by_role("region", name="Debugger", exact=True)
    keys.to("Stop at…")
    keys.type("tool:send_*", "Enter")
    expect(debugger.get_by_role("list")).to_contain_text("tool:send_*")
    keys.back("Do not stop at tool:send_*")
    keys.press("Enter")
    expect(debugger.get_by_role("list")).not_to_contain_text("tool:send_*")
    keys.back("Tools")
    keys.press("Enter")
    tool = panel.get_by_role("article", name="Tool send_money")
    expect(tool).to_be_visible()
    keys.to("Run by hand")
    keys.press("Enter")
    expect(tool.get_by_role("form")).to_be_visible()
    keys.to("to")
    keys.type("kim", "Tab")
    keys.type("3", "Enter")
    expect(tool.get_by_role("status")).to_contain_text("kim has 3")


def test_variants_are_compared_and_one_is_kept(keys: Keys) -> None:
    for _ in range(2):
        keys.stage.model.say("who knows")
    cell = keys.stage.start("%%compare ada --memory on,off\nwho am i?")
    expect(cell.get_by_role("button", name="Keep").first).to_be_visible()
    idle(keys.page)
    keys.press("Escape")
    cell.evaluate("cell => cell.focus()")  # where a notebook's arrow keys lead
    keys.to(cell.get_by_role("button", name="Keep").first.inner_text())
    keys.press("Enter")
    expect(cell.get_by_role("button", name="Keep")).to_have_count(0)
    expect(cell).to_be_focused()  # arrow keys go on from here


def test_a_call_is_approved_in_a_cell_which_has_the_focus_then(keys: Keys) -> None:
    keys.stage.model.call("send_money", {"to": "Mara", "euros": 5})
    keys.stage.model.say("so be it")
    cell = keys.stage.start("%%agent ada\npay mara")
    expect(cell.get_by_role("group", name="Approval")).to_be_visible()
    cell.evaluate("cell => cell.focus()")
    keys.to("Approve")
    keys.press("Enter")
    expect(keys.stage.saved(cell)).to_contain_text("so be it")
    expect(cell).to_be_focused()
