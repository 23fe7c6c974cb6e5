"""Where the project is: fixed when the kernel starts, wherever cells, children and front ends go later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked_kernels import PLAIN
from kernel_notebook import Notebook
from kernel_panel import Panel

Opener = Callable[..., Notebook]

# Where the processes that a cell starts find the project.
CHILDREN = """
import multiprocessing, subprocess, sys
from letta_kernel.project import project_folder
for way in ("fork", "spawn"):
    with multiprocessing.get_context(way).Pool(1) as pool:
        print(way, pool.apply(project_folder))
"""
EARLY = '''
def early(n: int) -> int:
    """Add one.

    Args:
        n: To what.
    """
    return n + 1
'''
SHELL = "!{sys.executable} -m letta_kernel.cli agent list"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens notebooks that begin in a folder ``station``, without LETTA_HOME."""
    notebooks: list[Notebook] = []
    station = tmp_path / "station"
    (station / "data").mkdir(parents=True)

    def start(command: list[str] | None = None, **env: str) -> Notebook:
        settings = {"LETTA_HOME": "", "LETTA_MODEL": "demo", **env}
        cwd = Path(settings.pop("cwd", str(station)))
        notebooks.append(Notebook(station / ".letta", command, cwd, **settings))
        return notebooks[-1]

    yield start
    for notebook in notebooks:
        notebook.close()


def stores(folder: Path) -> list[str]:
    return sorted(str(p.parent.relative_to(folder)) for p in folder.rglob("letta.duckdb"))


@pytest.mark.duckdb
def test_going_elsewhere_moves_nothing(opened: Opener, tmp_path: Path) -> None:
    notebook = opened()
    home = notebook.home
    notebook.run("%cd data")
    assert str(home) in notebook.run("%agent").text  # where it will be
    assert notebook.run("%agent new ada").status == "ok"
    notebook.run("from letta_kernel import Agent\nAgent('ben')\n%cd /")
    listed = notebook.run("%agent list").text
    assert "ada" in listed
    assert "ben" in listed
    assert str(home) in notebook.run("%agent").text
    said = notebook.run(f"%cd {tmp_path}\n{CHILDREN}").stdout
    assert f"fork {home}" in said
    assert f"spawn {home}" in said
    panel = Panel(notebook).open()
    assert panel.hello["home"] == str(home)
    panel.close()
    notebook.restart()
    notebook.run("%cd data")
    assert "* ada" in notebook.run("%agent list").text
    assert stores(tmp_path) == ["station/.letta"]


@pytest.mark.duckdb
def test_the_notebooks_folder_is_the_projects(opened: Opener, tmp_path: Path) -> None:
    notebook = opened(cwd=str(tmp_path), JPY_SESSION_NAME=str(tmp_path / "station" / "birds.ipynb"))
    notebook.run("%cd station/data")
    notebook.run("%agent new ada")
    assert "ada" in notebook.run(f"import sys\n{SHELL}").stdout
    assert stores(tmp_path) == ["station/.letta"]
    other = opened(JPY_SESSION_NAME=str(tmp_path / "station" / "fish.ipynb"))
    met = other.run("%agent").text
    assert "No agent yet" not in met
    assert "ada" in met
    assert "%agent use" in met
    gone = opened(JPY_SESSION_NAME="no/such/folder/birds.ipynb")
    assert "ada" in gone.run("%agent list").text  # where the kernel started, then


@pytest.mark.duckdb
def test_a_plain_kernel_begins_where_it_was_started(opened: Opener, tmp_path: Path) -> None:
    notebook = opened(PLAIN)
    notebook.run("%cd data")
    assert notebook.run("%load_ext letta_kernel\n%agent new ada").status == "ok"
    assert stores(tmp_path) == ["station/.letta"]


@pytest.mark.duckdb
def test_the_first_cell_may_say_where(opened: Opener, tmp_path: Path) -> None:
    """LETTA_HOME is read at the first agent command, though a panel has looked before."""
    maker = opened()
    maker.run("%agent new ada")
    notebook = opened()
    panel = Panel(notebook).open()
    assert [agent["name"] for agent in panel.ask("agents")] == ["ada"]
    notebook.run(EARLY)
    notebook.run("%cd data\n%env LETTA_HOME=kept/here")
    assert "early" in notebook.run("%agent new bob").text
    panel.until(lambda: [m for m in panel.of("hello") if m["home"].endswith("station/kept/here")])
    assert [agent["name"] for agent in panel.ask("agents")] == ["bob"]
    notebook.run("%env LETTA_HOME=too/late")
    notebook.run("from letta_kernel import Agent\nAgent('eve')")
    listed = notebook.run("%agent list").text
    assert "bob" in listed
    assert "eve" in listed
    panel.close()
    assert stores(tmp_path) == ["station/.letta", "station/kept/here"]


APART = """
from letta_kernel import tool
@tool(runs_in="sandbox")
def apart() -> int:
    "Count."
    return 42
"""
ODD = 'o\'dd "a" %41 #1 {x!r} ü名 [b]<i>*~$HOME&;:|'


@pytest.mark.duckdb
def test_a_folder_may_be_called_almost_anything(opened: Opener, tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    (folder / "note.md").write_text("The kettle boils at 96.")
    notebook = opened(cwd=str(folder))
    assert str(folder / ".letta") in notebook.run("%agent").text
    notebook.run("%agent new odd")
    notebook.run("%agent record")
    notebook.run(APART)
    assert "42" in notebook.run("%agent tools run apart").text
    assert (
        "96"
        in notebook.run("%agent archival add note.md").text
        + notebook.run("%agent archival search kettle").text
    )
    assert notebook.run("%%agent\nHello").status == "ok"
    assert notebook.run("%agent export odd.af").status == "ok"
    assert notebook.run("%agent import odd.af --name again").status == "ok"
    notebook.run("import sys")
    assert "again" in notebook.run(SHELL).text
    asked = notebook.run(f"{SHELL.partition(' agent')[0]} sql 'SELECT agent FROM agents'")
    assert "again" in asked.text, notebook.run("print(_exit_code)").text
    assert stores(tmp_path) == [f"{ODD}/.letta"]


@pytest.mark.duckdb
@pytest.mark.parametrize("sign", ["?", "\\", "\n"])
def test_a_folder_that_cannot_hold_a_store_is_named(
    opened: Opener, tmp_path: Path, sign: str
) -> None:
    folder = tmp_path / f"a{sign}b"
    (folder / "deeper").mkdir(parents=True)
    notebook = opened(cwd=str(folder / "deeper"))
    ran = notebook.run("%agent new odd")
    assert (ran.status, ran.ename) == ("error", "AgentError")
    assert f"the character {sign!r}" in ran.evalue
    assert "LETTA_HOME" in ran.evalue
    assert stores(tmp_path) == []
    assert not (folder / "deeper" / ".letta").exists()


@pytest.mark.duckdb
def test_a_store_that_is_none_is_named_in_a_line_and_can_be_taken_away(opened: Opener) -> None:
    notebook = opened()
    notebook.home.mkdir(0o700)
    store = notebook.home / "letta.duckdb"
    store.write_text("no database\n" * 1000)
    store.chmod(0o600)
    for cell in (
        "%agent",
        "%agent list",
        "%agent memory",
        "%agent cost",
        "%%agent\nHi.",
        "%agent new ada",
    ):
        ran = notebook.run(cell)
        assert ran.status == "error", cell
        assert "is damaged" in ran.evalue, cell
        assert "Traceback" not in ran.evalue + ran.text, cell
    assert notebook.run(EARLY + "early(1)").status == "ok"
    store.unlink()
    assert notebook.run("%agent new ada").status == "ok"
