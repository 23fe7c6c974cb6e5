"""One notebook with a letta kernel and a scripted model: cells are added, run and looked at."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser_lab import ARTIFACTS, Errors, Lab, running_lab
from nbformat.v4 import new_code_cell
from playwright.sync_api import Browser, Locator, Page, Request, expect

sys.path.insert(0, str(Path(__file__).parent.parent))
from scripted_server import ScriptedServer

AXE = Path(__file__).parents[2] / "labextension/node_modules/axe-core/axe.min.js"
AGENT = "ada"
PREPARE = f"""
from letta_kernel import Agent
Agent({AGENT!r}, persona="I am Ada.", human="Name: Mara")
%agent use {AGENT}
"""
NOTEBOOK = "window.jupyterapp.shell.currentWidget.content"
_APPEND = f"""source => {{
    const notebook = {NOTEBOOK};
    const cells = notebook.model.sharedModel;
    const metadata = {{ trusted: true }};
    cells.insertCell(cells.cells.length, {{ cell_type: 'code', source, metadata }});
    notebook.deselectAll();
    notebook.activeCellIndex = cells.cells.length - 1;
    void window.jupyterapp.commands.execute('notebook:run-cell');
    return cells.cells.length - 1;
}}"""


def elsewhere(request: Request) -> bool:
    """Is this a request to another machine?"""
    return request.url.startswith(("http:", "https:", "ws:", "wss:")) and (
        "//127.0.0.1" not in request.url
    )


@dataclass
class Stage:
    """A page with the notebook in front, whose cells talk to `model`."""

    lab: Lab
    model: ScriptedServer
    page: Page
    name: str
    errors: Errors
    outside: list[str] = field(default_factory=list)
    opened: threading.Event = field(default_factory=threading.Event)  # the gate of `stream`

    def watch(self, page: Page) -> Page:
        """Note what goes wrong in *page* and what it asks of other machines."""
        self.errors.watch(page)
        page.on("request", lambda request: self._note(request))
        return page

    def _note(self, request: Request) -> None:
        if elsewhere(request):
            self.outside.append(request.url)

    def start(self, source: str) -> Locator:
        """Add a cell, run it, and return it."""
        index = self.page.evaluate(_APPEND, source)
        made = self.cell(index)
        made.scroll_into_view_if_needed()
        return made

    def cell(self, index: int, page: Page | None = None) -> Locator:
        return (page or self.page).locator(f".jp-Cell[data-windowed-list-index='{index}']")

    def number(self, cell: Locator) -> int:
        return int(cell.get_attribute("data-windowed-list-index") or 0)

    def saved(self, cell: Locator) -> Locator:
        """Wait until the run of a cell is over; return its saved form."""
        expect(cell.locator(".lk-Run[aria-busy=false]")).to_have_count(1)
        expect(cell.locator(".lk-mod-live")).to_have_count(0)
        run = cell.locator(".lk-Run")
        expect(run).to_have_count(1)
        expect(run).to_be_visible()
        return run

    def stream(self, *parts: Any) -> None:
        """Queue an answer of deltas; at a None the stream waits for `go_on`."""
        self.opened = threading.Event()
        self.stream_of(gated(parts, self.opened))

    def stream_of(self, parts: Iterator[Any]) -> None:
        """Queue an answer of deltas and of seconds to wait, made as they are asked for."""
        self.model.raw(chunks(parts))  # type: ignore[arg-type]

    def go_on(self) -> None:
        """Let the stream that waits go on."""
        self.opened.set()

    def picture(self, what: Locator, name: str) -> None:
        """Keep what the page looks like where *what* is."""
        what.evaluate("node => node.scrollIntoView({ block: 'center' })")
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")

    def save(self) -> Path:
        """Save the notebook; return where it is."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        self.page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
        return self.lab.folder / self.name


def gated(parts: tuple[Any, ...], gate: threading.Event) -> Iterator[Any]:
    for part in parts:
        while part is None and not gate.is_set():
            yield 0.05  # seconds; the server notices meanwhile if the kernel has gone
        if part is not None:
            yield part


def chunks(parts: Iterator[Any]) -> Iterator[Any]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    calls = False
    for part in parts:
        if isinstance(part, dict):
            calls = calls or "tool_calls" in part
            yield {**head, "choices": [{"index": 0, "delta": part, "finish_reason": None}]}
        else:
            yield part
    finish = "tool_calls" if calls else "stop"
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    usage = {"prompt_tokens": 812, "completion_tokens": 45, "total_tokens": 857}
    yield {**head, "choices": [], "usage": usage}
    yield "data: [DONE]\n\n"


def thought(text: str) -> dict[str, Any]:
    return {"reasoning_content": text}


def words(text: str) -> dict[str, Any]:
    return {"content": text}


def call(name: str, arguments: str, call_id: str = "c1", index: int = 0) -> dict[str, Any]:
    """The beginning of a call; *arguments* may be a part of the JSON only."""
    function = {"name": name, "arguments": arguments}
    return {
        "tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]
    }


def more(arguments: str, index: int = 0) -> dict[str, Any]:
    """More of a call's arguments."""
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


@contextmanager
def open_stage(browser: Browser, home: Path, name: str, *cells: str) -> Iterator[Stage]:
    """Start a lab whose only notebook holds the agent and *cells*, and run those."""
    ARTIFACTS.mkdir(exist_ok=True)
    with ScriptedServer() as model:
        environment = {
            "LETTA_MODEL": "openai/scripted",
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "test",
        }
        with running_lab(home / "notebooks", home, anew=True, **environment) as lab:
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.set_default_timeout(60_000)  # as `expect` waits
            page = context.new_page()
            stage = Stage(lab, model, page, f"{name}.ipynb", Errors())
            stage.watch(page)
            sources = [PREPARE, *cells]
            page.goto(lab.write(stage.name, *map(new_code_cell, sources), kernel="letta"))
            idle(page)
            page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
            done = f"""n => {NOTEBOOK}.model.sharedModel.cells.slice(0, n)
                .every(cell => cell.execution_count)"""
            page.wait_for_function(done, arg=len(sources))
            try:
                yield stage
            finally:
                context.close()


def idle(page: Page) -> None:
    """Wait until the kernel of the notebook in front has nothing to do."""
    kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
    page.wait_for_function(
        f"{kernel}?.status === 'idle' && {kernel}.connectionStatus === 'connected'"
    )


def connected(page: Page) -> None:
    """Wait until the page hears the kernel of the notebook in front, which may be busy."""
    kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
    page.wait_for_function(f"{kernel}?.connectionStatus === 'connected'")


def accessible(page: Page, *parts: str) -> None:
    """Look at parts of the page with axe-core."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "parts => axe.run({ include: parts.map(part => [part]) }, { resultTypes: ['violations'] })",
        list(parts),
    )
    wrong = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
    assert not wrong, wrong
