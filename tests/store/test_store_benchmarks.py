"""The benchmarks of the two engines: what they work out, what they write, and that they run."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import engines  # noqa: E402
import many_queues  # noqa: E402
import many_users  # noqa: E402
import report  # noqa: E402


def test_a_closed_network_is_bounded_by_its_clients_and_by_its_station() -> None:
    assert many_queues.closed(1, 0.01, 0.03) == pytest.approx(25)
    assert many_queues.closed(500, 0.01, 0.03) == pytest.approx(100, rel=0.01)
    assert many_queues.closed(4, 0.01, 0.03) < 100
    assert many_queues.closed(200, 0.005, 2.0) == pytest.approx(200 / 2.005, rel=0.2)


def test_open_projects_are_as_many_as_come_times_how_long_they_stay() -> None:
    found = many_queues.open_projects(4.0, 10.0, 1_000_000)
    # Little's law. A project is kept 32.5 s after a turn on average, or until the next, if that comes before.
    thinks, kept = many_queues.THINKS, many_queues.STAYS_OPEN + many_queues.LOOKS / 2
    between = thinks * (1 - math.exp(-kept / thinks))
    turns = many_queues.TURNS
    stays = 10.0 + ((turns - 1) * between + kept) / turns
    assert found["mean"] == pytest.approx(4.0 * stays, rel=0.1)
    assert found["mean"] < found["p99"] <= found["most"]
    assert many_queues.open_projects(0.1, 2.0, 10_000)["mean"] == many_queues.ALWAYS


def test_laws_are_held_against_a_number_they_have_not_seen() -> None:
    points = [
        dict.fromkeys(many_users.QUANTITIES, 1.0) | {"projects": n, "disk_mb": 9.0 + 2.0 * n}
        for n in (50, 100, 500, 2000)
    ]
    points[-1]["disk_mb"] = 8018.0
    points[-1]["dump_all_s"] = "out of shared memory"
    found = many_users.laws(points)
    assert found["disk_mb"]["first"] == pytest.approx([9.0, 2.0])
    assert found["disk_mb"]["error"] == pytest.approx(-0.5, abs=0.001)
    assert found["make_ms"]["at_10000"] == 1.0
    assert "at_10000" not in found["dump_all_s"], "what failed is not read off"


def test_the_page_is_what_the_figures_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "explanation/scale.md",
        *(f"pictures/scale-{one}.svg" for one in ("turns", "worst")),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(report.DOCS / name, tmp_path / name)
    before = {one: one.read_text() for one in tmp_path.rglob("*") if one.is_file()}
    monkeypatch.setattr(report, "DOCS", tmp_path)
    saved = json.loads(engines.SAVED.read_text())
    assert not any(cell["errors"] for cell in saved["cells"])
    engines.write_docs(saved)
    many_users.write_docs(json.loads(many_users.SAVED.read_text()))
    assert {one: one.read_text() for one in tmp_path.rglob("*") if one.is_file()} == before, (
        "Run engines.py and many_users.py with --docs."
    )
    for picture in tmp_path.rglob("*.svg"):
        assert "prefers-color-scheme: dark" in xml.etree.ElementTree.tostring(
            xml.etree.ElementTree.parse(picture).getroot(), "unicode"
        )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", ["engines.py", "many_users.py"])
def test_it_runs(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), "--quick", "--json"],
        capture_output=True, text=True, check=False, timeout=880,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if script == "engines.py":
        assert {cell["engine"] for cell in found["cells"]} == set(engines.ENGINES)
        assert all(cell["turns_s"] and not cell["errors"] for cell in found["cells"])
    else:
        assert found["laws"]["files"]["predicted"] > 0
        assert found["turns"]["tables"]["messages"]["rows"] == 2
