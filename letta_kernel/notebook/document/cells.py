"""Cells as a front end tells them, or as a file holds them; whatever is malformed is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from letta_kernel.notebook.document.protocol import TEXT, Cell
from letta_kernel.tools.results import shorten


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
