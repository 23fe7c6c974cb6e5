"""The browser: Debian's Chromium, headless."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

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


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Start the browser.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    wanted = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser")
    executable = next(filter(None, map(shutil.which, wanted)), None)
    if executable is None:
        raise FileNotFoundError("this needs Chromium: make chromium, or CHROMIUM=…")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=[*_FLAGS, *flags])
        try:
            yield started
        finally:
            started.close()
