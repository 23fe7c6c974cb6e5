"""JupyterLab, a browser, and a page for each test. The browser is Debian's Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_chromium import chromium
from browser_lab import ARTIFACTS, Errors, Lab, running_lab
from browser_office import Office, running_office
from playwright.sync_api import Browser, Page, expect

# How long a page may take to show what is expected of it, on a machine that is busy with other things.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One server for all browser tests."""
    home = tmp_path_factory.mktemp("lab")
    with running_lab(home / "notebooks", home) as started:
        yield started


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The server, whose kernels end with the test."""
    yield shared_lab
    shared_lab.end_kernels()


@pytest.fixture(scope="module")
def module_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A server of projects for one module."""
    with running_office(tmp_path_factory.mktemp("office")) as started:
        yield started


@pytest.fixture
def office(module_office: Office) -> Iterator[Office]:
    """The server of projects, whose kernels end with the test; its projects and the model's answers go."""
    yield module_office
    module_office.lab.end_kernels()
    module_office.clear()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, for one module: while it is up, nothing else can run an event loop here."""
    try:
        with chromium() as started:
            yield started
    except FileNotFoundError as error:
        pytest.fail(f"browser tests: {error}", pytrace=False)


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
