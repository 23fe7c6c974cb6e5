"""A conversation as a page to hand in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from letta_kernel import private
from letta_kernel.commands.door import AGENT, Answer, Door
from letta_kernel.commands.keeping import FORCE
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError, StoreError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState

GROUP = "Keeping and sharing"


@command("report", "agent report", group=GROUP)
def report(
    door: Door,
    agent: AgentState = AGENT,
    file: str | None = argument(
        "The file to write, NAME.html if not given", None, values="file", free=True
    ),
    conversation: str | None = option("The id of a conversation; else the agent's own", shown="ID"),
    force: bool = FORCE,
) -> Answer:
    """Write a conversation to one HTML page: messages, thoughts, calls, memory, costs.

    The page stands alone: it needs no kernel, no script and no network, reads in light and dark and on paper,
    and holds no keys and passwords. An earlier report of the same agent is written over.
    """
    from letta_kernel.display.report import GENERATOR, report_page
    from letta_kernel.models.masking import masked

    made = door.service.reports.make(agent.id, conversation)
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in agent.name).lstrip(".")
    path = Path(file or f"{name or 'agent'}.html").expanduser()
    if path.suffix.lower() not in (".html", ".htm"):
        raise InvalidInputError(f"Name a file that ends in .html, not {path}.")
    if not path.parent.is_dir():
        raise InvalidInputError(f"There is no folder {path.parent}.")
    if path.exists() and not force and not _is_report(path, f"{GENERATOR} {agent.id}"):
        raise InvalidInputError(f"{path} is there already: name another file, or add --force.")
    temp = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        private.write(temp, report_page(made, masked))
        os.replace(temp, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        temp.unlink(missing_ok=True)
    size = path.stat().st_size
    return Answer(
        f"{path} tells the conversation with {agent.name} ({size:,} bytes).",
        {"agent": agent.id, "file": path, "turns": len(made.parts)},
    )


def _is_report(path: Path, mark: str) -> bool:
    """Whether a file is an earlier report of the same agent."""
    try:
        with path.open(encoding="utf-8") as file:
            return mark in file.read(4_000)
    except (OSError, UnicodeDecodeError):
        return False
