"""Agents of other people: the list of those shared here, and one of them."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.display.block_panels import memory_panel
from letta_kernel.display.clean import esc, one_line
from letta_kernel.display.style import heading, named
from letta_kernel.display.tables import Panel, marked, note, stack, table
from letta_kernel.records import Block
from letta_kernel.remote import SharedAgent


def shared_table(agents: Sequence[SharedAgent], current: str | None = None) -> Panel:
    """Return the agents that others share; *current* is the one that cells talk to."""
    rows = [
        [
            marked(one.ref, one.ref == current),
            one.may,
            one.model,
            one.description,
            ", ".join(one.tags),
        ]
        for one in agents
    ]
    return table(["shared with you", "you may", "model", "description", "tags"], rows)


def shared_card(agent: SharedAgent, blocks: Sequence[Block], hidden: str = "") -> Panel:
    """Return one of them: what may be done with it, and its blocks; *hidden* says why they are not told."""
    facts = {
        "whose": agent.owner,
        "you may": agent.may,
        "model": agent.model,
        "description": agent.description,
        "tags": ", ".join(agent.tags),
        "tools that run for you": ", ".join(agent.tools),
    }
    shown = {label: one_line(text, 300) for label, text in facts.items() if text}
    name = one_line(agent.ref, 120)
    card = Panel(
        heading(name) + named((esc(label), esc(text)) for label, text in shown.items()),
        name + "".join(f"\n  {label}: {text}" for label, text in shown.items()),
    )
    more = [memory_panel(blocks)] if blocks else []
    return stack(card, *more, *([note(hidden)] if hidden else ()))
