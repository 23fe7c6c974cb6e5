"""The pages of docs/: the commands they name are there, and what they show can be pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from letta_kernel import troubles
from letta_kernel.commands import at

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if not {"_build", "notebooks", "deploy", "hub"} & set(path.relative_to(DOCS).parts[:-1])
)
TOLD = {path.relative_to(DOCS).as_posix(): path.read_text("utf-8") for path in PAGES}
TOLD |= {f"troubleshooting/{one.name}.md": one.markdown for one in troubles.pages().values()}
HOW_TO = [page for page in TOLD if page.startswith("how-to/") and not page.endswith("index.md")]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```.*?^```|^(?: {4}.*\n)+|`[^`\n]+`", re.MULTILINE | re.DOTALL)

# Pages whose blocks a notebook holds as they stand, one a cell, in order.
PASTED = ["explanation/agent.md", "how-to/mcp.md", "how-to/together.md", "tutorials/labs.md"]
# Magics and programs that are none of a notebook's, or wait for somebody.
_ELSEWHERE = re.compile(r"^(?:letta-kernel|pip|export|make|jupyter|nbgrader)\b", re.MULTILINE)


def named(text: str, door: str) -> set[str]:
    """Return what follows the name of a door in the code of a page, up to three words."""
    start = r"(?<![%\w-])%agent " if door == "notebook" else r"(?<![\w./=-])letta-kernel "
    code = "\n".join(_CODE.findall(text))
    return set(re.findall(start + r"([a-z][a-z-]*(?: [a-z][a-z-]*){0,2})", code))


@pytest.mark.parametrize("door", ["notebook", "terminal"])
@pytest.mark.parametrize("page", TOLD)
def test_the_commands_a_page_names_are_there(page: str, door: str) -> None:
    known = set(at(door)) | {"help"}  # type: ignore[arg-type]
    groups = {name.split()[0] for name in known}
    unknown = set()
    for said in named(TOLD[page], door):
        words = said.split()
        if not ({" ".join(words[:n]) for n in (1, 2, 3)} & known) and words[0] not in groups:
            unknown.add(said)
    assert unknown == set()


@pytest.mark.parametrize("page", HOW_TO)
def test_a_how_to_page_says_what_it_is_for_and_begins_with_something_to_paste(page: str) -> None:
    title, _, rest = TOLD[page].partition("\n")
    assert title.startswith("# ")
    beginning = "\n".join(rest.strip().split("\n")[:25])
    assert re.search(r"^(?:```| {4}\S)", beginning, re.MULTILINE), "nothing to paste"
    assert re.search(r"^[A-Z`*].{40}", beginning, re.MULTILINE), "nothing on what it is for"


@pytest.mark.parametrize("part", ["how-to", "explanation"])
def test_an_index_leads_to_every_page_of_its_part(part: str) -> None:
    named_here = set(re.findall(r"\]\(([\w-]+)\.(?:md|ipynb)\)", TOLD[f"{part}/index.md"]))
    there = {path.stem for path in (DOCS / part).iterdir() if path.suffix in (".md", ".ipynb")}
    assert there - named_here == {"index"}


@pytest.mark.parametrize("page", TOLD)
def test_python_that_a_page_shows_is_python(page: str) -> None:
    for kind, code in _BLOCK.findall(TOLD[page]):
        if kind == "python":
            compile(code, page, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("page", PASTED)
def test_what_a_page_shows_can_be_pasted_into_a_notebook(page: str, tmp_path: Path) -> None:
    cells = []
    for kind, code in _BLOCK.findall(TOLD[page]):
        if kind == "python" and "mcp.server" in code:  # a file that the page has one save
            (tmp_path / "tides.py").write_text(code, "utf-8")
        elif kind in ("", "python") and not _ELSEWHERE.search(code):
            cells.append(new_code_cell(code.rstrip()))
    assert len(cells) > 1
    path, home = tmp_path / "page.ipynb", tmp_path / ".letta"
    nbformat.write(new_notebook(cells=cells), path)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LETTA_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, str(ROOT / "notebooks/run.py"), str(path), "--home", str(home)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={
            **kept,
            "LETTA_MODEL": "demo",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
