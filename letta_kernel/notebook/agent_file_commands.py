"""``%agent export`` and ``import``: agents as files, and a look at what strangers' tools would do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from letta_kernel.display.clean import one_line
from letta_kernel.errors import FileTakenError, InvalidInputError, NotFoundError, nearest
from letta_kernel.notebook.line import Argument, Arguments, Option
from letta_kernel.notebook.registry import AGENT, MODEL, command

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session


@command(
    "export",
    Argument("file", required=False, values="file"),
    options=(
        Option("--legacy", "flag", "in Letta's older form, one flat agent"),
        Option("--no-history", "flag", "without messages and archive, to share what it is"),
        Option("--force", "flag", "write over a file that is no earlier export of the agent"),
        AGENT,
    ),
    summary="write an agent to a file in Letta's format (.af), without secrets",
)
def export(session: Session, given: Arguments) -> str:
    """Write an agent to a file, by default ``NAME.af``."""
    agent = session.agent(given.option("agent"))
    path = Path(given.get("file") or _file_name(agent.name)).expanduser()
    try:
        session.service.agent_files.export_file(
            agent.id,
            path,
            overwrite=bool(given.option("force")),
            form="legacy" if given.option("legacy") else "new",
            history=not given.option("no_history"),
        )
    except FileTakenError:
        raise InvalidInputError(f"{path} is there already: add --force to write over it.") from None
    size = path.stat().st_size
    return f"{agent.name} is in {path} ({size:,} bytes); environment variables and MCP secrets are not."


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") + ".af"


@command(
    "import",
    Argument("file", values="file"),
    options=(
        Option("--name", "word", "what to call it here"),
        MODEL,
        Option("--no-history", "flag", "without its messages and archive"),
        Option("--again", "flag", "also if this line has made one before"),
    ),
    summary="make an agent from a file in Letta's format (.af); its tools wait for your look",
)
def import_(session: Session, given: Arguments) -> str:
    """Make the agents of a file and say what was left out; a second time they are there already."""
    path = Path(given["file"]).expanduser()
    key = f"imported:{session.beside(path.resolve())}:{given.option('name') or ''}"
    if not given.option("again") and (said := _imported(session, path, key)):
        return said
    came = session.service.agent_files.import_file(
        path,
        name=given.option("name"),
        model=given.option("model"),
        history=not given.option("no_history"),
    )
    kept = {"agents": [agent.id for agent in came.agents], "digest": _digest(path)}
    session.service.settings.put(key, json.dumps(kept))
    names = ", ".join(agent.name for agent in came.agents)
    lines = [f"Made {names}; %agent use {came.agent.name} talks to it."]
    if came.detached:
        # By its id where the name is another tool's too.
        every = [tool.name for tool in session.service.tools.list()]
        listed = [
            tool.name if every.count(tool.name) == 1 else f"{tool.name} ({tool.id})"
            for tool in came.detached
        ]
        lines.append(
            f"Not attached until you have looked: {', '.join(listed)}. "
            "%agent tools source TOOL shows one, %agent tools attach TOOL gives it."
        )
    return "\n".join(one_line(line, 2000) for line in [*lines, *came.notes])


def _imported(session: Session, path: Path, key: str) -> str:
    """Say that the agents of a file are there, if all it made are; else nothing."""
    if not session.has_project or not path.is_file():
        return ""
    kept = json.loads(session.service.settings.get(key) or "{}")
    try:
        agents = [session.service.agents.retrieve(one) for one in kept.get("agents", [])]
    except NotFoundError:
        return ""
    if not agents or any(agent.set_aside for agent in agents):
        return ""
    changed = " The file has changed since." if _digest(path) != kept["digest"] else ""
    names = ", ".join(agent.name for agent in agents)
    return one_line(
        f"Found {names}, made from {path.name} before; %agent use {agents[0].name} talks to it."
        f"{changed} --again makes another.",
        2000,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@command(
    "tools source",
    Argument("tool", values="any_tool"),
    summary="the code of a tool of this project, as it would run",
)
def source(session: Session, given: Arguments) -> None:
    """Print the source of a tool by name or id."""
    wanted, every = given["tool"], session.service.tools.attachable()
    found = [tool for tool in every if wanted in (tool.id, tool.name)]
    if not found:
        names = sorted({tool.name for tool in every})
        raise NotFoundError(f"There is no tool {wanted!r}.{nearest(wanted, names)}")
    for tool in found:
        print(f"# {tool.name} ({tool.id}), runs in: {tool.runs_in}")
        print(tool.source or "# It has no source: it is built in, or a server has it.")
