"""Draws the figures of README from the benchmarks' own output.

python benchmarks/step.py --json | python benchmarks/plot.py step notebooks/pictures/step.png
"""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OURS = "letta-kernel"


def step(report: dict[str, Any], path: str) -> None:
    """Bars of ms a step, at the start of a conversation and at 200 messages."""
    names = list(report)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, constrained_layout=True)
    for axis, size, title in zip(
        axes, ("0", "200"), ("a new conversation", "200 messages"), strict=True
    ):
        values = [report[name].get(size, {}).get("median_ms", 0.0) for name in names]
        colours = ["#2e7d32" if name == OURS else "#9aa5b1" for name in names]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, [f"{value:.1f}" for value in values], padding=3, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("ms a step, median")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=150, facecolor="white")


FIGURES = {"step": step}


def main() -> None:
    FIGURES[sys.argv[1]](json.load(sys.stdin), sys.argv[2])


if __name__ == "__main__":
    main()
