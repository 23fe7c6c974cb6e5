"""The side panel in JupyterLab: agents, memory, tools, archive, messages, runs, talking without a cell."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest
from browser_lab import ARTIFACTS, run_all, set_theme
from browser_office import PAY, WAIT_FOR, Office
from browser_pages import visit
from browser_stage import accessible, idle
from playwright.sync_api import Locator, Page, expect

COUNT_BIRDS = '''
def count_birds(species: str) -> int:
    """How many birds of a species were seen this week.

    Args:
        species: The English name, in the singular.
    """
    return {"puffin": 31, "gannet": 128}[species]
'''


def agents(*names: str, model: str = "demo") -> str:
    """Code that makes agents; the first is the notebook's."""
    lines = ["from letta_kernel import Agent"]
    lines += [
        f"Agent({name!r}, model={model!r}, persona='I am {name}.', human='Name: Mara')"
        for name in names
    ]
    return "\n".join([*lines, f"get_ipython().run_line_magic('agent', 'use {names[0]}')"])


class Desk(Office):
    """A server of projects whose notebooks are opened with the panel beside them."""

    def open(self, page: Page, project: str, *cells: str, kernel: str = "letta") -> Locator:
        """Open a notebook of *cells* in a project, run it, and show the panel."""
        visit(page, self.write(f"{project}/{project}.ipynb", *cells, kernel=kernel))
        panel = show_panel(page)
        run_all(page)
        return panel


@pytest.fixture
def desk(office: Office) -> Desk:
    return Desk(office.lab, office.model)


def show_panel(page: Page) -> Locator:
    page.wait_for_function(
        "window.jupyterapp?.commands.hasCommand('letta-kernel:open-agents-panel')"
    )
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext")
    page.evaluate("() => window.jupyterapp.commands.execute('letta-kernel:open-agents-panel')")
    panel = page.locator("#letta-kernel-agents")
    expect(panel).to_be_visible()
    return panel


def section(panel: Locator, name: str) -> Locator:
    """The body of a section, opened."""
    title = panel.get_by_role("button", name=name, exact=True)
    if title.get_attribute("aria-expanded") == "false":
        title.click()
    return panel.get_by_role("region", name=name, exact=True)


def block(panel: Locator, label: str) -> Locator:
    return panel.get_by_role("group", name=f"Memory block {label}")


def option(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("option").filter(has_text=name)


def in_kernel(page: Page, code: str) -> None:
    """Run code in the notebook's kernel, outside of its cells."""
    page.evaluate(
        "code => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({ code, store_history: false }).done.then(() => null)",
        code,
    )


def all_ran(page: Page) -> None:
    """Wait until every cell has run: what is said to an agent before may go on in the server."""
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells"
        ".every(cell => cell.execution_count)"
    )
    idle(page)


def bring(page: Page, path: str) -> None:
    """Bring a notebook to the front."""
    page.evaluate(
        "path => void window.jupyterapp.commands.execute('docmanager:open', { path })", path
    )
    page.wait_for_function(
        "path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=path
    )


def choose(page: Page, panel: Locator, item: str) -> None:
    """Choose something from the chosen agent's menu."""
    panel.get_by_role("button", name="What can be done with").click()
    page.locator(".lm-Menu-item", has_text=item).click()


def test_the_agents_follow_the_notebook(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "north", agents("ada", "bob"))
    expect(panel.get_by_role("option")).to_have_count(2)
    expect(panel.locator(".lk-Panel-project")).to_have_text("north")
    option(panel, "ada").focus()
    page.keyboard.press("ArrowDown")
    expect(option(panel, "bob")).to_be_focused()
    expect(option(panel, "bob")).to_have_attribute("aria-selected", "true")
    expect(block(panel, "persona")).to_contain_text("I am bob.")

    desk.write("south/south.ipynb", agents("carol"))
    bring(page, "south/south.ipynb")
    expect(panel).to_contain_text("This project has no agents yet.")
    run_all(page)
    expect(panel.get_by_role("option")).to_have_count(1)
    expect(block(panel, "persona")).to_contain_text("I am carol.")

    bring(page, "north/north.ipynb")
    expect(panel.get_by_role("option")).to_have_count(2)
    expect(block(panel, "persona")).to_contain_text("I am bob.")


def until_kept(desk: Desk, opened: str) -> None:
    """Wait until a workspace has the panel, a choice of an agent, and memory's section and *opened* open."""
    ends = time.monotonic() + 60
    while True:
        for file in (desk.lab.home / "workspaces").glob("*"):
            with contextlib.suppress(OSError, json.JSONDecodeError):  # it is being written
                data = json.loads(file.read_text())["data"]
                kept = data.get("letta-kernel:agents-panel", {})
                there = "letta-kernel-agents" in json.dumps(data.get("layout-restorer:data"))
                if there and kept.get("choices") and set(kept["open"]) == {"memory", opened}:
                    return
        assert time.monotonic() < ends, [*(desk.lab.home / "workspaces").glob("*")]
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.page(fresh=True)
def test_what_was_chosen_and_opened_is_there_after_a_reload(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "reload", agents("ada", "bob"))
    option(panel, "bob").click()
    section(panel, "Runs")
    panel.get_by_role("button", name="Chat", exact=True).click()
    expect(panel).to_contain_text("No runs yet.")
    until_kept(desk, "runs")
    page.reload()
    expect(option(panel, "bob")).to_have_attribute("aria-selected", "true")
    expect(panel).to_contain_text("No runs yet.")
    expect(panel.get_by_role("button", name="Chat", exact=True)).to_have_attribute(
        "aria-expanded", "false"
    )


def test_a_block_is_edited_taken_back_and_has_a_history(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "memory", agents("ada"))
    human = block(panel, "human")
    expect(human.get_by_role("meter")).to_have_attribute("aria-valuenow", "10")
    human.get_by_role("button", name="Edit human").click()
    field = human.get_by_role("textbox")
    expect(field).to_be_focused()
    field.fill("Name: Mara\nLives in Lyon")
    page.keyboard.press("Control+Enter")
    expect(field).to_have_count(0)
    expect(human).to_contain_text("Lives in Lyon")
    human.get_by_role("button", name="History human").click()
    changed = human.get_by_role("region", name="What changed")
    expect(changed.locator(".lk-Diff-come")).to_contain_text("Lives in Lyon")
    human.get_by_role("button", name="Undo").click()
    value = human.locator(".lk-Block-value")
    expect(value).to_have_text("Name: Mara")
    human.get_by_role("button", name="Redo").click()
    expect(value).to_contain_text("Lives in Lyon")
    panel.get_by_role("button", name="New block").click()
    form = panel.get_by_role("group", name="New memory block")
    form.get_by_label("Label").fill("plans")
    form.get_by_label("Text", exact=True).fill("لقاء في باريس")
    form.get_by_role("button", name="Create block").click()
    expect(block(panel, "plans")).to_contain_text("لقاء")
    expect(block(panel, "plans").locator(".lk-Block-value")).to_have_css("direction", "rtl")
    block(panel, "plans").get_by_role("button", name="Remove plans").click()
    block(panel, "plans").get_by_role("button", name="Remove plans now").click()
    expect(block(panel, "plans")).to_have_count(0)


def test_two_writers_of_one_block_lose_nothing(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "conflict", agents("ada"))
    human = block(panel, "human")
    human.get_by_role("button", name="Edit human").click()
    human.get_by_role("textbox").fill("Name: Mara, 30")
    in_kernel(page, "Agent('ada').memory['human'] = 'Name: Mara, from Lyon'")
    expect(human.get_by_role("alert")).to_contain_text("was changed while you edit it")
    expect(human.get_by_role("textbox")).to_have_value("Name: Mara, 30")
    human.get_by_role("button", name="Save").click()
    conflict = human.get_by_role("group", name="Conflict in human")
    expect(conflict).to_contain_text("Name: Mara, from Lyon")
    conflict.get_by_role("button", name="Save yours").click()
    expect(human.get_by_role("textbox")).to_have_count(0)
    expect(human).to_contain_text("Name: Mara, 30")
    human.get_by_role("button", name="Edit human").click()
    human.get_by_role("textbox").fill("mine")
    in_kernel(page, "Agent('ada').memory['human'] = 'theirs'")
    expect(human.get_by_role("alert")).to_contain_text("was changed")
    human.get_by_role("button", name="Save").click()
    human.get_by_role("button", name="Keep theirs").click()
    expect(human.locator(".lk-Block-value")).to_have_text("theirs")


def test_the_archive_is_filled_searched_and_emptied(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "archive", agents("ada"))
    archive = section(panel, "Archive")
    for text, tags in (("Mara plays the viola", "music, mara"), ("The mill is closed", "")):
        archive.get_by_label("Text to add").fill(text)
        archive.get_by_label("Tags").fill(tags)
        archive.get_by_role("button", name="Add", exact=True).click()
        expect(archive.get_by_role("listitem").filter(has_text=text)).to_be_visible()
    search = archive.get_by_role("searchbox")
    search.fill("which instrument is played: viola?")
    search.press("Enter")
    expect(archive.get_by_role("listitem").first).to_contain_text("viola")
    search.press("Escape")
    expect(archive.get_by_role("listitem").first).to_contain_text("mill")
    archive.get_by_label("Choose").first.check()
    archive.get_by_role("button", name="Forget").click()
    expect(archive.get_by_role("listitem").filter(has_text="mill")).to_have_count(0)
    archive.get_by_label("Show").select_option("forgotten")
    expect(archive.get_by_role("listitem").filter(has_text="mill")).to_be_visible()
    archive.get_by_label("Choose").check()
    archive.get_by_role("button", name="Restore").click()
    expect(archive).to_contain_text("Nothing found.")
    archive.get_by_label("Show").select_option("")
    expect(archive.get_by_role("listitem")).to_have_count(2)
    archive.get_by_role("button", name="#music").click()
    expect(archive.get_by_role("listitem")).to_have_count(1)
    archive.get_by_role("button", name="Delete the passage").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(archive).to_contain_text("Nothing found.")
    archive.get_by_role("button", name="only #music").click()
    expect(archive.get_by_role("listitem")).to_have_count(1)


def test_talking_in_the_panel_calls_a_function_of_the_notebook(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "talk", agents("ada"), COUNT_BIRDS)
    all_ran(page)
    box = panel.get_by_role("textbox", name="Message to ada")
    box.fill("How many birds of the species 'puffin' were seen this week?")
    box.press("Enter")
    expect(box).to_have_value("")
    said = panel.get_by_role("log")
    expect(said.locator(".lk-mod-user")).to_contain_text("puffin")
    expect(said.locator(".lk-Answer")).to_contain_text("31")
    expect(said.locator(".lk-Call-name")).to_have_text("count_birds")
    expect(page.locator(".jp-CodeCell")).to_have_count(2)  # no cell was made of it

    messages = section(panel, "Messages")
    expect(messages.get_by_role("listitem").first).to_contain_text("31")
    messages.get_by_role("combobox").select_option("user")
    expect(messages.get_by_role("listitem")).to_have_count(1)
    messages.get_by_role("combobox").select_option("")
    search = messages.get_by_role("searchbox")
    search.fill("puffin")
    search.press("Enter")
    expect(messages.get_by_role("listitem").first).to_contain_text("puffin")

    runs = section(panel, "Runs")
    expect(runs).to_contain_text("Today: 1 run")
    runs.get_by_role("button", name="completed").click()
    expect(runs.get_by_role("img", name="Tokens of each step").locator("rect")).to_have_count(4)
    expect(runs.get_by_role("table")).to_contain_text("count_birds")

    context = section(panel, "Context window")
    expect(context.get_by_role("img")).to_be_visible()
    for theme in ("Light", "Dark"):
        set_theme(page, f"JupyterLab {theme}")
        panel.screenshot(path=ARTIFACTS / f"panel-{theme.lower()}.png")


def test_tools_are_shown_run_by_hand_and_lead_to_their_cells(desk: Desk, page: Page) -> None:
    filler = ["'a cell'\n" * 30] * 3
    panel = desk.open(page, "tools", agents("ada"), COUNT_BIRDS, *filler)
    tools = section(panel, "Tools")
    birds = tools.get_by_role("article", name="Tool count_birds")
    expect(birds).to_contain_text("notebook")
    expect(birds).to_contain_text("never called")
    birds.get_by_text("Schema").click()
    expect(birds.locator("pre")).to_contain_text('"species"')
    birds.get_by_text("Run by hand").click()
    birds.get_by_label("species").fill("gannet")
    birds.get_by_role("button", name="Run", exact=True).click()
    expect(birds.get_by_role("status")).to_contain_text("128")
    birds.get_by_label("species").fill("dodo")
    birds.get_by_role("button", name="Run", exact=True).click()
    expect(birds.get_by_role("status")).to_contain_text("KeyError")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex = 4")
    birds.get_by_role("button", name="Show the cell of count_birds").click()
    page.wait_for_function("window.jupyterapp.shell.currentWidget.content.activeCellIndex === 1")
    expect(page.locator(".jp-CodeCell").nth(1)).to_be_in_viewport()


def test_the_panel_is_live_while_a_cell_runs(desk: Desk, page: Page) -> None:
    desk.model.call("core_memory_append", {"label": "human", "content": "Plays the viola."})
    desk.model.call("wait_for", {"seconds": 20})
    panel = desk.open(
        page,
        "live",
        agents("ada", model="openai/scripted"),
        WAIT_FOR,
        "%%agent ada\nI play the viola",
    )
    expect(option(panel, "ada")).to_contain_text("running")
    expect(block(panel, "human")).to_contain_text("Plays the viola.")
    said = panel.get_by_role("log")
    expect(said).to_contain_text("I play the viola")
    expect(said).to_contain_text("wait_for")
    archive = section(panel, "Archive")  # read while the cell is busy
    expect(archive).to_contain_text("The archive is empty.")
    panel.get_by_role("button", name="Stop ada").click()
    expect(panel.get_by_role("button", name="Send")).to_be_visible()
    expect(option(panel, "ada")).not_to_contain_text("running")


def test_a_call_is_approved_in_the_panel(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "approve", agents("ada", model="openai/scripted"), PAY)
    all_ran(page)
    desk.model.call("send_money", {"to": "Mara", "euros": 12.5})
    desk.model.say("It is done.")
    box = panel.get_by_role("textbox", name="Message to ada")
    box.fill("Pay Mara")
    box.press("Enter")
    ask = panel.get_by_role("group", name="Waits for your approval")
    expect(ask).to_contain_text("Allow send_money?")
    expect(ask).to_contain_text('"euros": 12.5')
    expect(option(panel, "ada")).to_contain_text("waits for approval")
    ask.get_by_role("button", name="Edit").click()
    ask.get_by_role("textbox").fill('{"to": "Mara", "euros": 4}')
    ask.get_by_role("button", name="Approve").click()
    expect(panel.get_by_role("log")).to_contain_text("It is done.")
    expect(panel.get_by_role("log")).to_contain_text("Mara has 4.0 euros more")
    expect(ask).to_have_count(0)
    expect(option(panel, "ada")).not_to_contain_text("waits")


def test_agents_are_made_copied_renamed_saved_and_deleted(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "agents", "'nothing yet'")
    panel.get_by_role("button", name="Create an agent").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("ada")
    dialog.get_by_label("Model (optional)").fill("demo")
    dialog.get_by_label("Who it is").fill("I am a tutor of statistics.")
    dialog.get_by_role("button", name="Create").click()
    expect(option(panel, "ada")).to_have_attribute("aria-selected", "true")
    expect(block(panel, "persona")).to_contain_text("tutor of statistics")

    choose(page, panel, "Duplicate")
    dialog.get_by_role("button", name="Duplicate").click()
    expect(option(panel, "ada-2")).to_have_attribute("aria-selected", "true")
    expect(block(panel, "persona")).to_contain_text("tutor of statistics")
    choose(page, panel, "Rename")
    dialog.get_by_role("textbox").fill("bob")
    dialog.get_by_role("button", name="Rename").click()
    expect(option(panel, "bob")).to_have_attribute("aria-selected", "true")
    choose(page, panel, "Rename")
    dialog.get_by_role("textbox").fill("ada")
    dialog.get_by_role("button", name="Rename").click()
    expect(dialog).to_contain_text("There is an agent 'ada' already")
    dialog.get_by_role("button", name="OK").click()

    with page.expect_download() as download:
        choose(page, panel, "Export")
    assert download.value.suggested_filename == "bob.af"
    saved = Path(download.value.path())
    assert json.loads(saved.read_text())
    choose(page, panel, "Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(panel.get_by_role("option")).to_have_count(1)
    with page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name="Import an agent").click()
    chooser.value.set_files(saved)
    expect(panel.get_by_role("option")).to_have_count(2)


def test_plain_python_is_offered_the_extension(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "plain", "x = 1", kernel="python3")
    expect(panel).to_contain_text("This notebook runs plain Python.")
    panel.get_by_role("button", name="Add %load_ext letta_kernel").click()
    expect(panel).to_contain_text("This project has no agents yet.")
    expect(page.locator(".jp-CodeCell").first).to_contain_text("%load_ext letta_kernel")


def test_a_dead_kernel_and_its_return(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "dead", agents("ada"))
    expect(panel.get_by_role("option")).to_have_count(1)
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown().then(() => null)"
    )
    gone = panel.get_by_text("The kernel is gone: runs go on in the Jupyter server.")
    expect(gone).to_be_visible()
    expect(panel.get_by_role("option")).to_have_count(1)
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext"
        ".changeKernel({ name: 'letta' }).then(() => null)"
    )
    expect(gone).to_have_count(0)
    expect(panel.get_by_role("option")).to_have_count(1)


def test_the_panel_can_be_used_by_everybody(desk: Desk, page: Page) -> None:
    panel = desk.open(page, "access", agents("ada"), COUNT_BIRDS, "%%agent ada\nMy name is Kim.")
    for name in ("Memory", "Context window", "Tools", "Archive", "Messages", "Runs"):
        expect(section(panel, name)).to_be_visible()
    expect(section(panel, "Messages")).to_contain_text("Kim")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        set_theme(page, theme)
        accessible(page, "#letta-kernel-agents")


def test_a_key_is_taken_by_the_panel_and_kept_outside_the_notebook(desk: Desk, page: Page) -> None:
    key = "gsk_" + "0aB1cD2eF3" * 4
    panel = desk.open(page, "keys", agents("ada"))
    panel.get_by_role("button", name="Keys of model providers").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Keys are taken, in this order, from: the environment, ")
    field = dialog.get_by_label("Key", exact=True)
    expect(field).to_have_attribute("type", "password")
    dialog.get_by_label("Variable").select_option("GROQ_API_KEY")
    field.fill(key)
    dialog.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_contain_text("GROQ_API_KEY is in ")
    expect(page.get_by_role("dialog")).not_to_contain_text(key)
    page.get_by_role("dialog").get_by_role("button", name="OK").click()
    panel.get_by_role("button", name="Keys of model providers").click()
    expect(dialog).to_contain_text("There is: GROQ_API_KEY (")
    expect(dialog.get_by_label("Key", exact=True)).to_have_value("")
    dialog.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Control+s")
    kept = [path for path in desk.lab.folder.rglob("*") if path.is_file() and path.suffix != ".py"]
    holding = [path.name for path in kept if key.encode() in path.read_bytes()]
    assert holding == [".env"]


TIDY = """
from letta_kernel.models.scripted import scripted
scripted("say: Fine.", "turn")
scripted('''
say: She moved.
call: memory_replace(label="human", old_string="Lives in Bergen", new_string="Lives in Oslo")
call: memory_insert(label="human", new_string="Has a cat")
call: archival_memory_insert(content="Her first boat was called Terna.")

call: memory_finish_edits()
''', "sleep")
Agent("ada", human="Name: Mara\\nLives in Bergen\\nLikes tea")
"""


@pytest.mark.slow
def test_what_was_tidied_while_at_rest_is_reviewed_by_keyboard(desk: Desk, page: Page) -> None:
    panel = desk.open(
        page,
        "rest",
        agents("ada", model="scripted/turn") + TIDY,
        "%agent sleeptime on --review --model scripted/sleep",
        "%%agent\nI moved to Oslo, with my cat.",
        "%agent sleeptime now",
    )
    asleep = panel.get_by_role("group", name="Tidied while at rest")
    expect(asleep).to_contain_text("2 changes are proposed")
    expect(page.locator(".lk-Status-button")).to_contain_text("2 changes of memory proposed")
    human = asleep.get_by_role("group", name="Proposed for human")
    expect(human).to_contain_text("She moved.")
    expect(block(panel, "human")).to_contain_text("Lives in Bergen")
    accessible(page, "#letta-kernel-agents")
    page.screenshot(path=ARTIFACTS / "sleeptime-review.png")
    human.get_by_role("button", name="Reject part 2 of human").press("Enter")
    expect(human).not_to_contain_text("Has a cat")
    human.focus()
    page.keyboard.press("ArrowUp")
    passage = asleep.get_by_role("group", name="Proposed for the archive")
    page.keyboard.press("ArrowDown")
    expect(passage).to_be_focused()
    page.keyboard.press("a")
    expect(passage).to_have_count(0)
    expect(human).to_be_focused()
    in_kernel(page, "Agent('ada').memory['human'] = 'Name: Mara\\nLives in Rome'")
    expect(block(panel, "human")).to_contain_text("Rome")
    human.focus()
    page.keyboard.press("a")
    expect(asleep.get_by_role("alert")).to_contain_text("was changed since in the same lines")
    in_kernel(
        page, "Agent('ada').memory['human'] = 'Name: Mara Berg\\nLives in Bergen\\nLikes tea'"
    )
    expect(block(panel, "human")).to_contain_text("Berg")
    human.focus()
    page.keyboard.press("a")
    expect(human).to_have_count(0)
    expect(block(panel, "human").locator(".lk-Block-value")).to_have_text(
        "Name: Mara Berg\nLives in Oslo\nLikes tea"
    )
    expect(page.locator(".jp-CodeCell")).to_have_count(4)  # no key reached the notebook's shortcuts
    asleep.get_by_role("button", name="Take back what was tidied").click()
    expect(block(panel, "human").locator(".lk-Block-value")).to_contain_text("Bergen")
    expect(asleep).to_contain_text("was taken back")
