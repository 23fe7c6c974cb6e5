"""Memory blocks: shown, written, compared, taken back, shared."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.conversation import AS_OF
from letta_kernel.commands.door import AGENT, YES, Answer, Door, Notebook, Rows, gone, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.commands.values import is_on
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from letta_kernel.memory.origins import Origin
    from letta_kernel.records import AgentState, Block, BlockStanding, BlockVersion

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
    why: str | None = option("Why these words stand in it: the step that wrote them", free=True),
    diff: str | None = option("What changed between two versions: --diff 1 3", free=True),
    limit: int | None = option("Characters it may hold"),
    read_only: str | None = option("on: the agent cannot change it", values="switch"),
    description: str | None = option("What the agent is told it is for", free=True),
    tags: list[str] | None = option("Words to find it by; --tags= takes them off"),
    share: str | None = option("Let another agent have the same block", values="agent"),
    unshare: str | None = option(
        "Take the block off another agent that has it too", values="agent"
    ),
    delete: bool = option("Take it off the agent"),
    as_of: str | None = AS_OF,
    yes: bool = YES,
) -> Answer | None:
    """Show the memory blocks live, or one of them; write it, undo, compare, share, delete."""
    # One command with options that exclude each other, as people know it; first what cannot be is refused,
    # then one is done.
    asked = (undo, redo, history, origin, why, diff, share, unshare, delete, as_of)
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
    if why:
        return show_reasons(door, agent, label, why)
    if diff:
        return compare(door, agent, label, *_two(diff))
    if share:
        return share_block(door, agent, label, share)
    if unshare:
        return unshare_block(door, agent, label, unshare)
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
    from letta_kernel.display.block_panels import memory_panel
    from letta_kernel.records import BlockStanding

    blocks = door.service.blocks.list(agent.id, as_of=as_of)
    standing = door.service.blocks.standing(agent.id) if as_of is None else {}
    told = [standing.get(one.id, BlockStanding()) for one in blocks]
    columns = [
        *("label", "version", "characters", "limit", "read only"),
        *("shared with", "written by", "text"),
    ]
    rows = [
        [
            *(b.label, b.version, len(b.value), b.limit, b.read_only),
            *(", ".join(one.others), one.written, b.value),
        ]
        for b, one in zip(blocks, told, strict=True)
    ]
    return Answer(
        data=[_data(b, one) for b, one in zip(blocks, told, strict=True)],
        panel=lambda: memory_panel(blocks, standing=standing),
        rows=lambda: Rows(columns, rows),
    )


def _data(block: Block, standing: BlockStanding) -> dict[str, Any]:
    return {
        **block.model_dump(mode="json"),
        "shared_with": standing.others,
        "written": standing.model_dump(mode="json", exclude={"others"}),
    }


@command(None, "memory show", group=GROUP)
def show_block(
    door: Door, agent: AgentState = AGENT, label: str = LABEL, as_of: str | None = AS_OF
) -> Answer:
    """Print the text of a block."""
    from letta_kernel.display.block_panels import block_panel
    from letta_kernel.models.tokens import count
    from letta_kernel.records import BlockStanding

    block = door.service.blocks.retrieve(label, agent=agent.id, as_of=as_of)
    versions = [one for one in _versions(door, agent, label) if one.version <= block.version]
    standing = BlockStanding()
    if as_of is None:
        standing = door.service.blocks.standing(agent.id).get(block.id, standing)
    return Answer(
        block.value,
        _data(block, standing),
        panel=lambda: block_panel(block, versions, tokens=count(block.value), standing=standing),
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
    from letta_kernel.display.block_panels import versions_panel

    history = door.service.blocks.history(label, agent=agent.id)
    versions = _named(history)
    columns = ["version", "when", "by", "why", "after", "text", "run", "step"]
    rows = [
        [
            *(v.version, v.created_at, origin.who, v.reason),
            *((origin.asked.message if origin.asked else ""), v.value),
            *((origin.asked.run_id if origin.asked else ""), v.step_id or ""),
        ]
        for v, origin in reversed(history)
    ]
    data = [
        {
            **v.model_dump(mode="json"),
            "by": origin.who,
            "run_id": origin.asked.run_id if origin.asked else None,
        }
        for v, origin in history
    ]
    return Answer(
        data=data, panel=lambda: versions_panel(label, versions), rows=lambda: Rows(columns, rows)
    )


@command(None, "memory share", group=GROUP)
def share_block(
    door: Door,
    agent: AgentState = AGENT,
    label: str = LABEL,
    other: str = argument("The other agent", values="agent"),
) -> Answer:
    """Let another agent have the same block: what one writes there all see."""
    having = door.service.blocks.share(label, agent=agent.id, other=other)
    return Answer(f"{agent.name} and {having.name} have the block {label} together now.")


@command(None, "memory unshare", group=GROUP)
def unshare_block(
    door: Door,
    agent: AgentState = AGENT,
    label: str = LABEL,
    other: str = argument("The other agent", values="agent"),
) -> Answer:
    """Take a block off another agent that has it too."""
    without = door.service.blocks.unshare(label, agent=agent.id, other=other)
    return Answer(f"{without.name} no longer has the block {label} of {agent.name}.")


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


@command(None, "memory why", group=GROUP)
def show_reasons(
    door: Door,
    agent: AgentState = AGENT,
    label: str = LABEL,
    words: str = argument("Words that stand in the block"),
) -> Answer:
    """Tell which step wrote these words into a block, and after which message."""
    from letta_kernel.display.explanation import reasons_panel

    found = door.service.explain.why(label, words, agent=agent.id)
    return Answer(
        data=[asdict(one) for one in found],
        panel=lambda: reasons_panel(found, lambda step: how(door, "explain", step, agent=agent)),
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
    from letta_kernel.display.block_panels import versions_panel

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
    return _named(door.service.blocks.history(label, agent=agent.id))


def _named(history: Sequence[tuple[BlockVersion, Origin]]) -> list[BlockVersion]:
    """Return versions with the names of those who wrote them, and after which message."""
    return [
        version.model_copy(
            update={
                "actor": origin.who,
                "reason": f"{version.reason}, after “{origin.asked.message}”"
                if origin.asked and origin.asked.message
                else version.reason,
            }
        )
        for version, origin in history
    ]


def _two(asked: str) -> tuple[int, int]:
    numbers = re.findall(r"\d+", asked)
    if len(numbers) != 2 or re.sub(r"[\d\s,.v→-]", "", asked):
        raise InvalidInputError(f"Two versions are compared: --diff 1 3, not {asked!r}.")
    return int(numbers[0]), int(numbers[1])
