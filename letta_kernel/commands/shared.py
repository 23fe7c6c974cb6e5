"""What commands do with an agent of somebody else's, at the server that ``LETTA_SERVER`` names.

All other commands are for own agents alone: the door says so in one line (`Shared.not_here`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from letta_kernel.commands import conversation, memory
from letta_kernel.commands.door import Answer, Door, Notebook, Rows, Shared, Terminal
from letta_kernel.commands.spec import of_shared
from letta_kernel.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.messages import ToolCall


def use_shared(door: Door, shared: Shared) -> Answer:
    """Talk to a shared agent from now on."""
    from letta_kernel.remote import consent

    found = shared.server.retrieve(shared.ref)
    door.choose_shared(shared)
    told = consent(shared.server, shared.ref)
    if door.at == "terminal":
        return Answer(f"letta-kernel chat {shared.ref} talks to it. {told}", found)
    return Answer(f"%%agent talks to {shared.ref} now. {told}", found)


def show_shared(shared: Shared) -> Answer:
    """Show what one may know of a shared agent."""
    from letta_kernel.display.shared import shared_card
    from letta_kernel.remote import SharedAgentError

    found, blocks, hidden = shared.server.retrieve(shared.ref), [], ""
    try:
        blocks = [*shared.server.blocks(shared.ref)]
    except SharedAgentError as error:
        hidden = str(error)
    data = {**found.model_dump(mode="json"), "blocks": blocks}
    return Answer(data=data, panel=lambda: shared_card(found, blocks, hidden), plain=True)


@of_shared(conversation.history)
def history(door: Door, agent: Shared, limit: int | None) -> Answer:
    """Show what was said to a shared agent, as far as one may read it."""
    from letta_kernel.display.panels import history_table

    found = agent.server.history(agent.ref, limit or 50)
    return Answer(data=found, panel=lambda: history_table(found))


@of_shared(memory.list_blocks)
def blocks(door: Door, agent: Shared, as_of: str | None) -> Answer:
    """List the blocks of a shared agent."""
    from letta_kernel.display.block_panels import memory_panel

    if as_of is not None:
        raise agent.not_here()
    found = agent.server.blocks(agent.ref)
    rows = [[one.label, len(one.value), one.limit, one.read_only, one.value] for one in found]
    columns = ["label", "characters", "limit", "read only", "text"]
    return Answer(data=found, panel=lambda: memory_panel(found), rows=lambda: Rows(columns, rows))


@of_shared(memory.show_block)
def block(door: Door, agent: Shared, label: str, as_of: str | None) -> Answer:
    """Show one block of a shared agent."""
    if as_of is not None:
        raise agent.not_here()
    return _block(agent, label)


@of_shared(memory.memory)
def memory_line(door: Notebook, agent: Shared, label: str | None, **asked: Any) -> Answer:
    """Show the blocks of a shared agent, or one; to change them is its owner's."""
    if any(value not in (None, False) for value in asked.values()):
        raise agent.not_here()
    return blocks(door, agent, None) if label is None else _block(agent, label)


def _block(agent: Shared, label: str) -> Answer:
    from letta_kernel.display.block_panels import memory_panel

    known = agent.server.blocks(agent.ref)
    found = [one for one in known if one.label == label]
    if not found:
        labels = ", ".join(one.label for one in known) or "none"
        raise NotFoundError(f"{agent.ref} has no block {label!r}; it has: {labels}.")
    return Answer(found[0].value, found[0], panel=lambda: memory_panel(found))


@of_shared(conversation.approve)
def approve(
    door: Notebook, agent: Shared, call: str | None, args: str | None, for_: str | None
) -> None:
    """Let calls of a shared agent run that wait for one's word."""
    from letta_kernel.commands.arguments import json_object
    from letta_kernel.service import Decision

    if for_ is not None:
        raise agent.not_here()
    calls = _waiting(agent, call)
    if args is not None and len(calls) != 1:
        known = ", ".join(f"{one.id} ({one.name})" for one in calls)
        raise InvalidInputError(f"--args is for one call: {known}.")
    arguments = None if args is None else json_object(args, "--args is")
    decided = [Decision(one.id, approve=True, arguments=arguments) for one in calls]
    door.decide_shared(agent, decided)


@of_shared(conversation.deny)
def deny(door: Notebook, agent: Shared, reason: str | None) -> None:
    """Refuse calls of a shared agent that wait for one's word."""
    from letta_kernel.service import Decision

    calls = _waiting(agent, None)
    door.decide_shared(
        agent, [Decision(one.id, approve=False, reason=reason or "") for one in calls]
    )


def _waiting(agent: Shared, name: str | None) -> list[ToolCall]:
    found = [call for call in agent.server.pending(agent.ref) if name in (None, call.id, call.name)]
    if not found:
        raise InvalidInputError(f"{agent.ref} waits for no word of yours.")
    return found


@of_shared(conversation.chat)
def chat(door: Terminal, agent: Shared, step: bool, **options: Any) -> int:
    """Talk to a shared agent, line by line."""
    return int(door.own("talk.chat_shared", agent=agent, **_own_alone(agent, step=step, **options)))


@of_shared(conversation.send)
def send(
    door: Terminal, agent: Shared, text: str, event: bool, image: list[str] | None, **options: Any
) -> int:
    """Send one message to a shared agent and print the answer."""
    from letta_kernel.pictures.values import pictures_of

    options = _own_alone(agent, **options)
    return int(
        door.own(
            "talk.send_shared",
            agent=agent,
            text=door.text(text),
            role="event" if event else "user",
            pictures=pictures_of(image or ()),
            **options,
        )
    )


def _own_alone(
    agent: Shared, model: str | None, step: bool = False, **options: Any
) -> dict[str, Any]:
    if model is not None or step:
        raise InvalidInputError(
            f"{agent.ref} is {agent.owner}'s: with which model it answers, and stops at steps, is theirs."
        )
    return options
