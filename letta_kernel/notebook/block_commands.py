"""``%agent memory``: the panel of all blocks, one block, its versions, and what may be done with one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from letta_kernel.display import panels
from letta_kernel.display.tables import Panel
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import LOCAL_USER
from letta_kernel.models.tokens import count
from letta_kernel.notebook.commands import YES, confirmed
from letta_kernel.notebook.line import Argument, Arguments, Option
from letta_kernel.notebook.memory_panel import show_memory
from letta_kernel.notebook.registry import AGENT, command
from letta_kernel.notebook.tool_commands import is_on
from letta_kernel.records import AgentState, BlockVersion

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

# What is done with a block, one thing at a time; the properties may be changed together.
_ACTIONS = ("undo", "redo", "history", "diff", "share", "delete")
_PROPERTIES = ("limit", "read_only", "description", "tags")


@command(
    "memory",
    Argument("label", required=False, values="label"),
    Argument("value", required=False, rest=True),
    options=(
        Option("--undo", "flag", "back to the version before"),
        Option("--redo", "flag", "take back an undo"),
        Option("--history", "flag", "all versions: who wrote them, when and why"),
        Option("--diff", "text", "what changed between two versions: --diff 1 3"),
        Option("--limit", "int", "characters it may hold"),
        Option("--read-only", "word", "on: the agent cannot change it", values="switch"),
        Option("--description", "text", "what the agent is told it is for"),
        Option("--tags", "list", "words to find it by; --tags= takes them off"),
        Option("--share", "word", "let another agent have the same block", values="agent"),
        Option("--delete", "flag", "take it off the agent"),
        YES,
        AGENT,
    ),
    summary="the memory blocks; show one, write it, undo, compare, share, delete",
)
def memory(session: Session, given: Arguments) -> Panel | str | None:
    """Show all blocks live, or do something with one."""
    agent = session.agent(given.option("agent"))
    label, value = given.get("label"), given.get("value")
    actions = [name for name in _ACTIONS if given.option(name)]
    changes: dict[str, Any] = {
        name: given.option(name) for name in _PROPERTIES if given.option(name) is not None
    }
    if label is None:
        if actions or changes:
            raise InvalidInputError("Which block? %agent memory LABEL and the option.")
        show_memory(session.shell, session.service, agent)
        return None
    if len(actions) + bool(changes) + (value is not None) > 1:
        raise InvalidInputError(
            "One thing at a time. (A text that holds such options is written after -- .)"
        )
    if actions:
        return _act(session, agent, label, actions[0], given)
    if changes:
        if "read_only" in changes:
            changes["read_only"] = is_on(changes["read_only"])
        if "tags" in changes:
            changes["tags"] = list(dict.fromkeys(changes["tags"]))
        session.service.blocks.update(label, agent=agent.id, **changes)
    elif value is not None:
        session.service.blocks.upsert(label, value, agent=agent.id, reason="%agent memory")
    return _block(session, agent, label)


def _act(session: Session, agent: AgentState, label: str, action: str, given: Arguments) -> Any:
    service = session.service
    if action == "undo":
        service.blocks.undo(label, agent=agent.id)
    elif action == "redo":
        service.blocks.redo(label, agent=agent.id)
    elif action == "history":
        return panels.versions_panel(label, _versions(session, agent, label))
    elif action == "diff":
        return _diff(session, agent, label, given.option("diff"))
    elif action == "share":
        other = service.agents.retrieve(given.option("share"))
        service.blocks.attach(service.blocks.retrieve(label, agent=agent.id).id, agent=other.id)
        return f"{agent.name} and {other.name} have the block {label} together now."
    else:
        try:
            service.blocks.retrieve(label, agent=agent.id)
        except NotFoundError as error:
            return f"Nothing to do. {error}"
        question = f"Take {label} off {agent.name}? [y/N] "
        if not given.option("yes") and not confirmed(question):
            return f"{agent.name} still has {label}."
        service.blocks.delete(label, agent=agent.id)
        return f"{agent.name} no longer has {label}."
    return _block(session, agent, label)


def _block(session: Session, agent: AgentState, label: str) -> Panel:
    block = session.service.blocks.retrieve(label, agent=agent.id)
    versions = _versions(session, agent, label)
    return panels.block_panel(block, versions, tokens=count(block.value))


def _versions(session: Session, agent: AgentState, label: str) -> list[BlockVersion]:
    names = {LOCAL_USER: "you", **{one.id: one.name for one in session.service.agents.list()}}
    return [
        version.model_copy(update={"actor": names.get(version.actor, version.actor)})
        for version in session.service.blocks.versions(label, agent=agent.id)
    ]


def _diff(session: Session, agent: AgentState, label: str, asked: str) -> Panel:
    numbers = re.findall(r"\d+", asked)
    if len(numbers) != 2 or re.sub(r"[\d\s,.v→-]", "", asked):
        raise InvalidInputError(f"Two versions are compared: --diff 1 3, not {asked!r}.")
    versions = {version.version: version for version in _versions(session, agent, label)}
    for number in numbers:
        if int(number) not in versions:
            known = f"{min(versions)} to {max(versions)}" if versions else "none"
            raise InvalidInputError(f"{label} has no version {number}; it has: {known}.")
    before, after = (versions[int(number)] for number in numbers)
    return panels.versions_panel(label, [after], before)
