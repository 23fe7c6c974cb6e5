"""What a notebook keeps of a run: a snapshot, its HTML and its text.

A page that has the extension draws the snapshot; without it the HTML is what is seen. Ids that differ in
every run are left out of the snapshot; pictures and tables stand in the HTML alone.
"""

from __future__ import annotations

from typing import Any

from letta_kernel.display.html import in_html, to_html
from letta_kernel.display.text import to_text

MIME = "application/vnd.letta.run.v1+json"
"""The MIME type of a transcript snapshot, for the JupyterLab extension."""

_UNSTABLE = ("id", "call_id")
_OFTEN_EMPTY = ("seconds", "display", "traceback", "output", "version")
_LONG = 1_200  # characters of an answer that is kept as its lines, for those who read a diff


def bundle(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return the saved form of a run: our own MIME type, HTML and text, and nothing else.

    Where a call's ``display`` is a number, it is that of a ``figure`` of the HTML, counted from 0 and not
    inside another. A long answer or thought is a list of its lines, as notebooks keep long texts.
    """
    kept = {**snapshot, "footer": _rounded(snapshot["footer"]), "items": []}
    displays = 0
    for item in snapshot["items"]:
        lean = {name: value for name, value in _rounded(item).items() if name not in _UNSTABLE}
        lean = {n: value for n, value in lean.items() if value or n not in _OFTEN_EMPTY}
        if in_html(item.get("display")):
            lean["display"] = displays
            displays += 1
        if "passages" in lean:
            lean["passages"] = [{"text": passage["text"]} for passage in lean["passages"]]
        if len(text := lean.get("text", "")) > _LONG and "\n" in text:
            lean["text"] = text.splitlines(keepends=True)
        kept["items"].append(lean)
    return {MIME: kept, "text/html": to_html(snapshot), "text/plain": to_text(snapshot)}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        n: round(v, 3) if isinstance(v, float) and n != "cost" else v for n, v in values.items()
    }
