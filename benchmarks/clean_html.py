"""Cleaning the HTML of tools: milliseconds for 20 kB and for 200 kB of each hostile kind, and their ratio.

``python benchmarks/clean_html.py``: the kinds are those of ``tests/display/test_display_clean.py``. A ratio of
10 is linear.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "display"))

from test_display_clean import KINDS

from letta_kernel.display.clean import clean_html


def milliseconds(markup: str, size: int) -> float:
    """Return the processor's time for *size* characters of repeated *markup*, the best of three."""
    text = (markup * (size // len(markup) + 1))[:size]
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        clean_html.__wrapped__(text)
        best = min(best, time.process_time() - begin)
    return 1000 * best


if __name__ == "__main__":
    for kind, markup in KINDS.items():
        short, long = milliseconds(markup, 20_000), milliseconds(markup, 200_000)
        print(f"{kind:28} {short:7.1f} {long:7.1f}   x {long / short:.1f}")
