"""Groups of agents: made, listed, changed, deleted. A notebook talks to one with ``%%agent @NAME``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import Answer, Door, Rows, gone, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError, NameTakenError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.records import Group

GROUP = "Agents"

NAME = argument("A group's name, with or without its @, or its id", values="group")
SUPERVISOR = option("The agent that manages the others", values="agent")
MAX_TURNS = option(
    "How many turns its members have for one message; one each if not said", least=1, most=200
)
UNTIL = option(
    "What ends a dynamic group's turn when a member says it; DONE! if not said", free=True
)
EVERY = option("After how many turns a sleep-time agent looks back", least=1, most=10_000)
DESCRIPTION = option("What the group is for; all its agents are told", free=True)
BLOCKS = option("Memory blocks that all of them share: ids, or labels of the first agent's")


@command("group new", "group new", group=GROUP)
def new(
    door: Door,
    name: str = argument("What it is called, behind an @"),
    members: str = argument("Its agents in the order in which they speak, commas between them"),
    manager: str = option(
        "Who says who speaks: round_robin, supervisor, dynamic or sleeptime",
        "round_robin",
        values="manager",
    ),
    supervisor: str | None = SUPERVISOR,
    max_turns: int | None = MAX_TURNS,
    until: str | None = UNTIL,
    every: int | None = EVERY,
    description: str | None = DESCRIPTION,
    blocks: list[str] | None = BLOCKS,
) -> Answer:
    """Make a group of agents that are talked to together, or take the one of that name.

    round_robin: one after the other, in the order given. supervisor: the one named by --supervisor asks all the
    others, then answers. dynamic: it says who is next, until a member says DONE! or --max-turns are over.
    sleeptime: it answers, and the members look after its memory.

    %%agent @NAME talks to it: each of its agents hears what the others said, and remembers it.
    """
    agents = [door.agent(one.strip()).id for one in members.split(",") if one.strip()]
    given: dict[str, Any] = {
        "description": description or "",
        "manager": door.agent(supervisor).id if supervisor else None,
        "shared_block_ids": _blocks(door, agents, blocks),
        **_fields(max_turns, until, every),
    }
    groups, before = door.service.groups, "Made"
    try:
        made = groups.create(agents, name=name, manager_type=manager, **given)
    except NameTakenError:
        made = _known(door, name)
        if made.manager_type != manager:
            raise
        before, made = "Found", groups.update(made.id, agent_ids=agents, **given)
    talk = f"%%agent {made.shown} talks to it." if door.at == "notebook" else ""
    return Answer(f"{before} the group {made.shown}: {_told(door, made)}. {talk}".strip(), made)


def _known(door: Door, name: str) -> Group:
    """Return the group of that name; `NameTakenError` where it is an agent that has it."""
    try:
        return door.service.groups.retrieve(name)
    except NotFoundError:
        raise NameTakenError(f"An agent is called @{name}: choose another name.") from None


@command("group list", "group list", group=GROUP)
def list_groups(door: Door) -> Answer | str:
    """List the groups of this project."""
    from letta_kernel.display.tables import table

    found = door.service.groups.list(hidden=True) if door.has_project else []
    if not found and door.at == "notebook":
        return f"No groups yet: {how(door, 'group new', 'NAME', 'AGENT,AGENT')} makes one."
    names = {one.id: one.name for one in door.service.agents.list(set_aside=True)} if found else {}
    columns = ["group", "manager", "agents", "managed by", "description"]
    rows = [
        [
            one.shown,
            one.manager_type,
            ", ".join(names.get(agent, agent) for agent in one.agent_ids),
            names.get(one.manager_agent_id or "", ""),
            one.description,
        ]
        for one in found
    ]
    empty = f"No groups in {door.where}. Make one: letta-kernel group new NAME AGENT,AGENT"
    return Answer(
        data=found,
        panel=lambda: table(columns, rows, empty=empty),
        rows=lambda: Rows(columns, rows, empty),
    )


@command("group show", "group show", group=GROUP)
def show(door: Door, name: str = NAME) -> Answer:
    """Show a group, and what was said in it."""
    from letta_kernel.display.tables import note, stack, table

    group = door.service.groups.retrieve(name)
    names = {one.id: one.name for one in door.service.groups.members(group.id)}
    ids = door.service.groups.message_ids(group.id)[-50:]
    said = [
        [one.created_at, names.get(one.agent_id, "you"), one.said]
        for one in door.service.groups.messages(ids)
        if one.said.strip() and one.role in ("user", "assistant")
    ]
    told = f"{group.shown} ({group.id}): {_told(door, group)}. {group.description}".strip()
    spoken = table(["when", "who", "said"], said, empty="Nothing was said yet.")
    waiting = ", ".join(agent.name for agent, _ in door.service.groups.pending(group.id))
    notes = [f"{waiting} waits for your word."] if waiting else []
    data = {**group.model_dump(mode="json"), "messages": said}
    return Answer(data=data, panel=lambda: stack(note(told), spoken), notes=notes)


@command("group change", "group change", group=GROUP)
def change(
    door: Door,
    name: str = NAME,
    members: list[str] | None = option("Its agents from now on, in their order", values="agent"),
    supervisor: str | None = SUPERVISOR,
    max_turns: int | None = MAX_TURNS,
    until: str | None = UNTIL,
    every: int | None = EVERY,
    description: str | None = DESCRIPTION,
    blocks: list[str] | None = BLOCKS,
    rename: str | None = option("Another name for it"),
) -> Answer:
    """Change a group in what is given; its kind of manager stays."""
    found = door.service.groups.retrieve(name)
    changes: dict[str, Any] = _fields(max_turns, until, every)
    if members:
        changes["agent_ids"] = [door.agent(one).id for one in members]
    if blocks is not None:
        agents = changes.get("agent_ids", found.agent_ids)
        changes["shared_block_ids"] = [*found.shared_block_ids, *_blocks(door, agents, blocks)]
    given = {"description": description, "name": rename}
    changes |= {field: value for field, value in given.items() if value is not None}
    if not changes and supervisor is None:
        raise InvalidInputError(
            f"Say what to change: {how(door, 'group change', name, '--max-turns 4')}"
        )
    changed = door.service.groups.update(
        found.id, manager=door.agent(supervisor).id if supervisor else None, **changes
    )
    return Answer(f"{changed.shown}: {_told(door, changed)}.", changed)


@command("group reset", "group reset", group=GROUP)
def reset(door: Door, name: str = NAME) -> Answer:
    """Forget what was said in a group, in its agents' histories too."""
    found = door.service.groups.reset(name)
    return Answer(f"{found.shown} has forgotten what was said in it.", found)


@command("group delete", "group delete", group=GROUP)
def delete(door: Door, name: str = NAME) -> Answer:
    """Delete a group; its agents stay, with what they heard in it."""

    def work() -> Answer:
        found = door.service.groups.delete(name)
        return Answer(f"{found.shown} is deleted; its agents stay.", found)

    return gone(door, work)


def _fields(max_turns: int | None, until: str | None, every: int | None) -> dict[str, Any]:
    given = {
        "max_turns": max_turns,
        "termination_token": until,
        "sleeptime_agent_frequency": every,
    }
    return {field: value for field, value in given.items() if value is not None}


def _blocks(door: Door, agents: list[str], named: list[str] | None) -> list[str]:
    """Return the ids of the blocks that are named by ids, or by labels of the first agent's."""
    if not named or not agents:
        return []
    own = {block.label: block.id for block in door.service.blocks.list(agents[0])}
    return [own.get(one, one) for one in named]


def _told(door: Door, group: Group) -> str:
    """Return in words who is in a group, and who says who speaks."""
    names = {one.id: one.name for one in door.service.groups.members(group.id)}
    members = ", ".join(names[one] for one in group.agent_ids)
    manager = names.get(group.manager_agent_id or "", "")
    turns = f", {group.max_turns} turns" if group.max_turns else ""
    match group.manager_type:
        case "supervisor":
            return f"{manager} asks {members}, then answers"
        case "dynamic":
            return f"{manager} says who of {members} is next{turns}"
        case "sleeptime":
            return f"{manager} answers, {members} looks after its memory"
        case _:
            return f"{members}, one after the other{turns}"
