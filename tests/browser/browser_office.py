"""A server whose notebooks have a project of their own in each folder, with a scripted model and some tools."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from browser_lab import Lab, running_lab
from nbformat.v4 import new_code_cell

sys.path.insert(0, str(Path(__file__).parent.parent))
from scripted_server import ScriptedServer

PAY = '''
from letta_kernel import tool

@tool(requires_approval=True)
def send_money(to: str, euros: float) -> str:
    """Send money to somebody.

    Args:
        to: Who gets it.
        euros: How much.
    """
    return f"{to} has {euros} euros more"
'''

WAIT_FOR = '''
import time

def wait_for(seconds: int) -> str:
    """Wait a while.

    Args:
        seconds: How long.
    """
    time.sleep(seconds)
    return "waited"
'''


@dataclass
class Office:
    """The server and the model its agents talk to."""

    lab: Lab
    model: ScriptedServer

    def write(self, path: str, *cells: str, kernel: str = "letta") -> str:
        """Write a notebook of *cells* in a project's folder and return the address that opens it."""
        (self.lab.folder / path).parent.mkdir(exist_ok=True)
        return self.lab.write(path, *map(new_code_cell, cells), kernel=kernel)

    def clear(self) -> None:
        """Delete projects, layouts and what the model would still say: a second try begins as the first."""
        self.model.forget()
        shutil.rmtree(self.lab.home / "workspaces", ignore_errors=True)
        for project in self.lab.folder.iterdir():
            if project.is_dir():
                _remove(project)


def _remove(project: Path) -> None:
    """Delete a project, in which the server may just be writing what it does in the background."""
    ends = time.monotonic() + 60
    while project.exists():
        shutil.rmtree(project, ignore_errors=time.monotonic() < ends)


@contextmanager
def running_office(home: Path) -> Iterator[Office]:
    """Start the server and the model."""
    with ScriptedServer() as model:
        environment = {
            "LETTA_HOME": "",
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "test",
        }
        with running_lab(home / "notebooks", home, **environment) as lab:
            yield Office(lab, model)
