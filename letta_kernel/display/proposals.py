"""What a sleep-time agent proposes, and what it has changed: differences with the numbers of their parts."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.display.clean import clean_text, esc, one_line
from letta_kernel.display.diff import diff_lines
from letta_kernel.display.html import diff_html
from letta_kernel.display.style import el, small
from letta_kernel.display.tables import Panel

Part = tuple[str, str]
"""Lines before and after."""
Proposed = tuple[str, str, Sequence[Part]]
"""What it is about, why, and the parts of the change."""


def proposals_panel(found: Sequence[Proposed], *, numbered: bool = True) -> Panel:
    """Return the changes, each part under its number where several can be told apart."""
    html: list[str] = []
    text: list[str] = []
    for name, reason, parts in found:
        head, why = one_line(name, 120), one_line(reason, 300)
        html.append(el("div", el("b", esc(head)) + (" " + small(esc(why)) if why else "")))
        text.append(f"{head}  {why}".rstrip())
        for number, (before, after) in enumerate(parts, 1):
            shown = f"part {number}" if numbered and len(parts) > 1 else ""
            html.append((el("div", small(shown)) if shown else "") + diff_html(before, after))
            text += [f"  {shown}"] if shown else []
            text += [f"  {one.sign} {clean_text(one.text)}" for one in diff_lines(before, after)]
    return Panel("".join(html), "\n".join(text))
