"""A real conversation, run in two letta kernels: what the moving picture draws."""

from __future__ import annotations

import ast
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from table import ROOT

sys.path.insert(0, str(ROOT / "notebooks"))

from demo import started_here
from run import ENCRYPTED

RUN = "application/vnd.letta.run.v1+json"
SETUP = '%agent new ada --model demo --human "Works at the sea bird station."'
FIRST = (
    "%%agent\nMy name is Kim, and I like gannets.",
    'sightings = {"puffin": [3, 5, 2], "gannet": [12, 9]}\n'
    "def count_sightings(species: str) -> int:\n"
    '    """Count the birds of a species seen this week."""\n'
    "    return sum(sightings[species])",
    "%%agent\nHow many birds of the species puffin were seen this week?",
)
SECOND = ("%%agent ada\nWho am I?", "%agent rewind --steps 5")
_MEMORY = "__import__('letta_kernel').Agent('ada').memory['human'].value"


@dataclass
class Cell:
    """A cell that has run: what came of it, and what the agent's block said then."""

    source: str
    kernel: int
    count: int = 0  # the number beside it
    said: str = ""  # what stands below it as text
    items: list[dict[str, Any]] = field(default_factory=list)  # of the run, in their order
    memory: str = ""


class _Kernel(KernelManager):
    """A letta kernel of this interpreter."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How it is started."""
        return started_here()


def record() -> list[Cell]:
    """Run the conversation and return its cells.

    Raises
    ------
    RuntimeError
        A cell failed.
    """
    cells = []
    with tempfile.TemporaryDirectory() as home:
        for number, sources in enumerate(((SETUP, *FIRST), SECOND), 1):
            with _client(Path(home)) as client:
                cells += [_run(client, source, number) for source in sources]
    return cells


@contextmanager
def _client(home: Path) -> Iterator[BlockingKernelClient]:
    """Start a kernel, whose agents are in *home*; end it behind the block."""
    manager = _Kernel(config=ENCRYPTED)
    env = {**os.environ, "LETTA_HOME": str(home / "home"), "PYTHONPATH": str(ROOT)}
    manager.start_kernel(env=env, cwd=str(home))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def _run(client: BlockingKernelClient, source: str, kernel: int) -> Cell:
    """Execute one cell and keep what it shows."""
    cell = Cell(source, kernel)

    def take(message: dict[str, Any]) -> None:
        if message["msg_type"] == "error":
            raise RuntimeError(f"{source}: {message['content']['evalue']}")
        data = message["content"].get("data", {})
        cell.count = message["content"].get("execution_count") or cell.count
        if RUN in data:
            cell.items = data[RUN]["items"]
        elif "text/plain" in data:
            cell.said = data["text/plain"]

    client.execute_interactive(source, timeout=120, output_hook=take)
    asked = {"memory": _MEMORY}
    reply = client.execute_interactive(
        "", timeout=60, user_expressions=asked, output_hook=lambda message: None
    )
    told = reply["content"]["user_expressions"]["memory"]
    cell.memory = ast.literal_eval(told["data"]["text/plain"]) if "data" in told else ""
    return cell
