"""Everybody can use every view: axe-core, texts of a translator, 400 % zoom, right to left, calm.

One walk through JupyterLab, in a language whose every text stands in ⟦ ⟧, brings up view after view and looks
at each in every way; the tests then say what was found.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import browser_views
import nbformat
import pytest
from browser_lab import ARTIFACTS, Errors, Lab, run_all, running_lab, set_theme
from browser_office import PAY
from browser_stage import chunks, gated, thought, words
from nbformat.v4 import new_code_cell
from playwright.sync_api import Browser, Page, ViewportSize, expect
from scripted_server import ScriptedServer

THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")
SIZE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 320, "height": 800}  # 1280 px at 400 %
SETTINGS = {
    "@jupyterlab/translation-extension/plugin": {"locale": browser_views.LOCALE},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
BIRDS = '''
def count_birds(species: str) -> list[dict]:
    """How many birds of a species were seen this week.

    Args:
        species: The English name, in the singular.
    """
    return [{"species": species, "seen": 31}, {"species": "gannet", "seen": 128}]
'''
TIDY = """
from letta_kernel.models.scripted import scripted
scripted('''
say: she moved
call: memory_replace(label="human", old_string="lives in bergen", new_string="lives in oslo")
call: memory_insert(label="human", new_string="has a cat")

call: memory_finish_edits()
''', "sleep")
"""
CELLS = (
    'from letta_kernel import Agent\nAgent("bob", model="demo", persona="i am bob")\n'
    'Agent("ada", model="openai/scripted", persona="i am ada", human="mara\\nlives in bergen")\n'
    "%agent use ada",
    PAY,
    BIRDS,
    "%%agent\nhow many puffins?",
    "%agent archival add mara plays the viola --tags music",
    "%agent memory",
    "%agent timeline",
    "%agent explain",
    "%%compare ada --memory on,off\nwho am i?",
    "%agent list",
    "%agent tools",
    "%agent context",
    "%agent runs",
    "%agent archival",
    "%agent diff bob",
    "%agent help",
    TIDY,
    "%agent sleeptime on --review --model scripted/sleep",
    "%%agent\nlook again",
    "%agent sleeptime now",
    "1 / 0",
)
ANSWER = (
    "**puffins**: 31 seen [1].\n\n| species | seen |\n|---|---|\n| puffin | 31 |\n\n"
    "```python\nprint(31)\n```\n\n1. a list\n\n> quoted, and $x^2$ [here](https://example.org/)"
)
# What the kernel, models and people say, which nobody translates; beside what stands in the cells.
DATA = """
scripted openai demo sleep ada bob human persona core_memory_append core_memory_replace memory_insert
memory_replace memory_finish_edits archival_memory_insert archival_memory_search conversation_search
send_message notebook_edit notebook_read notebook_insert notebook_run send_money count_birds species seen
end_turn ms min tool tokens str list float dict none tape you archival created letta pay 12 euros Tidies the
memory of ada while it rests count_ string Alt Shift F5 English in the Letta ZeroDivisionError
OPENAI_API_KEY summary system so be it print
"""
PANEL = "#letta-kernel-agents"
OUTPUTS = (
    *(".lk-Run", ".lk-Blocks", ".lk-SavedPanel", ".lk-Strip", ".lk-Errors"),
    *(".lk-Change", ".lk-ChangeBar", ".lk-Status"),
)
DIALOGS = (".lk-ToolCard", ".lk-CellMenu", ".jp-Dialog-content:has([class*='lk-'])")
PARTS = (PANEL, *OUTPUTS, *DIALOGS)
OWN = ", ".join(PARTS)

SHARED = "window.jupyterapp.shell.currentWidget.content.model.sharedModel"
ANIMATED = """() => document.getAnimations().filter(({ effect, playState }) =>
    playState === 'running' && effect.target.closest('[class*="lk-"]')).length"""
RUN_CELL = """source => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const cells = notebook.model.sharedModel;
    cells.insertCell(cells.cells.length, { cell_type: 'code', source, metadata: { trusted: true } });
    notebook.activeCellIndex = cells.cells.length - 1;
    void window.jupyterapp.commands.execute('notebook:run-cell');
}"""


@dataclass
class Walk:
    """The page, and what is found in it on the way: by kind of finding, a view and what is wrong there."""

    lab: Lab
    model: ScriptedServer
    page: Page
    errors: Errors
    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    shown: set[str] = field(default_factory=set)
    sections: set[str] = field(default_factory=set)
    animated: dict[str, int] = field(default_factory=dict)

    def look(self, view: str, *needed: str, over: bool = False) -> None:
        """Look at everything there is in every way; *needed* is what the view is about.

        What stands *over* the page has the focus, and is looked at alone.
        """
        page = self.page
        for one in needed:
            expect(page.locator(one).first).to_be_visible()
            self.shown.add(one)
        # What differs from theme to theme is colours, of which the first view has most.
        for theme in THEMES if not self.found else THEMES[:1] if over else THEMES[:2]:
            set_theme(page, theme)
            self.note(theme, view, browser_views.axe(page, DIALOGS if over else PARTS))
        set_theme(page, THEMES[0])
        data = "\n".join((*CELLS, DATA, ANSWER))
        self.note("text", view, browser_views.unmarked(page, OWN, data))
        page.screenshot(path=ARTIFACTS / f"access-{view}.png")
        self._mirrored(view)
        self._narrow(view, over)

    def _narrow(self, view: str, over: bool) -> None:
        page = self.page
        page.set_viewport_size(NARROW)
        if not over:
            page.evaluate("window.jupyterapp.shell.collapseLeft()")
            self.note("narrow", view, browser_views.too_wide(page, PANEL))
            page.screenshot(path=ARTIFACTS / f"access-{view}-narrow-panel.png")
            page.evaluate("window.jupyterapp.shell.collapseRight()")
        # What was placed beside a button before the page got narrow is not looked at.
        parts = DIALOGS[-1:] if over else OUTPUTS
        self.note("narrow", view, browser_views.too_wide(page, ", ".join(parts)))
        page.screenshot(path=ARTIFACTS / f"access-{view}-narrow.png")
        page.set_viewport_size(SIZE)
        if not over:
            page.evaluate("window.jupyterapp.shell.expandRight()")

    def _mirrored(self, view: str) -> None:
        page = self.page
        page.evaluate("document.documentElement.dir = 'rtl'")
        page.screenshot(path=ARTIFACTS / f"access-{view}-rtl.png")
        self.note("mirrored", view, browser_views.not_mirrored(page, OWN))
        page.evaluate("document.documentElement.dir = ''")

    def ended(self) -> None:
        """Wait until no run goes on."""
        expect(self.page.locator(".lk-mod-live")).to_have_count(0)

    def note(self, kind: str, view: str, wrong: list[str]) -> None:
        self.found[kind] += [f"{view}: {one}" for one in wrong]

    def run(self, source: str) -> None:
        self.page.evaluate(RUN_CELL, source)


@pytest.fixture(scope="module")
def walk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The walk, ended."""
    home = tmp_path_factory.mktemp("access")
    for name, settings in SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    pack = str(browser_views.language_pack(home / "pack"))
    with ScriptedServer() as model:
        keys = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test", "PYTHONPATH": pack}
        with running_lab(home / "notebooks", home, **keys) as lab:
            page = browser.new_context(viewport=SIZE).new_page()
            page.set_default_timeout(60_000)
            errors = Errors()
            errors.watch(page)
            walk = Walk(lab, model, page, errors)
            for go in STATES:
                go(walk)
            yield walk
            page.context.close()


def begin(walk: Walk) -> None:
    """Everything that is saved, and the whole panel."""
    page, model = walk.page, walk.model
    model.call("core_memory_append", {"label": "human", "content": "likes birds"})
    model.call("count_birds", {"species": "puffin"})
    model.reason("birds are counted", ANSWER)
    for text in ("who knows", "nobody knows", "again"):
        model.say(text)
    page.goto(walk.lab.write("walk.ipynb", *map(new_code_cell, CELLS), kernel="letta"))
    page.wait_for_function(
        "window.jupyterapp?.commands.hasCommand('letta-kernel:open-agents-panel')"
    )
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext")
    page.evaluate("() => window.jupyterapp.commands.execute('letta-kernel:open-agents-panel')")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    run_all(page)
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells.slice(0, -1)"
        ".every(cell => cell.execution_count)"
    )
    panel = page.locator(PANEL)
    panel.locator("[role=option]", has_text="ada").first.click()
    for name in browser_views.SECTIONS:
        title = panel.locator(f"[data-section={name}] .lk-Section-title button")
        if title.get_attribute("aria-expanded") == "false":
            title.click()
    for name in browser_views.SECTIONS:
        expect(panel.locator(f"#lk-section-{name} > *").first).to_be_visible()
    panel.locator("#lk-section-runs .lk-RunRow-head").first.click()
    walk.sections = set(
        page.eval_on_selector_all(
            f"{PANEL} .lk-Section", "all => all.map(one => one.dataset.section)"
        )
    )
    walk.look(
        "saved", PANEL, ".lk-Run", ".lk-Blocks .lk-Tree", ".lk-Block", ".lk-Sleep", ".lk-Errors", ".lk-Status",
        ".lk-Strip .lk-AgentBadge", ".lk-SavedPanel table", ".lk-Steps table",
    )  # fmt: skip


def approval(walk: Walk) -> None:
    """A call that waits for a person, in the cell and in the panel."""
    walk.model.call("send_money", {"to": "mara", "euros": 12.5})
    walk.model.say("so be it")
    walk.run("%%agent\npay mara")
    walk.look("approval", ".lk-mod-live .lk-Ask", f"{PANEL} .lk-Ask")
    walk.page.locator(".lk-mod-live .lk-Ask button.lk-mod-good").first.click()
    walk.ended()


def proposals(walk: Walk) -> None:
    """Changes of the notebook that wait for a person."""
    page = walk.page
    cell = page.evaluate(f"{SHARED}.cells[1].id")
    walk.model.call("notebook_read", {})
    walk.model.calls(
        [
            ("notebook_edit", {"cell": cell, "source": "print(31)"}),
            ("notebook_insert", {"source": "print(128)"}),
        ]
    )
    walk.model.say("so be it")
    walk.run("%%agent\nlook")
    walk.look("proposals", ".lk-Change .lk-Diff", ".lk-ChangeBar")
    page.locator(".lk-ChangeBar button").last.click()
    walk.ended()


def stopped(walk: Walk) -> None:
    """A run that a breakpoint has stopped."""
    walk.run("%agent break on tool:count_*")
    walk.model.call("count_birds", {"species": "gannet"})
    walk.model.say("so be it")
    walk.run("%%agent\ngannet")
    walk.look("stopped", ".lk-mod-live .lk-Ask", f"{PANEL} [data-section=debugger] [role=group]")
    walk.page.locator(f"{PANEL} [data-section=debugger] [role=group] button").nth(2).click()
    walk.ended()
    walk.run("%agent break off")


def streaming(walk: Walk) -> None:
    """An answer that grows, for those who want nothing to move and for the others."""
    page = walk.page
    gate = threading.Event()
    walk.model.raw(chunks(gated((thought("hm"), words("so it "), None, words("is")), gate)))
    walk.run("%%agent\nlook")
    expect(page.locator(".lk-mod-live .lk-mod-grows")).to_be_visible()
    for motion in ("no-preference", "reduce"):
        page.emulate_media(reduced_motion=motion)
        page.wait_for_timeout(300)
        walk.animated[motion] = page.evaluate(ANIMATED)
    walk.look("streaming", ".lk-mod-live .lk-Stop")
    page.emulate_media(reduced_motion="no-preference")
    gate.set()
    walk.ended()


def dialogs(walk: Walk) -> None:
    """What is asked in a dialog or a menu; each closes by Escape, and the focus is where it was."""
    page = walk.page
    panel = page.locator(PANEL)
    strip = page.locator(".lk-Strip:visible")
    openers = {
        "new": (panel.locator(".lk-Panel-head button").nth(0), ".lk-NewAgent"),
        "keys": (
            panel.locator(".lk-Panel-head button").nth(2),
            ".lk-NewAgent input[type=password]",
        ),
        "agent-menu": (panel.locator(".lk-Chosen-head button[aria-haspopup=menu]"), ".lm-Menu"),
        "cell-menu": (strip.locator(".lk-AgentBadge").first, ".lk-CellMenu"),
        "tool": (strip.locator(".lk-ToolBadge").last, ".lk-ToolForm"),
        "card": (strip.locator(".lk-ToolBadge").last, ".lk-ToolCard"),
    }
    for name, (opener, shown) in openers.items():
        opener.scroll_into_view_if_needed()
        opener.focus()
        if name != "card":
            page.keyboard.press("Enter")
        expect(page.locator(shown).first).to_be_visible()
        walk.look(name, shown, over=True)
        if name != "card":
            page.keyboard.press("Escape")
            expect(page.locator(shown)).to_have_count(0)
            if not opener.evaluate("one => one === document.activeElement"):
                walk.note("focus", name, ["the focus is lost"])


def saved_page(walk: Walk) -> None:
    """What the kernel has saved, as pages show it that know nothing of it."""
    lab = walk.page
    lab.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    lab.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    notebook = nbformat.read(walk.lab.folder / "walk.ipynb", 4)
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    drawn = [one.data["text/html"] for one in outputs if "text/html" in one.get("data", {})]
    assert len(drawn) >= 12
    # As nbconvert places them: what is too wide scrolls in its own box.
    boxes = "".join(f"<div style='overflow:auto' tabindex=0>{html}</div>" for html in drawn)
    page = lab.context.new_page()
    page.set_content(
        "<!doctype html><html lang=en><title>saved</title>"
        "<style>:root { color-scheme: light dark } body { background: Canvas; color: CanvasText }</style>"
        f"<main><h1>Saved</h1>{boxes}</main>"
    )
    for scheme, theme in (("light", THEMES[0]), ("dark", THEMES[1])):
        page.emulate_media(color_scheme=scheme)
        walk.note(theme, "saved page", browser_views.axe(page, ("main",)))
    page.set_viewport_size(NARROW)
    walk.note("narrow", "saved page", browser_views.too_wide(page, "main"))
    page.screenshot(path=ARTIFACTS / "access-saved-page-narrow.png", full_page=True)
    page.close()


STATES: tuple[Callable[[Walk], None], ...] = (
    begin,
    approval,
    proposals,
    stopped,
    streaming,
    dialogs,
    saved_page,
)


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_in_any_view(walk: Walk, theme: str) -> None:
    assert walk.found[theme] == []


def test_the_walk_shows_every_section_of_the_panel(walk: Walk) -> None:
    assert walk.sections == browser_views.SECTIONS


def test_every_text_is_a_translators(walk: Walk) -> None:
    assert walk.found["text"] == []


def test_nothing_is_lost_at_400_percent(walk: Walk) -> None:
    assert walk.found["narrow"] == []


def test_pages_from_right_to_left_are_mirrored(walk: Walk) -> None:
    assert walk.found["mirrored"] == []


def test_nothing_moves_for_those_who_want_that(walk: Walk) -> None:
    assert walk.animated["no-preference"] > 0
    assert walk.animated["reduce"] == 0


def test_the_focus_is_where_it_was_after_a_dialog(walk: Walk) -> None:
    assert walk.found["focus"] == []


def test_nothing_went_wrong_on_the_way(walk: Walk) -> None:
    assert walk.errors.found == []
