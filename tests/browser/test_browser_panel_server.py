"""The panel's chat through the Jupyter server: beside a busy kernel, without a notebook, in conversations."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_lab import ARTIFACTS, run_all, set_theme
from browser_office import Office
from browser_pages import visit
from browser_stage import accessible
from playwright.sync_api import Locator, Page, expect
from server_bench import serving
from test_browser_panel import agents, bring, option, show_panel

from letta_kernel.service import AgentService

HELD = """
import pathlib, time
held = 4711
print("the cell runs")
while not pathlib.Path("go-on").exists():
    time.sleep(0.05)
print("the cell is over")
"""


def talk(panel: Locator, agent: str, text: str) -> None:
    box = panel.get_by_role("textbox", name=f"Message to {agent}")
    box.fill(text)
    expect(panel.get_by_role("button", name="Send")).to_be_visible()  # nothing before goes on
    box.press("Enter")


def widen(page: Page, panel: Locator, pixels: int) -> None:
    """Make the panel so wide, by its edge."""
    box = panel.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] - 1, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] - 1 - (pixels - box["width"]), box["y"] + 200, steps=4)
    page.mouse.up()


def test_a_chat_beside_a_cell_that_runs(office: Office, page: Page) -> None:
    scripted, go_on = "openai/scripted", office.lab.folder / "north/go-on"
    go_on.unlink(missing_ok=True)
    visit(page, office.write("north/north.ipynb", agents("ada", "bob", model=scripted), HELD))
    panel = show_panel(page)
    run_all(page)
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea")
    expect(output).to_contain_text("the cell runs", timeout=90_000)  # its kernel is the first
    expect(panel.locator(".lk-Panel-project")).to_have_text("north")

    office.model.call("core_memory_append", {"label": "human", "content": "Waits for nothing."})
    office.model.say("I need no kernel.")
    talk(panel, "ada", "Are you there?")
    log = panel.get_by_role("log")
    # The server's first turn: it imports what that takes.
    expect(log).to_contain_text("I need no kernel.", timeout=120_000)
    expect(panel.get_by_role("group", name="Memory block human")).to_contain_text("for nothing")
    expect(output).not_to_contain_text("the cell is over")

    # What needs the kernel waits for it, and says so; the page reads the notebook meanwhile.
    office.model.call("notebook_read", {})
    office.model.call("notebook_variables", {"pattern": "held"})
    office.model.say("It holds a number.")
    talk(panel, "ada", "What does my cell hold?")
    expect(log).to_contain_text("notebook_variables waits for the kernel to be free.")
    assert "the cell runs" in office.model.requests[-1]["messages"][-1]["content"]
    expect(output).not_to_contain_text("the cell is over")
    go_on.touch()
    expect(log).to_contain_text("It holds a number.")
    assert "4711" in office.model.requests[-1]["messages"][-1]["content"]
    expect(output).to_contain_text("the cell is over")
    # Names of the notebook are offered, and files by their folder's.
    box = panel.get_by_role("textbox", name="Message to ada")
    box.press_sequentially("See @nort")
    expect(panel.get_by_role("option", name="@north.ipynb")).to_be_visible()
    box.press("Enter")
    expect(box).to_have_value("See @north.ipynb ")
    office.model.say("Now in the kernel.")
    talk(panel, "ada", "Free again?")
    expect(log).to_contain_text("Now in the kernel.")


def test_each_folder_has_its_project_with_a_kernel_and_without(office: Office, page: Page) -> None:
    scripted = "openai/scripted"
    visit(page, office.write("east/east.ipynb", agents("dora", "emil", model=scripted)))
    panel = show_panel(page)
    run_all(page)
    log = panel.get_by_role("log")
    expect(option(panel, "emil")).to_be_visible(timeout=90_000)
    office.model.say("From the east.")
    talk(panel, "dora", "Where are you?")
    expect(log).to_contain_text("From the east.")

    office.write("south/south.ipynb", agents("carol", model=scripted))
    bring(page, "south/south.ipynb")
    expect(panel.locator(".lk-Panel-project")).to_have_text("south")
    run_all(page)
    expect(option(panel, "carol")).to_be_visible()

    # The kernel is gone: the same agents answer.
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown().then(() => null)"
    )
    expect(panel).to_contain_text("runs go on in the Jupyter server")
    expect(option(panel, "carol")).to_be_visible()
    office.model.say("Still in the south.")
    talk(panel, "carol", "And now?")
    expect(log).to_contain_text("Still in the south.")
    expect(log).not_to_contain_text("From the east.")
    expect(panel.locator(".lk-Panel-project")).to_have_text("south")
    bring(page, "east/east.ipynb")
    expect(panel.locator(".lk-Panel-project")).to_have_text("east")
    expect(option(panel, "emil")).to_be_visible()
    expect(log).to_contain_text("From the east.")
    for folder in ("east", "south"):
        assert (office.lab.folder / folder / ".letta/letta.duckdb").exists()


@pytest.mark.slow
def test_conversations_without_a_notebook(office: Office, page: Page) -> None:
    home = office.lab
    visit(page, f"{home.url}lab/workspaces/none?token={home.token}&reset")
    page.wait_for_function(
        "window.jupyterapp?.commands.hasCommand('letta-kernel:open-agents-panel')"
    )
    page.evaluate("() => window.jupyterapp.commands.execute('letta-kernel:open-agents-panel')")
    panel = page.locator("#letta-kernel-agents")
    expect(panel).to_contain_text("This project has no agents yet.")
    assert not (home.folder / ".letta").exists(), "looking has made nothing"
    panel.get_by_role("button", name="Create an agent").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("mia")
    dialog.get_by_label("Model (optional)").fill("openai/scripted")
    dialog.get_by_role("button", name="Create").click()
    log = panel.get_by_role("log")
    for said, answer in (("My tea is green.", "Green, I see."), ("My cup is blue.", "Blue it is.")):
        office.model.say(answer)
        talk(panel, "mia", said)
        expect(log).to_contain_text(answer)

    # Said otherwise: a fork, which begins before it; the old end stays.
    cup = log.locator(".lk-Prompt").filter(has_text="My cup is blue.")
    cup.hover()
    cup.get_by_role("button", name="Say it otherwise").click()
    office.model.say("Red, then.")
    log.get_by_role("textbox", name="The message").fill("My cup is red.")
    log.get_by_role("textbox", name="The message").press("Enter")
    expect(log).to_contain_text("Red, then.")
    expect(log).to_contain_text("Green, I see.")
    expect(log).not_to_contain_text("blue")
    sent = [m["content"] for m in office.model.requests[-1]["messages"]]
    assert "Green, I see." in str(sent)
    assert "blue" not in str(sent)
    bar = panel.locator(".lk-Talks")
    current = bar.get_by_title("Show all conversations")
    expect(current).to_have_text("My cup is red. (2)")

    # Answered again, from what the fork kept.
    tea = log.locator(".lk-Prompt").filter(has_text="My tea is green.")
    tea.hover()
    office.model.say("What tea?")
    tea.get_by_role("button", name="Answer again").click()
    expect(log).to_contain_text("What tea?")
    expect(log).not_to_contain_text("Green, I see.")

    bar.get_by_role("button", name="Begin a conversation").click()
    expect(log).to_contain_text("Say something to mia.")
    office.model.say("To Lisbon?")
    talk(panel, "mia", "Plan a trip")
    expect(log).to_contain_text("To Lisbon?")
    expect(current).to_have_text("Plan a trip")
    bar.get_by_role("button", name="Rename the conversation").click()
    dialog.get_by_role("textbox").fill("Lisbon in May")
    dialog.get_by_role("button", name="Rename").click()
    expect(current).to_have_text("Lisbon in May")
    bar.get_by_role("button", name="Fork the conversation").click()
    expect(current).to_have_text("Lisbon in May (2)")
    expect(log).to_contain_text("To Lisbon?")
    bar.get_by_role("button", name="Delete the conversation").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(current).to_have_text("First conversation")
    expect(log).to_contain_text("Blue it is.")

    current.click()
    found = bar.get_by_role("group", name="Conversations")
    expect(found.get_by_role("listitem")).to_have_count(4)
    search = found.get_by_role("searchbox")
    search.fill("lisbon")
    search.press("Enter")
    first = found.get_by_role("listitem").first
    expect(first).to_contain_text("Lisbon in May")
    picker = panel.get_by_title("Change the model")
    for theme, width in (("Light", 320), ("Dark", 720)):
        set_theme(page, f"JupyterLab {theme}")
        widen(page, panel, width)
        accessible(page, "#letta-kernel-agents")
        panel.screenshot(path=ARTIFACTS / f"panel-talks-{theme.lower()}-{width}.png")
    first.get_by_role("button").click()
    expect(log).to_contain_text("To Lisbon?")
    expect(log).not_to_contain_text("Blue it is.")

    picker.click()
    models = panel.get_by_role("combobox", name="Search the models")
    models.fill("demo")
    expect(panel.get_by_role("option", name="demo", exact=True)).to_be_visible()
    models.press("Enter")
    expect(picker).to_have_text("demo")

    notes = Path(home.folder / "my notes.txt")
    box = panel.get_by_role("textbox", name="Message to mia")
    box.fill("Read")
    box.evaluate(
        """node => {
            const data = new DataTransfer();
            data.items.add(new File(['tea: green'], 'my notes.txt', { type: 'text/plain' }));
            const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9'
              + 'awAAAABJRU5ErkJggg==';
            const dot = Uint8Array.from(atob(png), one => one.charCodeAt(0));
            data.items.add(new File([dot], 'dot.png', { type: 'image/png' }));
            node.dispatchEvent(new DragEvent('drop', { bubbles: true, dataTransfer: data }));
        }"""
    )
    expect(box).to_have_value('Read @"my notes.txt" ')
    assert notes.read_text() == "tea: green"
    images = panel.get_by_role("list", name="Images of the message").get_by_role("img")
    expect(images).to_have_count(1)
    box.press("Enter")
    expect(images).to_have_count(0)
    expect(log.locator(".lk-mod-user").last).to_contain_text("[image 1x1 PNG")


def test_agents_of_others_are_read_and_talked_with_as_far_as_is_granted(
    office: Office, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LETTA_USER": "ann",
        "OPENAI_BASE_URL": office.model.url,
        "OPENAI_API_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    with (
        AgentService(tmp_path / "ann") as service,
        serving(service, office.model) as server,
    ):
        for name, rights in {"ada": ("talk", "read", "write"), "eve": ("read",)}.items():
            agent = service.agents.create(name, model="openai/scripted", human="Kim.")
            service.grants.grant(agent.id, "bob", *rights)
        told = {
            "LETTA_SERVER": server.url,
            "LETTA_SERVER_TOKEN": service.tokens.create("bob", "write", user="bob")[1],
        }
        setting = f"import os; os.environ |= {told}"
        visit(page, office.write("west/west.ipynb", setting, agents("own", model="demo")))
        panel = show_panel(page)
        run_all(page)
        expect(option(panel, "own")).to_be_visible(timeout=90_000)
        panel.get_by_role("button", name="Read everything again").click()
        others = panel.get_by_role("group", name="Shared with me")
        expect(others.get_by_role("option")).to_have_count(2)

        others.get_by_role("option", name="ann/ada").click()
        expect(panel.locator(".lk-Kept")).to_contain_text("ann and whoever runs the server can rea")
        office.model.say("Good morning, Bob.")
        talk(panel, "ann/ada", "Good morning.")
        log = panel.get_by_role("log")
        expect(log).to_contain_text("Good morning, Bob.")
        block = panel.get_by_role("group", name="Memory block human")
        block.get_by_role("button", name="Edit human").click()
        block.get_by_role("textbox", name="Text of human").fill("Kim, says Bob.")
        block.get_by_role("button", name="Save").click()
        expect(block).to_contain_text("Kim, says Bob.")
        assert service.blocks.retrieve("human", agent="ada").value == "Kim, says Bob."
        for theme, width in (("Light", 320), ("Dark", 720)):
            set_theme(page, f"JupyterLab {theme}")
            widen(page, panel, width)
            accessible(page, "#letta-kernel-agents")
            panel.screenshot(path=ARTIFACTS / f"panel-shared-{theme.lower()}-{width}.png")

        others.get_by_role("option", name="ann/ada").press("ArrowDown")
        expect(others.get_by_role("option", name="ann/eve")).to_be_focused()
        expect(panel).to_contain_text("You may read ann/eve, and not talk with it.")
        expect(panel.get_by_role("textbox", name="Message to")).to_have_count(0)
        expect(panel.get_by_role("button", name="Edit human")).to_have_count(0)
        token = told["LETTA_SERVER_TOKEN"]
        assert token not in panel.inner_html()
