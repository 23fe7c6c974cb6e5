"""Tools in the panel: what an agent can call, how that went, trying one by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from letta_kernel.errors import NotFoundError, nearest
from letta_kernel.notebook.panel.registry import OfAgent, Params, RequestContext, Word, method
from letta_kernel.records import Tool
from letta_kernel.tools.execute import ToolHost

_NEVER = {"calls": 0, "failures": 0, "last_error": None, "seconds": 0.0, "failing": False}


class Tools(Params):
    """Whose tools; without an agent those that this notebook's cells define."""

    agent: Word | None = None


class OneTool(OfAgent):
    """A tool of an agent, by name or id."""

    name: Word


class Call(OneTool):
    """A call by hand; the arguments are checked as a model's are."""

    arguments: dict[str, Any]


@method("tools", Tools, empty=[])
def tools(context: RequestContext, asked: Tools) -> list[dict[str, Any]]:
    """Return tools with how their calls went and where each runs now (``place``)."""
    service = context.service
    if asked.agent is None:
        found = [
            tool
            for tool in service.tools.list()
            if tool.kind == "notebook" and tool.notebook == context.notebook
        ]
        agents = [context.current()]
        always: set[str] = set()
    else:
        state = service.agents.retrieve(asked.agent)
        found, agents = service.tools.list(state.id), [state.id]
        always = {rule.tool_name for rule in state.tool_rules if rule.type == "requires_approval"}
    stats = [service.tools.stats(agent) for agent in agents if agent is not None]
    host = None
    if context.kernel is not None:
        host = context.kernel.host_of(agents[0]) if agents[0] else context.kernel.host
    return [_shown(host, tool, stats, always) for tool in found]


@method("tool.run", Call)
def run(context: RequestContext, asked: Call) -> Any:
    """Call a tool by hand; return its outcome and what it printed.

    A function of the notebook runs on the main thread, in its turn among the cells: then the answer is a
    ticket (see `letta_kernel.notebook.main_thread.MainThreadQueue.submit`).
    """
    tool = _own(context, asked)
    kernel = context.kernel
    host = (
        kernel.host_of(context.service.agents.retrieve(asked.agent).id)
        if kernel is not None
        else None
    )

    def work() -> dict[str, Any]:
        printed: list[str] = []
        outcome = context.service.tools.run(
            tool.id,
            asked.arguments,
            agent=asked.agent,
            host=host,
            on_output=lambda stream, text: printed.append(text),
        )
        return {**asdict(outcome), "output": "".join(printed)}

    if kernel is not None and host is not None and host.lookup(tool) is not None:
        return kernel.main_thread.submit(work)
    return work()


@method("tool.detach", OneTool)
def detach(context: RequestContext, asked: OneTool) -> None:
    """Take a tool off an agent."""
    context.service.tools.detach(asked.name, agent=asked.agent)


def _own(context: RequestContext, asked: OneTool) -> Tool:
    own = context.service.tools.list(asked.agent)
    for tool in own:
        if asked.name in (tool.name, tool.id):
            return tool
    hint = nearest(asked.name, [tool.name for tool in own])
    raise NotFoundError(f"{asked.agent} has no tool {asked.name!r}.{hint}")


def _shown(
    host: ToolHost | None, tool: Tool, stats: Sequence[Mapping[str, Any]], always: set[str]
) -> dict[str, Any]:
    used = next((asdict(one[tool.name]) for one in stats if tool.name in one), _NEVER)
    shown = tool.model_dump(mode="json")
    shown["requires_approval"] = tool.requires_approval or tool.name in always
    place = tool.runs_in
    if place == "notebook" and (host is None or host.lookup(tool) is None):
        place = "sandbox"  # from its source, until its cell has run
    return {**shown, **used, "name": tool.name, "place": place}
