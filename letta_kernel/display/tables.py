"""Notes, tables and panels: they show themselves as HTML in notebooks and as text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import ROOT_CLASSES, esc, one_line
from letta_kernel.display.style import el, heading, small

PANEL_MIME = "application/vnd.letta.panel.v1+json"
"""Says to the JupyterLab extension what the HTML beside it is: a table filters and sorts there, a memory
panel is shown live while its widget lives."""

_LONGEST_CELL = 300
_MOST_ROWS = 500
_WIDEST_COLUMN = 60  # characters, in text


class Panel:
    """Something to look at, as HTML and as text; a notebook shows it, ``print`` prints it."""

    def __init__(self, html: str, text: str) -> None:
        self.inner = html
        self.text = text
        self.mime: dict[str, Any] | None = None  # what it is, for the JupyterLab extension
        self.cells: list[list[str]] | None = (
            None  # rows, where it is tables: for programs that read text
        )

    @property
    def html(self) -> str:
        """The whole panel, ready to be shown."""
        return el("div", self.inner, look=style.ROOT, **{"class": f"letta-panel {ROOT_CLASSES}"})

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        known = {PANEL_MIME: self.mime} if self.mime is not None else {}
        return {**known, "text/html": self.html, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def stack(*panels: Panel) -> Panel:
    """Return several panels as one, below each other."""
    made = Panel("".join(p.inner for p in panels), "\n\n".join(p.text for p in panels))
    if all(p.cells is not None for p in panels):
        made.cells = [row for p in panels for row in p.cells or ()]
    known = [p.mime for p in panels if p.mime is not None]
    if known:
        tables = [keys for mime in known for keys in mime.get("tables", ())]
        made.mime = {**known[0], "tables": tables}
    return made


def note(text: str, level: str = "info") -> Panel:
    """Return one quiet line (``info``), or one that is seen (``warning``, ``error``)."""
    colour = {"warning": style.AMBER, "error": style.RED}.get(level)
    line = one_line(text, 2_000)
    return Panel(el("div", small(esc(line)), look=style.alert(colour) if colour else ""), line)


class Cell:
    """A table cell whose HTML is more than its text, or that sorts by a number its text does not show."""

    def __init__(
        self,
        text: object,
        html: str | None = None,
        right: bool = False,
        key: float | None = None,
    ) -> None:
        self.text = one_line(text, _LONGEST_CELL)
        self.html = esc(self.text) if html is None else html
        self.right = right
        self.key = key


def number(value: float | int | None, text: str = "") -> Cell:
    """Return a right-aligned cell that shows *text*, or else the value itself; empty for None."""
    if value is None:
        return Cell(text, right=True)
    return Cell(text or f"{value:,}", right=True, key=float(value))


def marked(name: str, current: bool) -> Cell:
    """Return a name, marked if it is the current one of its kind."""
    name = one_line(name, 100)
    if not current:
        return Cell(name)
    return Cell(f"* {name}", f"● {el('b', esc(name))}")


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
    # The same cells become HTML, text and data; which columns are empty or numbers is known only once all
    # rows are.
    made = [[c if isinstance(c, Cell) else _cell(c) for c in row] for row in rows]
    left = len(made) - _MOST_ROWS
    made = made[:_MOST_ROWS]
    if not made:
        nothing = _with_title(title, note(empty))
        nothing.cells = []
        return nothing
    used = [i for i in range(len(columns)) if any(row[i].text for row in made)]
    columns = [columns[i] for i in used]
    made = [[row[i] for i in used] for row in made]
    right = [all(row[i].right for row in made if row[i].text) for i in range(len(columns))]
    heads = [el("th", esc(name), look=_look(right[i])) for i, name in enumerate(columns)]
    body = [el("tr", *(el("td", c.html, look=_look(c.right)) for c in row)) for row in made]
    more = f"… and {words.count(left, 'more row')}" if left > 0 else ""
    html = el("table", el("thead", el("tr", *heads)), el("tbody", *body))
    html += el("div", small(more)) if more else ""
    text = _text_table(columns, made, right) + (f"\n{more}" if more else "")
    panel = _with_title(title, Panel(html, text))
    panel.mime = {"version": 1, "kind": "table", "tables": [_keys(made)]}
    panel.cells = [[cell.text for cell in row] for row in made]
    return panel


def _keys(rows: Sequence[Sequence[Cell]]) -> dict[str, list[float | None]]:
    """Return by column what its rows sort by, where every row that says anything has a number."""
    keys = {}
    for place, column in enumerate(zip(*rows, strict=True)):
        if all(cell.key is not None for cell in column if cell.text):
            keys[str(place)] = [cell.key if cell.text else None for cell in column]
    return keys


def _look(right: bool) -> str:
    return style.RIGHT if right else style.LEFT


def _cell(value: object) -> Cell:
    if isinstance(value, datetime):
        return Cell(when(value), key=value.timestamp())
    if isinstance(value, bool):
        return Cell("yes" if value else "")
    if isinstance(value, int | float):
        return number(value)
    return Cell("" if value is None else value)


def _with_title(title: str, panel: Panel) -> Panel:
    if not title:
        return panel
    line = one_line(title, 200)
    return Panel(heading(line) + panel.inner, f"{line}\n{panel.text}")


def _text_table(columns: Sequence[str], rows: list[list[Cell]], right: list[bool]) -> str:
    widths = [
        min(max(len(name), *(len(row[i].text) for row in rows)), _WIDEST_COLUMN)
        for i, name in enumerate(columns)
    ]

    def line(cells: Sequence[str]) -> str:
        parts = []
        for cell, width, to_the_right in zip(cells, widths, right, strict=True):
            cut = one_line(cell, width)
            parts.append(cut.rjust(width) if to_the_right else cut.ljust(width))
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(columns), rule, *(line([c.text for c in row]) for row in rows)])


def when(moment: datetime | None, today: datetime | None = None) -> str:
    """Return a local time, as short as is clear: ``14:05``, ``12 Mar 14:05``, ``2024-03-12``."""
    if moment is None:
        return ""
    here = moment.astimezone()
    reference = (today or datetime.now(UTC)).astimezone()
    if here.date() == reference.date():
        return f"{here:%H:%M}"
    return f"{here:%d %b %H:%M}" if here.year == reference.year else f"{here:%Y-%m-%d}"
