"""Running a tool: the notebook's live function on the calling thread, its source in the sandbox, or MCP.

A call always ends in an `Outcome`; only the stop button (`KeyboardInterrupt`) passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal, Protocol

from letta_kernel.errors import LettaError
from letta_kernel.messages import Event
from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.store import encryption
from letta_kernel.tools import builtin
from letta_kernel.tools.agent_client import asked_for
from letta_kernel.tools.agent_state import StateCopy
from letta_kernel.tools.client_calls import ClientCalls
from letta_kernel.tools.context import ToolContext
from letta_kernel.tools.live import asks_for_state, run_function
from letta_kernel.tools.outcome import Outcome, interrupted
from letta_kernel.tools.output import OutputFunction, Printed, kept
from letta_kernel.tools.sandbox import Sandbox, View, default_sandbox

_SECRET = 6  # characters of a variable that is looked for in texts

Place = Literal["core", "notebook", "sandbox", "mcp"]
Lent = Callable[[Mapping[str, Any], OutputFunction, Cancel], Outcome]
"""What does the work of a tool of one turn: takes checked JSON values, what is told of output, the switch."""


class ToolHost(Protocol):
    """Whoever holds live functions: the kernel, or a script."""

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the live function behind *tool*, or None if its code has not run here."""
        ...


class ToolServers(Protocol):
    """Whoever reaches the servers on which tools of kind ``mcp`` run."""

    def call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        on_output: OutputFunction,
        cancel: Cancel,
    ) -> Outcome:
        """Call *tool* on its server with checked JSON values and return how it ended."""
        ...


class Asker(Protocol):
    """Whoever can let other agents work.

    Attributes
    ----------
    sharing : how many calls go on at the same time, which share what is left of the run's budget.
    """

    sharing: int

    def ask(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        call_id: str,
        on_output: OutputFunction,
        on_event: Callable[[str, Event], None],
        cancel: Cancel,
    ) -> Outcome:
        """Do what a tool for other agents does, with checked JSON values, and return how it ended.

        *on_event* is told of what happens in their runs: agent id, event.
        """
        ...


@dataclass(slots=True)
class Executor:
    """Runs tools.

    Parameters
    ----------
    host
        Where live functions are looked up; None: every tool runs in the sandbox.
    sandbox
        The sandbox to use; None: one shared by the whole process.
    environment
        The environment variables a sandboxed tool is given (the agent's own), and no others.
    agent_state
        Makes what a tool that asks for ``agent_state`` gets; in the sandbox a copy of that.
    view
        What of the file system a sandboxed tool sees.
    context
        The memory of the agent whose calls these are, which ``client`` in a sandboxed tool reaches.
    servers
        Where tools of MCP servers run; None: they cannot.
    lent
        What runs tools of this turn, by their ids.
    asker
        What lets other agents work; None: nobody can be asked.
    """

    host: ToolHost | None = None
    sandbox: Sandbox | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    agent_state: Callable[[], Any] = lambda: None
    context: ToolContext | None = None
    servers: ToolServers | None = None
    view: View = field(default_factory=View)
    lent: Mapping[str, Lent] = field(default_factory=dict)
    asker: Asker | None = None

    def function(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the live function a call of *tool* would run, or None if it runs elsewhere."""
        if tool.runs_in != "notebook" or self.host is None:
            return None
        return self.host.lookup(tool)

    def place(self, tool: Tool) -> Place:
        """Return where a call of *tool* would run now."""
        if tool.runs_in in ("core", "mcp"):
            return tool.runs_in
        return "notebook" if self.function(tool) is not None else "sandbox"

    def run(
        self,
        tool: Tool,
        kwargs: Mapping[str, Any],
        *,
        call_id: str = "",
        on_output: OutputFunction = lambda stream, text: None,
        on_event: Callable[[str, Event], None] = lambda agent_id, event: None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Call *tool* with checked arguments and return how it ended.

        Parameters
        ----------
        kwargs
            As `letta_kernel.tools.arguments.parse_arguments` returned them for this tool and function.
        call_id
            The call's id, for what runs elsewhere.
        on_output
            Called with ``stdout``, ``stderr`` or ``progress`` and a piece of text, as it comes.
        on_event
            Called with the id of another agent that is asked, and what happens in its run.
        cancel
            Ends the call when thrown.

        Raises
        ------
        KeyboardInterrupt
            The stop button; whatever ran has been ended.
        """
        cancel = cancel or Cancel()
        on_output = printed = Printed(on_output)
        started = perf_counter()
        function = self.function(tool)
        asks = "agent_state" in tool.source if function is None else asks_for_state(function)
        state = self.agent_state() if asks else None
        before = state.values_now() if isinstance(state, StateCopy) else {}
        if cancel.cancelled:
            outcome = interrupted()
        elif function is not None:
            outcome = run_function(
                function,
                kwargs,
                limit=tool.return_limit,
                time_limit=tool.time_limit,
                on_output=on_output,
                cancel=cancel,
                agent_state=state,
            )
        elif builtin.is_together(tool.id):
            outcome = self._ask(tool, kwargs, call_id, on_output, on_event, cancel)
        elif tool.id in self.lent:
            outcome = self.lent[tool.id](kwargs, on_output, cancel)
        elif tool.runs_in == "mcp" and self.servers is not None:
            outcome = self.servers.call(tool, kwargs, on_output=on_output, cancel=cancel)
        else:
            outcome = self._in_sandbox(tool, kwargs, state, on_output, cancel)
        if isinstance(state, StateCopy) and outcome.status == "ok":
            now = state.values_now()
            outcome.written = {
                label: (text, now[label])
                for label, text in before.items()
                if text != now.get(label, text)
            }
        outcome.seconds = perf_counter() - started
        self._scrub(outcome)
        secrets = [value for value in self.environment.values() if len(value) >= _SECRET]
        failed = outcome.traceback or outcome.error if outcome.status == "error" else None
        outcome.stdout = kept(printed.of("stdout"), secrets)
        outcome.stderr = kept(printed.of("stderr") + (failed or ""), secrets)
        return outcome

    def _ask(
        self,
        tool: Tool,
        kwargs: Mapping[str, Any],
        call_id: str,
        on_output: OutputFunction,
        on_event: Callable[[str, Event], None],
        cancel: Cancel,
    ) -> Outcome:
        if self.asker is None:
            text = f"{tool.name} is called by agents only: send to the other agent yourself."
            return Outcome("error", text, error=text)
        return self.asker.ask(
            tool, kwargs, call_id=call_id, on_output=on_output, on_event=on_event, cancel=cancel
        )

    def _in_sandbox(
        self,
        tool: Tool,
        kwargs: Mapping[str, Any],
        state: Any,
        on_output: OutputFunction,
        cancel: Cancel,
    ) -> Outcome:
        if not tool.source:
            mend = "its MCP server cannot be reached from here"
            if tool.runs_in != "mcp":
                mend = "run the cell that defines it"
                if self.host is None:
                    mend += ", and talk to the agent from that notebook"
            text = f"{tool.name} has no source to run: {mend}"
            return Outcome("error", text, error=text)
        sandbox = self.sandbox or default_sandbox()
        asked, own = None, {}
        if self.context is not None:
            own = {"LETTA_AGENT_ID": self.context.agent_id}
            if asked_for(tool.source):
                asked = ClientCalls(self.context, tool, self.agent_state)
        try:
            encryption.check(self.environment, "the agent")
            outcome = sandbox.run(
                tool,
                kwargs,
                environment={**builtin.environment(tool), **own, **self.environment},
                agent_state=state,
                ask=asked,
                view=self.view,
                on_output=on_output,
                cancel=cancel,
            )
        except LettaError as error:
            outcome = Outcome("error", str(error), error=str(error))
        if asked is not None:
            outcome.changes = asked.changes
        if tool.runs_in == "notebook":
            where = "the notebook that defines it is not here"
            lacks = "this tool uses names of the notebook that defines it, which is not here"
            if self.host is not None:
                where = "its cell has not run in this kernel yet"
                lacks = "the cell that defines this tool has not run since the kernel started"
            outcome.note = (
                f"{tool.name} ran from its stored source in a process of its own: {where}"
            )
            if outcome.error and "NameError" in outcome.error:
                outcome.text += f" ({lacks})"
        return outcome

    def _scrub(self, outcome: Outcome) -> None:
        """Take the values of the agent's variables from what went wrong: such texts are shown and kept."""
        if outcome.status == "ok":
            return
        for name, value in self.environment.items():
            if len(value) >= _SECRET:
                outcome.text = outcome.text.replace(value, f"${{{name}}}")
                outcome.error = outcome.error and outcome.error.replace(value, f"${{{name}}}")
                outcome.traceback = outcome.traceback and outcome.traceback.replace(
                    value, f"${{{name}}}"
                )
