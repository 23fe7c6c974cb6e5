"""Which tools run for a guest: somebody who talks with another person's agent."""

from __future__ import annotations

from letta_kernel import users
from letta_kernel.records import Tool
from letta_kernel.tools import builtin

_NEVER = frozenset({"send_message_to_agent_async"})  # it is read when nobody is there to be a guest


def _is_clients(tool: Tool) -> bool:
    """Whether the guest's own program runs it: it came with the request, and there is nothing to run here."""
    nothing = tool.kind == "source" and not tool.source and not builtin.is_together(tool.id)
    return nothing and tool.requires_approval and tool.created_by == users.current_user()


def refused(tool: Tool, agent_id: str, asks: bool) -> str | None:
    """Return why a call of *tool* does not run for the guest who acts; None: it does, or nobody is one.

    The agent's own memory serves everybody. What else it has is the owner's (functions of a notebook, code,
    servers, other agents), and runs for a guest only if the owner named it.

    Parameters
    ----------
    agent_id : whose tool it is: with agents that the granted one asks, a guest may run nothing of theirs.
    asks : whether its calls wait for a person's word.
    """
    guest = users.guest()
    if guest is None:
        return None
    if _is_clients(tool):
        return None
    actor, owner = users.current_user(), users.current_owner()
    if tool.name in _NEVER:
        return f"{tool.name} never runs for a guest, as {actor} is: it works when nobody is there."
    named = tool.name in guest.tools and agent_id == guest.agent_id
    if named or (tool.kind == "core" and not asks):
        return None
    return (
        f"{tool.name} does not run for {actor}, a guest: {owner} can name it in what is "
        f"granted to {actor}. Nothing was done."
    )
