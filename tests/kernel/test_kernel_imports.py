"""A folder of files named like libraries: nothing of it is run unless the notebook's person imports it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from forked_kernels import LETTA, PLAIN
from kernel_notebook import Notebook
from scripted_server import ScriptedServer

TOOL = '''
def mine() -> str:
    """Tell whose modules a tool gets."""
    import openai
    return str(openai.mine)
'''


def names() -> list[str]:
    """Every module that Python or a package here brings, ours too."""
    optional = {"brotli", "orjson", "ujson", "socksio", "zstandard", "uvloop", "polars"}
    every = {*sys.stdlib_module_names, *metadata.packages_distributions(), *optional}
    every -= {*sys.builtin_module_names, "sitecustomize", "usercustomize"}
    return sorted(name for name in every if name.isidentifier() and name != "__main__")


def fill(folder: Path, modules: list[str]) -> None:
    """Write modules of these names; each notes beside the folder that it was run."""
    folder.mkdir()
    log = folder.parent / "ran" / "ran.txt"
    log.parent.mkdir()
    log.touch()
    for name in modules:
        (folder / f"{name}.py").write_text(
            f"with open({str(log)!r}, 'a') as file:\n    file.write({name!r} + '\\n')\nmine = True\n"
        )


def ran_in(folder: Path) -> list[str]:
    return sorted(set((folder.parent / "ran" / "ran.txt").read_text().split()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("downloaded") / "folder"
    fill(made, names())
    return made


@pytest.fixture(scope="module")
def notebook(server: ScriptedServer, folder: Path) -> Iterator[Notebook]:
    model = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "test"}
    model["LETTA_SANDBOX_WRITE"] = str(folder.parent / "ran")
    opened = Notebook(folder.parent / ".letta", anew=True, cwd=folder, **model)
    yield opened
    opened.close()


def test_agents_use_installed_libraries_alone(
    notebook: Notebook, server: ScriptedServer, folder: Path
) -> None:
    assert notebook.run("1 + 1").text.strip() == "2"
    assert notebook.run("%agent new ada --model demo").status == "ok"
    assert notebook.run("%%agent\nRemember that I live in Oslo.").status == "ok"
    server.say("Hello there")
    assert notebook.run("%%agent --model openai/scripted\nHello").answer == "Hello there"
    assert notebook.run("%agent archival add The boat is blue.").status == "ok"
    assert "boat" in notebook.run("%agent archival search boat").text
    assert notebook.run("%agent plot").status == "ok"
    assert notebook.run("1 / 0").ename == "ZeroDivisionError"  # with a traceback, and what draws it
    assert ran_in(folder) == []


def test_the_persons_own_imports_find_their_files_also_after_ours(
    notebook: Notebook, server: ScriptedServer, folder: Path
) -> None:
    asked = "import requests, openai\nprint(requests.__file__, openai.mine)"
    assert notebook.run(asked).stdout.split() == [str(folder / "requests.py"), "True"]
    assert ran_in(folder) == ["openai", "requests"]
    notebook.run(TOOL)
    server.calls([("mine", {})])
    server.say("They are yours.")
    ran = notebook.run("%%agent --model openai/scripted\nWhose modules?")
    assert [item["result"] for item in ran.items("tool_call")] == ["True"]
    assert ran.answer == "They are yours."
    # Said once: which files hide libraries that agents may need.
    assert ran.stdout.count("openai.py") == ran.stdout.count("rename them") == 1
    assert "requests" in ran.stdout
    assert notebook.run("%agent").text.count("rename") == 0


def test_a_tool_in_the_sandbox_finds_the_folder_and_what_runs_it_does_not(
    notebook: Notebook, server: ScriptedServer, folder: Path
) -> None:
    (folder / "helper.py").write_text("import pydantic\nwhose = pydantic.__file__\n")
    code = (
        'def whose() -> str:\n    """Tell."""\n    # runs in: sandbox\n'
        "    import helper\n    return helper.whose"
    )
    notebook.run("from letta_kernel import tool\n\n@tool(runs_in='sandbox')\n" + code)
    server.calls([("whose", {})])
    ran = notebook.run("%%agent --model openai/scripted\nWhose?")
    assert [item["result"] for item in ran.items("tool_call")] == [str(folder / "pydantic.py")]


def test_a_file_imported_first_is_named_with_what_it_hides(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    fill(folder, ["duckdb", "litellm", "helpers"])
    notebook = Notebook(tmp_path / ".letta", anew=True, cwd=folder)
    try:
        assert notebook.run("import duckdb, helpers").status == "ok"
        for cell in ("%agent new ada --model demo", "%%agent\nHello"):
            ran = notebook.run(cell)
            assert ran.status == "error"
            assert len(ran.traceback) == 1
            assert "duckdb.py hides the library duckdb" in ran.evalue
            assert "helpers" not in ran.text
    finally:
        notebook.close()


def test_a_file_that_comes_later_is_found_too(tmp_path: Path) -> None:
    """Written by a cell, or there after a change of the folder, when we have the library long since."""
    folder = tmp_path / "folder"
    fill(folder, ["helpers"])
    below = folder / "below"
    below.mkdir()
    (below / "httpx.py").write_text("mine = 'below'")
    cells = tempfile.gettempdir()  # where ipykernel says that cells are
    notebook = Notebook(tmp_path / ".letta", anew=True, cwd=folder, PYTHONPATH=cells)
    try:
        assert notebook.run("%agent new ada --model demo").status == "ok"
        assert notebook.run("%%agent\nHello").status == "ok"
        assert notebook.run("%%writefile openai.py\nmine = 'written'").status == "ok"
        assert notebook.run("import openai; openai.mine").text.strip() == "'written'"
        assert notebook.run("%cd -q below").status == "ok"
        assert notebook.run("import httpx; httpx.mine").text.strip() == "'below'"
        assert notebook.run("%%agent\nRemember that I live in Oslo.").status == "ok"
    finally:
        notebook.close()


@pytest.mark.parametrize("command", [LETTA, PLAIN], ids=["letta", "plain"])
def test_files_that_shadow_nothing_import_as_ever(tmp_path: Path, command: list[str]) -> None:
    folder = tmp_path / "folder"
    fill(folder, ["helpers"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "wished.py").write_text("")
    notebook = Notebook(tmp_path / ".letta", command, folder, anew=True, PYTHONPATH=str(elsewhere))
    try:
        ran = notebook.run("import sys, helpers, wished\nprint(helpers.mine, sys.path)")
        assert ran.stdout.startswith("True [")
        path = eval(ran.stdout.removeprefix("True "))
        assert path.index("") < next(i for i, e in enumerate(path) if e.endswith("site-packages"))
        assert path.index("") > path.index(os.path.dirname(json.__path__[0]))
        assert str(folder) not in path
        assert path[0] == str(elsewhere)
    finally:
        notebook.close()


@pytest.mark.parametrize("module", [False, True], ids=["command", "module"])
def test_the_command_line_runs_in_such_a_folder(folder: Path, tmp_path: Path, module: bool) -> None:
    script = str(Path(sys.executable).with_name("letta-kernel"))
    command = [sys.executable, "-m", "letta_kernel.cli"] if module else [script]
    if module:  # what Python itself needs for -m comes from the folder, whatever we do
        begins = subprocess.run(
            [sys.executable, "-c", "import runpy, sys; print(*sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        folder = tmp_path / "folder"
        fill(folder, sorted({*names()} - {*begins, "letta_kernel"}))
    before = ran_in(folder)
    env = {**os.environ, "LETTA_HOME": str(folder.parent / "other")}
    for words in (["agent", "new", "ada", "--model", "demo"], ["send", "ada", "Hello"]):
        done = subprocess.run(
            [*command, *words], cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert ran_in(folder) == before


HIDDEN_MEANWHILE = """
import sys
sys.path.insert(0, "")
from letta_kernel import isolation, lazy_import
isolation.install()
lazy_import.start("lancedb")
while lazy_import.busy():
    isolation.give_back()
print(callable(lazy_import.load("lancedb").connect))
isolation.give_back()
exec(compile("import lancedb; print(lancedb.mine)", "<ipython-input-1>", "exec"), {"__name__": "__main__"})
"""


def test_a_library_is_not_taken_away_while_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "lancedb.py").write_text("mine = True\n")
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN_MEANWHILE], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
