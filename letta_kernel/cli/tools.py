"""``letta-kernel tool``: what agents can call."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from letta_kernel.cli import output
from letta_kernel.cli.completion import Agent, AnyTool, OfAgent, OwnTool
from letta_kernel.cli.session import Session, command, group
from letta_kernel.errors import InvalidInputError, NotFoundError, ToolError, nearest

if TYPE_CHECKING:
    from letta_kernel.records import Tool

app = group("Tools: list, look at, add, attach, detach and run them.")


@command(app, "list")
def list_(session: Session, agent: OfAgent = None) -> None:
    """List the tools an agent could have, or those that one has with how they fared."""
    service = session.service
    found = service.tools.list(agent) if agent else service.tools.attachable()
    stats = service.tools.stats(agent) if agent else {}

    def row(tool: Tool) -> list[Any]:
        used = stats.get(tool.name)
        figures = [used.calls, used.failures, used.last_error] if used else [0, 0, None]
        about = tool.description.partition("\n")[0]
        return [tool.name, tool.runs_in, tool.requires_approval, *(figures if agent else ()), about]

    def render() -> None:
        used = ["calls", "failed", "last error"] if agent else []
        output.table(["tool", "runs in", "asks", *used, "what for"], map(row, found), "No tools.")

    session.show(
        [
            {**tool.model_dump(mode="json"), **_figures(stats.get(tool.name), bool(agent))}
            for tool in found
        ],
        render,
    )


@command(app, "show")
def show(session: Session, tool: AnyTool, agent: OfAgent = None) -> None:
    """Show a tool: what the model is told of it, and its source."""
    found = _find(session, tool, agent)

    def render() -> None:
        output.put(
            f"{found.name}  {found.id}  {found.kind}, runs in: {found.runs_in}", style="bold"
        )
        told = {
            "name": found.name,
            "description": found.description,
            "parameters": found.parameters,
        }
        output.put(json.dumps(told, indent=2, ensure_ascii=False))
        if found.source:
            output.put(f"\n{found.source.rstrip()}")

    session.show(found, render)


@command(app, "add", makes=True)
def add(
    session: Session,
    file: Annotated[Path, typer.Argument(help="A Python file.", exists=True, dir_okay=False)],
    agent: OfAgent = None,
    name: Annotated[
        list[str] | None, typer.Option("--only", help="Only this function; may be repeated.")
    ] = None,
    approval: Annotated[
        bool, typer.Option("--approval", help="Each call waits for a person's word.")
    ] = False,
) -> None:
    """Add the functions of a Python file as tools, which run in the sandbox.

    The file is read, not run. A function counts if it has a docstring and no underscore in front; with @tool or
    named by --only it needs neither.
    """
    from letta_kernel.tools import core
    from letta_kernel.tools.discovery import discover

    try:
        source = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file} cannot be read: {error}.") from None
    try:
        compile(source, str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ToolError(f"{file} is no Python: {error}.") from None
    wanted = set(name or ())
    discovery = discover(source, None, wanted=wanted)
    found = [one for one in discovery.found if not wanted or one.name in wanted]
    for skip in discovery.skipped:
        if not wanted or skip.name in wanted:
            output.put(f"not a tool: {skip.name} ({skip.reason})", stderr=True)
    known = {one.name for one in found} | {skip.name for skip in discovery.skipped}
    for missing in sorted(wanted - known):
        raise NotFoundError(f"{file} has no function {missing!r} at its top level.")
    if not found:
        raise ToolError(f"{file} has no function that can be a tool: it needs a docstring.")
    for one in found:
        if one.tool_name in core.FUNCTIONS:
            raise ToolError(f"{one.tool_name} is the name of a built-in tool: rename the function.")
    state = session.service.agents.retrieve(agent) if agent else None
    saved = []
    for one in found:
        asks = approval or one.options.requires_approval
        record = one.record(kind="source", runs_in="sandbox", requires_approval=asks)
        saved.append(session.service.tools.upsert(record))
        if state is not None:
            session.service.tools.attach(saved[-1].id, agent=state.id)
    names = ", ".join(tool.name for tool in saved)
    where = f"{state.name} can call" if state else "In the project's toolbox:"
    session.done(f"{where} {names}.", saved)


@command(app, "attach")
def attach(session: Session, agent: Agent, tool: AnyTool) -> None:
    """Give an agent a tool of the project."""
    found = session.service.tools.attach(tool, agent=agent)
    session.done(f"{session.service.agents.retrieve(agent).name} can call {found.name} now.", found)


@command(app, "detach")
def detach(session: Session, agent: Agent, tool: OwnTool) -> None:
    """Take a tool off an agent; it stays in the project."""
    found = session.service.tools.detach(tool, agent=agent)
    session.done(
        f"{session.service.agents.retrieve(agent).name} no longer has {found.name}.", found
    )


@command(app, "run")
def run(
    session: Session,
    agent: Agent,
    tool: OwnTool,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="key=value …, or a JSON object.")
    ] = None,
) -> int:
    """Call a tool by hand, checked as a model's call is; functions run in the sandbox."""
    service = session.service
    own = {name: t for t in service.tools.list(agent) for name in (t.name, t.id)}
    record = own.get(tool)
    given = _arguments(record, arguments or []) if record else {}

    def progress(stream: str, text: str) -> None:
        print(text, end="" if stream != "progress" else "\n", file=sys.stderr)

    outcome = service.tools.run(tool, given, agent=agent, on_output=progress)
    good = outcome.status == "ok"
    data = {
        "status": outcome.status,
        "result": outcome.text,
        "error": outcome.error,
        "seconds": outcome.seconds,
    }
    if session.json:
        output.put_json(data)
    elif good:
        output.put(outcome.text)
    else:
        print(" ".join((outcome.error or outcome.text).split()), file=sys.stderr)
    return 0 if good else 1


def _find(session: Session, name: str, agent: str | None) -> Tool:
    service = session.service
    found = service.tools.list(agent) if agent else service.tools.attachable()
    for tool in found:
        if name in (tool.id, tool.name):
            return tool
    raise NotFoundError(f"There is no tool {name!r}.{nearest(name, [t.name for t in found])}")


def _figures(used: Any, asked: bool) -> dict[str, Any]:
    if not asked:
        return {}
    names = ("calls", "failures", "seconds", "last_error")
    return {name: getattr(used, name, None if name == "last_error" else 0) for name in names}


def _arguments(tool: Tool, given: list[str]) -> dict[str, Any]:
    if len(given) == 1 and given[0].lstrip().startswith("{"):
        try:
            read = json.loads(given[0])
        except ValueError as error:
            raise InvalidInputError(f"The arguments are no JSON: {error}.") from None
        if isinstance(read, dict):
            return read
    properties: dict[str, Any] = tool.parameters.get("properties") or {}
    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            if len(given) == 1 and len(properties) == 1:
                (key,), value = properties, one
            else:
                names = " ".join(f"{name}=…" for name in properties)
                raise InvalidInputError(f"Name the arguments of {tool.name}: {names}")
        found[key] = _value(value, properties.get(key))
    return found


def _value(text: str, described: Any) -> Any:
    if isinstance(described, dict) and described.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
