"""Notifications and the status bar wherever one is in JupyterLab, and whatever becomes of a kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_lab import interrupt, run_all
from browser_office import PAY, WAIT_FOR, Office
from browser_pages import visit
from playwright.sync_api import Locator, Page, expect

MODEL = "openai/gpt-4o-mini"  # its price is known
PRICED = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}  # $0.15

OLD_KERNEL = """
# letta_kernel, as it was when it had desks of another kind
from comm import create_comm, get_comm_manager

def opened(comm, message):
    comm.send({"type": "hello", "version": "0.0.1"})

TARGET = "letta-kernel.desk"
get_comm_manager().register_target(TARGET, opened)
get_comm_manager().register_comm(create_comm(target_name=TARGET, comm_id="sign", primary=False))
"""


def agent(name: str) -> str:
    """Code that makes the notebook's agent."""
    return (
        f"from letta_kernel import Agent\nAgent({name!r}, model={MODEL!r})\n"
        f"get_ipython().run_line_magic('agent', 'use {name}')"
    )


def show(office: Office, page: Page, path: str, *cells: str, kernel: str = "letta") -> None:
    """Open a notebook of *cells* and run them all."""
    visit(page, office.write(path, *cells, kernel=kernel))
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
    run_all(page)


# What JupyterLab says by itself of a kernel that goes before it has answered.
OWN_ERRORS = [
    f"{error}Canceled future for {kind}_request message before replies were done"
    for kind in ("kernel_info", "create_subshell")
    for error in ("", "Error: ")
]


pytestmark = pytest.mark.page(ignored=OWN_ERRORS)


@pytest.fixture(autouse=True)
def nothing_left_to_say(office: Office) -> Iterator[None]:
    yield
    office.model.forget()


def show_panel(page: Page) -> None:
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate("() => window.jupyterapp.commands.execute('letta-kernel:open-agents-panel')")
    expect(panel(page)).to_be_visible()


def to_front(page: Page, path: str) -> None:
    """Open a document, or bring it to the front."""
    page.evaluate(
        "path => void window.jupyterapp.commands.execute('docmanager:open', { path })", path
    )
    page.wait_for_function(
        "path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=path
    )


def with_kernel(page: Page, code: str) -> None:
    """Do something with the session context of the notebook in front, and wait for it."""
    page.evaluate(
        f"async () => {{ const context = window.jupyterapp.shell.currentWidget.sessionContext; {code} }}"
    )


def execute(page: Page, code: str) -> None:
    """Execute code in the kernel of the notebook in front, as another front end would."""
    page.evaluate(
        "code => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({ code, store_history: false }).done.then(() => null)",
        code,
    )


def toast(page: Page, to: str = "") -> Locator:
    """The notifications that ask for a word, or the one about money for *to*."""
    asking = page.locator(".Toastify__toast").filter(has_text="asks: may it run")
    return asking.filter(has_text=f'to="{to}"') if to else asking


def status(page: Page) -> Locator:
    return page.locator(".lk-Status-button")


def output(page: Page, cell: int) -> Locator:
    return page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea")


def panel(page: Page) -> Locator:
    return page.locator("#letta-kernel-agents")


def option(page: Page, name: str) -> Locator:
    return panel(page).get_by_role("option").filter(has_text=name)


def is_at_rest(page: Page, *cells: int) -> None:
    """Neither cells nor panel nor status bar seem to be at work."""
    for cell in cells:
        prompt = page.locator(".jp-CodeCell").nth(cell).locator(".jp-InputPrompt")
        expect(prompt).not_to_contain_text("*")
    expect(status(page)).to_contain_text("Agents idle")
    expect(page.locator(".lk-Chip", has_text="running")).to_have_count(0)
    expect(page.locator(".lk-Widget:visible")).to_have_count(0)
    expect(toast(page)).to_have_count(0)


def test_a_word_is_asked_for_wherever_one_is(office: Office, page: Page) -> None:
    model = office.model
    model.call("send_money", {"to": "Mara", "euros": 12.5})
    model.say("Mara has it.", usage=PRICED)
    model.call("send_money", {"to": "Lea", "euros": 1})
    model.say("Lea has it not.")
    model.call("send_money", {"to": "Tom", "euros": 2})
    asks = [f"%%agent ada\nPay {name}" for name in ("Mara", "Lea", "Tom")]
    visit(page, office.write("ask/ask.ipynb", agent("ada"), PAY + WAIT_FOR, *asks[:2]))
    (office.lab.folder / "ask" / "notes.md").write_text("# Notes\n")
    run_all(page)
    to_front(page, "ask/notes.md")
    asked = 'ada asks: may it run send_money(to="Mara", euros=12.5)?'
    expect(toast(page, "Mara")).to_contain_text(asked)
    toast(page, "Mara").get_by_role("button", name="Approve").click()
    # The first has gone with its answer; the next cell asks.
    expect(toast(page, "Lea")).to_be_visible()
    expect(toast(page)).to_have_count(1)
    to_front(page, "ask/ask.ipynb")
    expect(output(page, 2)).to_contain_text("Mara has it.")
    expect(status(page)).to_contain_text("1 agent waits for you")
    expect(status(page)).to_contain_text("$0.15 today")

    # Answered in the cell.
    page.get_by_role("group", name="Approval").get_by_role("button", name="Deny").click()
    page.keyboard.press("Enter")
    expect(toast(page)).to_have_count(0)
    expect(output(page, 3)).to_contain_text("Lea has it not.")
    is_at_rest(page, 2, 3)

    # Stopped, it waits in the project; answered by a command.
    page.evaluate(
        "code => void window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({ code, store_history: false })",
        asks[2],
    )
    expect(toast(page, "Tom")).to_be_visible()
    interrupt(page)
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )
    expect(toast(page, "Tom")).to_be_visible()
    model.say("Tom has it not.")
    execute(page, "%agent deny no more")
    is_at_rest(page)


def test_two_notebooks_of_a_project_are_seen_together(office: Office, page: Page) -> None:
    for _ in range(2):
        office.model.call("wait_for", {"seconds": 120})
    office.write(
        "pair/second.ipynb", agent("bob"), PAY + WAIT_FOR, "%%agent bob\nWait in the second"
    )
    address = office.write(
        "pair/first.ipynb", agent("ada"), PAY + WAIT_FOR, "%%agent ada\nWait in the first"
    )
    visit(page, address)
    show_panel(page)
    run_all(page)
    expect(panel(page).get_by_role("log")).to_contain_text("wait_for")
    expect(status(page)).to_contain_text("1 agent running")
    to_front(page, "pair/second.ipynb")
    run_all(page)
    expect(status(page)).to_contain_text("2 agents running")
    expect(option(page, "ada")).to_contain_text("running")
    expect(option(page, "bob")).to_contain_text("running")
    option(page, "bob").click()
    expect(panel(page).get_by_role("log")).to_contain_text("Wait in the second")

    # What happens in the notebook behind is told here.
    page.evaluate(
        "() => void (window.behind = window.jupyterapp.shell.currentWidget.sessionContext)"
    )
    to_front(page, "pair/first.ipynb")
    page.evaluate("() => void window.behind.session.kernel.interrupt()")
    expect(option(page, "bob")).not_to_contain_text("running")
    expect(status(page)).to_contain_text("1 agent running")
    interrupt(page)
    is_at_rest(page)


def test_a_kernel_restarted_shut_down_and_cut_off_in_mid_run(office: Office, page: Page) -> None:
    office.model.call("wait_for", {"seconds": 120})
    cells = (agent("ada"), PAY + WAIT_FOR, "%%agent ada\nWait for me")
    show(office, page, "turns/turns.ipynb", *cells)
    expect(output(page, 2)).to_contain_text("wait_for")
    expect(status(page)).to_contain_text("1 agent running")
    status(page).click()
    with_kernel(page, "await context.session.kernel.reconnect()")
    expect(status(page)).to_contain_text("1 agent running")
    expect(option(page, "ada")).to_contain_text("running")

    with_kernel(page, "await context.restartKernel()")
    is_at_rest(page, 2)
    expect(option(page, "ada")).not_to_contain_text("running")
    expect(panel(page).get_by_role("button", name="Send")).to_be_visible()

    office.model.call("send_money", {"to": "Mara", "euros": 3})
    run_all(page)
    expect(toast(page)).to_be_visible()
    with_kernel(page, "await context.shutdown()")
    expect(panel(page)).to_contain_text("The kernel is gone: runs go on in the Jupyter server.")
    # The call waits in the project, with a kernel and without.
    expect(status(page)).to_contain_text("1 agent waits for you")
    with_kernel(page, "await context.startKernel()")
    expect(panel(page)).not_to_contain_text("The kernel is gone")
    expect(toast(page, "Mara")).to_be_visible()
    office.model.say("It is done.")
    toast(page).get_by_role("button", name="Deny").click()
    is_at_rest(page, 2)


@pytest.mark.slow
@pytest.mark.page(fresh=True)  # what it had open before, and is gone, would be asked for
def test_a_page_reloaded_in_mid_run(office: Office, page: Page) -> None:
    # A kernel's words to views of before a reload must not be logged.
    lost: list[str] = []
    page.on("console", lambda said: "Comm not found" in said.text and lost.append(said.text))
    office.model.call("send_money", {"to": "Mara", "euros": 4})
    office.model.say("Mara has it.")
    cells = (agent("ada"), PAY + WAIT_FOR, "%%agent ada\nPay Mara")
    show(office, page, "reload/reload.ipynb", *cells)
    expect(page.get_by_role("group", name="Approval")).to_be_visible()
    expect(toast(page)).to_be_visible()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    expect(toast(page, "Mara")).to_be_visible()
    expect(status(page)).to_contain_text("1 agent waits for you")
    toast(page).get_by_role("button", name="Approve").click()
    expect(output(page, 2)).to_contain_text("Mara has it.")
    is_at_rest(page, 2)
    assert lost == []


@pytest.mark.slow
def test_a_plain_kernel_that_loaded_the_extension_is_as_good(office: Office, page: Page) -> None:
    office.model.call("send_money", {"to": "Mara", "euros": 5})
    office.model.say("Mara has it.")
    cells = ("%load_ext letta_kernel", agent("ada"), PAY + WAIT_FOR, "%%agent ada\nPay Mara")
    show(office, page, "plain/plain.ipynb", *cells, kernel="python3")
    toast(page).get_by_role("button", name="Approve").click()
    expect(output(page, 3)).to_contain_text("Mara has it.")
    is_at_rest(page, 3)
    status(page).click()
    expect(option(page, "ada")).to_be_visible()
    with_kernel(page, "await context.restartKernel()")
    expect(panel(page)).to_contain_text("This notebook runs plain Python.")
    expect(option(page, "ada")).to_be_visible()  # the Jupyter server has the project too


def test_an_older_kernel_says_what_to_do(office: Office, page: Page) -> None:
    visit(page, office.write("old/old.ipynb", OLD_KERNEL, kernel="python3"))
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
    run_all(page)
    show_panel(page)
    expect(panel(page)).to_contain_text("The kernel has an older letta-kernel. Upgrade it there")
    expect(panel(page).locator(".lk-Welcome").get_by_role("button")).to_have_count(0)
    expect(status(page)).to_have_count(0)
