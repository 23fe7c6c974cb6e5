"""Every picture that pages show is known to docs/pictures/table.py, and none is too old for what it shows."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picture_table", ROOT / "docs/pictures/table.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["picture_table"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table = load()


def test_no_picture_is_too_old_or_other_than_it_was_made() -> None:
    assert table.faults() == []


def test_pages_show_known_pictures_with_words_for_those_who_do_not_see_them() -> None:
    uses = list(table.uses())
    assert len(uses) > 20
    known = table.known()
    assert {(page, path) for page, path, _ in uses if path not in known} == set()
    short = {(page, path) for page, path, alt in uses if alt is not None and len(alt) < 30}
    assert short == set()


def test_every_picture_is_shown_somewhere() -> None:
    shown = {path for _, path, _ in table.uses()}
    listed = ["git", "ls-files", "docs", "notebooks"]
    kept = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    files = {name for name in kept if Path(name).suffix in table.ENDINGS} | table.known()
    assert files - shown == set()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository of one picture, made before any release."""
    (tmp_path / "docs/pictures").mkdir(parents=True)
    (tmp_path / "docs/pictures/lab.png").write_bytes(b"a picture")
    (tmp_path / "lab.ts").write_text("one")
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## Unreleased\n")
    table.note((), tmp_path, tmp_path / "made.json")
    return tmp_path


LAB = table.Picture("lab", "a lab", ("*.ts",), dark=False)


def faults(project: Path, monkeypatch: pytest.MonkeyPatch, *, make: bool = False) -> list[str]:
    monkeypatch.setattr(table, "MADE_BY_SCRIPT", (LAB,))
    if make:
        table.note((LAB,), project, project / "made.json")
    found: list[str] = table.faults((LAB,), project, project / "made.json")
    return found


def test_a_picture_may_be_one_release_older_than_what_it_shows(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults(project, monkeypatch) == ["lab was never made: make pictures"]
    assert faults(project, monkeypatch, make=True) == []
    (project / "lab.ts").write_text("two")
    changes = project / "CHANGELOG.md"
    changes.write_text("# Changes\n\n## Unreleased\n\n## 0.1.0 (2026-12-02)\n")
    assert faults(project, monkeypatch) == []
    changes.write_text("# Changes\n\n## 0.2.0 (2027-01-02)\n\n## 0.1.0 (2026-12-02)\n")
    (old,) = faults(project, monkeypatch)
    assert old == "lab is 2 releases older than it shows: make pictures"
    (project / "lab.ts").write_text("one")  # what it shows is as it was
    assert faults(project, monkeypatch) == []
    (project / "lab.ts").write_text("two")
    assert faults(project, monkeypatch, make=True) == []


def test_a_picture_changed_by_hand_or_of_nothing_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults(project, monkeypatch, make=True)
    (project / "docs/pictures/lab.png").write_bytes(b"another picture")
    (told,) = faults(project, monkeypatch)
    assert told.startswith("docs/pictures/lab.png is not what the script wrote")
    (project / "lab.ts").unlink()
    with pytest.raises(FileNotFoundError, match=r"shows \*\.ts"):
        faults(project, monkeypatch, make=True)


@pytest.mark.parametrize("file", table.MOVING.files)
def test_the_moving_picture_is_small_and_stands_still_where_motion_is_not_wanted(file: str) -> None:
    drawn = (ROOT / file).read_text("utf-8")
    assert len(drawn) < 300_000
    assert "@media (prefers-reduced-motion:reduce){*{animation:none!important}}" in drawn
    told = ElementTree.fromstring(drawn)
    assert told.attrib["role"] == "img"
    assert all(told.findtext(f"{{http://www.w3.org/2000/svg}}{name}") for name in ("title", "desc"))
    for shown in ("core_memory_append", "→ 10", "Letta kernel 2", "%agent rewind --steps 5"):
        assert shown in drawn
    # A picture in a page may load nothing.
    assert not re.search(r"href|@import|url\((?!#)", drawn)
