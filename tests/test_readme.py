"""README is one screen, and what it names is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from letta_kernel.commands import at

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_it_is_short() -> None:
    assert len(README.split()) <= 900


def test_its_links_lead_to_files_of_the_repository() -> None:
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    files = set(kept.splitlines()) or None
    named = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    named += re.findall(r'(?:src|srcset)="([^"]+)"', README)
    assert len(named) > 15
    missing = [
        name for name in named if not (ROOT / name).is_file() or (files and name not in files)
    ]
    assert missing == []


def test_the_commands_it_names_are_there() -> None:
    known = set(at("notebook"))
    lines = re.findall(r"%agent ([a-z]+)", README)
    assert lines
    assert {name for name in lines if name != "help"} <= {name.split()[0] for name in known}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)) <= targets
