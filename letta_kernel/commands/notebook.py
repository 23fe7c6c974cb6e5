"""What agents do in a notebook's cells: asked for after an error, taken over from an answer, taken back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_kernel.commands.door import AGENT, YES, Answer, Notebook
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, Step, WholeRun
    from letta_kernel.service.blocks import Written

GROUP = "Talking"

CELL = option("The id of a cell that failed; the one that failed last, if not given")
WISH = argument("What else there is to say", None, free=True)
_MOST_RUNS = 20  # that are looked at for one that changed something
_MOST_UNDONE = 200  # whose undoing is remembered, of one agent


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


@command("undo", None, group=GROUP)
def undo(door: Notebook, agent: AgentState = AGENT, yes: bool = YES) -> Answer:
    """Take back what the last run changed: cells of this notebook and memory together.

    What somebody has changed since is left alone unless you say otherwise; --yes takes that back too. The
    history of both keeps it all. Once more takes back the run before.
    """
    key = f"undone:{agent.id}"
    undone = json.loads(door.service.settings.get(key) or "[]")
    found = _last_changes(door, agent, undone)
    if found is None:
        raise NotFoundError(
            f"No run of {agent.name} that could be taken back has changed anything."
        )
    run, steps, written = found
    cells = _undo_cells(door, run, steps, yes)  # first: it may fail, and then nothing is taken back
    memory = _undo_memory(door, agent, written, yes)
    memory += _undo_new_blocks(door, agent, run)
    door.service.settings.put(key, json.dumps([*undone, run.id][-_MOST_UNDONE:]))
    said = [one for one in (memory, cells) if one] or ["Nothing was left to take back."]
    if _ok(steps, ("archival_memory_insert",)):
        said.append("What it put into its archive stays.")
    asked = f" ({run.asked!r})" if run.asked else ""
    return Answer(f"{agent.name}'s last run{asked}: {' '.join(said)}", run)


def _last_changes(
    door: Notebook, agent: AgentState, undone: Sequence[str]
) -> tuple[WholeRun, list[Step], list[Written]] | None:
    from letta_kernel.tools.notebook import CHANGES

    for run in door.service.runs.whole(agent.id, _MOST_RUNS):
        if run.id in undone:
            continue
        steps = door.service.steps.of_run(run.id, whole=True)
        written = door.service.blocks.written_in([step.id for step in steps])
        if written or _ok(steps, (*CHANGES, "memory")):
            return run, steps, written
    return None


def _ok(steps: Sequence[Step], names: Sequence[str] | frozenset[str]) -> bool:
    """Return whether a call of one of these tools went well."""
    return any(
        call["name"] in names and call["status"] == "ok"
        for step in steps
        for call in step.tool_stats
    )


def _undo_memory(door: Notebook, agent: AgentState, written: Sequence[Written], yes: bool) -> str:
    changed = [one.block.label for one in written if one.changed_since]
    all_ = not changed or _agreed(door, f"{', '.join(changed)} changed in memory", yes)
    back = [one for one in written if all_ or not one.changed_since]
    for one in back:
        if one.before != one.block.value:
            reason = "%agent undo"
            door.service.blocks.update(
                one.block.id, value=one.before, reason=reason, expected_version=one.block.version
            )
    labels = ", ".join(one.block.label for one in back)
    left = "" if all_ else f"{', '.join(changed)} left alone: changed since (--yes takes it back)."
    return " ".join(filter(None, [f"Memory is as before: {labels}." if back else "", left]))


def _undo_new_blocks(door: Notebook, agent: AgentState, run: WholeRun) -> str:
    """Take blocks off the agent that it made in a run; they stay in the project, with their versions."""
    made = [
        block.label
        for block in door.service.blocks.list(agent.id)
        if block.created_by == agent.id
        and run.ended_at is not None
        and run.created_at <= block.created_at
        and block.updated_at <= run.ended_at
    ]
    for label in made:
        door.service.blocks.detach(label, agent=agent.id)
    return f" Blocks it made are off: {', '.join(made)}." if made else ""


def _undo_cells(door: Notebook, run: WholeRun, steps: Sequence[Step], yes: bool) -> str:
    from letta_kernel.tools.notebook import CHANGES

    if not _ok(steps, CHANGES):
        return ""
    back, changed = door.undo_cells(run.id, False)
    said = []
    if changed and _agreed(door, f"{len(changed)} of its cells changed", yes):
        more, changed = door.undo_cells(run.id, True)
        back = [*back, *more]
    if back:
        said.append(f"Cells are as before: {len(back)}.")
    if changed:
        said.append(f"Left alone, changed since: {len(changed)} (--yes takes them back).")
    if not back and not changed:
        said.append("There are no cells to take back here.")
    return " ".join(said)


def _agreed(door: Notebook, what: str, yes: bool) -> bool:
    """Ask whether what somebody changed since is to be taken back too; no, where nobody can be asked."""
    try:
        return door.confirmed(f"Since then {what}. Take that back too?", yes)
    except InvalidInputError:
        return False
