"""Sleep-time agents: another agent that tidies an agent's memory while it rests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import AGENT, MODEL, Answer, Door, gone, how
from letta_kernel.commands.memory import GROUP
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.display.proposals import Proposed
    from letta_kernel.records import AgentState, Proposal
    from letta_kernel.service.sleeptime import Standing

_ACTIONS = ("show", "accept", "reject")


@command("sleeptime on", "sleeptime on", group=GROUP)
def turn_on(
    door: Door,
    agent: AgentState = AGENT,
    every: int | None = option("Turns after which it looks; 5 if not said", least=1, most=1000),
    review: bool = option("What it would write waits for your word"),
    no_review: bool = option("What it writes lands by itself again"),
    model: str | None = MODEL,
) -> Answer:
    """Let another agent tidy its memory while it rests: merge, date, move detail to the archive.

    It reads what was said since it last looked, in the background of the kernel or server that the agent is in,
    stops at once when you speak, and goes on later. All of one time lands together; the next answer says so.
    """
    if review and no_review:
        raise InvalidInputError("Say --review or --no-review, not both.")
    chosen = True if review else False if no_review else None
    group = door.service.sleeptime.enable(agent.id, every=every, review=chosen, model=model)
    found = door.service.sleeptime.standing(agent.id)
    assert found is not None
    turns = _turns(group.sleeptime_agent_frequency or 1)
    lands = "proposes what it would write" if group.sleeptime_propose_only else "tidies its memory"
    said = f"{found.sleeper.name} {lands} while {agent.name} rests, after {turns}."
    notes = [found.doubt] if found.doubt else []
    return Answer(said, _data(found), notes=notes)


@command("sleeptime off", "sleeptime off", group=GROUP)
def turn_off(door: Door, agent: AgentState = AGENT) -> Answer:
    """Tidy its memory no more; what was written stays."""
    if not door.service.sleeptime.disable(agent.id):
        return Answer(f"Nobody tidies the memory of {agent.name}.", {"on": False})
    return Answer(f"Nobody tidies the memory of {agent.name} any more.", {"on": False})


@command("sleeptime status", "sleeptime status", group=GROUP)
def status(door: Door, agent: AgentState = AGENT) -> Answer:
    """Say who tidies its memory, when it looks next, what it did last and what waits for you."""
    found = door.service.sleeptime.standing(agent.id)
    if found is None:
        way = how(door, "sleeptime on", agent=agent)
        return Answer(f"Nobody tidies the memory of {agent.name}: {way}.", {"on": False})
    every = found.group.sleeptime_agent_frequency or 1
    said = [f"{found.sleeper.name} looks after every {_turns(every)}"]
    said[0] += "; it is at it now." if found.running else f"; {found.turns} so far."
    if found.last is not None and not found.running:
        said.append(_last(found))
    if found.waiting:
        review = how(door, "sleeptime review", agent=agent)
        said.append(f"{len(found.waiting)} proposed: {review} shows them.")
    return Answer(" ".join(said), _data(found), notes=[found.doubt] if found.doubt else [])


@command("sleeptime now", "sleeptime now", group=GROUP)
def tidy_now(door: Door, agent: AgentState = AGENT) -> Answer:
    """Tidy its memory now, and wait for it."""
    done = door.service.sleeptime.now(agent.id)
    if done is None:
        return Answer(f"Nothing was said to {agent.name} since its memory was last tidied.", None)
    found = door.service.sleeptime.standing(agent.id)
    assert found is not None
    if done.status != "done":
        return Answer(data=_data(found), problem=_last(found))
    if found.waiting:
        return _shown(door, agent, found.waiting)
    door.service.sleeptime.told(agent.id)
    changed = _changes(door, agent)
    back = how(door, "sleeptime undo", agent=agent)
    notes = [f"{back} takes it back."] if changed else []
    return _panel(_last(found), changed, _data(found), notes)


@command("sleeptime review", "sleeptime review", group=GROUP)
def review(
    door: Door,
    agent: AgentState = AGENT,
    action: str | None = argument("show, accept or reject", None, values="review"),
    which: str | None = argument(
        "Labels of blocks, or ids of proposals; all if none", None, free=True, values="label"
    ),
    part: int | None = option("Only the part of this number, of one block", least=1),
) -> Answer:
    """Show what it proposes, and accept or reject it: all, a block, or a part of one.

    Parts are numbered from 1; when one is decided, those left are numbered anew. What somebody changed since in
    the same lines is refused.
    """
    service = door.service.sleeptime.review
    action = action or "show"
    if action not in _ACTIONS:
        raise InvalidInputError(f"Say show, accept or reject, not {action!r}.")
    waiting = service.waiting(agent.id)
    if not waiting:
        return Answer(f"Nothing waits for your word on the memory of {agent.name}.", [])
    wanted = _named(which or "", waiting)
    if action == "show":
        return _shown(door, agent, [one for one in waiting if not wanted or _is(one, wanted)])
    act = service.accept if action == "accept" else service.reject
    decided = act(agent.id, wanted, hunk=part)
    left = service.waiting(agent.id)
    names = ", ".join(dict.fromkeys(one.label or "a passage" for one in decided))
    said = f"{'Accepted' if action == 'accept' else 'Rejected'}: {names}."
    return Answer(f"{said} {len(left)} left." if left else said, decided)


@command("sleeptime undo", "sleeptime undo", group=GROUP)
def undo(door: Door, agent: AgentState = AGENT) -> Answer:
    """Take all back that it changed last, at once; what others wrote since stays."""

    def work() -> Answer:
        sleep, labels = door.service.sleeptime.review.undo(agent.id)
        said = ", ".join(labels) or "the archive"
        return Answer(f"Taken back: {said}.", {"sleep": sleep, "blocks": labels})

    return gone(door, work)


def _named(which: str, waiting: list[Proposal]) -> list[str]:
    """Return the labels and ids in a text; a label may have blanks in it."""
    text = which.strip()
    if not text or any(text in (one.id, one.label) for one in waiting):
        return [text] if text else []
    return text.replace(",", " ").split()


def _is(one: Proposal, wanted: list[str]) -> bool:
    return one.id in wanted or one.label in wanted


def _shown(door: Door, agent: AgentState, found: list[Proposal]) -> Answer:
    service = door.service.sleeptime.review
    told: list[Proposed] = [
        (one.label or "the archive", one.reason, service.parts(one)) for one in found
    ]
    accept = how(door, "sleeptime review", "accept", agent=agent)
    notes = [f"{accept} lets all of it in; name a block, and --part N for a part of it."]
    return _panel("", told, found, notes)


def _changes(door: Door, agent: AgentState) -> list[Proposed]:
    changed = door.service.sleeptime.last_changes(agent.id)
    return [(one.label or "the archive", "", [(one.before, one.after)]) for one in changed]


def _panel(said: str, told: list[Proposed], data: Any, notes: list[str]) -> Answer:
    from letta_kernel.display.proposals import proposals_panel
    from letta_kernel.display.tables import note, stack

    def panel() -> Any:
        shown = proposals_panel(told)
        return stack(note(said), shown) if said else shown

    return Answer(data=data, panel=panel, notes=notes)


def _last(found: Standing) -> str:
    """Return what became of the last look, in a sentence."""
    from letta_kernel.display.tables import when

    last = found.last
    assert last is not None
    at = when(last.ended_at or last.created_at)
    match last.status:
        case "done" if found.waiting:
            return f"It looked at {at} and proposes changes."
        case "done":
            changed = ", ".join(label or "the archive" for label in found.labels)
            said = f"Tidied at {at}: {changed or 'nothing was to change'}."
            return f"{said} {last.note}".rstrip()
        case "undone":
            return f"What it changed at {at} was taken back."
        case "failed":
            return f"It could not tidy at {at}: {last.note}"
        case _:
            return f"It was stopped at {at}, and goes on from there later."


def _turns(count: int) -> str:
    from letta_kernel.display.words import count as counted

    return counted(count, "turn")


def _data(found: Standing) -> dict[str, Any]:
    return {
        "on": True,
        "agent": found.sleeper.id,
        "every": found.group.sleeptime_agent_frequency,
        "review": bool(found.group.sleeptime_propose_only),
        "turns": found.turns,
        "running": found.running,
        "last": found.last,
        "changed": found.labels,
        "waiting": found.waiting,
    }
