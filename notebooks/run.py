"""Runs a notebook in the letta kernel and prints the conversation, cell by cell as it happens.

    python notebooks/run.py notebooks/course/01-quickstart.ipynb [--save executed.ipynb]

The agents live in a folder of their own that is gone afterwards, unless ``--home`` names one to use.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

# Where client and kernel can, they encrypt what they say; the kernel warns otherwise.
ENCRYPTED = Config({"KernelManager": {"transport_encryption": "auto"}})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the notebook named on the command line; 1 if a cell failed."""
    parser = argparse.ArgumentParser(description="Run a notebook in the letta kernel.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--kernel", default="letta", help="kernelspec to run it in")
    parser.add_argument("--timeout", type=int, default=300, help="seconds a cell may take")
    parser.add_argument("--save", type=Path, help="where to write the executed notebook")
    parser.add_argument(
        "--home", type=Path, help="folder of the agents; a temporary one if not given"
    )
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="letta-") as temporary:
        os.environ["LETTA_HOME"] = str((options.home or Path(temporary)).resolve())
        return run(options.notebook, options.kernel, options.timeout, options.save)


def run(path: Path, kernel: str, timeout: int, save: Path | None) -> int:
    """Execute the notebook at *path* from its own folder, printing every cell when it is done.

    Parameters
    ----------
    timeout
        Seconds that one cell may take.
    save
        Where the executed notebook is written, also when a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name=kernel,
        timeout=timeout,
        store_widget_state=False,
        config=ENCRYPTED,
        resources={"metadata": {"path": str(path.parent.resolve())}},
        on_cell_start=lambda cell, cell_index: show_source(cell),
        on_cell_executed=lambda cell, cell_index, execute_reply: show_outputs(cell),
    )
    try:
        # As a Jupyter server does, so that the kernel knows which notebook it is of.
        client.execute(env={**os.environ, "JPY_SESSION_NAME": str(path.resolve())})
    except CellExecutionError:
        print(f"{path}: the cell above failed", file=sys.stderr)
        return 1
    finally:
        if save is not None:
            nbformat.write(notebook, save)
    return 0


def show_source(cell: Any) -> None:
    """Print what a cell says: prose as it is, code behind a bar."""
    if cell.cell_type == "markdown":
        print(f"\n{cell.source}")
    else:
        print("\n" + "\n".join(f"│ {line}" for line in cell.source.splitlines()), flush=True)


def show_outputs(cell: Any) -> None:
    """Print what came of a cell, as plain text."""
    for output in cell.get("outputs", []):
        text = text_of(output)
        if text.strip():
            print(text.rstrip("\n"), flush=True)


def text_of(output: Any) -> str:
    """Return an output as plain text; empty if it has none."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return str(output.data.get("text/plain", ""))


if __name__ == "__main__":
    raise SystemExit(main())
