"""What agents do in a notebook's cells: asked for after an error, taken over from an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.commands.door import AGENT, Notebook
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import NotFoundError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState

GROUP = "Talking"

CELL = option("The id of a cell that failed; the one that failed last, if not given")
WISH = argument("What else there is to say", None, free=True)


@command("fix", None, group=GROUP)
def fix(
    door: Notebook,
    wish: str | None = WISH,
    run: bool = option("Have it run the cell too"),
    cell: str | None = CELL,
    agent: AgentState = AGENT,
) -> None:
    """Ask for a change of the cell that failed; it comes as one that you accept.

    The agent gets the cell, its traceback and the variables it names.
    """
    asked = "Mend it: change that cell with notebook_edit, and say in a sentence what was wrong."
    asked += " Then run it with notebook_run_cell." if run else " Do not run it."
    _about(door, agent, cell, asked, wish)


@command("explain-error", None, group=GROUP)
def explain_error(
    door: Notebook,
    wish: str | None = WISH,
    cell: str | None = CELL,
    agent: AgentState = AGENT,
) -> None:
    """Ask what went wrong in the cell that failed; nothing is changed.

    The agent gets the cell, its traceback and the variables it names.
    """
    asked = "Explain what went wrong and how to mend it. Change nothing and run nothing."
    _about(door, agent, cell, asked, wish)


def _about(
    door: Notebook, agent: AgentState, cell: str | None, asked: str, wish: str | None
) -> None:
    door.send(agent, door.about_error(cell, "\n".join(filter(None, (asked, wish)))))


@command("code", None, group=GROUP)
def code(
    door: Notebook,
    which: int = argument("Which code block of the answer, counted from its end", 1),
    agent: AgentState = AGENT,
) -> str:
    """Put the last code block of the answer into the next cell; it is not run."""
    from letta_kernel.display.markdown import parser

    messages = door.service.messages.history(agent.id, 50)
    said = next(
        (one.said for one in reversed(messages) if one.role == "assistant" and one.said), ""
    )
    blocks = [one.content.rstrip("\n") for one in parser().parse(said) if one.type == "fence"]
    if len(blocks) < which:
        held = f"only {len(blocks)}" if blocks else "no code block"
        raise NotFoundError(f"{agent.name}'s last answer has {held}.")
    door.next_cell(blocks[-which])
    return "The code is in the next cell."
