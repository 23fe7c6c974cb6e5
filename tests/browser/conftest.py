"""JupyterLab, a browser, and a page for each test. The browser is Debian's Chromium."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from browser_chromium import chromium
from browser_lab import ARTIFACTS, Lab, running_lab
from browser_office import Office, running_office
from browser_pages import Pages
from browser_stage import Stage
from playwright.sync_api import Browser, Page, expect

PASSED = pytest.StashKey[bool]()

# How long a page may take to show what is expected of it, on a machine that is busy with other things.
expect.set_options(timeout=60_000)


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


@pytest.fixture(scope="module")
def pages(browser: Browser) -> Iterator[Pages]:
    """The pages of one module."""
    pages = Pages(browser)
    yield pages
    pages.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test passed, for `page`."""
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def page(pages: Pages, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page, which the test before may have had too; an error in its console fails the test.

    Documents are opened in it by `browser_pages.visit`. A test marked ``page(fresh=True)`` has one of its own,
    and so has a second try, since a test that failed takes its page along.
    """
    ARTIFACTS.mkdir(exist_ok=True)
    needs: dict[str, Any] = {}
    for marker in request.node.iter_markers("page"):
        needs |= marker.kwargs
    fresh = needs.get("fresh", False)
    opened, errors = pages.take(fresh=fresh)
    yield opened
    ignored = tuple(needs.get("ignored", ()))
    found = [error for error in errors.found if not error.startswith(ignored)]
    if fresh or found or not request.node.stash.get(PASSED, False):
        opened.context.close()
    else:
        pages.give_back(opened, errors)
    assert found == []


@pytest.fixture
def quiet(stage: Stage) -> Iterator[None]:
    """After a test on a module's stage: no error in a console, no request to another machine."""
    yield
    assert stage.errors.found == []
    assert stage.outside == []
