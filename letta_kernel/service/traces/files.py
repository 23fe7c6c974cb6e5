"""Spans in files: one a line as JSON, or a Parquet table; the columns are the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from letta_kernel import lazy_import, private
from letta_kernel.errors import FileTakenError, InvalidInputError, StoreError
from letta_kernel.service.traces.spans import Span

ENDINGS = (".jsonl", ".parquet")
_BATCH = 5_000  # rows of Parquet that are written at a time
_FIELDS = {
    "operation": "gen_ai.operation.name",
    "agent": "gen_ai.agent.name",
    "agent_id": "gen_ai.agent.id",
    "conversation": "gen_ai.conversation.id",
    "run_id": "letta.run.id",
    "step_id": "letta.step.id",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "tool": "gen_ai.tool.name",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cost": "letta.usage.cost",
    "error_type": "error.type",
}


def save(spans: Iterable[Span], path: Path, *, overwrite: bool) -> int:
    """Write spans to a file by its ending and return how many; nobody but its owner may read it.

    Raises
    ------
    InvalidInputError
        The ending is none of `ENDINGS`, or there is no such folder.
    FileTakenError
        It is there already, and *overwrite* is False.
    StoreError
        It cannot be written.
    """
    if path.suffix not in ENDINGS:
        raise InvalidInputError(f"Name a file that ends in {' or '.join(ENDINGS)}, not {path}.")
    if not path.parent.is_dir():
        raise InvalidInputError(f"There is no folder {path.parent}.")
    if path.exists() and (path.is_dir() or not overwrite):
        raise FileTakenError(f"{path} is there already: choose another name, or overwrite it.")
    temp = path.with_name(f".{path.name}.{os.getpid()}.part")
    write = _write_lines if path.suffix == ".jsonl" else _write_parquet
    try:
        count = write(map(_row, spans), temp)
        os.replace(temp, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        temp.unlink(missing_ok=True)
    return count


def _row(span: Span) -> dict[str, Any]:
    parent = span.place.parent_id
    return {
        "trace_id": f"{span.place.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "name": span.name,
        "start": datetime.fromtimestamp(span.start / 1e9, UTC),
        "end": datetime.fromtimestamp(span.end / 1e9, UTC),
        "seconds": (span.end - span.start) / 1e9,
        **{name: span.attributes.get(key) for name, key in _FIELDS.items()},
        "error": span.error,
        "attributes": span.attributes,
    }


def _write_lines(rows: Iterator[Mapping[str, Any]], path: Path) -> int:
    count = 0
    with open(path, "w", encoding="utf-8", opener=private.opener) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=datetime.isoformat) + "\n")
            count += 1
    return count


def _write_parquet(rows: Iterator[Mapping[str, Any]], path: Path) -> int:
    arrow: Any = lazy_import.load("pyarrow")
    parquet: Any = lazy_import.load("pyarrow.parquet")
    text, moment = arrow.string(), arrow.timestamp("us", tz="UTC")
    kinds = {
        "start": moment,
        "end": moment,
        "seconds": arrow.float64(),
        "cost": arrow.float64(),
        "input_tokens": arrow.int64(),
        "output_tokens": arrow.int64(),
    }
    names = ("trace_id", "span_id", "parent_id", "name", "start", "end", "seconds", *_FIELDS)
    columns = [*names, "error", "attributes"]
    schema = arrow.schema([(name, kinds.get(name, text)) for name in columns])
    count = 0
    with (
        open(path, "wb", opener=private.opener) as file,
        parquet.ParquetWriter(file, schema) as writer,
    ):
        while batch := list(islice(rows, _BATCH)):
            flat = [
                {**row, "attributes": json.dumps(row["attributes"], ensure_ascii=False)}
                for row in batch
            ]
            writer.write_table(arrow.Table.from_pylist(flat, schema=schema))
            count += len(flat)
    return count
