"""Which tools run for a guest: somebody who talks with another person's agent."""

from __future__ import annotations

from letta_kernel import users
from letta_kernel.records import Tool

_NEVER = frozenset({"send_message_to_agent_async"})  # it is read when nobody is there to be a guest


def refused(tool: Tool, asks: bool) -> str | None:
    """Return why a call of *tool* does not run for the guest who acts; None: it does, or nobody is one.

    The agent's own memory serves everybody. What else it has is the owner's (functions of a notebook, code,
    servers, other agents), and runs for a guest only if the owner named it.

    Parameters
    ----------
    asks : whether its calls wait for a person's word.
    """
    guest = users.guest()
    if guest is None:
        return None
    if tool.kind == "source" and not tool.source:  # the guest's own program runs it
        return None
    actor, owner = users.current_user(), users.current_owner()
    if tool.name in _NEVER:
        return f"{tool.name} never runs for a guest, as {actor} is: it works when nobody is there."
    if tool.name in guest.tools or (tool.kind == "core" and not asks):
        return None
    return (
        f"{tool.name} does not run for {actor}, a guest: {owner} lets it with "
        f"`%agent grant AGENT {actor} … --tool {tool.name}`. Nothing was done."
    )
