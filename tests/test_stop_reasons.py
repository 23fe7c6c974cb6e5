"""What a stop reason means is said once, and the page says the same."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import get_args

from letta_kernel.stop_reasons import MEANINGS, StopReason, failed, run_status

LABEXTENSION = Path(__file__).parents[1] / "labextension"


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(get_args(StopReason))


def test_an_answer_cut_at_a_limit_is_no_failure() -> None:
    assert run_status("max_tokens_exceeded") == "completed"
    assert not failed("max_tokens_exceeded")
    assert not failed(None)  # it goes on
    assert failed("a reason of a later version")


def test_the_page_has_the_same_meanings() -> None:
    made = runpy.run_path(str(LABEXTENSION / "generate.py"))
    assert made["TARGET"].read_text(encoding="utf-8") == made["stop_reasons"]()
    assert made["LIMITS"].read_text(encoding="utf-8") == made["limits"]()
    assert made["RULES"].read_text(encoding="utf-8") == made["rules"]()
