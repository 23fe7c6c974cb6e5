"""Pages that look at JupyterLab; one goes from test to test, since loading one costs more than most tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from browser_lab import Errors, set_theme
from playwright.sync_api import Browser, Error, Locator, Page, expect

SIZE = {"width": 1280, "height": 900}
_THEME = "JupyterLab Light"

_OPEN = "path => void window.jupyterapp.commands.execute('docmanager:open', { path })"
_IN_FRONT = "path => window.jupyterapp.shell.currentWidget?.context?.path === path"
_CLOSE = """async () => {
    for (const widget of [...window.jupyterapp.shell.widgets('main')]) {
        if (widget.context) {
            widget.context.model.dirty = false;
        }
    }
    await window.jupyterapp.commands.execute('application:close-all');
}"""
# The sides as they were at first, and the panel's sections.
_TIDY = """async () => {
    const { commands, shell } = window.jupyterapp;
    for (const section of document.querySelectorAll('#letta-kernel-agents .lk-Section')) {
        const title = section.querySelector('.lk-Section-title button');
        const usual = ['chat', 'memory'].includes(section.dataset.section);
        if ((title.getAttribute('aria-expanded') === 'true') !== usual) {
            title.click();
        }
    }
    await commands.execute('filebrowser:go-to-path', { path: '/' });
    shell.collapseRight();
    shell.expandLeft();
    document.activeElement?.blur();
}"""
_LEFT = """() => [
    ...[...window.jupyterapp.shell.widgets('main')].filter(widget => widget.context),
    ...document.querySelectorAll('.jp-Dialog, .Toastify__toast, .lk-mod-live, .lm-Menu, .lk-CellMenu')
].length"""


def visit(page: Page, address: str) -> None:
    """Go to an address of JupyterLab's, in the page that has it already or by loading it."""
    there, wanted = urlsplit(page.url), urlsplit(address)
    if there.netloc != wanted.netloc or not there.path.startswith("/lab"):
        page.goto(address)
        return
    path = unquote(wanted.path.partition("/tree/")[2])
    if not path:
        return  # a page without documents, as this is
    page.evaluate(_OPEN, path)
    page.wait_for_function(_IN_FRONT, arg=path)


def close_documents(page: Page) -> None:
    """Close all documents, without a question; their kernels go on."""
    page.evaluate(_CLOSE)


def ended_run(page: Page) -> Locator:
    """Wait until the one run in the page has ended and only its saved form is there; return that."""
    expect(page.locator(".lk-Run[aria-busy=false]")).to_have_count(1)
    expect(page.locator(".lk-mod-live")).to_have_count(0)
    return page.locator(".lk-Run")


@dataclass
class Pages:
    """The pages of one module."""

    browser: Browser
    _kept: tuple[Page, Errors] | None = field(default=None)

    def take(self, *, fresh: bool) -> tuple[Page, Errors]:
        """A page for one test, and where errors in its console go; *fresh* if it has to be a new one."""
        if self._kept is not None and not fresh:
            page, errors = self._kept
            self._kept = None
            page.evaluate("0")  # what it still had to say of the test before
            errors.found.clear()
            return page, errors
        page = self.browser.new_context(viewport=SIZE).new_page()
        page.set_default_timeout(60_000)  # as `expect` waits
        errors = Errors()
        errors.watch(page)
        return page, errors

    def give_back(self, page: Page, errors: Errors) -> None:
        """Keep a page for the next test, if it can be left as it was found."""
        if self._kept is None and _tidied(page):
            self._kept = page, errors
        else:
            page.context.close()

    def close(self) -> None:
        """Close what is kept."""
        if self._kept is not None:
            self._kept[0].context.close()


def _tidied(page: Page) -> bool:
    """Leave a page of JupyterLab as if it had just been loaded without a document; False if that failed."""
    # One that was reloaded may still be opening what it had open.
    ended = (
        "'jupyterapp' in window && performance.getEntriesByType('navigation')[0].type !== 'reload'"
    )
    if not page.evaluate(ended) or len(page.context.pages) > 1:
        return False
    try:
        close_documents(page)
        page.evaluate(_TIDY)
        page.set_viewport_size(SIZE)
        if page.locator("body").get_attribute("data-jp-theme-name") != _THEME:
            set_theme(page, _THEME)
        return page.evaluate(_LEFT) == 0
    except Error:
        return False
