"""`make demo` prints a short conversation that shows what an agent is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_shows_memory_tools_the_archive_a_new_kernel_and_a_rewind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "notebooks/demo.py")],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "LETTA_HOME": str(tmp_path / "not-used")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error" not in done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) < 60
    first, second = done.stdout.split("That kernel has ended")
    assert "      + The user's name is Kim" in first  # the change of memory, as a diff
    assert '✓ count_sightings(species="puffin")' in first
    assert "\n      10\n" in first
    assert "1 passage from archival memory" in first
    assert re.search(r"\[1\] The boat .* leaves at nine", first)
    assert "The user's name is Kim" in second.split("%agent rewind")[0]
    assert lines[-3:-2] == [""]
    assert "'Works at the sea bird station.'" in second.split("%agent rewind")[1]
    assert lines[-1].strip() == "make lab"
    assert list(tmp_path.iterdir()) == []  # it leaves nothing


def test_make_demo_runs_it() -> None:
    made = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^demo: .*\n\t@?\$\(PY\) notebooks/demo\.py$", made, re.MULTILINE)
