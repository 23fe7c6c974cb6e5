"""The live view in JupyterLab: a run as it streams, questions while the cell is busy, hostile text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_lab import ARTIFACTS, Lab, run_all, running_lab, set_theme
from browser_pages import visit
from browser_stage import accessible
from nbformat.v4 import new_code_cell
from playwright.sync_api import Page, Request, expect

from letta_kernel.display.html import to_html

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "display"))
from hostile_run import hostile_run  # noqa: E402
from hostile_strings import HOSTILE  # noqa: E402

PREPARE = f"""
import os, sys, time
sys.path.insert(0, {str(HERE.parent / "display")!r})
from letta_kernel.display.live import LiveView
from letta_kernel.messages import *
from sample_run import events

def until_looked_at(name):
    while not os.path.exists(name):
        time.sleep(0.05)
"""
WHOLE_RUN = """
with LiveView("hello") as view:
    for event in events():
        if isinstance(event, RunEnded):
            until_looked_at("LOOKED")
        view.handle(event)
        time.sleep(0.05)
"""
START = """
view = LiveView("hello")
view.handle(RunStarted(run_id="r", agent_id="a", agent_name="ada", model="demo"))
view.handle(StepStarted(step_id="s", number=1))
"""
PAY = """
call = ToolCall(id="c1", name="send_money", arguments='{"to": "Mara", "euros": 12.5}')
view.handle(ReasoningDelta(text="She wants to be paid; I have to ask first."))
view.handle(ApprovalRequested(calls=[call]))
with view:
    print(view.ask_approval([call]))
"""

# What must not be in the page, whatever was said.
HARMFUL = """root => [...root.querySelectorAll('*')].filter(node =>
    ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'STYLE', 'LINK', 'META', 'BASE', 'FORM']
        .includes(node.tagName)
    || [...node.attributes].some(a => /^on/.test(a.name) || /^\\s*javascript:/i.test(a.value))
    || getComputedStyle(node).position === 'fixed'
    || (node.tagName === 'IMG' && !node.src.startsWith('data:'))
).map(node => node.outerHTML.slice(0, 200))"""


@pytest.fixture
def requests_elsewhere(page: Page) -> Iterator[list[str]]:
    """Addresses outside this machine that the page asked for."""
    found: list[str] = []

    def note(request: Request) -> None:
        if request.url.startswith(("http:", "https:", "ws:")) and "//127.0.0.1" not in request.url:
            found.append(request.url)

    page.on("request", note)
    yield found
    page.remove_listener("request", note)
    assert found == []


def open_and_run(lab: Lab, page: Page, name: str, code: str) -> None:
    for mark in ("watched", "scrolled", "read", "narrow"):  # a second try begins as the first
        (lab.folder / mark).unlink(missing_ok=True)
    visit(page, lab.write(name, new_code_cell(PREPARE), new_code_cell(code)))
    run_all(page)


@pytest.mark.usefixtures("requests_elsewhere")
def test_a_run_is_watched_and_leaves_its_saved_form(lab: Lab, page: Page) -> None:
    open_and_run(lab, page, "watch.ipynb", WHOLE_RUN.replace("LOOKED", "watched"))
    live = page.locator(".lk-mod-live")
    expect(live.locator(".lk-Thought")).to_contain_text("The user wants")
    expect(live).to_contain_text("forecast")
    expect(live.get_by_role("status")).to_contain_text("ada is answering.")
    expect(live.locator(".lk-Answer strong")).to_have_text("three warmest days")
    expect(live.locator(".lk-Answer pre span").first).to_be_visible()  # highlighted code
    expect(live.locator(".lk-Aside details[open]")).to_have_count(0)  # folded once the answer came
    page.screenshot(path=ARTIFACTS / "live-light.png")
    (lab.folder / "watched").touch()
    expect(live).to_have_count(0)
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
    expect(output).to_contain_text("three warmest days")
    expect(output).to_contain_text("end_turn")
    expect(output).not_to_contain_text("model not found")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    saved = (lab.folder / "watch.ipynb").read_text()
    assert "widget-view" not in saved
    assert "widget-state" not in saved


def test_approval_by_keyboard_while_the_cell_is_busy(lab: Lab, page: Page) -> None:
    open_and_run(lab, page, "approve.ipynb", START + PAY)
    ask = page.get_by_role("group", name="Approval")
    expect(ask).to_contain_text('"euros": 12.5')
    set_theme(page, "JupyterLab Dark")
    page.screenshot(path=ARTIFACTS / "approval-dark.png")
    ask.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Edit
    field = ask.get_by_role("textbox", name="Arguments of send_money, as JSON")
    expect(field).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("[\n1]")
    expect(field).to_have_value("[\n1]")
    ask.get_by_role("button", name="Approve").press("Enter")
    expect(ask.get_by_role("alert")).to_contain_text("JSON object")
    field.fill('{"to": "Mara", "euros": 4}')
    ask.get_by_role("button", name="Approve").press("Enter")
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
    expect(output).to_contain_text("approve=True, reason='', arguments={'to': 'Mara', 'euros': 4}")
    expect(page.locator(".jp-CodeCell")).to_have_count(2)  # no key reached the notebook's shortcuts


def test_denying_says_why(lab: Lab, page: Page) -> None:
    open_and_run(lab, page, "deny.ipynb", START + PAY)
    ask = page.get_by_role("group", name="Approval")
    ask.get_by_role("textbox", name="Why not").fill("Mara has enough")
    ask.get_by_role("button", name="Deny").click()
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
    expect(output).to_contain_text("approve=False, reason='Mara has enough'")


def test_the_stop_button_of_the_view(lab: Lab, page: Page) -> None:
    code = START + "view.handle(TextDelta(text='I begin …'))\nwith view:\n    time.sleep(60)"
    open_and_run(lab, page, "stop.ipynb", code)
    expect(page.locator(".lk-Answer:visible")).to_contain_text("I begin")
    page.get_by_role("button", name="Stop", exact=True).click()
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
    expect(output).to_contain_text("KeyboardInterrupt")
    expect(output).to_contain_text("I begin")
    expect(page.locator(".lk-mod-live")).to_have_count(0)


def test_two_views_of_one_run_agree(lab: Lab, page: Page) -> None:
    open_and_run(lab, page, "two.ipynb", START + PAY)
    asks = page.get_by_role("group", name="Approval")
    expect(asks).to_have_count(1)
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:create-output-view')")
    expect(asks).to_have_count(2)
    asks.nth(1).get_by_role("button", name="Approve").click()
    expect(asks).to_have_count(0)
    expect(page.locator(".lk-mod-live")).to_have_count(0)


def test_long_output_follows_the_end_unless_the_reader_scrolled_up(lab: Lab, page: Page) -> None:
    code = START + (
        "with view:\n"
        "    for n in range(600):\n"
        "        view.handle(TextDelta(text=f'line {n}\\n\\n'))\n"
        "        time.sleep(0.01)\n"
        "        if n == 60:\n"
        "            until_looked_at('scrolled')\n"
        "    until_looked_at('read')\n"
    )
    open_and_run(lab, page, "scroll.ipynb", code)
    box = page.locator(".lk-mod-live .lk-Body")
    expect(box).to_contain_text("line 60")
    at_end = "box => box.scrollHeight - box.scrollTop - box.clientHeight < 60"
    page.wait_for_function(f"() => ({at_end})(document.querySelector('.lk-mod-live .lk-Body'))")
    box.evaluate("box => { box.scrollTop = 100; }")
    (lab.folder / "scrolled").touch()
    expect(box).to_contain_text("line 300")
    assert box.evaluate("box => box.scrollTop") == 100
    (lab.folder / "read").touch()


@pytest.mark.page(fresh=True)
@pytest.mark.usefixtures("requests_elsewhere")
def test_hostile_text_does_nothing_in_the_page(lab: Lab, page: Page) -> None:
    code = (
        START
        + """
from hostile_strings import HOSTILE
with view:
    view.ask("Begin?")
    for n, (name, text) in enumerate(HOSTILE.items()):
        text = text[:20_000]
        call = f"c{n}"
        view.handle(ReasoningDelta(text=text))
        view.handle(ToolCallDelta(index=n, id=call, name=text[:60], arguments=text))
        view.handle(ToolStarted(call_id=call, name=text[:60], arguments={"value": text}))
        view.handle(ToolProgress(call_id=call, text=text))
        view.handle(MemoryChanged(label=text[:60], before="", after=text, version=1, call_id=call))
        view.handle(ToolReturned(call_id=call, name=name, status="ok", text=text, seconds=0.1,
                                 display={"text/html": text, "image/svg+xml": text}))
        view.handle(TextDelta(text=text + "\\n\\n" + name + "\\n\\n"))
        time.sleep(0.02)
    view.handle(TextDelta(text="that was all of it"))
    view.ask("Go on?")
"""
    )
    dialogs: list[str] = []

    def dismiss(dialog: object) -> None:
        dialogs.append(str(dialog))

    page.on("dialog", dismiss)
    open_and_run(lab, page, "hostile.ipynb", code)
    live = page.locator(".lk-mod-live")
    live.get_by_role("button", name="Answer").click()
    expect(live).to_contain_text("that was all of it", timeout=60_000)
    assert live.evaluate(HARMFUL) == []
    assert live.evaluate("root => root.scrollWidth <= root.clientWidth + 1")
    assert dialogs == []


@pytest.mark.page(fresh=True)
@pytest.mark.usefixtures("requests_elsewhere")
def test_the_saved_html_of_hostile_text_does_nothing_in_a_page(page: Page) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.set_content("<main style='width:700px'></main>")
    for text in HOSTILE.values():
        html = to_html(hostile_run(text).snapshot())
        page.evaluate("html => { document.querySelector('main').innerHTML = html; }", html)
        page.evaluate("() => document.querySelectorAll('details').forEach(d => (d.open = true))")
        run = page.locator(".letta-run")
        expect(run).to_have_count(1)
        assert run.evaluate(HARMFUL) == []
        assert run.evaluate("run => run.getBoundingClientRect().width <= 700")
        expect(page.locator("main > *")).to_have_count(1)  # nothing got out of the run's own box
    assert dialogs == []


def test_narrow_windows_and_text_from_right_to_left(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 480, "height": 800})
    code = START + (
        "with view:\n"
        "    view.handle(ReasoningDelta(text='חושב על זה'))\n"
        "    view.handle(TextDelta(text='שלום, **מה שלומך**?\\n\\nand `code` too\\n\\nx'))\n"
        "    until_looked_at('narrow')\n"
    )
    open_and_run(lab, page, "narrow.ipynb", code)
    first = page.locator(".lk-Answer p").first
    expect(first).to_contain_text("שלום")
    assert first.evaluate("p => getComputedStyle(p).direction") == "rtl"
    page.screenshot(path=ARTIFACTS / "live-narrow.png")
    assert page.locator(".lk-mod-live").evaluate("root => root.scrollWidth <= root.clientWidth + 1")
    (lab.folder / "narrow").touch()


@pytest.mark.slow
@pytest.mark.page(fresh=True)
def test_without_the_extension_the_view_is_the_same(
    page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("plain")
    settings = home / "config" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"disabledExtensions": {"letta-kernel": true}}')
    with running_lab(home / "notebooks", home) as plain:
        open_and_run(plain, page, "plain.ipynb", WHOLE_RUN.replace("LOOKED", "looked-at"))
        live = page.locator(".lk-mod-live")
        expect(live.locator(".lk-Answer strong")).to_have_text("three warmest days")
        expect(live.locator(".lk-Answer math")).to_be_visible()
        expect(live.locator(".lk-Answer td").nth(1)).to_have_css("text-align", "right")
        page.screenshot(path=ARTIFACTS / "live-plain.png")
        accessible(page, ".lk-mod-live")
        (plain.folder / "looked-at").touch()
        expect(live).to_have_count(0)
        output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
        expect(output.locator(".letta-run")).to_contain_text("three warmest days")
        page.screenshot(path=ARTIFACTS / "live-plain-saved.png")
        page.goto("about:blank")  # it would miss the server
