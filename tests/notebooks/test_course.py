"""The course: each chapter is whole and runs with its solutions; its checks hold then and not before."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_notebooks_run import EXECUTED, NOTEBOOKS, run, says_who_answers

from letta_kernel.service.assertions import understood

COURSE = NOTEBOOKS / "course"
CHAPTERS = sorted(COURSE.glob("[0-9][0-9]-*.ipynb"))
TURN = "# Your turn"
chapters = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, 4)


def exercises(notebook: Any, kind: str = "exercise") -> dict[str, Any]:
    """Return the cells of the exercises, or of their checks, by number."""
    return {c.id.partition("-")[2]: c for c in notebook.cells if c.id.startswith(f"{kind}-")}


def solutions(path: Path) -> dict[str, Any]:
    return exercises(read(COURSE / "solutions" / path.name))


def solved(path: Path) -> Any:
    """Return a chapter with its solutions in place."""
    notebook = read(path)
    cells = exercises(notebook)
    for number, solution in solutions(path).items():
        cells[number].source = solution.source
    return notebook


def text_of(cell: Any) -> str:
    """Return what a cell shows as text."""
    return "".join(o.get("text") or o.data.get("text/plain", "") for o in cell.get("outputs", []))


def test_each_chapter_leads_to_the_next_and_the_table_to_all() -> None:
    assert [path.name[:2] for path in CHAPTERS] == [f"{n:02}" for n in range(1, len(CHAPTERS) + 1)]
    for path, following in pairwise(CHAPTERS):
        assert f"]({following.name})" in read(path).cells[-1].source, path.name
    table = (COURSE / "README.md").read_text("utf-8")
    assert [path.name for path in CHAPTERS] == re.findall(r"\]\(([0-9]{2}-[^)]+)\)", table)


@chapters
def test_a_chapter_is_whole(path: Path) -> None:
    notebook = read(path)
    assert notebook.metadata.kernelspec.name == "letta"
    assert not [c.id for c in notebook.cells if c.get("outputs")]
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    # The documentation shows no answers from this cell on.
    assert "exercises" in [c.id for c in notebook.cells]
    for part in ("**Goals.**", "minutes", "## Exercises", "## What you have seen"):
        assert part in prose, part
    assert "--fresh" in code, "a chapter begins with an agent of its own"
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", prose)
    assert pictures
    assert "<img" not in prose
    for alt, file in pictures:
        assert len(alt) >= 20, file
        drawn = (COURSE / file).read_text("utf-8")
        assert "<title" in drawn
        assert "<desc" in drawn
    assert any(c.metadata.get("slideshow", {}).get("slide_type") == "slide" for c in notebook.cells)


@chapters
def test_every_exercise_has_a_check_and_a_solution(path: Path) -> None:
    notebook = read(path)
    cells = exercises(notebook)
    assert cells
    assert cells.keys() == exercises(notebook, "check").keys() == solutions(path).keys()
    assert {cell.source for cell in cells.values()} == {TURN}
    for number, check in exercises(notebook, "check").items():
        said = re.findall(r"(?m)^%agent check (.+)$", check.source)
        assert said, number
        for sentence in said:
            assert understood(re.sub(r" --agent \S+", "", sentence)), sentence


@pytest.mark.parametrize("path", sorted(COURSE.rglob("*.ipynb")), ids=lambda p: p.stem)
def test_links_lead_somewhere(path: Path) -> None:
    prose = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
        assert (path.parent / target).exists(), target


def test_a_chapter_can_be_shown_as_slides(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nbconvert", "--to", "slides", "--output-dir", tmp_path]
    subprocess.run([*command, CHAPTERS[0]], check=True, capture_output=True)
    (slides,) = tmp_path.iterdir()
    assert slides.read_text("utf-8").count("<section") > 5


@chapters
def test_a_chapter_runs_with_its_solutions(path: Path, tmp_path: Path) -> None:
    executed = run_beside(solved(path), path)
    holding = {number: text_of(cell) for number, cell in exercises(executed, "check").items()}
    for number, said in holding.items():
        assert "✓" in said, f"exercise {number}: {said}"
        assert "✗" not in said, f"exercise {number}: {said}"
    # The documentation shows a chapter as it is opened: with its exercises not done yet.
    for number, cell in exercises(executed).items():
        cell.source = exercises(read(path))[number].source
    shown = EXECUTED / path.relative_to(NOTEBOOKS)
    shown.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed, shown)


@pytest.mark.slow
@chapters
def test_no_check_holds_before_its_exercise_is_done(path: Path) -> None:
    executed = run_beside(read(path), path)
    for number, check in exercises(executed, "check").items():
        assert "✗" in text_of(check), f"exercise {number}"


@pytest.mark.slow
def test_all_chapters_in_order_in_one_project(tmp_path: Path) -> None:
    for path in CHAPTERS:
        run_beside(solved(path), path, "--home", str(tmp_path / ".letta"))


def run_beside(notebook: Any, path: Path, *options: str) -> Any:
    """Run a chapter's cells where the chapter lies, for its data are there; return what was executed."""
    place = path.with_name(f".{path.stem}-solved.ipynb")
    saved = path.with_name(f".{path.stem}-executed.ipynb")
    try:
        nbformat.write(copy.deepcopy(notebook), place)
        done = run(place, "--save", str(saved), *options)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        says_who_answers(done.stdout, saved)
        return read(saved)
    finally:
        place.unlink(missing_ok=True)
        saved.unlink(missing_ok=True)
