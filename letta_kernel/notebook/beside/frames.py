"""Tables and arrays in words: columns with their types, ranges and gaps, first rows, shapes.

The libraries are never imported here: what is not in memory has made no value.
"""

from __future__ import annotations

import sys
from typing import Any

from letta_kernel.models.masking import HIDDEN, is_secret_name
from letta_kernel.notebook.beside.guard import short_repr, type_name

_COLUMNS = 40  # that are told of
_WIDE = 12  # columns of the first rows
_ROWS = 5
_CELLS = 5_000_000  # of a table that are looked at; of a larger one its beginning
_BEGINNING = 100_000  # rows


def is_a(value: Any, library: str, *names: str) -> bool:
    """Return whether *value* is an instance of one of these classes of a library that is in memory."""
    module = sys.modules.get(library)
    kinds = [kind for name in names if isinstance(kind := getattr(module, name, None), type)]
    return bool(kinds) and issubclass(type(value), tuple(kinds))


def described(value: Any) -> tuple[str, str] | None:
    """Return a note of a few words and a description; None for what is neither table nor array."""
    if is_a(value, "pandas", "DataFrame"):
        return _frame(value)
    if is_a(value, "pandas", "Series", "Index"):
        return _series(value)
    if is_a(value, "polars", "DataFrame"):
        return _polars(value)
    if is_a(value, "pyarrow", "Table", "RecordBatch"):
        return f"{value.num_rows:,} × {value.num_columns}", _short(str(value.schema), 3_000)
    if is_a(value, "numpy", "ndarray"):
        return _array(value)
    if is_a(value, "torch", "Tensor"):
        return _tensor(value)
    return None


def _frame(frame: Any) -> tuple[str, str]:
    rows, columns = frame.shape
    note = f"{rows:,} rows × {columns} columns"
    looked = frame if rows * columns <= _CELLS else frame.iloc[:_BEGINNING]
    lines = [f"{type_name(frame)} of {note}"]
    if len(looked) < rows:
        lines.append(f"(what follows is of the first {len(looked):,} rows)")
    index = frame.index
    if rows and type(index).__name__ != "RangeIndex":
        ends = f"{short_repr(index[0], 60)} to {short_repr(index[-1], 60)}"
        named = "" if index.name is None else f" {_name(index.name)}"
        lines.append(f"index: {type(index).__name__}{named}, {ends}")
    lines.append("columns:")
    names = list(frame.columns)
    for place, name in enumerate(names[:_COLUMNS]):
        lines.append(f"- {_name(name)}: {_column(looked.iloc[:, place], name)}")
    if columns > _COLUMNS:
        more = ", ".join(map(_name, names[_COLUMNS : _COLUMNS + 100]))
        lines.append(f"- and {columns - _COLUMNS} more: {_short(more, 1_000)}")
    if rows:
        open_ones = [i for i, name in enumerate(names) if not is_secret_name(str(name))][:_WIDE]
        lines += ["first rows:", _rows(frame.iloc[:_ROWS, open_ones])]
    return note, "\n".join(lines)


def _rows(head: Any) -> str:
    """Return a few rows as text; pandas would let values of the user's own write themselves at any length."""
    values = [_shown(head.iloc[:, place]) for place in range(head.shape[1])]
    rows = [["", *map(_name, head.columns)]]
    labels = _shown(head.index)
    rows += [[labels[n], *(column[n] for column in values)] for n in range(len(head))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    return _short("\n".join(lines), 3_000)


def _shown(values: Any) -> list[str]:
    return [_value(one) for one in values.tolist()]


def _value(value: Any) -> str:
    if type(value) is str:
        return _short(value, 40)
    if type(value) is float:
        return f"{value:.6g}"
    moment = type(value).__name__ in ("Timestamp", "Timedelta", "datetime", "date", "NaTType")
    return str(value)[:40] if moment else short_repr(value, 40)


def _name(name: Any) -> str:
    return short_repr(name, 60) if not isinstance(name, str) else _short(name, 60)


def _column(column: Any, name: Any) -> str:
    parts = [str(column.dtype)]
    if missing := int(column.isna().sum()):
        parts.append(f"{missing:,} missing")
    if is_secret_name(str(name)):
        return ", ".join([*parts, HIDDEN])
    present = column.dropna() if missing else column
    if len(present):
        parts += _values(present)
    return ", ".join(parts)


def _values(present: Any) -> list[str]:
    """Say in which range values lie, or what they are; of objects of the user's nothing is called."""
    dtype = present.dtype
    kind = getattr(dtype, "kind", "O")
    types = sys.modules["pandas"].api.types
    if types.is_bool_dtype(dtype):
        return [f"{int(present.sum()):,} true"]
    if kind in "iuf" or (types.is_numeric_dtype(dtype) and kind != "c"):
        return [f"{present.min():,.6g} to {present.max():,.6g}", f"mean {present.mean():,.6g}"]
    if kind in "mM" or types.is_datetime64_any_dtype(dtype):
        return [f"{present.min()} to {present.max()}"]
    if hasattr(dtype, "categories"):
        counts = present.value_counts().head(5)
        return [f"{len(dtype.categories)} categories", _examples(counts.index)]
    sample = present.head(1_000)
    if types.infer_dtype(sample, skipna=True) == "string":
        few = present.head(_BEGINNING)
        return [f"{few.nunique():,} different", _examples(few.value_counts().head(3).index)]
    return [f"of {', '.join(dict.fromkeys(type_name(one) for one in sample.head(20)))}"]


def _examples(values: Any) -> str:
    return "such as " + ", ".join(short_repr(one, 40) for one in list(values)[:5])


def _series(series: Any) -> tuple[str, str]:
    size = len(series)
    name = getattr(series, "name", None)
    note = f"{size:,} values, {series.dtype}"
    frame = series.to_frame() if hasattr(series, "to_frame") else None
    text = f"{type_name(series)} {_name(name) if name is not None else ''} of {size:,} values"
    if frame is None or not size or frame.shape[1] != 1:
        return note, text
    looked = frame.iloc[: _BEGINNING * 10, 0]
    lines = [text, _column(looked, name)]
    if not is_secret_name(str(name)):
        lines += ["first rows:", _rows(frame.iloc[:_ROWS])]
    return note, "\n".join(lines)


def _polars(frame: Any) -> tuple[str, str]:
    note = f"{frame.height:,} rows × {frame.width} columns"
    lines = [f"{type_name(frame)} of {note}", "columns:"]
    missing = frame.null_count().row(0) if frame.width else ()
    for (name, kind), gaps in list(zip(frame.schema.items(), missing, strict=False))[:_COLUMNS]:
        parts = [str(kind)]
        if gaps:
            parts.append(f"{gaps:,} missing")
        if is_secret_name(name):
            parts.append(HIDDEN)
        elif kind.is_numeric() or kind.is_temporal():
            parts.append(f"{frame[name].min()} to {frame[name].max()}")
        lines.append(f"- {_name(name)}: {', '.join(parts)}")
    shown = [name for name in frame.columns if not is_secret_name(name)][:_WIDE]
    lines += ["first rows:", _short(str(frame.select(shown).head(_ROWS)), 3_000)]
    return note, "\n".join(lines)


def _array(array: Any) -> tuple[str, str]:
    note = f"{' × '.join(f'{n:,}' for n in array.shape) or 'scalar'}, {array.dtype}"
    lines = [f"{type_name(array)} of shape {array.shape}, {array.dtype}"]
    numbers = array.dtype.kind in "iuf"
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    if numbers and array.size:
        looked = array if array.size <= _CELLS else flat[:_CELLS]
        numpy = sys.modules["numpy"]
        gaps = int(numpy.isnan(looked).sum()) if array.dtype.kind == "f" else 0
        present = looked[~numpy.isnan(looked)] if gaps else looked
        if gaps:
            lines.append(f"{gaps:,} NaN")
        if present.size:
            lines.append(f"{present.min():.6g} to {present.max():.6g}, mean {present.mean():.6g}")
    if array.size:
        lines.append(f"first values: {', '.join(short_repr(v, 40) for v in flat[:10].tolist())}")
    return note, "\n".join(lines)


def _tensor(tensor: Any) -> tuple[str, str]:
    shape = tuple(tensor.shape)
    note = f"{' × '.join(map(str, shape)) or 'scalar'}, {tensor.dtype}"
    lines = [f"{type_name(tensor)} of shape {shape}, {tensor.dtype}, on {tensor.device}"]
    if tensor.numel() and tensor.is_floating_point():
        plain = tensor.detach()
        lines.append(f"{float(plain.min()):.6g} to {float(plain.max()):.6g}")
    return note, "\n".join(lines)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
