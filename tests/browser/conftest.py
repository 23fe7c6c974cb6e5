"""JupyterLab, a browser, and a page for each test. The browser is Debian's Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from browser_lab import ARTIFACTS, Errors, Lab, running_lab
from playwright.sync_api import Browser, Page, expect, sync_playwright

# Without a network, as root, without a graphics card; and no calls of its own to anywhere.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# How long a page may take to show what is expected of it, on a machine that is busy with other things.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One server for all browser tests; each writes notebooks of its own names into it."""
    home = tmp_path_factory.mktemp("lab")
    with running_lab(home / "notebooks", home) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, for one module: while it is up, nothing else can run an event loop here."""
    wanted = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser")
    executable = next(filter(None, map(shutil.which, wanted)), None)
    if executable is None:
        pytest.fail("the browser tests need Chromium: make chromium, or CHROMIUM=…", pytrace=False)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own for each test, which fails if there was an error in its console."""
    ARTIFACTS.mkdir(exist_ok=True)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    errors = Errors()
    opened = context.new_page()
    errors.watch(opened)
    yield opened
    context.close()
    assert errors.found == []
