"""Agents shared with other people: granted, listed, taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from letta_kernel.commands.agents import NAME
from letta_kernel.commands.door import Answer, Door, Rows, gone, how
from letta_kernel.commands.spec import argument, command, option

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, Grant

GROUP = "Keeping and sharing"

USER = argument("The other person's name, as their token has it", values="person")


@command("grant", "agent grant", group=GROUP)
def grant(
    door: Door,
    name: str = NAME,
    user: str = USER,
    rights: list[str] = argument(
        "read (all of it), talk (in threads of their own), write (both, and its memory)",
        values="right",
    ),
    tool: list[str] | None = option(
        "A tool of the agent that runs for them, too; others of yours do not",
        values="any_tool",
        repeated=True,
    ),
) -> Answer:
    """Let another person use an agent through a server: as OWNER/NAME.

    It replaces what they had of that agent; tools that were granted stay unless others are named. Your tools
    run for them only if you name them here, the agent's own memory always.
    """
    state = door.service.agents.retrieve(name)
    made = door.service.grants.grant(state.id, user, *rights, tools=tool)
    back = how(door, "revoke", state.name, user)
    said = (
        f"{user} may {' and '.join(made.rights)} {_with(made)}{state.name}. {back} takes it back."
    )
    return Answer(said, made)


@command("grants", "agent grants", group=GROUP, lists=True)
def list_grants(
    door: Door, name: str | None = argument("Only of this agent", None, values="agent")
) -> Answer:
    """Show what other people may with your agents."""
    found = door.service.grants.list(name)
    names = {one.id: one.name for one in door.service.agents.list(set_aside=True)} if found else {}
    rows = [
        [
            names.get(one.agent_id, one.agent_id),
            one.guest,
            ", ".join(one.rights),
            ", ".join(one.tools),
            f"{one.updated_at.astimezone():%Y-%m-%d %H:%M}",
        ]
        for one in found
    ]
    empty = f"Nothing is granted: {how(door, 'grant', 'NAME', 'USER', 'talk')}"
    columns = ["agent", "person", "rights", "tools", "since"]
    return Answer(data=found, rows=lambda: Rows(columns, rows, empty))


@command("revoke", "agent revoke", group=GROUP)
def revoke(door: Door, name: str = NAME, user: str = USER) -> Answer:
    """Take back what another person may with an agent; streams and sockets of theirs end at once."""
    state: AgentState = door.service.agents.retrieve(name)

    def work() -> Answer:
        made = door.service.grants.revoke(state.id, user)
        return Answer(f"{user} may nothing with {state.name} any more.", _data(made))

    return gone(door, work)


def _with(made: Grant) -> str:
    return f"(and run {', '.join(made.tools)}) with " if made.tools else "with "


def _data(made: Grant) -> dict[str, Any]:
    return made.model_dump(mode="json")
