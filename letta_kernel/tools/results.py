"""What a tool returned, as text for the model and as a display for the person."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections.abc import Mapping, Set
from pathlib import PurePath
from typing import Any

from letta_kernel.errors import ToolError
from letta_kernel.pictures.files import type_of
from letta_kernel.pictures.picture import Picture
from letta_kernel.pictures.values import TYPES as IMAGE_TYPES
from letta_kernel.pictures.values import drawn, figure_of
from letta_kernel.tools.error_text import error_text

ROWS = 20
"""Rows of a table the model is shown: the first and the last."""

COLUMNS = 20
"""Columns of a table the model is shown."""

_CELL = 60  # characters of one table cell
_ITEMS = 100_000  # values of a structure that are written out before it is shown by its repr only
_IMAGE_BYTES = 8_000_000
_PICTURES = 20  # of one structure


@dataclasses.dataclass(slots=True)
class Presented:
    """A result as ``text`` for the model and as ``display``, a MIME bundle for people (or None).

    ``pictures`` are the files of those it holds, where they are more than the one in the display.
    """

    text: str
    display: dict[str, Any] | None = None
    pictures: list[bytes] = dataclasses.field(default_factory=list)


def present(value: Any, limit: int = 50_000) -> Presented:
    """Return *value* as the model and the person see it.

    Text longer than *limit* characters keeps its head and tail and says how much was left out. Whatever
    goes wrong while describing a value becomes part of the description: this never raises.
    """
    try:
        made = _present(value)
    except Exception as error:  # a __repr__ of the user's may do anything
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        made = Presented(f"<{_type_name(value)} object that cannot be shown: {problem}>")
    made.text = shorten(made.text, limit)
    return made


def shorten(text: str, limit: int) -> str:
    """Return *text* in at most *limit* characters: head and tail, and how many there were in all."""
    if len(text) <= limit:
        return text
    note = f"\n… [{len(text):,} characters in all; the middle is left out] …\n"
    room = max(0, limit - len(note))
    head = room * 2 // 3
    tail = room - head
    # Cutting at line ends reads better, where that costs little.
    near = text.rfind("\n", head - min(200, head // 4), head)
    head = near if near > 0 else head
    return text[:head] + note + (text[len(text) - tail :] if tail else "")


def _present(value: Any) -> Presented:
    if isinstance(value, Presented):  # one of our own tools says it itself
        return value
    if value is None:
        return Presented("None")
    if isinstance(value, str):
        return Presented(str(value))
    if isinstance(value, BaseException):
        return Presented(error_text(value))
    if isinstance(value, bytes | bytearray) and not type_of(bytes(value[:16])):
        return Presented(f"<{len(value):,} bytes, beginning with {bytes(value[:40])!r}>")
    special = _table(value) or _picture(value)
    if special is not None:
        return special
    if isinstance(value, type) or callable(value):
        return Presented(repr(value))
    return _structure(value) or _displayed(value)


# -- structures ----------------------------------------------------------------------------------------


class _NoJsonError(Exception):
    """The value has no natural JSON form."""


def _structure(value: Any) -> Presented | None:
    """Return numbers, collections, dataclasses and models as JSON; None for what is none of them.

    Of figures and images in them the JSON has the description.
    """
    count = 0
    pictures: list[Presented] = []

    def plain(part: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if count > _ITEMS or depth > 50:
            raise _NoJsonError
        if part is None or (isinstance(part, bool | str) and not isinstance(part, enum.Enum)):
            return part
        if isinstance(part, enum.Enum):
            return plain(part.value, depth + 1)
        if isinstance(part, int):
            return int(part)
        if isinstance(part, float):
            return float(part) if math.isfinite(part) else str(part)
        if isinstance(part, datetime.date | datetime.time):
            return part.isoformat()
        if isinstance(part, datetime.timedelta | decimal.Decimal | uuid.UUID | PurePath | complex):
            return str(part)
        if isinstance(part, BaseException):
            return error_text(part)
        if hasattr(part, "model_dump") and not isinstance(part, type):
            return plain(part.model_dump(mode="json"), depth + 1)
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            fields = dataclasses.fields(part)
            return {one.name: plain(getattr(part, one.name), depth + 1) for one in fields}
        if hasattr(part, "_asdict"):
            return plain(part._asdict(), depth + 1)
        if isinstance(part, Mapping):
            return {_key(key): plain(one, depth + 1) for key, one in part.items()}
        if isinstance(part, list | tuple | Set):
            return [plain(one, depth + 1) for one in part]
        if (
            type(part).__module__ == "numpy"
            and hasattr(part, "item")
            and not getattr(part, "ndim", 1)
        ):
            return plain(part.item(), depth + 1)
        if depth == 0:
            raise _NoJsonError
        special = _table(part)
        if special is None and len(pictures) < _PICTURES:
            with contextlib.suppress(Exception):  # one that cannot be drawn is text
                special = _picture(part)
            if special is not None:
                pictures.append(special)
        return str(part) if special is None else special.text

    if isinstance(value, enum.Enum) and isinstance(value.value, str):
        return Presented(str(value.value))
    if isinstance(value, bool | int | float | decimal.Decimal | complex):
        return Presented(str(value))
    if isinstance(value, datetime.date | datetime.time):
        return Presented(value.isoformat())
    if isinstance(value, datetime.timedelta | uuid.UUID | PurePath):
        return Presented(str(value))
    try:
        made = plain(value, 0)
    except _NoJsonError:
        return None
    except RecursionError:
        return None
    text = made if isinstance(made, str) else json.dumps(made, ensure_ascii=False)
    shown = [one.display for one in pictures if one.display]
    files = [base64.b64decode(data) for one in shown for data in _images_in(one)]
    return Presented(text, shown[0] if shown else None, files if len(files) > 1 else [])


def _images_in(display: dict[str, Any]) -> list[str]:
    return [data for kind, data in display.items() if kind in IMAGE_TYPES]


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    return key if isinstance(key, str) else str(key)


# -- tables --------------------------------------------------------------------------------------------


def _table(value: Any) -> Presented | None:
    """Return a data frame, series, Arrow table or array as a compact table with its shape."""
    module = type(value).__module__.partition(".")[0]
    kind = _type_name(value)
    if module == "pandas" and kind in ("DataFrame", "Series"):
        return _pandas(value, kind)
    if module == "polars" and kind in ("DataFrame", "Series"):
        frame = value.to_frame() if kind == "Series" else value
        names = frame.columns[:COLUMNS]
        rows = _ends(
            [list(row) for row in _head_tail(frame.select(names), frame.height)], frame.height
        )
        return _compact(f"{kind} with {_shape(frame.shape)}", names, rows, frame.width, value)
    if module == "pyarrow" and kind in ("Table", "RecordBatch"):
        names = value.column_names[:COLUMNS]
        picked = _picked(value.num_rows)
        part = value.select(names).take(picked).to_pylist()
        rows = _ends([list(row.values()) for row in part], value.num_rows)
        return _compact(
            f"Table with {_shape((value.num_rows, value.num_columns))}",
            names,
            rows,
            value.num_columns,
            None,
        )
    if module == "numpy" and kind == "ndarray" and value.ndim:
        shape = "×".join(map(str, value.shape))
        if value.size <= 1000:
            return Presented(f"array of {shape} {value.dtype}:\n{value.tolist()}")
        return Presented(f"array of {shape} {value.dtype}:\n{value!s}")
    return None


def _pandas(value: Any, kind: str) -> Presented:
    frame = value.to_frame() if kind == "Series" else value
    names = [str(name) for name in frame.columns[:COLUMNS]]
    part = frame.iloc[_picked(len(frame)), :COLUMNS]
    rows = _ends(
        [
            [index, *row]
            for index, row in zip(part.index, part.itertuples(index=False), strict=True)
        ],
        len(frame),
    )
    title = (
        f"{kind} with {_shape(frame.shape)}" if kind == "DataFrame" else f"Series of {len(frame):,}"
    )
    return _compact(title, ["", *names], rows, frame.shape[1] + 1, value)


def _head_tail(frame: Any, height: int) -> list[Any]:
    if height <= ROWS:
        return list(frame.rows())
    return [*frame.head(ROWS // 2).rows(), *frame.tail(ROWS // 2).rows()]


def _picked(count: int) -> list[int]:
    """Return the numbers of the rows that are shown: all, or the first and the last."""
    if count <= ROWS:
        return list(range(count))
    return [*range(ROWS // 2), *range(count - ROWS // 2, count)]


def _ends(rows: list[list[Any]], count: int) -> list[list[Any] | None]:
    """Put a mark (None) where rows are left out."""
    return [*rows] if count <= ROWS else [*rows[: ROWS // 2], None, *rows[ROWS // 2 :]]


def _shape(shape: tuple[int, int]) -> str:
    rows, columns = shape
    return (
        f"{rows:,} row{'s' if rows != 1 else ''} × {columns:,} column{'s' if columns != 1 else ''}"
    )


def _compact(
    title: str, names: list[str], rows: list[list[Any] | None], columns: int, source: Any
) -> Presented:
    more = f" (the first {COLUMNS} are shown)" if columns > len(names) else ""
    lines = [" | ".join(_cell(name) for name in names)]
    for row in rows:
        lines.append("…" if row is None else " | ".join(_cell(value) for value in row))
    text = f"{title}{more}:\n" + "\n".join(lines)
    html = source._repr_html_() if hasattr(source, "_repr_html_") else None
    return Presented(text, {"text/html": html, "text/plain": text} if html else None)


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


# -- pictures and what knows how to display itself -----------------------------------------------------


def _picture(value: Any) -> Presented | None:
    """Return a figure or image: shown to the person, described to the model."""
    module = type(value).__module__.partition(".")[0]
    figure = figure_of(value)
    if figure is not None:
        about = _figure_text(figure)
    elif module == "PIL" and hasattr(value, "save") and hasattr(value, "size"):
        width, height = value.size
        about = f"image, {width}×{height} pixels, {value.mode}"
    elif module == "plotly" or isinstance(value, bytes | bytearray):
        about = "figure" if module == "plotly" else "image"
    else:
        return None
    data = drawn(value)
    return None if data is None else _image(str(type_of(data)), data, about)


def _image(kind: str, data: bytes, about: str) -> Presented:
    text = f"[{about}; shown to the user]"
    if len(data) > _IMAGE_BYTES:
        return Presented(f"[{about}; too large to show: {len(data):,} bytes]")
    return Presented(text, {kind: base64.b64encode(data).decode(), "text/plain": text})


def _figure_text(figure: Any) -> str:
    """Describe a matplotlib figure: titles, axes, what is drawn."""
    parts = []
    title = getattr(figure, "get_suptitle", lambda: "")()
    if title:
        parts.append(f"titled {title!r}")
    for axes in getattr(figure, "axes", ())[:6]:
        said = [repr(axes.get_title())] if axes.get_title() else []
        said += [f"x: {axes.get_xlabel()}"] if axes.get_xlabel() else []
        said += [f"y: {axes.get_ylabel()}"] if axes.get_ylabel() else []
        labels = [line.get_label() for line in axes.get_lines()]
        said += [
            f"lines: {', '.join(one if not one.startswith('_') else 'unnamed' for one in labels)}"
        ] * bool(labels)
        said += [f"{len(axes.patches)} bars or patches"] * bool(axes.patches)
        said += [f"{len(axes.collections)} point sets or areas"] * bool(axes.collections)
        if said:
            parts.append("axes with " + ", ".join(said))
    return "figure" + (f": {'; '.join(parts)}" if parts else "")


def _displayed(value: Any) -> Presented:
    """Return an object by the displays it offers itself, as a notebook would."""
    # As a notebook would show it, but without IPython's formatters, which are not there in the sandbox.
    bundle: dict[str, Any] = {}
    if hasattr(value, "_repr_mimebundle_"):
        found = value._repr_mimebundle_()
        found = found[0] if isinstance(found, tuple) else found
        bundle.update(found or {})
    for method, kind in (
        ("_repr_html_", "text/html"),
        ("_repr_markdown_", "text/markdown"),
        ("_repr_svg_", "image/svg+xml"),
        ("_repr_png_", "image/png"),
        ("_repr_jpeg_", "image/jpeg"),
        ("_repr_latex_", "text/latex"),
    ):
        if kind not in bundle and hasattr(value, method):
            found = getattr(value, method)()
            found = found[0] if isinstance(found, tuple) else found
            if found is not None:
                bundle[kind] = found
    for kind in IMAGE_TYPES:
        if isinstance(bundle.get(kind), bytes):
            bundle[kind] = base64.b64encode(bundle[kind]).decode()
    text = str(bundle.get("text/markdown") or bundle.get("text/plain") or repr(value))
    if any(kind in bundle for kind in (*IMAGE_TYPES, "image/svg+xml")):
        text = f"[image ({_type_name(value)}); shown to the user]"
    if bundle:
        bundle.setdefault("text/plain", text)
    return Presented(text, bundle or None)


def _type_name(value: Any) -> str:
    return type(value).__name__


def checked_display(display: Any) -> dict[str, Any] | None:
    """Return what may be shown of a display made by code that is not trusted: pictures and plain text.

    Raises
    ------
    ToolError
        When it is no MIME bundle at all.
    """
    if display is None:
        return None
    if not isinstance(display, dict):
        raise ToolError("the tool's display is not a MIME bundle")
    kept = {}
    for kind, data in display.items():
        if kind == "text/plain" and isinstance(data, str):
            kept[kind] = data
        elif (
            kind in IMAGE_TYPES and isinstance(data, str) and len(data) <= _IMAGE_BYTES * 4 // 3 + 4
        ):
            try:
                base64.b64decode(data, validate=True)
            except ValueError:
                continue
            kept[kind] = data
    return kept if set(kept) - {"text/plain"} else None


def checked_pictures(files: Any) -> list[bytes | Picture]:
    """Return what may be pictures of what code that is not trusted sent; whether they are is seen later."""
    found: list[bytes | Picture] = []
    for data in files[:_PICTURES] if isinstance(files, list) else ():
        with contextlib.suppress(TypeError, ValueError):
            found.append(base64.b64decode(data, validate=True))
    return found
