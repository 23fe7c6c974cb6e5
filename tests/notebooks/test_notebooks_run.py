"""notebooks/run.py, and every notebook of the folder through it, on the demo model."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
DOCS = NOTEBOOKS.parent / "docs"
EXECUTED = (
    NOTEBOOKS.parent / "artifacts/notebooks"
)  # where the documentation's build takes them from

# Variables that would let another model than the demo model answer.
_OTHERS = ("LETTA_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OLLAMA_")


def run(notebook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a notebook by run.py, which puts its agents into a new folder unless --home names one."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(_OTHERS)}
    return subprocess.run(
        [sys.executable, str(NOTEBOOKS / "run.py"), str(notebook), *options],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**env, "LETTA_MODEL": "demo"},
    )


@pytest.mark.parametrize(
    "notebook",
    sorted(NOTEBOOKS.glob("*.ipynb")),
    ids=lambda path: path.stem,
)
def test_every_notebook_runs_and_says_who_answers(notebook: Path) -> None:
    executed = EXECUTED / notebook.relative_to(NOTEBOOKS)
    executed.parent.mkdir(parents=True, exist_ok=True)
    done = run(notebook, "--save", str(executed))
    assert done.returncode == 0, done.stdout + done.stderr
    says_who_answers(done.stdout, executed)


def says_who_answers(said: str, executed: Path) -> None:
    """Runs are labelled and saved as such, and no view that was live is in the file."""
    assert "demo model" in said or "script: no language model" in said
    outputs = [o for c in nbformat.read(executed, 4).cells for o in c.get("outputs", [])]
    bundles = [o.data for o in outputs if "data" in o]
    assert any("application/vnd.letta.run.v1+json" in data for data in bundles)
    assert not any("application/vnd.jupyter.widget-view+json" in data for data in bundles)


def test_the_page_on_the_architecture_draws_what_happens(tmp_path: Path) -> None:
    executed = tmp_path / "executed.ipynb"
    page = DOCS / "explanation/architecture.ipynb"
    done = run(page, "--save", str(executed))
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = [o for c in nbformat.read(executed, 4).cells for o in c.get("outputs", [])]
    (drawing,) = (o.data["text/html"] for o in outputs if "<svg" in str(o.get("data")))
    for room in ("notebook", "service", "agent", "models", "tools", "store"):
        assert f">{room}<" in drawing
    # What the glossary names is there.
    text = nbformat.read(page, 4).cells[-1].source
    for module in re.findall(r"`(letta_kernel[\w.]+)`", text):
        assert importlib.util.find_spec(module) is not None, module


def restart_and_run_all_again(notebook: Path, home: Path, executed: Path) -> None:
    """Run a notebook twice in one project, each time with a kernel of its own."""
    home.mkdir(parents=True)
    # What begins with a new agent each time finds none.
    again = "Made " if "--fresh" in notebook.read_text("utf-8") else "Found "
    for said in ("Made ", again):
        done = run(notebook, "--home", str(home), "--save", str(executed))
        assert done.returncode == 0, done.stdout + done.stderr
        says_who_answers(done.stdout, executed)
        assert f"\n{said}" in done.stdout
        assert "It differs" not in done.stdout  # what an agent has learned is no difference
    assert [path.name for path in home.parent.iterdir()] == [home.name]


@pytest.mark.slow
def test_the_quickstart_runs_again(tmp_path: Path) -> None:
    home = tmp_path / "project/home"
    restart_and_run_all_again(
        NOTEBOOKS / "course/01-quickstart.ipynb", home, tmp_path / "executed.ipynb"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb")))
def test_every_notebook_runs_again(name: str, tmp_path: Path) -> None:
    home = tmp_path / "project/home"
    restart_and_run_all_again(NOTEBOOKS / f"{name}.ipynb", home, tmp_path / "executed.ipynb")


def test_a_failing_cell_is_shown_and_ends_the_run(tmp_path: Path) -> None:
    cells = [new_markdown_cell("# Before"), new_code_cell("print(6 * 7)"), new_code_cell("1 / 0")]
    notebook = tmp_path / "failing.ipynb"
    nbformat.write(new_notebook(cells=[*cells, new_code_cell("print('never')")]), notebook)
    done = run(notebook, "--save", str(tmp_path / "executed.ipynb"))
    assert done.returncode == 1
    assert "# Before" in done.stdout
    assert "\n42\n" in done.stdout
    assert "ZeroDivisionError" in done.stdout
    assert "failing.ipynb" in done.stderr
    assert "never" not in done.stdout.split("ZeroDivisionError")[-1]
    assert nbformat.read(tmp_path / "executed.ipynb", 4).cells[1].outputs
