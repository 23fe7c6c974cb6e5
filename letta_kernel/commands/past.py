"""An agent's past: its timeline, forks, rewinds, and how two points of it differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_kernel.commands.agents import talked_to
from letta_kernel.commands.door import AGENT, LIMIT, YES, Answer, Door, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, Run
    from letta_kernel.service.forks import Rewound

GROUP = "Its past"

POINT = "A step or run (its end), or a branch, by its id or the beginning of it"
SHARED = option("Memory blocks that other agents have too, as well")
_MOST = 10  # of what is listed in an answer


@command("timeline", "agent timeline", group=GROUP)
def timeline(
    door: Door,
    agent: AgentState = AGENT,
    limit: int | None = LIMIT,
    at: str | None = option(f"What it was at one point. {POINT}", values="point"),
) -> Answer:
    """Show what an agent went through: runs, their steps, the ends it was rewound from, its forks.

    Every step is a point in time: with --at you see what was said, known and offered there, %agent rewind goes
    back to it, %agent fork goes on from it beside.
    """
    from letta_kernel.display.differences import then_panel
    from letta_kernel.display.timeline import timeline_panel

    if at is not None:
        then = door.service.timeline.at(agent.id, at)
        return Answer(data=then.data(), panel=lambda: then_panel(then))
    if door.at == "notebook" and limit is None:
        door.show_timeline(agent)  # type: ignore[attr-defined]
        return Answer()
    found = door.service.timeline.of(agent.id, limit=limit or 20).data()
    return Answer(data=found, panel=lambda: timeline_panel(found, agent.name))


@command("fork", "agent fork", group=GROUP)
def fork(
    door: Door,
    agent: AgentState = AGENT,
    name: str | None = argument(
        "What the fork is called; a number behind the name, if not given", None
    ),
    at: str | None = option(f"Where it begins; now, if not given. {POINT}", values="point"),
    fresh: bool = option("Set one of that name aside"),
) -> Answer:
    """Make an agent that is what this one was at a step; both go on by themselves.

    It shares the history and passages up to there, has copies of the memory blocks, and the tools, rules,
    settings, archives and folders of then.
    """
    made = door.service.forks.fork(agent.id, name, at=at, fresh=fresh)
    said = f"{made.name} is {agent.name} as it {'was at ' + at if at else 'is'}"
    if door.at == "terminal":
        return Answer(f"{said}; {talked_to(door, made)}", made)
    return Answer(f"{said}; {how(door, 'use', made.name)} talks to it.", made)


@command("rewind", "agent rewind", group=GROUP)
def rewind(
    door: Door,
    agent: AgentState = AGENT,
    to: str | None = argument(POINT, None, values="point"),
    steps: int | None = option("How many steps to take back", least=1),
    shared: bool = SHARED,
    yes: bool = YES,
) -> Answer:
    """Go back to a point; the old end stays as a branch, to which %agent redo returns.

    History, memory blocks (as new versions), settings, rules, tools with the source they had, archives and
    folders are as they were. Cells that the runs taken back had changed are brought back too; those that
    somebody has changed since only if you say so (--yes). What tools did outside is listed: nothing takes it
    back.
    """
    if (to is None) == (steps is None):
        raise InvalidInputError(
            "Say where to: a step, run or branch (%agent timeline lists them), or --steps N."
        )
    done = door.service.forks.rewind(agent.id, to, steps=steps, shared=shared)
    cells = [_cells(door, run, yes) for run in done.runs]
    return Answer(_done(done, cells), _data(done))


@command("undo", "agent undo", group=GROUP)
def undo(door: Door, agent: AgentState = AGENT, shared: bool = SHARED, yes: bool = YES) -> Answer:
    """Take back the last run: what was said, what it wrote into memory, and cells it changed.

    What somebody has changed since is left alone unless you say otherwise; --yes takes that back too. The
    history keeps it all: %agent redo returns to it. Once more takes back the run before.
    """
    run, changed = door.service.forks.next_undo(agent.id)
    cells = [_cells(door, run, yes)]  # first: it may fail, and then nothing is taken back
    agreed = not changed or _agreed(door, f"{', '.join(changed)} changed in memory", yes)
    done = door.service.forks.undo(agent.id, shared=shared, leave=() if agreed else changed)
    if not agreed:
        done.left.append(f"{', '.join(changed)} left alone: changed since (--yes takes it back).")
    return Answer(_done(done, cells), _data(done))


@command("redo", "agent redo", group=GROUP)
def redo(door: Door, agent: AgentState = AGENT, shared: bool = SHARED) -> Answer:
    """Return to the end that the last undo or rewind left; cells stay as they are."""
    done = door.service.forks.redo(agent.id, shared=shared)
    return Answer(_done(done, ()), _data(done))


def _done(done: Rewound, cells: Sequence[str]) -> str:
    from letta_kernel.service.points import short

    said = [f"{done.agent.name} is as {'it was ' if not done.to.startswith('before') else ''}"]
    said[0] += done.to if done.to.startswith("before") else f"at {done.to}"
    said[0] += f": {len(done.runs)} taken back." if done.runs else "."
    if done.blocks:
        said.append(f"Memory is as before: {', '.join(done.blocks)}.")
    if done.changed:
        said.append(f"Changed back: {', '.join(done.changed)}.")
    said += [done.note, *done.left, *cells]
    if any("has it too" in one for one in done.left):
        said.append("--shared rewinds it for all.")
    if done.outside:
        shown = "; ".join(map(str, done.outside[:_MOST]))
        more = f" and {len(done.outside) - _MOST} more" if len(done.outside) > _MOST else ""
        said.append(f"Cannot be taken back: {shown}{more}.")
    if done.branch is not None and done.runs:
        said.append(f"The old end is {short(done.branch.id)}.")
    return " ".join(filter(None, said))


def _data(done: Rewound) -> dict[str, object]:
    return {
        "agent": done.agent.id,
        "to": done.to,
        "branch": done.branch.id if done.branch is not None else None,
        "runs": [run.id for run in done.runs],
        "blocks": done.blocks,
        "changed": done.changed,
        "left": done.left,
        "outside": [str(one) for one in done.outside],
    }


def _cells(door: Door, run: Run, yes: bool) -> str:
    """Bring cells back that a run changed, where this is the notebook of it."""
    from letta_kernel.tools.notebook import CHANGES

    steps = door.service.steps.of_run(run.id, whole=True)
    called = {call["name"] for one in steps for call in one.tool_stats if call["status"] == "ok"}
    if door.at != "notebook" or not called & CHANGES:
        return ""
    back, changed = door.undo_cells(run.id, False)  # type: ignore[attr-defined]
    said = []
    if changed and _agreed(door, f"{len(changed)} of its cells changed", yes):
        more, changed = door.undo_cells(run.id, True)  # type: ignore[attr-defined]
        back = [*back, *more]
    if back:
        said.append(f"Cells are as before: {len(back)}.")
    if changed:
        said.append(f"Left alone, changed since: {len(changed)} (--yes takes them back).")
    if not back and not changed:
        said.append("There are no cells to take back here.")
    return " ".join(said)


def _agreed(door: Door, what: str, yes: bool) -> bool:
    """Ask whether what somebody changed since is to be taken back too; no, where nobody can be asked."""
    try:
        return door.confirmed(f"Since then {what}. Take that back too?", yes)
    except InvalidInputError:
        return False


@command("diff", "agent diff", group=GROUP)
def diff(
    door: Door,
    agent: AgentState = AGENT,
    one: str = argument(f"An agent, NAME@STEP, or a point of this one. {POINT}", values="points"),
    other: str = argument("The same; now, if not given", "now", values="points"),
) -> Answer:
    """Show what two points, branches or forks say, know and can do differently."""
    from letta_kernel.display.differences import difference_panel

    found = door.service.timeline.diff(one, other, agent=agent.id)
    return Answer(data=found, panel=lambda: difference_panel(found))
