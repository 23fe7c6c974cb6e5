"""What an agent can call: listed, looked at, added, given, taken off, tried by hand."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.arguments import json_object, split
from letta_kernel.commands.door import AGENT, ANY_AGENT, Answer, Door, Rows, Terminal, gone, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.commands.values import is_on
from letta_kernel.errors import InvalidInputError, NotFoundError, ToolError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from letta_kernel.records import AgentState, Tool

GROUP = "Tools"

OWN_TOOL = argument("A tool's name or id", values="tool")
ANY_TOOL = argument("A tool's name or id", values="any_tool")
_GIVEN = re.compile(r"(?:^|\s)([A-Za-z_]\w*)=")


@command("tools", "tool list", group=GROUP, lists=True)
def list_tools(door: Door, agent: AgentState | None = ANY_AGENT) -> Answer:
    """List what an agent can call, and how that went.

    At a terminal, without --agent, all that the project has.
    """
    from letta_kernel.display.panels import tools_table

    service = door.service
    found = service.tools.list() if agent is None else service.tools.list(agent.id)
    used = {} if agent is None else service.tools.stats(agent.id)
    rows = [_row(tool, used.get(tool.name), agent is not None) for tool in found]
    figures = ["calls", "failed", "last error"] if agent is not None else []
    data = [
        {
            **tool.model_dump(mode="json"),
            **(_figures(used.get(tool.name)) if agent is not None else {}),
        }
        for tool in found
    ]
    return Answer(
        data=data,
        panel=lambda: tools_table(*_for_panel(door, agent, found, used)),
        rows=lambda: Rows(["tool", "runs in", "asks", *figures, "what for"], rows, "No tools."),
    )


def _row(tool: Tool, used: Any, figured: bool) -> list[Any]:
    figures = [used.calls, used.failures, used.last_error] if used else [0, 0, None]
    about = tool.description.partition("\n")[0]
    return [
        *(tool.name, tool.runs_in, tool.requires_approval),
        *(figures if figured else ()),
        about,
    ]


def _figures(used: Any) -> dict[str, Any]:
    names = ("calls", "failures", "seconds", "last_error")
    return {name: getattr(used, name, None if name == "last_error" else 0) for name in names}


def _for_panel(
    door: Door, agent: AgentState | None, tools: Sequence[Tool], used: dict[str, Any]
) -> tuple[list[Tool], dict[str, dict[str, Any]]]:
    """Return tools, those that rules let wait marked, and their figures with the place where they run."""
    figures: dict[str, dict[str, Any]] = {name: asdict(one) for name, one in used.items()}
    asked: set[str] = set()
    if agent is not None:
        asked = {one.tool_name for one in agent.tool_rules if one.type == "requires_approval"}
    for tool in tools:
        place: str = tool.runs_in
        if agent is not None and place == "notebook" and not door.runs_here(agent, tool):
            place = "sandbox, from its source"
        if place.startswith("sandbox"):
            place += f"; kept in by {_held_by()}" + ("" if tool.network else ", without a network")
        figures.setdefault(tool.name, {})["place"] = place
    shown = [
        tool.model_copy(update={"requires_approval": tool.requires_approval or tool.name in asked})
        for tool in tools
    ]
    return shown, figures


def _held_by() -> str:
    """Return what keeps sandboxed tools in on this machine, in words."""
    from letta_kernel.tools.sandbox import HELD_BY, default_sandbox

    try:
        return HELD_BY[default_sandbox().level()]
    except ToolError as error:
        return f"nothing: {error}"


@command(None, "tool show", group=GROUP)
def show(door: Terminal, tool: str = ANY_TOOL, agent: AgentState | None = ANY_AGENT) -> Answer:
    """Show a tool: what the model is told of it, and its source."""
    service = door.service
    every = service.tools.list(agent.id) if agent is not None else service.tools.list()
    found = _named(every, tool)[0]
    said = f"{found.name}  {found.id}  {found.kind}, runs in: {found.runs_in}\n{_told(found)}"
    source = f"\n\n{found.source.rstrip()}" if found.source else ""
    return Answer(said + source, found)


@command("tools source", None, group=GROUP)
def source(door: Door, tool: str = ANY_TOOL) -> Answer:
    """Print the code of a tool of this project, as it would run."""
    parts = [
        f"# {one.name} ({one.id}), runs in: {one.runs_in}\n"
        + (one.source or "# It has no source: it is built in, or a server has it.")
        for one in _named(door.service.tools.list(), tool)
    ]
    return Answer("\n".join(parts), plain=True)


def _named(tools: Sequence[Tool], name: str) -> list[Tool]:
    found = [tool for tool in tools if name in (tool.id, tool.name)]
    if not found:
        names = sorted({tool.name for tool in tools})
        raise NotFoundError(f"There is no tool {name!r}.{nearest(name, names)}")
    return found


@command("tools schema", None, group=GROUP)
def schema(door: Door, agent: AgentState = AGENT, tool: str = OWN_TOOL) -> Answer:
    """Print what the model is told of a tool."""
    return Answer(_told(own_tool(door, agent, tool)), plain=True)


def _told(tool: Tool) -> str:
    told = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return json.dumps(told, indent=2, ensure_ascii=False)


@command(None, "tool add", group=GROUP, makes=True)
def add(
    door: Terminal,
    file: Path = argument("A Python file", values="file"),
    agent: AgentState | None = ANY_AGENT,
    only: list[str] | None = option("Only this function; may be repeated"),
    approval: bool = option("Each call waits for a person's word"),
) -> Answer:
    """Add the functions of a Python file as tools, which run in the sandbox.

    The file is read, not run. A function counts if it has a docstring and no underscore in front; with @tool or
    named by --only it needs neither.
    """
    # All is checked before anything is kept: a file of which one function is wrong adds none.
    from letta_kernel.tools import core
    from letta_kernel.tools.discovery import discover

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file} cannot be read: {error}.") from None
    try:
        compile(text, str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ToolError(f"{file} is no Python: {error}.") from None
    wanted = set(only or ())
    discovery = discover(text, None, wanted=wanted)
    found = [one for one in discovery.found if not wanted or one.name in wanted]
    for skip in discovery.skipped:
        if not wanted or skip.name in wanted:
            door.say(f"not a tool: {skip.name} ({skip.reason})")
    known = {one.name for one in found} | {skip.name for skip in discovery.skipped}
    for missing in sorted(wanted - known):
        raise NotFoundError(f"{file} has no function {missing!r} at its top level.")
    if not found:
        raise ToolError(f"{file} has no function that can be a tool: it needs a docstring.")
    for one in found:
        if one.tool_name in core.FUNCTIONS:
            raise ToolError(f"{one.tool_name} is the name of a built-in tool: rename the function.")
    saved = []
    for one in found:
        asks = approval or one.options.requires_approval
        record = one.record(kind="source", runs_in="sandbox", requires_approval=asks)
        saved.append(door.service.tools.upsert(record))
        if agent is not None:
            door.service.tools.attach(saved[-1].id, agent=agent.id)
    where = f"{agent.name} can call" if agent is not None else "In the project's toolbox:"
    return Answer(f"{where} {', '.join(tool.name for tool in saved)}.", saved)


@command("tools attach", "tool attach", group=GROUP)
def attach(door: Door, agent: AgentState = AGENT, tool: str = ANY_TOOL) -> Answer:
    """Give an agent a tool of this project."""
    found = door.service.tools.attach(tool, agent=agent.id)
    return Answer(f"{agent.name} can call {found.name} now.", found)


@command("tools detach", "tool detach", group=GROUP)
def detach(door: Door, agent: AgentState = AGENT, tool: str = OWN_TOOL) -> Answer:
    """Take a tool off an agent; it stays in the project."""
    if not any(tool in (one.id, one.name) for one in door.service.tools.list()):
        own_tool(door, agent, tool)  # no tool at all goes by this name

    def work() -> Answer:
        found = door.service.tools.detach(tool, agent=agent.id)
        return Answer(f"{agent.name} no longer has {found.name}.", found)

    return gone(door, work)


@command("tools run", "tool run", group=GROUP)
def run(
    door: Door,
    agent: AgentState = AGENT,
    tool: str = OWN_TOOL,
    arguments: str | None = argument(
        "key=value …, or a JSON object", None, terminal=None, free=True
    ),
    words: list[str] | None = argument(
        "key=value …, or a JSON object", None, notebook=None, shown="[ARGUMENTS]..."
    ),
) -> Answer:
    """Call a tool by hand, checked as a model's call is."""
    record = own_tool(door, agent, tool)
    given = _arguments(door, agent, record, arguments or "", words or [])
    outcome = door.run_tool(agent, record, given)
    good = outcome.status == "ok"
    data = {
        "status": outcome.status,
        "result": outcome.text,
        "error": outcome.error,
        "seconds": outcome.seconds,
    }
    return Answer(
        outcome.text if good else "",
        data,
        bundle=outcome.display,
        plain=True,
        problem="" if good else outcome.error or outcome.text,
        traceback=outcome.traceback or "",
    )


@command("tools approve", "tool approve", group=GROUP)
def require_approval(
    door: Door,
    agent: AgentState = AGENT,
    tool: str = OWN_TOOL,
    state: str = argument("on or off", values="switch"),
) -> Answer:
    """Say whether a person must approve each call of a tool: on or off."""
    asks = is_on(state)
    found = own_tool(door, agent, tool)
    # Kept with the agent: running the tool's cell again does not take it away.
    door.service.tools.require_approval(found.name, asks, agent=agent.id)
    changed = door.service.agents.retrieve(agent.id)
    how_ = "asks before each call of" if asks else "calls"
    end = "" if asks else " without asking"
    return Answer(f"{agent.name} {how_} {found.name}{end} from now on.", changed)


@command("tools network", "tool network", group=GROUP)
def allow_network(
    door: Door,
    agent: AgentState = AGENT,
    tool: str = OWN_TOOL,
    state: str = argument("on or off", values="switch"),
) -> Answer:
    """Say whether a tool has a network in the sandbox: off at first for tools that came with an agent file."""
    found = own_tool(door, agent, tool)
    if found.runs_in not in ("notebook", "sandbox"):
        raise InvalidInputError(f"{found.name} does not run in the sandbox.")
    tools = door.service.tools
    changed = tools.upsert(tools.retrieve(found.id).model_copy(update={"network": is_on(state)}))
    now = "has a network" if changed.network else "has no network"
    return Answer(f"{found.name} {now} in the sandbox from now on.", changed)


def own_tool(door: Door, agent: AgentState, name: str) -> Tool:
    """Return the tool of *agent* of that name or id; the error names the nearest."""
    own = door.service.tools.list(agent.id)
    for tool in own:
        if name in (tool.name, tool.id):
            return tool
    hint = nearest(name, [tool.name for tool in own])
    if not hint:
        lists = how(door, "tools", *(["--agent", agent.name] if door.at == "terminal" else []))
        hint = f" {lists} lists what it has."
    raise NotFoundError(f"{agent.name} has no tool {name!r}.{hint}")


def _arguments(
    door: Door, agent: AgentState, tool: Tool, text: str, words: list[str]
) -> dict[str, Any]:
    """Read a JSON object, ``key=value …``, or one bare value.

    On a notebook's line a value goes on to the next key; of a shell each of *words* is a value of its own.
    """
    # What people write without being told how, from the most certain form to the least; the last one is an
    # error that shows one.
    text = (words[0] if len(words) == 1 else text).strip()
    if text.startswith("{"):
        return json_object(text, "The arguments are")
    properties: dict[str, Any] = tool.parameters.get("properties") or {}
    split_words = [word.partition("=") for word in words]
    if split_words and all(key and equals for key, equals, _ in split_words):
        return {key: _read(value, properties.get(key)) for key, _, value in split_words}
    keys = [] if words else list(_GIVEN.finditer(text))
    if keys and not text[: keys[0].start()].strip():
        ends = [key.start() for key in keys[1:]] + [len(text)]
        return {
            key[1]: _value(text[key.end() : end], properties.get(key[1]))
            for key, end in zip(keys, ends, strict=True)
        }
    if not text and not words:
        return {}
    if len(properties) == 1 and len(words) <= 1:
        ((name, described),) = properties.items()
        return {name: _read(text, described) if words else _value(text, described)}
    names = (f"{name}=…" for name in properties)
    line = how(door, "tools run", tool.name, *names, agent=agent)
    raise InvalidInputError(f"Name the arguments: {line}.")


def _value(text: str, described: Any) -> Any:
    text = text.strip()
    words = split(text)
    return words[0].text if len(words) == 1 and words[0].quoted else _read(text, described)


def _read(text: str, described: Any) -> Any:
    if isinstance(described, dict) and described.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(text, text)
