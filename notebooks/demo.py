"""A short conversation with an agent, printed: what `make demo` shows.

    python notebooks/demo.py

Two letta kernels, one after the other, run the cells below on the demo model. The agent lives in a folder
that is gone afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from run import ENCRYPTED, text_of

ROOT = Path(__file__).resolve().parents[1]
FIRST = (
    '%agent new ada --model demo --human "Works at the sea bird station."\n'
    '%agent archival add "The boat to the island leaves at nine."',
    'sightings = {"puffin": [3, 5, 2], "gannet": [12, 9]}\n'
    "def count_sightings(species: str) -> int:\n"
    '    """Count how many birds of a species were seen this week."""\n'
    "    return sum(sightings[species])",
    "%%agent\nHow many birds of the species puffin were seen this week?",
    "%%agent\nWhen does the boat to the island leave?",
    "%%agent\nMy name is Kim, and I like gannets.",
)
SECOND = (
    "%%agent ada\nWho am I?",
    "%agent rewind --steps 3",
    'from letta_kernel import Agent\nAgent("ada").memory["human"].value',
)
COLOURS = {"│": "2", "+": "32", "✓": "32", "✎": "33", "✗": "31", "~": "2", "[": "2"}


class Kernel(AsyncKernelManager):
    """A letta kernel of this checkout, which need not be installed for it."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How the kernel is started."""
        return started_here()


def started_here() -> KernelSpec:
    """Return how a letta kernel of this checkout is started, in this interpreter."""
    spec = KernelSpec.from_resource_dir(str(ROOT / "letta_kernel/kernelspec"))
    spec.argv[0] = sys.executable
    return spec


def main() -> int:
    """Print the conversation; 1 if a cell failed."""
    with tempfile.TemporaryDirectory(prefix="letta-") as folder:
        paths = (str(ROOT), os.environ.get("PYTHONPATH", ""))
        env = {
            **os.environ,
            "LETTA_HOME": str(Path(folder, "home")),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        say(
            "Cells behind bars (│), and what came of them. The demo model answers, without key or network."
        )
        try:
            talk(FIRST, folder, env)
            say("\n── That kernel has ended, with all its variables. A new kernel: ──")
            talk(SECOND, folder, env)
        except CellExecutionError as error:
            print(f"The demo failed in the cell above: {error.evalue}", file=sys.stderr)
            return 1
    say(
        "\nThe agent outlived its kernel, and its memory went back to before it knew you. Now try it yourself:"
    )
    say("  make lab")
    return 0


def talk(cells: tuple[str, ...], folder: str, env: dict[str, str]) -> None:
    """Run *cells* in a new kernel that ends with the last of them, and print each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook,
        timeout=300,
        store_widget_state=False,
        kernel_manager_class=Kernel,
        config=ENCRYPTED,
        resources={"metadata": {"path": folder}},
        on_cell_start=lambda cell, cell_index: show_source(cell.source, first=not cell_index),
        on_cell_executed=lambda cell, cell_index, execute_reply: show_outputs(cell),
    )
    client.execute(env=env)


def show_source(source: str, first: bool) -> None:
    """Print a cell behind a bar, apart from the cell before it."""
    if not first:
        say("")
    for line in source.splitlines():
        say(f"│ {line}")


def show_outputs(cell: Any) -> None:
    """Print what came of a cell without its empty lines."""
    for output in cell.outputs:
        for line in text_of(output).splitlines():
            if line.strip():
                say(line)


def say(line: str) -> None:
    """Print a line, in the colour of what it begins with if a terminal shows it."""
    code = COLOURS.get(line.strip()[:1])
    if code and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        line = f"\x1b[{code}m{line}\x1b[0m"
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
