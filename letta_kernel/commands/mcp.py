"""Model Context Protocol servers, whose tools an agent can call like its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.arguments import split
from letta_kernel.commands.door import AGENT, Answer, Door, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.commands.tools import GROUP
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, McpServer

SERVER = argument("A server's name", values="mcp")


@command("mcp", "mcp list", group=GROUP, lists=True)
def list_servers(door: Door) -> Answer:
    """List the MCP servers of this project, and how they do."""
    from letta_kernel.display.tables import number, table

    known = door.service.mcp.list() if door.has_project else []
    rows = [
        [one.server.name, where(one.server), number(len(one.tools)), one.state or "not in use"]
        for one in known
    ]
    adds = how(door, "mcp add", *(["AGENT"] if door.at == "terminal" else []), "NAME", "COMMAND")
    return Answer(
        data=[
            {"name": row[0], "where": row[1], "tools": one.tools, "state": row[3]}
            for row, one in zip(rows, known, strict=True)
        ],
        panel=lambda: table(
            ["server", "where", "tools", "state"],
            rows,
            empty=f"No MCP servers yet: {adds}, or NAME http://…",
        ),
    )


@command("mcp add", "mcp add", group=GROUP)
def add(
    door: Door,
    agent: AgentState = AGENT,
    name: str | None = argument("What to call it; of a file, the one to take", None),
    command: list[str] | None = argument(
        "The program and its arguments, or a URL; behind -- all words are its own",
        None,
        shown="COMMAND …",
    ),
    from_: str | None = option(
        "Another program's file of servers (mcpServers): all, or NAME", values="file"
    ),
    env: list[str] | None = option(
        "KEY=VALUE for the server; KEY alone takes this process's", repeated=True
    ),
    header: list[str] | None = option(
        '"Name: value" sent to a URL; ${VARIABLE} stands for a secret', repeated=True
    ),
    token: str | None = option("The environment variable that holds a URL's bearer token"),
    approve: bool = option("A person must approve each call of its tools"),
    time_limit: float | None = option("Seconds a call may take (60)"),
    start_limit: float | None = option("Seconds it may take until it answers (60)"),
    return_limit: int | None = option("Characters of a result the model gets (50000)"),
) -> Answer:
    """Connect an MCP server, or those of a file, and give its tools to the agent."""
    words = command or []
    limits: dict[str, Any] = {
        "time_limit": time_limit,
        "start_limit": start_limit,
        "return_limit": return_limit,
    }
    if from_ is not None:
        if words:
            raise InvalidInputError(
                f"{words[0]!r} is more than was expected: --from says the rest."
            )
        if env or header or token or approve or time_limit or start_limit:
            raise InvalidInputError("With --from only NAME and --agent: the file says the rest.")
        return _from_file(door, agent, name, from_)
    if name is None or not words:
        missing = "NAME" if name is None else "COMMAND (or a URL)"
        usage = how(door, "mcp add", "NAME", "COMMAND [ARGS …], or NAME http://…, or --from FILE")
        raise InvalidInputError(f"{missing} is missing. Usage: {usage}")
    if len(words) == 1 and shutil.which(words[0]) is None:
        words = [word.text for word in split(words[0])] or words  # a whole command in quotes
    reached: dict[str, Any] = {"command": [_filled(door, word) for word in words]}
    headers = dict(_header(text) for text in header or ())
    if token:
        headers["Authorization"] = f"Bearer {_reference(token)}"
    if words[0].startswith(("http://", "https://")):
        if len(words) > 1:
            raise InvalidInputError(f"{words[1]!r} is more than was expected behind a URL.")
        reached = {"url": words[0], "headers": headers}
    elif headers:
        raise InvalidInputError("--header and --token are for a URL; a command takes --env.")
    done = door.service.mcp.create(
        name,
        **reached,
        **{key: limit for key, limit in limits.items() if limit is not None},
        environment=dict(_variable(text) for text in env or ()),
        agent=agent.id,
        requires_approval=approve,
    )
    return Answer(_connected(agent, done), done)


def _from_file(door: Door, agent: AgentState, name: str | None, file: str) -> Answer:
    """Connect the servers of a file, say which they are and why the others are not among them."""
    from letta_kernel.project import located

    path = located(_filled(door, file))
    done, left = door.service.mcp.add_file(path, only=[name] if name else [], agent=agent.id)
    if not done:
        raise InvalidInputError("; ".join(f"{one.name}: {one.problem}" for one in left) + ".")
    for one in done:
        door.say(_connected(agent, one))
    for entry in left:
        door.say(f"{entry.name} was left out: {entry.problem}.", "warning")
    return Answer(data=done)


def _connected(agent: AgentState, done: Any) -> str:
    names = ", ".join(tool.name for tool in done.tools)
    said = f"{agent.name} can call {names} of {done.server.name} now."
    if not done.tools:
        said = f"{done.server.name} is there, but it offers no tool that can be used."
    if done.gone:
        said += f" Gone: {', '.join(done.gone)}."
    if done.skipped:
        left = "; ".join(f"{name} ({reason})" for name, reason in done.skipped[:5])
        said += f" Left out: {left}."
    return said


@command("mcp tools", "mcp tools", group=GROUP)
def server_tools(door: Door, agent: AgentState = AGENT, name: str = SERVER) -> Answer:
    """Ask a server for its tools, and show which of them the agent has."""
    from letta_kernel.display.tables import table

    done = door.service.mcp.refresh(name)
    own = {tool.id for tool in door.service.tools.list(agent.id)}
    rows: list[list[object]] = [
        [
            tool.name,
            tool.description.strip().split("\n")[0],
            ", ".join(tool.parameters.get("properties", {})),
            "yes" if tool.id in own else how(door, "tools attach", tool.name, agent=agent),
        ]
        for tool in done.tools
    ]
    rows += [[name, "", "", f"cannot be used: {reason}"] for name, reason in done.skipped]
    return Answer(
        data={"tools": done.tools, "skipped": dict(done.skipped)},
        panel=lambda: table(
            ["tool", "what it does", "arguments", f"{agent.name} has it"],
            rows,
            title=f"Tools of {done.server.name}",
            empty="It offers no tools.",
        ),
    )


@command("mcp remove", "mcp remove", group=GROUP)
def remove(door: Door, name: str = SERVER) -> Answer:
    """Forget a server and its tools."""
    server, agents = door.service.mcp.delete(name)
    had = f"; {', '.join(agents)} had tools of it" if agents else ""
    return Answer(f"Removed {server.name}{had}.", {"removed": server.name, "agents": agents})


def where(server: McpServer) -> str:
    """Return how a server is reached, with references instead of secrets and no values of variables."""
    if server.url:
        names = [f"{name}: {_shown(text)}" for name, text in server.headers.items()]
        return " · ".join([server.url, *names])
    names = [f"{name}={_shown(text)}" for name, text in server.variables.items()]
    words = [f'"{word}"' if " " in word else word for word in server.command]
    return " · ".join([" ".join(words), *names])


def _shown(text: str) -> str:
    from letta_kernel.tools.mcp_connection import REFERENCE

    found = REFERENCE.search(text)
    return found[0] if found else "…"


def _filled(door: Door, word: str) -> str:
    """Fill ``{expressions}`` of the notebook, but for references, which stay."""
    return word if "${" in word or "{" not in word else door.fill(word)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return name, value if equals else f"${{{name}}}"


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InvalidInputError('--header takes "Name: value", with a colon.')
    return name.strip(), value.strip()


def _reference(name: str) -> str:
    bare = name.removeprefix("$").strip("{}")
    if not bare.isidentifier() or not bare.isascii():
        raise InvalidInputError(
            "--token takes the name of an environment variable, not the token: it would be stored."
        )
    return f"${{{bare}}}"
