"""The program itself: served, installed, examined, explained."""

from __future__ import annotations

import shlex
from typing import Any

from letta_kernel import settings
from letta_kernel.commands.door import Answer, Door, Notebook, Terminal
from letta_kernel.commands.spec import Policy, argument, command, option
from letta_kernel.errors import InvalidInputError

GROUP = "The program"
PORT = 8283  # Letta's own, which its clients try first


@command(None, "serve", group=GROUP, makes=True)
def serve(
    door: Terminal,
    host: str = option("The address to listen at", "127.0.0.1"),
    port: int | None = option(
        f"The port, 0 for any; else {PORT} or the next free one", least=0, most=65535
    ),
    token_file: str | None = option(
        f"Holds what clients must send; else {settings.SERVER_TOKEN.name}, else a new one, shown once",
        values="file",
    ),
    no_token: bool = option("Let any program on this machine in"),
    hub: bool = option(
        "As a service of a JupyterHub, which says where to listen, and whose a token is"
    ),
    origin: list[str] | None = option("A web origin whose pages may call; may be repeated"),
    people: str | None = option(
        "Serve the persons there, each with a project, instead: a folder, or postgresql://…; else LETTA_PEOPLE",
        shown="WHERE",
    ),
) -> None:
    """Serve the project's agents over HTTP: for Letta's SDK, OpenAI clients and WebSockets.

    Only this machine is served unless --host says otherwise. The URL and the token are printed at the start.
    """
    door.own(
        "serve.serve",
        host=host,
        port=port,
        token_file=token_file,
        no_token=no_token,
        hub=hub,
        origins=origin or [],
        people=people,
    )


@command("serve", None, group=GROUP)
def serve_here(
    door: Notebook,
    port: int | None = option(
        f"The port, 0 for any; else {PORT} or the next free one", least=0, most=65535
    ),
) -> Answer:
    """Serve this project's agents over HTTP from this kernel, until it ends.

    Functions of the notebook are their tools as they are now; they run on threads beside its cells. Only this
    machine is served, and clients need the token, which is never shown in the notebook.
    """
    server = door.server
    url = server.url
    if url is None:
        server.start(port)
    elif port not in (None, 0, int(url.rpartition(":")[2])):
        raise InvalidInputError(f"Served already at {url}: %agent serve stop ends that.")
    return _serving(server)


@command("serve status", None, group=GROUP)
def serving(door: Notebook) -> Answer:
    """Say whether this kernel serves the agents, where, and how to use it."""
    return _serving(door.server)


@command("serve stop", None, group=GROUP)
def serve_no_more(door: Notebook) -> Answer:
    """End what %agent serve began; runs that go on there are stopped."""
    url = door.server.url
    if url is None:
        return Answer("Nothing to stop: nothing is served from here.")
    door.server.end()
    return Answer(f"No longer served at {url}.")


def _serving(server: Any) -> Answer:
    """Say where *server* serves and how that is used; never the token."""
    url = server.url
    if url is None:
        return Answer("Not served from here: %agent serve begins it.", {"url": None})
    name = settings.SERVER_TOKEN.name
    token, shell, where = f'os.environ["{name}"]', f"${name}", f"that of {name}"
    module = "import os"
    if (file := server.token_file) is not None:
        token, shell = f"Path({str(file)!r}).read_text()", f"$(cat {shlex.quote(str(file))})"
        where = f"in {file}, which only you can read"
        module = "from pathlib import Path"
    text = (
        f"Served at {url}, until %agent serve stop or the kernel's end. "
        f"The token is {where}; it is not shown here, for notebooks are passed on.\n\n"
        f"    {module}\n"
        "    from letta_client import Letta\n"
        f"    client = Letta(base_url={url!r}, api_key={token})\n\n"
        f'    !curl -H "Authorization: Bearer {shell}" {url}/v1/agents/'
    )
    return Answer(text, {"url": url}, plain=True)


@command(None, "acp", group=GROUP)
def acp(
    door: Terminal,
    agent: str | None = argument(
        "The agent's name or id; if not given, the only one there is", None, values="agent"
    ),
    approval: Policy = option(
        "What sessions begin with for calls that need a person's word", Policy.ask
    ),
) -> None:
    """Let an agent answer in an editor's or JupyterLab's chat, over the Agent Client Protocol.

    The client starts this and talks over standard input and output. A session is a conversation of the agent.
    It needs the extra acp.
    """
    names = [one.name for one in door.service.agents.list()]
    if agent is None and len(names) > 1:
        raise InvalidInputError(f"Name one of the agents: {', '.join(names[:10])}.")
    whose = door.agent(agent or (names[0] if names else "NAME"))
    door.own("acp.serve", agent=whose, policy=approval)


@command(None, "mcp", group=GROUP)
def mcp(
    door: Terminal,
    http: bool = option("Over HTTP on this machine, not over standard input and output"),
    port: int | None = option(
        f"With --http: the port, 0 for any; else {PORT} or the next free one", least=0, most=65535
    ),
    token_file: str | None = option(
        f"With --http: holds what clients must send; else {settings.SERVER_TOKEN.name}, else a new one",
        values="file",
    ),
    no_token: bool = option("With --http: let any program on this machine in"),
) -> None:
    """Offer the agents and their memory to MCP clients: send, read and write memory, search the archive.

    A client starts this and talks over standard input and output. The commands of this group are about other
    servers, whose tools the agents here can call.
    """
    door.own("mcp.serve", http=http, port=port, token_file=token_file, no_token=no_token)


@command(None, "install", group=GROUP)
def install(
    door: Terminal,
    user: bool = option("For this user (the default)", terminal="--user"),
    sys_prefix: bool = option("Into the environment this runs in", terminal="--sys-prefix"),
    system: bool = option("For all users", terminal="--system"),
    prefix: str | None = option("Under this prefix"),
    name: str = option("The kernelspec's name", "letta"),
    display_name: str | None = option("What the launcher shows"),
    env: list[str] | None = option("A variable for the kernel: KEY=VALUE; may be repeated"),
) -> Answer:
    """Register the kernel with a Jupyter server that lives in another environment.

    The kernelspec names this Python by its absolute path.
    """
    folder = door.own(
        "setup.install",
        name=name,
        display_name=display_name,
        pairs=env or [],
        user=user,
        sys_prefix=sys_prefix,
        system=system,
        prefix=prefix,
    )
    return Answer(f"Installed the kernel {name!r} in {folder}", {"name": name, "folder": folder})


@command(None, "doctor", group=GROUP)
def doctor(
    door: Terminal, quick: bool = option("Leave out the sandbox, which takes a second")
) -> int:
    """Check this installation and project and say what to do; 1 if something is wrong.

    Of keys the names of their variables are shown, never their values.
    """
    return door.own("checks.examined", quick=quick)


@command("help", "help", group="Help")
def help_on(
    door: Door,
    topic: str | None = argument(
        "A command, or the name an error ends with", None, free=True, values="topic"
    ),
) -> Answer:
    """Explain a command, or an error by the name it ends with; alone, show all there is to explain."""
    from letta_kernel import troubles
    from letta_kernel.commands import reference

    if topic is not None and topic in (pages := troubles.pages()):
        return Answer(pages[topic].text, pages[topic].data(), plain=True)
    if door.at == "terminal":
        return reference.at_terminal(topic)
    if topic is None:
        return Answer(panel=reference.overview)
    return Answer(reference.explained(topic), plain=True)


@command("traceback", None, group="Help")
def traceback(door: Notebook) -> Answer:
    """Show where the last error came from, in full."""
    if not door.last_error:
        return Answer(
            "Nothing has gone wrong. (A tool's own traceback is in the cell that called it.)"
        )
    return Answer(door.last_error, plain=True)
