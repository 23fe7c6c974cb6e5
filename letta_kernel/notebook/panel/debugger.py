"""The debugger in the panel: what an agent's runs stop at, and the run that has stopped."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from letta_kernel.agent.breakpoints import MOST
from letta_kernel.errors import NotFoundError
from letta_kernel.notebook.panel.registry import OfAgent, RequestContext, Word, method
from letta_kernel.records import AgentState
from letta_kernel.service.debug import Action, Move


class Stops(OfAgent):
    """What runs stop at from now on; what is None stays."""

    breakpoints: Annotated[list[Word], Field(max_length=MOST)] | None = None
    stepping: bool | None = None


class Goes(OfAgent):
    """How a run that has stopped goes on."""

    action: Action


@method("debugger", OfAgent)
def debugger(context: RequestContext, asked: OfAgent) -> dict[str, Any]:
    """Return the breakpoints of an agent, whether its runs here stop at each step, and where one has stopped.

    ``stepping`` is None where there is no notebook; ``held`` has ``title`` and ``why``, or is None.
    """
    return _shown(context, context.service.agents.retrieve(asked.agent))


@method("debugger.set", Stops)
def set_stops(context: RequestContext, asked: Stops) -> dict[str, Any]:
    """Set what runs stop at."""
    agent = context.service.agents.retrieve(asked.agent)
    if asked.breakpoints is not None:
        kept = {"breakpoints": asked.breakpoints or None}
        agent = context.service.agents.update(agent.id, settings=kept)
    if asked.stepping is not None:
        context.here().debugging(agent, asked.stepping)
    return _shown(context, agent)


@method("debugger.go", Goes)
def go(context: RequestContext, asked: Goes) -> None:
    """Let a run go on that has stopped in a cell of this kernel."""
    agent = context.service.agents.retrieve(asked.agent)
    held = context.here().debugger.held(agent.id)
    if held is None:
        raise NotFoundError(f"No run of {agent.name} has stopped here.")
    held.answer(Move(asked.action))


def _shown(context: RequestContext, agent: AgentState) -> dict[str, Any]:
    kernel = context.kernel
    held = kernel.debugger.held(agent.id) if kernel is not None else None
    return {
        "breakpoints": list(agent.settings.get("breakpoints") or ()),
        "stepping": kernel.debugging(agent, None) if kernel is not None else None,
        "held": {"title": held.stop.title, "why": held.stop.why} if held is not None else None,
    }
