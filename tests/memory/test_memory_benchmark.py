"""``benchmarks/memory.py`` on a folder of other conversations, with odd files beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"


def test_one_json_object_whatever_else_is_in_the_folder(tmp_path: Path) -> None:
    turns = [
        {"dia_id": f"D1:{n}", "session": 1, "date": "1:56 pm on 8 May, 2023", "speaker": "Kim"}
        | {"text": f"We talked about the weather on day {n}.", "caption": ""}
        for n in range(30)
    ]
    turns[7]["text"] = "I bought a trombone."
    turns[9] = {"dia_id": "D1:9", "text": "My parrot is called Rosa."}  # the rest is missing
    questions = [
        {"question": "What did Kim buy?", "category": "single-hop", "evidence": ["D1:7"]},
        {"question": "What is the parrot called?", "category": 4, "evidence": "D1:9"},
        {"question": "And the unicorn?", "category": "adversarial", "evidence": []},
        {"question": "Which?", "category": "multi-hop", "evidence": ["D1:7", "D9:9"]},
    ]
    (tmp_path / "a talk.json").write_text(json.dumps({"turns": turns, "questions": questions}))
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "README.md").write_text("# About")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--data", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert list(found)[:3] == ["any@10", "all@10", "by_category"]
    assert (found["conversations"], found["turns"], found["questions"]) == (1, 30, 3)
    assert found["by_category"]["single-hop"] == {"any@10": 100.0, "all@10": 100.0, "questions": 1}
    assert found["by_category"]["4"]["all@10"] == 100.0
    assert found["by_category"]["multi-hop"]["all@10"] == 0.0
    assert "broken.json is no conversation" in done.stderr


def test_a_folder_without_conversations_is_an_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--data", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no conversation with questions" in done.stderr
