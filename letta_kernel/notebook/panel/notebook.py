"""The notebook's tools for a chat that runs elsewhere: what they take, and calls that need this kernel."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from letta_kernel.errors import NotFoundError, nearest
from letta_kernel.notebook.panel.registry import Params, RequestContext, Word, method
from letta_kernel.records import Tool
from letta_kernel.tools import notebook as tools


class Offered(Params):
    """Whose tools; without an agent those of one without settings."""

    agent: Word | None = None


class Call(Params):
    """A call that the person, or the agent's policy, has let pass already."""

    tool: Word
    arguments: dict[str, Any]
    agent: Word | None = None
    run: str = Field("", max_length=500)


@method("notebook.tools", Offered)
def offered(context: RequestContext, asked: Offered) -> dict[str, Any]:
    """Return the policy and the tools of an agent's turn; ``asks`` says which calls wait for a person."""
    if asked.agent is None:
        return {"policy": "ask", "tools": [_shown(tool) for tool in tools.offered("ask")]}
    kernel = context.here()
    agent = context.service.agents.retrieve(asked.agent)
    found = kernel.grants.offered(context.service, agent.id)
    return {"policy": kernel.grants.policy(agent), "tools": [_shown(tool) for tool in found]}


@method("notebook.call", Call)
def call(context: RequestContext, asked: Call) -> dict[str, str]:
    """Carry out a call on the main thread, in its turn among the cells. Returns a ticket."""
    if asked.tool not in tools.NAMES:
        hint = nearest(asked.tool, tools.NAMES)
        raise NotFoundError(f"There is no notebook tool {asked.tool!r}.{hint}")
    kernel = context.here()
    agent = context.service.agents.retrieve(asked.agent).id if asked.agent else ""
    return kernel.main_thread.submit(
        lambda: kernel.notebook_call(asked.tool, asked.arguments, agent, asked.run)
    )


def _shown(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "asks": tool.requires_approval,
    }
