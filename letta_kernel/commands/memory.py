"""Memory blocks: shown, written, compared, taken back, shared."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.conversation import AS_OF
from letta_kernel.commands.door import AGENT, YES, Answer, Door, Notebook, Rows, gone
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.commands.values import is_on
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, Block, BlockVersion

GROUP = "Memory"

LABEL = argument("A memory block's label", values="label")


@command("memory", None, group=GROUP, lists=True)
def memory(
    door: Notebook,
    agent: AgentState = AGENT,
    label: str | None = argument(
        "A memory block's label; without it, all of them", None, values="label"
    ),
    value: str | None = argument("Its new text", None, free=True),
    undo: bool = option("Back to the version before"),
    redo: bool = option("Take back an undo"),
    history: bool = option("All versions: who wrote them, when and why"),
    origin: bool = option("Where each sentence comes from: who, when, after which message"),
    diff: str | None = option("What changed between two versions: --diff 1 3", free=True),
    limit: int | None = option("Characters it may hold"),
    read_only: str | None = option("on: the agent cannot change it", values="switch"),
    description: str | None = option("What the agent is told it is for", free=True),
    tags: list[str] | None = option("Words to find it by; --tags= takes them off"),
    share: str | None = option("Let another agent have the same block", values="agent"),
    delete: bool = option("Take it off the agent"),
    as_of: str | None = AS_OF,
    yes: bool = YES,
) -> Answer | None:
    """Show the memory blocks live, or one of them; write it, undo, compare, share, delete."""
    # One command with options that exclude each other, as people know it; first what cannot be is refused,
    # then one is done.
    asked = (undo, redo, history, origin, diff, share, delete, as_of)
    wanted = [one for one in asked if one]
    changes: dict[str, Any] = {
        "limit": limit,
        "read_only": None if read_only is None else is_on(read_only),
        "description": description,
        "tags": None if tags is None else list(dict.fromkeys(tags)),
    }
    changes = {key: given for key, given in changes.items() if given is not None}
    if label is None:
        if wanted == [as_of] and not changes:
            return list_blocks(door, agent, as_of)
        if wanted or changes:
            raise InvalidInputError("Which block? %agent memory LABEL and the option.")
        door.show_blocks(agent)
        return None
    if len(wanted) + bool(changes) + (value is not None) > 1:
        raise InvalidInputError(
            "One thing at a time. (A text that holds such options is written after -- .)"
        )
    service = door.service
    if as_of:
        return show_block(door, agent, label, as_of)
    if history:
        return show_history(door, agent, label)
    if origin:
        return show_origin(door, agent, label)
    if diff:
        return compare(door, agent, label, *_two(diff))
    if share:
        other, block = (
            service.agents.retrieve(share),
            service.blocks.retrieve(label, agent=agent.id),
        )
        if any(one.label == label and one.id != block.id for one in service.blocks.list(other.id)):
            raise InvalidInputError(f"{other.name!r} has a block {label!r} of its own already.")
        service.blocks.attach(block.id, agent=other.id)
        return Answer(f"{agent.name} and {other.name} have the block {label} together now.")
    if delete:
        return gone(door, lambda: _delete(door, agent, label, yes))
    if undo:
        service.blocks.undo(label, agent=agent.id)
    elif redo:
        service.blocks.redo(label, agent=agent.id)
    elif changes:
        service.blocks.update(label, agent=agent.id, **changes)
    elif value is not None:
        service.blocks.upsert(label, value, agent=agent.id, reason="%agent memory")
    return show_block(door, agent, label, None)


def _delete(door: Door, agent: AgentState, label: str, yes: bool) -> Answer:
    door.service.blocks.retrieve(label, agent=agent.id)
    if not door.confirmed(f"Take {label} off {agent.name}?", yes):
        return Answer(f"{agent.name} still has {label}.")
    door.service.blocks.delete(label, agent=agent.id)
    return Answer(f"{agent.name} no longer has {label}.")


@command(None, "memory list", group=GROUP)
def list_blocks(door: Door, agent: AgentState = AGENT, as_of: str | None = AS_OF) -> Answer:
    """List the blocks an agent always sees."""
    from letta_kernel.display.panels import memory_panel

    blocks = door.service.blocks.list(agent.id, as_of=as_of)
    columns = ["label", "version", "characters", "limit", "read only", "text"]
    rows = [[b.label, b.version, len(b.value), b.limit, b.read_only, b.value] for b in blocks]
    return Answer(data=blocks, panel=lambda: memory_panel(blocks), rows=lambda: Rows(columns, rows))


@command(None, "memory show", group=GROUP)
def show_block(
    door: Door, agent: AgentState = AGENT, label: str = LABEL, as_of: str | None = AS_OF
) -> Answer:
    """Print the text of a block."""
    from letta_kernel.display.panels import block_panel
    from letta_kernel.models.tokens import count

    block = door.service.blocks.retrieve(label, agent=agent.id, as_of=as_of)
    versions = [one for one in _versions(door, agent, label) if one.version <= block.version]
    return Answer(
        block.value,
        block,
        panel=lambda: block_panel(block, versions, tokens=count(block.value)),
    )


@command(None, "memory set", group=GROUP)
def write(
    door: Door,
    agent: AgentState = AGENT,
    label: str = LABEL,
    text: str = argument("The new text; - reads it from the pipe"),
    reason: str = option("Why, for the history", "letta-kernel memory set"),
    version: int | None = option("Write only if the block is still of this version"),
) -> Answer:
    """Write a block; it is made if there is none."""
    value = door.text(text)
    if text == "-":
        value = value.removesuffix("\n")
    return _written(
        door.service.blocks.upsert(
            label, value, agent=agent.id, expected_version=version, reason=reason
        )
    )


@command(None, "memory history", group=GROUP)
def show_history(door: Door, agent: AgentState = AGENT, label: str = LABEL) -> Answer:
    """List all versions of a block: who wrote them, when and why."""
    from letta_kernel.display.panels import versions_panel

    versions = _versions(door, agent, label)
    rows = [[v.version, v.created_at, v.actor, v.reason, v.value] for v in versions[::-1]]
    return Answer(
        data=door.service.blocks.versions(label, agent=agent.id),
        panel=lambda: versions_panel(label, versions),
        rows=lambda: Rows(["version", "when", "by", "why", "text"], rows),
    )


@command(None, "memory origin", group=GROUP)
def show_origin(door: Door, agent: AgentState = AGENT, label: str = LABEL) -> Answer:
    """List the sentences of a block: who brought each in, when, how, and after which message."""
    from letta_kernel.display.panels import origins_panel

    found = door.service.blocks.origin(label, agent=agent.id)
    rows = [
        [one.text.strip(), one.origin.version, one.origin.at, str(one.origin)]
        for one in found
        if one.text.strip()
    ]
    return Answer(
        data=[asdict(one) for one in found],
        panel=lambda: origins_panel(label, found),
        rows=lambda: Rows(["text", "version", "when", "origin"], rows, "The block is empty."),
    )


@command(None, "memory diff", group=GROUP)
def compare(
    door: Door,
    agent: AgentState = AGENT,
    label: str = LABEL,
    before: int | None = argument("A version; else the one before the last", None),
    after: int | None = argument("A version; else the last", None),
) -> Answer:
    """Show what changed between two versions."""
    from letta_kernel.display.panels import versions_panel

    versions = {one.version: one for one in _versions(door, agent, label)}
    new = max(versions, default=0) if after is None else after
    old = max((n for n in versions if n < new), default=new) if before is None else before
    for number in (old, new):
        if number not in versions:
            known = f"{min(versions)} to {max(versions)}" if versions else "none"
            raise InvalidInputError(f"{label} has no version {number}; it has: {known}.")
    first, second = versions[old], versions[new]
    return Answer(
        data={"before": first, "after": second},
        panel=lambda: versions_panel(label, [second], first),
        diff=(first.value, second.value),
    )


@command(None, "memory undo", group=GROUP)
def undo(door: Door, agent: AgentState = AGENT, label: str = LABEL) -> Answer:
    """Go back to the version before."""
    return _written(door.service.blocks.undo(label, agent=agent.id))


@command(None, "memory redo", group=GROUP)
def redo(door: Door, agent: AgentState = AGENT, label: str = LABEL) -> Answer:
    """Take back an undo."""
    return _written(door.service.blocks.redo(label, agent=agent.id))


def _written(block: Block) -> Answer:
    count = f"{len(block.value):,} of {block.limit:,} characters"
    return Answer(f"{block.label} is version {block.version} now: {count}.", block)


def _versions(door: Door, agent: AgentState, label: str) -> list[BlockVersion]:
    """Return the versions of a block, oldest first, with the names of those who wrote them."""
    from letta_kernel.ids import LOCAL_USER

    names = {LOCAL_USER: "you", **{one.id: one.name for one in door.service.agents.list()}}
    return [
        one.model_copy(update={"actor": names.get(one.actor, one.actor)})
        for one in door.service.blocks.versions(label, agent=agent.id)
    ]


def _two(asked: str) -> tuple[int, int]:
    numbers = re.findall(r"\d+", asked)
    if len(numbers) != 2 or re.sub(r"[\d\s,.v→-]", "", asked):
        raise InvalidInputError(f"Two versions are compared: --diff 1 3, not {asked!r}.")
    return int(numbers[0]), int(numbers[1])
