"""Changes that were not made, shown in the output as the cells they would make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.display.clean import clean_text, esc
from letta_kernel.display.diff import diff_lines
from letta_kernel.display.style import el, heading, small
from letta_kernel.display.tables import Panel
from letta_kernel.notebook.document.protocol import Change, Contents
from letta_kernel.notebook.output import show

_LONGEST = 20_000  # characters of a source that are shown


def panel(changes: Sequence[Change], contents: Contents) -> Panel:
    """Return the proposed cells; sources are text, whatever they say."""
    shown, texts = [], []
    for change in changes:
        said = _said(change, contents)
        lines = _lines(change)
        texts.append("\n".join([f"Proposed: {said}", *lines]))
        body = el("pre", esc("\n".join(lines))) if lines else ""
        shown.append(el("div", heading(esc(f"Proposed: {said}")), body))
    hint = "Nothing has been changed."
    return Panel("".join([*shown, el("p", small(hint))]), "\n\n".join([*texts, hint]))


class Proposals:
    """Shows in *shell* what a person may take over, the first new source in the next cell where that can be."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, changes: Sequence[Change], contents: Contents) -> None:
        """Show them."""
        show(self._shell, panel(changes, contents))
        for change in changes:
            if change.op in ("insert", "edit") and change.kind == "code":
                self._shell.set_next_input(change.source, replace=False)
                return


def _said(change: Change, contents: Contents) -> str:
    places = {cell.id: place for place, cell in enumerate(contents.cells)}

    def named(cell: str | None) -> str:
        return f"cell {places[cell]}" if cell in places else "the cell"

    where = f"below {named(change.after)}" if change.after is not None else "at the top"
    match change.op:
        case "insert":
            return f"a new {change.kind} cell {where}"
        case "edit":
            return f"{named(change.cell)} as follows"
        case "delete":
            return f"without {named(change.cell)}"
    return f"{named(change.cell)} {where}"


def _lines(change: Change) -> list[str]:
    if change.op == "insert":
        return clean_text(change.source, _LONGEST).split("\n")
    if change.op == "edit":
        before, after = (clean_text(text, _LONGEST) for text in (change.before, change.source))
        return [f"{line.sign} {line.text}" for line in diff_lines(before, after, context=3)]
    return []
