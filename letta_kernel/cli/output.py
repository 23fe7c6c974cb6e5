"""Printing: text, tables and JSON, coloured only where a person looks at a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from letta_kernel.display.clean import clean_text, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from letta_kernel.display.tables import Panel


@cache
def console(stderr: bool = False) -> Console:
    """Return where text goes; it has no colour in a pipe, with ``NO_COLOR`` or a dumb terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    plain = not stream.isatty() or bool(os.environ.get("NO_COLOR"))
    return Console(
        file=stream,
        color_system=None if plain else "auto",
        force_terminal=False if plain else None,
        highlight=False,
        emoji=False,
        markup=False,
        soft_wrap=True,
    )


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def put(text: str, *, style: str | None = None, end: str = "\n", stderr: bool = False) -> None:
    """Print *text*, freed of what could command the terminal."""
    from rich.text import Text

    console(stderr).print(Text(clean_text(text), style=style or "", end=""), end=end)


def put_error(text: str) -> None:
    """Print what went wrong, which may quote anybody, to stderr: freed of what could command the terminal."""
    print(clean_text(text), file=sys.stderr)


def put_json(data: Any) -> None:
    """Print *data* as JSON: records, dates and paths included."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=plain))


def put_json_line(data: Any) -> None:
    """Print *data* as one line of JSON, at once."""
    print(json.dumps(data, ensure_ascii=False, default=plain), flush=True)


def plain(value: Any) -> Any:
    """Return what JSON can hold for a record, a date, bytes or anything else."""
    if hasattr(value, "model_dump"):
        from letta_kernel.records import without_secrets  # help and completion need none

        return without_secrets(value.model_dump(mode="json"))
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "None.") -> None:
    """Print rows: a table in a terminal, tab-separated values without a header in a pipe.

    Parameters
    ----------
    empty : what is said in a terminal if there are no rows.
    """
    lines = [[_cell(value) for value in row] for row in rows]
    if not on_terminal():
        for line in lines:
            print("\t".join(line))
        return
    if not lines:
        put(empty, style="dim")
        return
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        shown.add_column(column, overflow="fold")
    for line in lines:
        shown.add_row(*(Text(value) for value in line))
    console().print(shown, soft_wrap=False)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, default=plain)
    return one_line(value, 2_000)


def when(moment: datetime | None) -> str:
    """Return a moment in local time, to the minute."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def put_diff(before: str, after: str, *, stderr: bool = False) -> None:
    """Print the lines that differ, as ``diff`` does."""
    from letta_kernel.display.diff import diff_lines

    colours = {"+": "green", "-": "red"}
    for line in diff_lines(before, after):
        put(f"{line.sign} {line.text}", style=colours.get(line.sign, "dim"), stderr=stderr)


def put_panel(panel: Panel) -> None:
    """Print a panel as text; in a pipe the rows of its tables, tab-separated."""
    if on_terminal() or panel.cells is None:
        put(panel.text)
        return
    for row in panel.cells:
        print("\t".join(row))
