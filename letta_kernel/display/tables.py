"""Notes, tables and panels: objects that show themselves as HTML in notebooks and as text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import ROOT_CLASSES, esc, one_line

_LONGEST_CELL = 300
_MOST_ROWS = 500


class Panel:
    """Something to look at, as HTML and as text; a notebook shows it, ``print`` prints it."""

    def __init__(self, html: str, text: str) -> None:
        self.inner = html
        self.html = f'<div class="letta-panel {ROOT_CLASSES}" style="{style.ROOT}">{html}</div>'
        self.text = text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def note(text: str, level: str = "info") -> Panel:
    """Return one quiet line (``info``), or one that is seen (``warning``, ``error``)."""
    colour = {"warning": style.AMBER, "error": style.RED}.get(level)
    look = f"color:{colour}" if colour else style.MUTED
    line = one_line(text, 2_000)
    return Panel(f'<div dir="auto" style="{style.SMALL};{look}">{esc(line)}</div>', line)


class Cell:
    """A table cell whose HTML is more than its text."""

    def __init__(self, text: object, html: str | None = None, right: bool = False) -> None:
        self.text = one_line(text, _LONGEST_CELL)
        self.html = esc(self.text) if html is None else html
        self.right = right


def number(value: float | int | None, text: str = "") -> Cell:
    """Return a right-aligned cell; empty for None."""
    return Cell(text or ("" if value is None else f"{value:,}"), right=True)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    empty: str = "Nothing here yet.",
) -> Panel:
    """Return a table of *rows*; a cell is any value (shown as text) or a `Cell`.

    Columns in which no row says anything are left out.
    """
    made = [[c if isinstance(c, Cell) else _cell(c) for c in row] for row in rows]
    used = [i for i in range(len(columns)) if not made or any(row[i].text for row in made)]
    columns = [columns[i] for i in used]
    made = [[row[i] for i in used] for row in made]
    left = len(made) - _MOST_ROWS
    made = made[:_MOST_ROWS]
    if not made:
        return _with_title(title, note(empty))
    right = [all(row[i].right for row in made if row[i].text) for i in range(len(columns))]
    head = "".join(
        f'<th style="{_look(right[i])};font-weight:600;font-size:12px;{style.MUTED}">{esc(name)}</th>'
        for i, name in enumerate(columns)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td dir="auto" style="{_look(c.right)}">{c.html}</td>' for c in row)
        + "</tr>"
        for row in made
    )
    more = f"… and {words.count(left, 'more row')}" if left > 0 else ""
    html = (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:0;font-size:13px">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        + (f'<div style="{style.SMALL};{style.MUTED}">{more}</div>' if more else "")
    )
    text = _text_table(columns, made, right) + (f"\n{more}" if more else "")
    return _with_title(title, Panel(html, text))


def _look(right: bool) -> str:
    return style.CELL.replace("text-align:left", "text-align:right") if right else style.CELL


def _cell(value: object) -> Cell:
    if isinstance(value, datetime):
        return Cell(when(value))
    if isinstance(value, bool):
        return Cell("yes" if value else "")
    if isinstance(value, int | float):
        return number(value)
    return Cell("" if value is None else value)


def stack(*panels: Panel) -> Panel:
    """Return several panels as one, below each other."""
    return Panel("".join(p.inner for p in panels), "\n\n".join(p.text for p in panels))


def _with_title(title: str, panel: Panel) -> Panel:
    if not title:
        return panel
    head = f'<div dir="auto" style="font-weight:600;margin:0 0 4px 0">{esc(one_line(title, 200))}</div>'
    return Panel(head + panel.inner, f"{one_line(title, 200)}\n{panel.text}")


def _text_table(columns: Sequence[str], rows: list[list[Cell]], right: list[bool]) -> str:
    widths = [
        min(max([len(name), *(len(row[i].text) for row in rows)]), 60)
        for i, name in enumerate(columns)
    ]

    def line(cells: Sequence[str]) -> str:
        parts = [
            one_line(cell, width).rjust(width) if right[i] else one_line(cell, width).ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=False))
        ]
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(columns), rule, *(line([c.text for c in row]) for row in rows)])


def when(moment: datetime | None, today: datetime | None = None) -> str:
    """Return a moment in local time, as short as is clear: ``14:05``, ``12 Mar 14:05``, ``2024-03-12``."""
    if moment is None:
        return ""
    here = moment.astimezone()
    reference = (today or datetime.now(UTC)).astimezone()
    if here.date() == reference.date():
        return f"{here:%H:%M}"
    return f"{here:%d %b %H:%M}" if here.year == reference.year else f"{here:%Y-%m-%d}"
