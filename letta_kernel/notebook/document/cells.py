"""Cells as data: as a front end tells them or a file holds them, and as text for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letta_kernel.display.clean import clean_text
from letta_kernel.notebook.document.protocol import TEXT, Cell
from letta_kernel.tools.results import shorten

_OUTPUT = 2_000  # characters of one cell's outputs that a model reads
_RICH = ("text/markdown", "text/latex", "application/json")  # read where there is no plain text


def cell_of(data: Mapping[str, Any]) -> Cell:
    """Return a cell as a front end tells it, or as a file holds it; whatever is malformed is left out."""
    kind, state, number = (
        data.get("kind", data.get("cell_type")),
        data.get("state"),
        data.get("execution_count"),
    )
    metadata = data.get("metadata")
    tags = data.get("tags", metadata.get("tags") if isinstance(metadata, Mapping) else None)
    outputs = data.get("outputs")
    return Cell(
        id=str(data.get("id") or ""),
        kind=kind if kind in ("markdown", "raw") else "code",
        source=joined(data.get("source")),
        execution_count=number if isinstance(number, int) else None,
        outputs=[_shortened(one) for one in outputs if isinstance(one, Mapping)]
        if isinstance(outputs, list)
        else [],
        tags=[str(one) for one in tags] if isinstance(tags, list) else [],
        state=state if state in ("queued", "running") else "idle",
    )


def joined(text: Any) -> str:
    """Return a text that may be kept as a list of lines."""
    return "".join(map(str, text)) if isinstance(text, list) else str(text or "")


def _shortened(output: Mapping[str, Any]) -> Mapping[str, Any]:
    made = dict(output)
    if "text" in made:
        made["text"] = shorten(joined(made["text"]), TEXT)
    data = made.get("data")
    if isinstance(data, Mapping):
        made["data"] = {
            str(kind): shorten(joined(value), TEXT)
            if str(kind).startswith("text/") and isinstance(value, str | list)
            else value
            for kind, value in data.items()
        }
    return made


def as_text(place: int, cell: Cell, outputs: bool = True) -> str:
    """Return a cell as a model reads it; of one that is tagged ``private`` only that it is there."""
    count = f" [{cell.execution_count}]" if cell.execution_count is not None else ""
    state = f" {cell.state}" if cell.state != "idle" else ""
    head = f"--- cell {place} id={cell.id} {cell.kind}{count}{state}"
    if cell.private:
        return f"{head} (private: not shown)"
    parts = [head, cell.source]
    if outputs and cell.outputs:
        parts += ["-> output:", outputs_text(cell.outputs)]
    return "\n".join(parts)


def outputs_text(outputs: Sequence[Mapping[str, Any]], limit: int = _OUTPUT) -> str:
    """Return nbformat's outputs as text."""
    return shorten("\n".join(filter(None, map(_output_text, outputs))), limit)


def _output_text(output: Mapping[str, Any]) -> str:
    if "text" in output:
        return clean_text(joined(output["text"])).rstrip("\n")
    if output.get("output_type") == "error":
        frames = output.get("traceback")
        text = "\n".join(map(str, frames)) if isinstance(frames, list) else ""
        return clean_text(text) or f"{output.get('ename')}: {output.get('evalue')}"
    data = output.get("data")
    if not isinstance(data, Mapping):
        return ""
    plain = joined(data.get("text/plain"))
    if not plain:
        plain = next((joined(data[kind]) for kind in _RICH if data.get(kind)), "")
    pictures = [str(kind) for kind in data if str(kind).startswith("image/")]
    return "\n".join(filter(None, [clean_text(plain), *(f"[{kind}]" for kind in pictures)]))
