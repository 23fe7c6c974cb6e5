"""Running a tool: the notebook's live function on the calling thread, or its source in the sandbox.

A call always ends in an `Outcome`; only the stop button (`KeyboardInterrupt`) passes through. ``async``
tools run on a thread with a loop of its own, in the caller's context, so that what they print finds its way.

Limits of a call in the notebook: on the main thread a time limit ends it anywhere; elsewhere (parallel calls)
only between Python instructions. A function that catches `BaseException` for ever cannot be ended.
"""

from __future__ import annotations

import inspect
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Protocol

from letta_kernel.errors import LettaError
from letta_kernel.messages import ReturnStatus
from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.tools.interrupt import CancelledCallError, TimeUpError, ended_by
from letta_kernel.tools.output import OutputFunction, captured
from letta_kernel.tools.results import present, shorten

if TYPE_CHECKING:
    from letta_kernel.tools.sandbox import Sandbox

Place = Literal["notebook", "sandbox", "mcp"]

_HERE = str(Path(__file__).parent)
_ERROR = 300  # characters of an error's one line
_FRAMES = 60  # of a traceback that are shown
_ERROR_TEXT = 4_000  # characters of an error's text the model sees


class ToolHost(Protocol):
    """Whoever holds live functions: the kernel, or a script."""

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the live function behind *tool*, or None if its code has not run here."""
        ...


@dataclass(slots=True)
class Outcome:
    """How a call ended.

    ``text`` is what the model sees, ``display`` a MIME bundle for the person, ``error`` one line with type
    and message, ``traceback`` starts at the author's function, ``seconds`` is the time it took, ``note``
    something the person should know (where a stored tool ran, say).
    """

    status: ReturnStatus
    text: str
    display: dict[str, Any] | None = None
    error: str | None = None
    traceback: str | None = None
    seconds: float = 0.0
    note: str | None = None


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
        What a tool that asks for ``agent_state`` gets; in the sandbox a copy.
    servers
        Where tools of MCP servers run; None: they cannot.
    """

    host: ToolHost | None = None
    sandbox: Sandbox | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    agent_state: Any = None
    servers: ToolServers | None = None

    def function(self, tool: Tool) -> Callable[..., Any] | None:
        """Return the live function a call of *tool* would run, or None if it runs elsewhere."""
        if tool.runs_in != "notebook" or self.host is None:
            return None
        return self.host.lookup(tool)

    def place(self, tool: Tool) -> Place:
        """Return where a call of *tool* would run now."""
        if tool.runs_in == "mcp":
            return "mcp"
        return "notebook" if self.function(tool) is not None else "sandbox"

    def run(
        self,
        tool: Tool,
        kwargs: Mapping[str, Any],
        *,
        call_id: str = "",
        on_output: OutputFunction = lambda stream, text: None,
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
        cancel
            Ends the call when thrown.

        Raises
        ------
        KeyboardInterrupt
            The stop button; whatever ran has been ended.
        """
        cancel = cancel or Cancel()
        started = perf_counter()
        function = self.function(tool)
        if cancel.cancelled:
            outcome = _interrupted()
        elif function is not None:
            outcome = run_function(
                function,
                kwargs,
                limit=tool.return_limit,
                time_limit=tool.time_limit,
                on_output=on_output,
                cancel=cancel,
                agent_state=self.agent_state,
            )
        elif tool.runs_in == "mcp" and self.servers is not None:
            outcome = self.servers.call(tool, kwargs, on_output=on_output, cancel=cancel)
        else:
            outcome = self._in_sandbox(tool, kwargs, on_output, cancel)
        outcome.seconds = perf_counter() - started
        return outcome

    def _in_sandbox(
        self, tool: Tool, kwargs: Mapping[str, Any], on_output: OutputFunction, cancel: Cancel
    ) -> Outcome:
        from letta_kernel.tools.sandbox import default_sandbox

        if not tool.source:
            mend = "its MCP server cannot be reached from here"
            if tool.runs_in != "mcp":
                mend = "run the cell that defines it"
            text = f"{tool.name} has no source to run: {mend}"
            return Outcome("error", text, error=text)
        sandbox = self.sandbox or default_sandbox()
        try:
            outcome = sandbox.run(
                tool,
                kwargs,
                environment=self.environment,
                agent_state=self.agent_state,
                on_output=on_output,
                cancel=cancel,
            )
        except LettaError as error:
            outcome = Outcome("error", str(error), error=str(error))
        if tool.runs_in == "notebook":
            outcome.note = (
                f"{tool.name} ran from its stored source in a process of its own: its cell has not run in "
                f"this kernel yet"
            )
            if outcome.error and "NameError" in outcome.error:
                outcome.text += (
                    " (the cell that defines this tool has not run since the kernel started)"
                )
        return outcome


def run_function(
    function: Callable[..., Any],
    kwargs: Mapping[str, Any],
    *,
    limit: int = 50_000,
    time_limit: float | None = None,
    on_output: OutputFunction = lambda stream, text: None,
    cancel: Cancel | None = None,
    agent_state: Any = None,
) -> Outcome:
    """Call a live function on this thread (async ones on the loop thread) and return how it ended."""
    cancel = cancel or Cancel()
    started = perf_counter()
    try:
        with captured(on_output):
            value = _called(function, kwargs, time_limit, cancel, on_output, agent_state)
            made = present(value, limit)
        outcome = Outcome("ok", made.text, made.display)
    except KeyboardInterrupt:
        raise
    except CancelledCallError:
        outcome = _interrupted()
    except TimeUpError:
        text = f"TimeoutError: the tool took longer than its limit of {time_limit:g} seconds and was stopped"
        outcome = Outcome("error", text, error=text)
    except BaseException as error:  # SystemExit and the like must not end the kernel
        outcome = failure(error, limit)
    outcome.seconds = perf_counter() - started
    return outcome


def failure(error: BaseException, limit: int = 50_000) -> Outcome:
    """Return the outcome of a call that raised: one line, the text for the model, the author's frames."""
    try:
        message = str(error)
    except Exception:  # an exception's __str__ is the author's too
        message = "(its message cannot be shown)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return Outcome(
        "error",
        shorten(text, min(limit, _ERROR_TEXT)),
        error=shorten_line(text),
        traceback=traceback_of(error),
    )


def shorten_line(text: str) -> str:
    """Return *text* as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _ERROR else f"{line[: _ERROR - 1]}…"


def traceback_of(error: BaseException) -> str:
    """Return the traceback of *error* from the author's function on; none of our frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_HERE):
        frames = frames.tb_next
    start = frames
    # The loop thread's own frames stand between ours and an async tool's.
    while start is not None and "asyncio" in Path(start.tb_frame.f_code.co_filename).parts:
        start = start.tb_next
    start = start or frames
    depth, frame = 0, start
    while frame is not None and depth <= _FRAMES:
        depth, frame = depth + 1, frame.tb_next
    try:
        # Of a recursion without end the last frames say enough, and all of them would take minutes.
        limit = -_FRAMES if depth > _FRAMES else None
        lines = traceback.format_exception(type(error), error, start, limit=limit)
        return shorten("".join(lines), 20_000)
    except Exception:  # formatting calls the author's __str__ and reads source files
        return type(error).__name__


def bind(
    function: Callable[..., Any], kwargs: Mapping[str, Any], agent_state: Any = None
) -> tuple[list[Any], dict[str, Any]]:
    """Sort checked arguments into positional and keyword ones; fill in ``agent_state``."""
    named = dict(kwargs)
    positional: list[Any] = []
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return positional, named
    for one in parameters:
        wanted = agent_state is not None or one.default is one.empty
        if one.name == "agent_state" and one.name not in named and wanted:
            named[one.name] = agent_state
        if one.kind is one.POSITIONAL_ONLY and one.name in named:
            positional.append(named.pop(one.name))
        elif one.kind is one.POSITIONAL_ONLY:
            # Left out: those after it can only be given if it is passed too.
            positional.append(one.default)
    return positional, named


def _called(
    function: Callable[..., Any],
    kwargs: Mapping[str, Any],
    time_limit: float | None,
    cancel: Cancel,
    on_output: OutputFunction,
    agent_state: Any,
) -> Any:
    positional, named = bind(function, kwargs, agent_state)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return _awaited(function(*positional, **named), time_limit, cancel, on_output)
    with ended_by(time_limit, cancel):
        value = function(*positional, **named)
        if isinstance(value, types.GeneratorType):
            return _drained(value, on_output)
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        return _awaited(value, time_limit, cancel, on_output)
    return value


def _drained(generator: types.GeneratorType[Any, Any, Any], on_output: OutputFunction) -> Any:
    """Pass on what a generator yields as progress; its result is what it returns, or yielded last."""
    last: Any = None
    while True:
        try:
            last = next(generator)
        except StopIteration as end:
            return last if end.value is None else end.value
        on_output("progress", present(last, 2_000).text)


def _awaited(
    awaitable: Any, time_limit: float | None, cancel: Cancel, on_output: OutputFunction
) -> Any:
    from letta_kernel.tools.loop import run_async

    if inspect.isasyncgen(awaitable):
        awaitable = _drained_async(awaitable, on_output)
    return run_async(awaitable, time_limit, cancel)


async def _drained_async(generator: Any, on_output: OutputFunction) -> Any:
    last: Any = None
    async for last in generator:
        on_output("progress", present(last, 2_000).text)
    return last


def _interrupted() -> Outcome:
    text = "The call was interrupted before it was done."
    return Outcome("interrupted", text, error=text)
