"""The groups of agent files: those an agent manages go along with it, and are made anew with their agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from letta_kernel.messages import Message
from letta_kernel.records import DONE, REST, SLEEPTIME_OF, Block, Group
from letta_kernel.service.agent_file.parse import OURS, AgentFile, FileGroup, no_agent_file
from letta_kernel.service.agent_file.read import ImportedAgent, named, quoted
from letta_kernel.service.groups import FIELDS
from letta_kernel.store import groups
from letta_kernel.store.database import Tx

_SLEEPER = "sleeptime_agent"


def managed(tx: Tx, agent_id: str) -> list[Group]:
    """Return the groups that go along with an agent: as in Letta those that it manages, not those it is in."""
    return groups.list_all(tx, manager_agent_id=agent_id, hidden=True)


def to_file(group: Group, names: Mapping[str, str], block_ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a group as an entry of a file; *names* and *block_ids* say what things are called there."""
    config: dict[str, Any] = {"manager_type": group.manager_type}
    config |= {field: getattr(group, field) for field in FIELDS[group.manager_type]}
    config["manager_agent_id"] = names[str(group.manager_agent_id)]
    ours = {"name": group.name, "propose_only": config.pop("sleeptime_propose_only", None)}
    return {
        "id": names[group.id],
        "agent_ids": [names[one] for one in group.agent_ids],
        "description": group.description,
        "manager_config": config,
        "project_id": None,
        "shared_block_ids": [block_ids[b] for b in group.shared_block_ids if b in block_ids],
        "hidden": group.hidden,
        OURS: {key: value for key, value in ours.items() if value},
    }


def renamed(found: Sequence[Message], names: Mapping[str, str]) -> list[Message]:
    """Return messages whose senders and groups are called by their other names, where they have one."""
    changed = []
    for message in found:
        fields = {"sender_id": message.sender_id, "group_id": message.group_id}
        update = {
            key: names[one] for key, one in fields.items() if one is not None and one in names
        }
        changed.append(message.model_copy(update=update) if update else message)
    return changed


def groups_of(
    file: AgentFile,
    imports: Sequence[ImportedAgent],
    shared: Mapping[str, Block],
    notes: list[str],
) -> list[Group]:
    """Return the groups of a file, of the agents as they will be here; those learn of whom they hear and tend.

    Raises
    ------
    InvalidInputError
        A group names what the file does not hold, or cannot be as it is.
    """
    by_id = {one.id: made for one, made in zip(file.agents, imports, strict=True) if one.id}
    if file.groups and len(by_id) < len(file.agents):
        raise no_agent_file(
            "The agents of an agent file with groups need ids of their own, each another one."
        )
    names = {one: made.state.id for one, made in by_id.items()}
    found = []
    for one in file.groups or ():
        group = _group(one, names, shared, notes)
        if group is None:
            continue
        if one.id in names:
            raise no_agent_file(f"The agent file has two things with the id {quoted(one.id)}.")
        if one.id:
            names[one.id] = group.id
        found.append(group)
    _tend(found, {made.state.id: made for made in imports})
    tended = {one.manager_agent_id for one in found if one.manager_type == "sleeptime"}
    for agent, made in zip(file.agents, imports, strict=True):
        for part in (made.before, made.summary, made.seen):
            part[:] = renamed(part, names)
        if agent.enable_sleeptime and made.state.id not in tended:
            notes.append(
                f"Nobody tidies the memory of {quoted(agent.name)} here: the file does not hold who did."
            )
    return found


def _group(
    one: FileGroup, names: dict[str, str], shared: Mapping[str, Block], notes: list[str]
) -> Group | None:
    config = one.manager_config or {}
    kind = config.get("manager_type") or "round_robin"
    if not isinstance(kind, str) or kind not in FIELDS:
        notes.append(f"Left out: a group with a manager of the kind {quoted(str(kind))}.")
        return None
    if not one.agent_ids:
        notes.append("Left out: a group of no agents.")
        return None
    ours = one.ours or {}
    fields: dict[str, Any] = {field: config.get(field) for field in FIELDS[kind]}
    if kind == "dynamic" and fields["termination_token"] is None:
        fields["termination_token"] = DONE
    if kind == "sleeptime":
        fields["sleeptime_propose_only"] = ours.get("propose_only") is True
    if fields.get("manager_agent_id") is not None:
        fields["manager_agent_id"] = named(names, str(fields["manager_agent_id"]), "agent")
    called = ours.get("name")
    try:
        return Group(
            name=called if isinstance(called, str) else "",
            description=one.description or "",
            manager_type=kind,  # type: ignore[arg-type]
            agent_ids=[named(names, agent, "agent") for agent in one.agent_ids],
            shared_block_ids=[
                named(dict(shared), block, "block").id
                for block in dict.fromkeys(one.shared_block_ids or ())
            ],
            hidden=bool(one.hidden),
            **fields,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise no_agent_file(
            f"A group of the agent file is wrong at {first['loc'][0]}: {first['msg']}."
        ) from None


def _tend(found: Sequence[Group], imports: Mapping[str, ImportedAgent]) -> None:
    """Say of each sleep-time agent whose memory it tidies; each tidies one, and nobody tidies its own."""
    asleep = [one for one in found if one.manager_type == "sleeptime"]
    everyone = [agent_id for one in asleep for agent_id in one.everyone]
    if len(set(everyone)) < len(everyone):
        raise no_agent_file(
            "In the agent file an agent tidies the memory of two, or of one that tidies another's memory."
        )
    for one in asleep:
        for agent_id in one.agent_ids:
            state = imports[agent_id].state
            shown = state.metadata.get(REST) or {}
            if shown.get("agent_type") == _SLEEPER:
                state.metadata[REST] = {**shown, SLEEPTIME_OF: one.manager_agent_id}
                state.settings["notebook"] = "off"  # no file says it, and it has nobody to ask
