"""A file or folder in words: tables with their columns, texts with their beginning, the rest only described.

What a person names is read, nothing is run or unpickled, and never more than a beginning and an end.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from letta_kernel.display.clean import clean_text
from letta_kernel.models.masking import HIDDEN, is_secret_name
from letta_kernel.notebook.beside.cells import CellText, fitting
from letta_kernel.notebook.document.cells import joined
from letta_kernel.notebook.executed import is_ours

_READ = 400_000  # bytes of a file's beginning
_COUNTED = 50_000_000  # bytes of a table whose lines are counted
_LARGEST_NOTEBOOK = 50_000_000
_TEXT, _TAIL = 6_000, 1_500  # characters
_ENTRIES = 100  # of a folder
_ROWS = 5
_COLUMNS = 40
_MAGIC = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"PAR1", "Parquet table"),
    (b"SQLite format 3", "SQLite database"),
    (b"\x89HDF", "HDF5 file"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\x80\x04\x95", "pickle"),
    (b"\x7fELF", "program"),
    (b"GGUF", "language model"),
)
Count = Callable[[str], int]
Hide = Callable[[str], str]


def summary(path: Path, budget: int, count: Count, hide: Hide) -> tuple[str, str, str] | None:
    """Return kind (file or folder), a note of a few words and the text; None where there is nothing.

    Parameters
    ----------
    budget, count
        Tokens that a notebook's cells may take, and how they are counted.
    hide
        Takes secrets out of a text.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _folder(path)
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device: reading it may never end
            return "file", "no ordinary file", "It is no ordinary file; it was not read."
        size = found.st_size
        with path.open("rb") as file:
            head = file.read(_READ)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
            return None
        why = getattr(error, "strerror", None) or type(error).__name__
        return "file", "cannot be read", f"It cannot be read: {why}."
    note, text = _content(path, head, size, budget, count, hide)
    when = datetime.fromtimestamp(found.st_mtime).isoformat(" ", "minutes")
    return "file", note, f"{shown_bytes(size)}, last changed {when}\n{text}"


def _content(
    path: Path, head: bytes, size: int, budget: int, count: Count, hide: Hide
) -> tuple[str, str]:
    ending = path.suffix.lower()
    if ending == ".parquet" and head[:4] == b"PAR1":
        return _parquet(path)
    text = _text(head, whole=size <= len(head))
    if text is None:
        kind = next((name for magic, name in _MAGIC if head.startswith(magic)), "binary file")
        kind += _pixels(head)
        return f"{kind}, {shown_bytes(size)}", f"{kind}; what is in it was not read."
    if ending == ".ipynb":
        return _notebook(path, size, budget, count, hide)
    if ending in (".csv", ".tsv"):
        return _table(path, text, size, "\t" if ending == ".tsv" else "")
    note = f"{text.count(chr(10)) + 1:,} lines" if size <= len(head) else shown_bytes(size)
    if len(text) > _TEXT + _TAIL or size > len(head):
        end = _end(path, size) if size > len(head) else text[-_TAIL:]
        text = f"{text[:_TEXT]}\n[… left out …]\n{end}"
    return note, clean_text(text)


def _text(head: bytes, whole: bool) -> str | None:
    """Return the beginning of a file as text, None for what is no text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace")
    if b"\0" in head[:8_000]:
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not whole and error.start >= len(head) - 4:  # cut off in the middle of a character
            return head[: error.start].decode("utf-8-sig")
    text = head.decode("latin-1")
    control = sum(sign < " " and sign not in "\t\n\r\f\x1b" for sign in text[:8_000])
    return text if control < 10 else None


def _end(path: Path, size: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL))
        return file.read(_TAIL).decode("utf-8", "replace")


def _pixels(head: bytes) -> str:
    """Return the size of a PNG or GIF picture."""
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
        return f" of {width} × {height} pixels"
    if head.startswith(b"GIF8") and len(head) >= 10:
        width, height = (int.from_bytes(head[at : at + 2], "little") for at in (6, 8))
        return f" of {width} × {height} pixels"
    return ""


def _table(path: Path, text: str, size: int, separator: str) -> tuple[str, str]:
    if size > len(text.encode("utf-8", "replace")):
        text = text.rpartition("\n")[0]
    if not separator:
        separator = _separator(text[:10_000])
    rows = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            rows.append(row)
            if len(rows) > 2_000:
                break
    except csv.Error:  # a field far too long
        pass
    rows = [row for row in rows if row]
    if not rows:
        return "empty", "It is empty."
    names, body = rows[0], rows[1:]
    counted = _lines(path) if size <= _COUNTED else None
    many = f"{max(counted - 1, 0):,} rows" if counted is not None else "many rows"
    note = f"{many} × {len(names)} columns"
    lines = [
        f"table of {note}, separated by {separator!r}; looked at: {len(body):,} rows",
        "columns:",
    ]
    for place, name in enumerate(names[:_COLUMNS]):
        lines.append(f"- {name[:60]}: {_column(name, [r[place] for r in body if place < len(r)])}")
    if len(names) > _COLUMNS:
        lines.append(f"- and {len(names) - _COLUMNS} more")
    hidden = {place for place, name in enumerate(names) if is_secret_name(name)}
    first = [
        separator.join(
            HIDDEN if place in hidden else one[:60] for place, one in enumerate(row[:20])
        )
        for row in rows[: _ROWS + 1]
    ]
    return note, clean_text("\n".join([*lines, "first rows:", *first]))


def _separator(text: str) -> str:
    """Return the sign that every line has, and has most often; `csv.Sniffer` may take minutes for that."""
    lines = [line for line in text.splitlines() if line.strip()][:20]
    whole = lines[:-1] or lines or [""]  # the last one may be cut off
    return max(
        ",;\t|",
        key=lambda sign: (
            min(line.count(sign) for line in whole),
            sum(line.count(sign) for line in whole),
        ),
    )


def _lines(path: Path) -> int:
    """Return the lines of a file; a last one without an end counts."""
    total, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(1_000_000):
            total += chunk.count(b"\n")
            last = chunk[-1:]
    return total + (last != b"\n")


def _column(name: str, values: list[str]) -> str:
    if is_secret_name(name):
        return HIDDEN
    present = [one.strip() for one in values if one.strip() not in ("", "NA", "NaN", "nan", "null")]
    parts = []
    numbers = [number for one in present if (number := _number(one)) is not None]
    if present and len(numbers) == len(present):
        kind = "whole numbers" if all(n.is_integer() for n in numbers) else "numbers"
        parts.append(f"{kind}, {min(numbers):g} to {max(numbers):g}")
    elif present:
        examples = ", ".join(repr(one[:30]) for one in list(dict.fromkeys(present))[:3])
        parts.append(f"text, {len(set(present)):,} different, such as {examples}")
    if gaps := len(values) - len(present):
        parts.append(f"{gaps:,} missing")
    return ", ".join(parts) or "empty"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == number and abs(number) != float("inf") else None


def _parquet(path: Path) -> tuple[str, str]:
    try:
        from pyarrow import parquet

        file = parquet.ParquetFile(path)
        note = f"{file.metadata.num_rows:,} rows × {file.metadata.num_columns} columns"
        return note, f"Parquet table of {note}\n{str(file.schema_arrow)[:3_000]}"
    except Exception:  # of somebody else's library, for a file that is broken
        return "Parquet table", "Parquet table; it cannot be read."


def _notebook(path: Path, size: int, budget: int, count: Count, hide: Hide) -> tuple[str, str]:
    if size > _LARGEST_NOTEBOOK:
        return f"notebook, {shown_bytes(size)}", "A notebook too large to be read."
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        shown = [cell_text(one) for one in cells if isinstance(one, dict) and not is_private(one)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "no notebook", "It cannot be read as a notebook."
    told = [one for one in shown if one.source.strip() and not is_ours(one.source)]
    return f"{len(cells)} cells", fitting(
        told, budget, count, hide
    ) or "No cells that could be shown."


def is_private(cell: dict[str, Any]) -> bool:
    """Return whether a saved cell has the tag ``private``."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return isinstance(tags, list) and "private" in tags


def cell_text(cell: dict[str, Any]) -> CellText:
    """Return a saved cell to be told of; whatever is malformed is left out."""
    outputs, number = cell.get("outputs"), cell.get("execution_count")
    return CellText(
        source=joined(cell.get("source")),
        id=str(cell.get("id") or ""),
        count=number if isinstance(number, int) else None,
        kind=str(cell.get("cell_type") or "code"),
        outputs=[o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else [],
    )


def _folder(path: Path) -> tuple[str, str, str]:
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    found.append(entry)
                if len(found) >= 10_000:
                    break
    except OSError as error:
        return "folder", "cannot be read", f"It cannot be read: {error.strerror}."
    found.sort(key=lambda entry: entry.name)
    lines = [_entry(entry) for entry in found[:_ENTRIES]]
    if len(found) > _ENTRIES:
        lines.append(f"… and {len(found) - _ENTRIES:,} more")
    return "folder", f"{len(found):,} entries", clean_text("\n".join(lines) or "It is empty.")


def _entry(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return f"{entry.name}/"
        return f"{entry.name}  {shown_bytes(entry.stat().st_size)}"
    except OSError:
        return entry.name


def shown_bytes(size: int) -> str:
    """Return a file's size as people read it."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size} bytes"
