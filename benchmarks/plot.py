"""Draws the documentation's figures from the benchmarks' own output.

python benchmarks/step.py --json | python benchmarks/plot.py step docs/pictures/step.png
python benchmarks/scale.py --json | python benchmarks/plot.py scale docs/pictures/scale.png
python benchmarks/server.py --json | python benchmarks/plot.py server docs/pictures/server.png
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


def scale(report: dict[str, dict[str, float]], path: str) -> None:
    """Lines of ms against the number of memories, for turns and searches."""
    sizes = list(report)
    lines = (
        ("turn_ms", "a turn beside the model", "#2e7d32"),
        ("archival_ms", "archival search", "#1565c0"),
        ("recall_ms", "conversation search", "#ef6c00"),
    )
    figure, axis = plt.subplots(figsize=(7, 3.2), constrained_layout=True)
    tallest = max(report[size][key] for size in sizes for key, _, _ in lines)
    below = tallest * 2
    for key, label, colour in sorted(lines, key=lambda line: -report[sizes[-1]][line[0]]):
        values = [report[size][key] for size in sizes]
        axis.plot(range(len(sizes)), values, marker="o", label=label, color=colour)
        below = min(values[-1], below - 0.08 * tallest)  # or one number would stand on another
        place = (len(sizes) - 0.93, below)
        axis.annotate(f"{values[-1]:.0f}", place, va="center", color=colour, annotation_clip=False)
    axis.set_xticks(range(len(sizes)), [f"{int(size):,}" for size in sizes])
    axis.set_xlabel("messages, and as many passages")
    axis.set_ylabel("ms, median")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, facecolor="white")


def server(report: dict[str, dict[str, dict[str, float]]], path: str) -> None:
    """Bars of ms a turn with whiskers up to the 99th percentile, and of turns a second, by clients."""
    counts = list(report)
    ways = list(report[counts[0]])
    colours = ["#2e7d32", "#1565c0", "#9aa5b1"]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)
    width = 0.8 / len(ways)
    for number, (way, colour) in enumerate(zip(ways, colours, strict=True)):
        places = [place + (number - (len(ways) - 1) / 2) * width for place in range(len(counts))]
        rows = [report[count][way] for count in counts]
        middle = [row["p50_ms"] for row in rows]
        above = [row["p99_ms"] - row["p50_ms"] for row in rows]
        none = [0.0] * len(rows)
        axes[0].bar(places, middle, width, yerr=[none, above], color=colour, ecolor="#5f6b77")
        rates = axes[1].bar(places, [row["turns_per_s"] for row in rows], width, color=colour)
        axes[1].bar_label(rates, fmt="%.0f", fontsize=8)
        rates.set_label(way)
    for axis, label in zip(axes, ("ms a turn: median, to p99", "turns a second"), strict=True):
        axis.set_xticks(range(len(counts)), counts)
        axis.set_xlabel("clients at the same time")
        axis.set_title(label, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yscale("log")
    axes[1].margins(y=0.2)
    axes[1].legend(frameon=False, fontsize=8, ncols=len(ways), loc="upper left")
    figure.savefig(path, dpi=150, facecolor="white")


FIGURES = {"step": step, "scale": scale, "server": server}


def main() -> None:
    FIGURES[sys.argv[1]](json.load(sys.stdin), sys.argv[2])


if __name__ == "__main__":
    main()
