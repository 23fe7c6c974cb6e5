"""``%agent tools``: what an agent can call, trying it by hand, and who has to be asked first."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from letta_kernel.display import panels
from letta_kernel.display.tables import Panel
from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.notebook.line import Argument, Arguments, split
from letta_kernel.notebook.quiet import AgentError
from letta_kernel.notebook.registry import AGENT, command, gone
from letta_kernel.records import AgentState, Tool, ToolRule

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

TOOL = Argument("tool", values="tool")
_GIVEN = re.compile(r"(?:^|\s)([A-Za-z_]\w*)=")


@command("tools", options=(AGENT,), summary="what it can call, and how that went")
def tools(session: Session, given: Arguments) -> Panel:
    """Show the tools with their figures."""
    agent = session.agent(given.option("agent"))
    own = session.service.tools.list(agent.id)
    asked = {rule.tool_name for rule in agent.tool_rules if rule.type == "requires_approval"}
    figures: dict[str, dict[str, Any]] = {
        name: asdict(used) for name, used in session.service.tools.stats(agent.id).items()
    }
    for tool in own:
        figures.setdefault(tool.name, {})["place"] = _place(session, agent, tool)
    shown = [
        tool.model_copy(update={"requires_approval": tool.requires_approval or tool.name in asked})
        for tool in own
    ]
    return panels.tools_table(shown, figures)


def _place(session: Session, agent: AgentState, tool: Tool) -> str:
    if tool.runs_in != "notebook":
        return tool.runs_in
    here = session.host_of(agent.id).lookup(tool) is not None
    return "notebook" if here else "sandbox, from its source"


@command(
    "tools attach",
    Argument("tool", values="any_tool"),
    options=(AGENT,),
    summary="give it a tool of this project",
)
def attach(session: Session, given: Arguments) -> str:
    """Attach a tool by name or id."""
    agent = session.agent(given.option("agent"))
    tool = session.service.tools.attach(given["tool"], agent=agent.id)
    return f"{agent.name} can call {tool.name} now."


@command("tools detach", TOOL, options=(AGENT,), summary="take a tool off it")
def detach(session: Session, given: Arguments) -> str:
    """Detach a tool by name or id."""
    agent, name = session.agent(given.option("agent")), given["tool"]
    if not any(name in (one.id, one.name) for one in session.service.tools.attachable()):
        own_tool(session, agent, name)  # no tool at all goes by this name

    def work() -> str:
        return (
            f"{agent.name} no longer has {session.service.tools.detach(name, agent=agent.id).name}."
        )

    return gone(work)


@command("tools schema", TOOL, options=(AGENT,), summary="what the model is told of a tool")
def schema(session: Session, given: Arguments) -> None:
    """Print the schema of a tool as the model gets it."""
    tool = own_tool(session, session.agent(given.option("agent")), given["tool"])
    told = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    print(json.dumps(told, indent=2, ensure_ascii=False))


@command(
    "tools run",
    TOOL,
    Argument("arguments", required=False, rest=True),
    options=(AGENT,),
    summary="call a tool by hand: key=value … or JSON",
)
def run_tool(session: Session, given: Arguments) -> None:
    """Call a tool with the validation a model's call gets; show what came of it."""
    agent = session.agent(given.option("agent"))
    tool = own_tool(session, agent, given["tool"])
    arguments = _arguments(tool, given.get("arguments") or "")
    # Taken now: while the tool runs, what is printed goes to `output`.
    streams = {"stderr": sys.stderr}
    cell = sys.stdout

    def output(stream: str, text: str) -> None:
        print(text, end="" if stream != "progress" else "\n", file=streams.get(stream, cell))

    outcome = session.service.tools.run(
        tool.id, arguments, agent=agent.id, host=session.host_of(agent.id), on_output=output
    )
    if outcome.status != "ok":
        session.last_error = outcome.traceback or session.last_error
        raise AgentError(outcome.error or outcome.text)
    if outcome.display and getattr(session.shell, "kernel", None) is not None:
        session.shell.display_pub.publish(outcome.display)
    else:
        print(outcome.text)


@command(
    "tools approve",
    TOOL,
    Argument("state", values="switch"),
    options=(AGENT,),
    summary="must a person approve each call of it? on or off",
)
def require_approval(session: Session, given: Arguments) -> str:
    """Let a tool wait for a person's word, or no longer."""
    agent, service = session.agent(given.option("agent")), session.service
    tool = own_tool(session, agent, given["tool"])
    rules = [
        rule
        for rule in agent.tool_rules
        if not (rule.type == "requires_approval" and rule.tool_name == tool.name)
    ]
    if is_on(given["state"]):
        # A rule of the agent: running the tool's cell again does not take it away.
        rules.append(ToolRule(type="requires_approval", tool_name=tool.name))
    elif tool.requires_approval:
        service.tools.upsert(tool.model_copy(update={"requires_approval": False}))
    service.agents.update(agent.id, tool_rules=rules)
    if is_on(given["state"]):
        return f"{agent.name} asks before each call of {tool.name} from now on."
    return f"{agent.name} calls {tool.name} without asking from now on."


def own_tool(session: Session, agent: AgentState, name: str) -> Tool:
    """Return the tool of *agent* of that name or id; the error names the nearest."""
    own = session.service.tools.list(agent.id)
    for tool in own:
        if name in (tool.name, tool.id):
            return tool
    names = [tool.name for tool in own]
    hint = nearest(name, names) or " %agent tools lists what it has."
    raise NotFoundError(f"{agent.name} has no tool {name!r}.{hint}")


def is_on(word: str) -> bool:
    """Read ``on`` or ``off``."""
    if word.lower() in ("on", "yes", "true"):
        return True
    if word.lower() in ("off", "no", "false"):
        return False
    raise InvalidInputError(f"Say on or off, not {word!r}.")


def _arguments(tool: Tool, text: str) -> dict[str, Any]:
    """Read ``key=value …`` (a value goes on to the next key), a JSON object, or one bare value."""
    text = text.strip()
    if not text:
        return {}
    if text.startswith("{"):
        try:
            read = json.loads(text)
        except ValueError as error:
            raise InvalidInputError(f"The arguments are no JSON: {error}.") from None
        if not isinstance(read, dict):
            raise InvalidInputError('The arguments are a JSON object: {"name": value}.')
        return read
    properties: dict[str, Any] = tool.parameters.get("properties") or {}
    keys = list(_GIVEN.finditer(text))
    if keys and not text[: keys[0].start()].strip():
        ends = [key.start() for key in keys[1:]] + [len(text)]
        return {
            key[1]: _value(text[key.end() : end], properties.get(key[1]))
            for key, end in zip(keys, ends, strict=True)
        }
    if len(properties) == 1:
        ((name, described),) = properties.items()
        return {name: _value(text, described)}
    names = " ".join(f"{name}=…" for name in properties)
    raise InvalidInputError(
        f"Name the arguments: %agent tools run {tool.name} {names}".rstrip() + "."
    )


def _value(text: str, described: Any) -> Any:
    text = text.strip()
    words = split(text)
    if len(words) == 1 and words[0].quoted:
        return words[0].text
    if isinstance(described, dict) and described.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
