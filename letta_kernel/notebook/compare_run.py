"""A comparison in a cell: ``%%compare`` read, run under a progress bar, shown, and shown again when decided."""

from __future__ import annotations

import contextvars
from collections.abc import Sequence
from typing import Any

from letta_kernel.api.comparison import Compared, compared
from letta_kernel.commands import at
from letta_kernel.commands.arguments import parse
from letta_kernel.display.comparison import comparison_panel
from letta_kernel.errors import InvalidInputError
from letta_kernel.ids import new_id
from letta_kernel.notebook.output import progress
from letta_kernel.notebook.session import Session
from letta_kernel.notebook.template import Filled
from letta_kernel.project import settle
from letta_kernel.records import AgentState
from letta_kernel.service.compared import Comparison
from letta_kernel.service.variants import read_settings, switches

CELL = "%%compare"
OPEN = "%agent keep N lets one go on as its agent; %agent keep none throws all away."
STOPPED = "Stopped; what the forks did is thrown away, and the agent is as it was."
_MOST_NAMED = 8  # tools


def run_cell(session: Session, line: str, cell: str) -> None:
    """Run ``%%compare`` *line* with the message *cell*."""
    session.used = True
    command = at("notebook")[CELL]
    usage = f"{command.usage('notebook')}, the message below it"
    given = parse(line, command.takes("notebook"), usage=usage)
    variable = given.get("as_")
    if variable is not None and not variable.isidentifier():
        raise InvalidInputError(f"--as needs a variable: --as results, not {variable!r}.")
    text = cell.strip("\n")
    filled = Filled(text) if given.get("raw") else session.filled(text)
    if not filled.text.strip():
        raise InvalidInputError("There is nothing to send: the cell is empty.")
    settle()
    session.functions.load()
    found = _agents(session, given)
    instructions = given.get("instructions", [])
    if not given.get("raw"):
        instructions = [session.fill(one) for one in instructions]
    tools = given.get("tools", [])
    if tools in ([], ["on"]):
        _say_what_tools_do(session, found)
    with progress(session.shell, STOPPED) as draw:
        result = compared(
            session.service,
            [one.id for one in found],
            filled.text,
            host=session.host_of,
            models=given.get("models", ()),
            instructions=instructions,
            settings=[read_settings(one) for one in given.get("settings", ())],
            memory=switches(given.get("memory", ()), "--memory"),
            tools=tools,
            repeat=given.get("repeat") or 1,
            pictures=filled.pictures,
            budget=given.get("budget"),
            budget_tokens=given.get("budget_tokens"),
            max_steps=given.get("max_steps"),
            watch=draw,
        )
    if variable is not None:
        session.shell.user_ns[variable] = result
    _Shown(session.shell).show(result)


def _agents(session: Session, given: dict[str, Any]) -> list[AgentState]:
    """Return the agents that are compared; without a name the current one."""
    names = given.get("agents")
    if names and given.get("name"):
        raise InvalidInputError("Name one agent, or several by --agents, not both.")
    return [session.agent(one) for one in names] if names else [session.agent(given.get("name"))]


def _say_what_tools_do(session: Session, agents: Sequence[AgentState]) -> None:
    names = [
        tool.name
        for agent in agents
        for tool in session.service.tools.list(agent.id)
        if tool.kind != "core"
    ]
    if names:
        known = list(dict.fromkeys(names))
        more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        session.say(
            f"Every run calls {', '.join(known[:_MOST_NAMED])}{more} for itself, with what that does outside: "
            "--tools memory, or off, leaves them out."
        )


class _Shown:
    """A comparison in the cell that made it; drawn again when it is decided, by whatever door."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._display = {"display_id": new_id("view")}
        self._context = contextvars.copy_context()  # of the cell, whose output this is

    def show(self, result: Compared) -> None:
        if getattr(self._shell, "kernel", None) is None:
            print(comparison_panel(result.comparison, OPEN).text)
            return
        self._publish(result.comparison)
        result.comparison.decided.append(self._again)

    def _again(self, comparison: Comparison) -> None:
        self._context.run(self._publish, comparison, update=True)

    def _publish(self, comparison: Comparison, update: bool = False) -> None:
        bundle = comparison_panel(comparison, OPEN)._repr_mimebundle_()
        self._shell.display_pub.publish(bundle, transient=self._display, update=update)
