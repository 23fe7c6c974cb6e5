"""What benchmarks write into the docs: tables between marks, plots for light and dark pages, the machine."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

DOCS = Path(__file__).parent.parent / "docs"
MEASURED = DOCS / "measured"
COLOURS = ("#d98032", "#3b8fd9")  # to be told apart on white and on black, in grey too
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a; } .head { font-weight: 600; }
line { stroke: #57606a; stroke-opacity: .35; }
@media (prefers-color-scheme: dark) { text { fill: #a9b4bf; } line { stroke: #a9b4bf; } }
"""
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 640, 240, 8, 46, 40  # pixels
_BAR = 30


def machine() -> dict[str, str]:
    """Return what figures were measured on, and when."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from postgres import programs

    asked = [programs() / "postgres", "--version"]
    postgres = re.search(
        r"\d[\d.]*", subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    )
    text = (
        f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory, Python"
        f" {platform.python_version()}, DuckDB {version('duckdb')}, PostgreSQL"
        f" {postgres.group() if postgres else '?'}, psycopg {version('psycopg')}; the machine's load was"
        f" {os.getloadavg()[0]:.1f} before it began"
    )
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "text": text}


def pretty(found: dict[str, Any]) -> str:
    """Return figures as JSON, a cell in a line."""
    parts = []
    for key, value in found.items():
        if isinstance(value, list):
            rows = ",\n".join(f"  {json.dumps(one)}" for one in value)
            parts.append(f"{json.dumps(key)}: [\n{rows}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    """Return a table in Markdown; numbers are flush right."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put(page: Path, name: str, text: str) -> None:
    """Write *text* between the marks ``<!-- NAME -->`` and ``<!-- /NAME -->`` of a page."""
    old = page.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = old.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def milliseconds(value: float) -> str:
    """Return a time as one reads it."""
    return (
        f"{value:.1f} ms"
        if value < 100
        else f"{value:.0f} ms"
        if value < 10_000
        else f"{value / 1000:.0f} s"
    )


def bars(
    path: Path, title: str, groups: dict[str, list[int]], values: dict[str, list[float]]
) -> None:
    """Draw a bar for each series beside one another, heights by logarithm.

    Parameters
    ----------
    groups : labels of the places along the axis, by what they count.
    values : of each series, in the order of these.
    """
    every = [one for series in values.values() for one in series if one > 0]
    low, high = math.log10(min(every)) - 0.35, math.log10(max(every)) + 0.1
    floor = _HEIGHT - _BOTTOM
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{title}</title><style>{_STYLE}</style>",
        f'<text class="head" x="{_LEFT}" y="16">{title}</text>',
    ]
    at = float(_LEFT)
    for name, colour in zip(values, COLOURS, strict=False):
        out.append(f'<rect x="{at}" y="25" width="11" height="11" fill="{colour}"/>')
        out.append(f'<text x="{at + 16}" y="35">{name}</text>')
        at += 110
    places = sum(map(len, groups.values()))
    step = (_WIDTH - 2 * _LEFT - 24 * (len(groups) - 1)) / places
    number, x = 0, float(_LEFT)
    for group, labels in groups.items():
        begins = x
        for label in labels:
            left = x + (step - _BAR * len(values)) / 2
            for series, colour in zip(values.values(), COLOURS, strict=False):
                value = series[number]
                tall = 0.0
                if value > 0:
                    tall = (math.log10(value) - low) / (high - low) * (floor - _TOP - 14)
                out.append(
                    f'<rect x="{left:.1f}" y="{floor - tall:.1f}" width="{_BAR - 3}"'
                    f' height="{tall:.1f}" fill="{colour}"/>'
                )
                said = _short(value)
                middle = left + (_BAR - 3) / 2
                out.append(
                    f'<text x="{middle:.1f}" y="{floor - tall - 4:.1f}" text-anchor="middle">{said}</text>'
                )
                left += _BAR
            out.append(
                f'<text x="{x + step / 2:.1f}" y="{floor + 15}" text-anchor="middle">{label}</text>'
            )
            x += step
            number += 1
        out.append(f'<line x1="{begins:.1f}" y1="{floor}" x2="{x:.1f}" y2="{floor}"/>')
        out.append(
            f'<text x="{(begins + x) / 2:.1f}" y="{floor + 33}" text-anchor="middle">{group}</text>'
        )
        x += 24
    path.write_text("\n".join([*out, "</svg>"]) + "\n")


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
