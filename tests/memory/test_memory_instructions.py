"""``benchmarks/instructions.py``: what was wished is in sight in the block, which may be full."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "instructions.py"


def test_a_wish_is_in_the_block_and_not_where_that_is_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("instructions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    said = [
        ("user", "Hello. Always give the version when I ask about libraries."),
        ("assistant", "I prefer tea. Always."),
        ("user", "I like trains, and I prefer the slow ones."),
    ]
    turns = [{"dia_id": str(n), "speaker": who, "text": text} for n, (who, text) in enumerate(said)]
    questions = [
        {"question": "What is needed?", "category": "instruction_following", "evidence": ["0"]},
        {"question": "How do I get there?", "category": "preference_following", "evidence": "2"},
        {"question": "When?", "category": "temporal_reasoning", "evidence": ["0"]},
    ]
    (tmp_path / "talk.json").write_text(json.dumps({"turns": turns, "questions": questions}))
    (tmp_path / "broken.json").write_text("[")
    found = benchmark.run(tmp_path)
    assert [found[name]["block"] for name in benchmark.ASKED] == [100.0, 100.0]
    assert [found[name]["questions"] for name in benchmark.ASKED] == [1, 1]
    small = benchmark.run(tmp_path, limit=60)
    assert [small[name]["block"] for name in benchmark.ASKED] == [100.0, 0.0]
    assert small["blocks"][0]["refused"] == 1
    assert "broken.json is no conversation" in capsys.readouterr().err
