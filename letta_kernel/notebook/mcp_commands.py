"""``%agent mcp``: Model Context Protocol servers, whose tools an agent can call like its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from letta_kernel.display.tables import Panel, number, table
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.notebook.line import Argument, Arguments, Option, Word, split
from letta_kernel.notebook.quiet import say
from letta_kernel.notebook.registry import AGENT, COMMANDS, Command, command
from letta_kernel.project import located
from letta_kernel.records import AgentState, McpServer
from letta_kernel.tools.mcp_connection import REFERENCE

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

SERVER = Argument("name", values="mcp")


@dataclass(frozen=True, slots=True)
class AddServer(Command):
    """``%agent mcp add``: the words behind the name are the server's, with options of its own."""

    @property
    def short(self) -> str:
        """How it is written, without its options."""
        return "%agent mcp add NAME COMMAND [ARGS …], or NAME http://…, or --from FILE"

    def parse(self, line: str) -> Arguments:
        """Read the name, the command and our options; behind ``--`` everything is the command's.

        The command's own options (``npx --yes …``) stay with it, unless they are called as ours are.
        """
        known = {option.name: option for option in self.options}
        found = Arguments(options={"environment": [], "header": []})
        words, at = split(line), 0
        server: list[str] = []
        while at < len(words):
            word, at = words[at], at + 1
            name, equals, value = word.text.partition("=")
            option = None if word.quoted else known.get(name)
            if word.text == "--" and not word.quoted:
                server += [one.text for one in words[at:]]
                break
            if option is not None and option.kind == "flag":
                found.options[option.key] = True
            elif option is not None:
                if not equals:
                    if at == len(words):
                        raise InvalidInputError(f"{name} needs a value: {option.usage}")
                    value, at = words[at].text, at + 1
                if option is ENVIRONMENT:
                    found.options["environment"].append(value)
                elif option is HEADER:
                    found.options["header"].append(value)
                else:
                    found.options[option.key] = _converted(option, value)
            elif not server and _is_option(word):
                near = nearest(name, list(known)) or f" Usage: {self.usage}"
                raise InvalidInputError(f"There is no option {name!r} here.{near}")
            elif "name" in found.words:
                server.append(word.text)
            else:
                found.words["name"] = word.text
        if not server and "from" not in found.options:
            missing = "COMMAND (or a URL)" if "name" in found.words else "NAME"
            raise InvalidInputError(f"{missing} is missing. Usage: {self.usage}")
        if server and "from" in found.options:
            raise InvalidInputError(f"{server[0]!r} is more than was expected. Usage: {self.usage}")
        found.options["server"] = server
        return found


ENVIRONMENT = Option("--env", "word", "KEY=VALUE for the server; KEY alone takes this kernel's")
HEADER = Option("--header", "word", '"Name: value" sent to a URL; ${VARIABLE} stands for a secret')
FROM = Option(
    "--from", "word", "another program's file of servers (mcpServers): all, or NAME", "file"
)
TOKEN = Option("--token", "word", "the environment variable that holds a URL's bearer token")
OPTIONS = (
    FROM,
    ENVIRONMENT,
    HEADER,
    TOKEN,
    Option("--approve", "flag", "a person must approve each call of its tools"),
    Option("--time-limit", "float", "seconds a call may take (60)"),
    Option("--start-limit", "float", "seconds it may take until it answers (60)"),
    Option("--return-limit", "int", "characters of a result the model gets (50000)"),
    AGENT,
)


@command("mcp", summary="the MCP servers of this project, and how they do")
def servers(session: Session, given: Arguments) -> Panel:
    """List the servers."""
    known = session.service.mcp.list() if session.has_project else []
    rows = [
        [one.server.name, where(one.server), number(len(one.tools)), one.state or "not in use"]
        for one in known
    ]
    return table(
        ["server", "where", "tools", "state"],
        rows,
        empty="No MCP servers yet: %agent mcp add NAME COMMAND, or NAME http://…",
    )


def add(session: Session, given: Arguments) -> str | None:
    """Connect a server and give its tools to the agent."""
    agent = session.agent(given.option("agent"))
    if given.option("from") is not None:
        _from_file(session, agent, given)
        return None
    words = given.options["server"]
    if len(words) == 1 and shutil.which(words[0]) is None:
        words = [word.text for word in split(words[0])] or words  # a whole command in quotes
    reached: dict[str, Any] = {"command": [_filled(session, word) for word in words]}
    headers = dict(_header(text) for text in given.options["header"])
    if token := given.option("token"):
        headers["Authorization"] = f"Bearer {_reference(token)}"
    if words[0].startswith(("http://", "https://")):
        if len(words) > 1:
            raise InvalidInputError(f"{words[1]!r} is more than was expected behind a URL.")
        reached = {"url": words[0], "headers": headers}
    elif headers:
        raise InvalidInputError("--header and --token are for a URL; a command takes --env.")
    limits = {
        key: given.option(key)
        for key in ("time_limit", "start_limit", "return_limit")
        if given.option(key) is not None
    }
    done = session.service.mcp.create(
        given["name"],
        **reached,
        **limits,
        environment=dict(_variable(text) for text in given.options["environment"]),
        agent=agent.id,
        requires_approval=bool(given.option("approve")),
    )
    names = ", ".join(tool.name for tool in done.tools)
    said = f"{agent.name} can call {names} of {done.server.name} now."
    if not done.tools:
        said = f"{done.server.name} is there, but it offers no tool that can be used."
    if done.gone:
        said += f" Gone: {', '.join(done.gone)}."
    return said + _skipped(done.skipped)


def _from_file(session: Session, agent: AgentState, given: Arguments) -> None:
    """Connect the servers of a file, say which they are and why the others are not among them."""
    for option in ("environment", "header", "token", "approve", "time_limit", "start_limit"):
        if given.option(option):
            raise InvalidInputError("With --from only NAME and --agent: the file says the rest.")
    name = given.get("name")
    path = located(_filled(session, given.option("from")))
    done, left = session.service.mcp.add_file(path, only=[name] if name else [], agent=agent.id)
    if not done:
        raise InvalidInputError("; ".join(f"{one.name}: {one.problem}" for one in left) + ".")
    for one in done:
        names = ", ".join(tool.name for tool in one.tools) or "no tool"
        gone = f" Gone: {', '.join(one.gone)}." if one.gone else ""
        said = f"{agent.name} can call {names} of {one.server.name} now."
        say(session.shell, said + gone + _skipped(one.skipped))
    for entry in left:
        say(session.shell, f"{entry.name} was left out: {entry.problem}.", "warning")


COMMANDS["mcp add"] = AddServer(
    "mcp add",
    "connect an MCP server and give its tools to the agent; -- ends our options",
    add,
    (Argument("name"), Argument("command", rest=True)),
    OPTIONS,
)


@command("mcp tools", SERVER, options=(AGENT,), summary="ask a server for its tools")
def server_tools(session: Session, given: Arguments) -> Panel:
    """Ask a server for its tools, and show which of them the agent has."""
    agent = session.agent(given.option("agent"))
    done = session.service.mcp.refresh(given["name"])
    own = {tool.id for tool in session.service.tools.list(agent.id)}
    rows: list[list[object]] = [
        [
            tool.name,
            tool.description.strip().split("\n")[0],
            ", ".join(tool.parameters.get("properties", {})),
            "yes" if tool.id in own else f"%agent tools attach {tool.name}",
        ]
        for tool in done.tools
    ]
    rows += [[name, "", "", f"cannot be used: {reason}"] for name, reason in done.skipped]
    return table(
        ["tool", "what it does", "arguments", f"{agent.name} has it"],
        rows,
        title=f"Tools of {done.server.name}",
        empty="It offers no tools.",
    )


@command("mcp remove", SERVER, summary="forget a server and its tools")
def remove(session: Session, given: Arguments) -> str:
    """Forget a server and its tools."""
    server, agents = session.service.mcp.delete(given["name"])
    had = f"; {', '.join(agents)} had tools of it" if agents else ""
    return f"Removed {server.name}{had}."


def where(server: McpServer) -> str:
    """Return how a server is reached, with references instead of secrets and no values of variables."""
    if server.url:
        names = [f"{name}: {_shown(text)}" for name, text in server.headers.items()]
        return " · ".join([server.url, *names])
    names = [f"{name}={_shown(text)}" for name, text in server.environment.items()]
    words = [f'"{word}"' if " " in word else word for word in server.command]
    return " · ".join([" ".join(words), *names])


def _shown(text: str) -> str:
    found = REFERENCE.search(text)
    return found[0] if found else "…"


def _is_option(word: Word) -> bool:
    return not word.quoted and word.text.startswith("--") and len(word.text) > 2


def _filled(session: Session, word: str) -> str:
    """Fill ``{expressions}`` of the notebook, but for references, which stay."""
    return word if "${" in word or "{" not in word else session.fill(word)


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


def _converted(option: Option, value: str) -> Any:
    if option.kind not in ("float", "int"):
        return value
    try:
        number = int(value) if option.kind == "int" else float(value)
    except ValueError:
        raise InvalidInputError(f"{option.name} needs a number, not {value!r}.") from None
    if not 0 < number < float("inf"):
        raise InvalidInputError(f"{option.name} needs a number above 0, not {value}.")
    return number


def _skipped(skipped: list[tuple[str, str]]) -> str:
    if not skipped:
        return ""
    return " Left out: " + "; ".join(f"{name} ({reason})" for name, reason in skipped[:5]) + "."
