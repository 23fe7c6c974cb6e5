"""A JupyterLab server with real kernels on a free port of loopback, and pages that look at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forks
import httpx
import nbformat
from playwright.sync_api import ConsoleMessage, Error, Page

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
START_SECONDS = 180  # on a machine that is busy with other things

# What JupyterLab itself would ask of the network, or write into a console that tests want empty.
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


_KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"


@dataclass
class Lab:
    """A running server: notebooks put into ``folder`` can be opened in it."""

    url: str
    token: str
    folder: Path
    home: Path

    def write(self, name: str, *cells: Any, kernel: str = "python3") -> str:
        """Write a notebook of *cells* and return the address that opens it."""
        notebook = nbformat.v4.new_notebook(cells=list(cells))
        notebook.metadata["kernelspec"] = {
            "name": kernel,
            "display_name": kernel,
            "language": "python",
        }
        nbformat.write(notebook, self.folder / name)
        return self.address(name)

    def address(self, name: str) -> str:
        """The address that opens a notebook, in a workspace of its own."""
        return f"{self.url}lab/workspaces/{Path(name).stem}/tree/{name}?token={self.token}"

    def end_kernels(self) -> None:
        """End every kernel: the next test has the machine, and no kernel left by a notebook of that name."""
        headers = {"Authorization": f"token {self.token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60) as client:
            for kernel in client.get("api/kernels").raise_for_status().json():
                client.delete(f"api/kernels/{kernel['id']}")


# Kernels spend most of their CPU on imports.
_FORKED = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
import forked_kernels
forked_kernels.use()
sys.path.pop(0)
"""


@contextmanager
def running_lab(
    folder: Path, home: Path, *, anew: bool = False, **environment: str
) -> Iterator[Lab]:
    """Start JupyterLab on *folder*; its settings, workspaces and runtime files go under *home*.

    Its kernels are forked, or *anew*, as they are for users.
    """
    if not anew:
        (home / "config").mkdir(parents=True, exist_ok=True)
        (home / "config" / "jupyter_server_config.py").write_text(_FORKED)
        environment |= {forks.PLACE: forks.place()}
    for name, settings in _SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    folder.mkdir(parents=True, exist_ok=True)
    env = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "LETTA_HOME": str(home / "letta"),
        **environment,
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.terminals_enabled=False",
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log_path = home / "jupyterlab.log"
    with log_path.open("w") as log:
        server = subprocess.Popen(
            command, env=env, cwd=home, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        yield _wait(server, home / "runtime", folder, log_path)
    finally:
        server.terminate()  # shuts its kernels down before it goes
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], runtime: Path, folder: Path, log: Path) -> Lab:
    """Wait until the server has written where it listens."""
    found = runtime / f"jpserver-{server.pid}.json"
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        if found.exists() and (text := found.read_text()).strip():
            info = json.loads(text)
            return Lab(info["url"], info["token"], folder, runtime.parent)
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


@dataclass
class Errors:
    """What went wrong in a page: errors in its console and exceptions nobody caught."""

    found: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", self._thrown)

    def _thrown(self, error: Error) -> None:
        # anywidget gives a model two seconds, which a page on a crowded machine may not get. The test
        # that waits for the view fails then anyhow, if it needs it.
        if "[anywidget] Failed to initialize model" not in str(error):
            self.found.append(str(error))

    def _console(self, message: ConsoleMessage) -> None:
        # JupyterLab's word for what a kernel says to a view that was there before a reload or restart.
        if message.type == "error" and not message.text.startswith("Comm not found for comm id"):
            self.found.append(f"{message.text} ({message.location.get('url', '')})")


def set_theme(page: Page, theme: str) -> None:
    """Change JupyterLab's theme, ``JupyterLab Light`` or ``JupyterLab Dark``, and wait for it."""
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
    )
    page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")  # it covers the page meanwhile


def run_all(page: Page) -> None:
    """Run every cell of the notebook in front, once its kernel is idle."""
    page.wait_for_function(f"{_KERNEL}?.status === 'idle'")
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")


def interrupt(page: Page) -> None:
    """Press the stop button, once the page is connected to the kernel; that may be busy."""
    page.wait_for_function(f"{_KERNEL}?.connectionStatus === 'connected'")
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
