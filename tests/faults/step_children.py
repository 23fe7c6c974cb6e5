"""A process that lets an agent work, and is killed at a chosen point of a step."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from letta_kernel.agent import journal
from letta_kernel.messages import Event, RunEnded, ToolReturned
from letta_kernel.models.scripted import scripted
from letta_kernel.records import Tool
from letta_kernel.service import AgentService, Decision
from letta_kernel.tools.schema import schema_from_source

PAY = '''
def pay(euros: int) -> str:
    """Pay somebody.

    Args:
        euros: How much.
    """
    with open({path!r}, "a") as book:
        book.write(str(euros) + chr(10))
    return str(euros) + " paid"
'''


class Host:
    """A notebook with one function, which pays by writing into a book."""

    notebook = "bank.ipynb"

    def __init__(self, home: str) -> None:
        names: dict[str, Any] = {}
        exec(source(home), names)
        self._pay = names["pay"]

    def lookup(self, tool: Tool) -> Any:
        return self._pay if tool.name == "pay" else None


def book(home: str | Path) -> Path:
    """The file in which payments stand, one a line; its folder is all that sandboxed tools may write."""
    folder = Path(home).parent / "book"
    folder.mkdir(exist_ok=True)
    os.environ["LETTA_SANDBOX_WRITE"] = str(folder)
    return folder / "book.txt"


def source(home: str) -> str:
    return PAY.format(path=str(book(home)))


def prepare(service: AgentService, home: str, **options: Any) -> None:
    """Make the agent and its tool."""
    style = options.pop("style", "native")
    service.agents.create(name="ada", model="scripted/turn", style=style)
    if options.pop("mcp", False):
        server = Path(__file__).with_name("bank_server.py")
        service.mcp.create("bank", [sys.executable, str(server), str(book(home))], agent="ada")
        return
    tool = Tool(**schema_from_source(source(home)), source=source(home), **options)
    service.tools.attach(service.tools.upsert(tool).id, agent="ada")


def take_a_turn(
    home: str, moves: str, approve: bool, sandbox: bool, kill_at: int, told: Connection
) -> None:
    """Let the agent work; say on the pipe what a person is shown, and die at point *kill_at*.

    Points are counted over the whole turn; without so many it says how many there were.
    """
    passed = 0

    def passing(point: str) -> None:
        nonlocal passed
        passed += 1
        if passed == kill_at:
            told.send(("point", point))
            os.kill(os.getpid(), signal.SIGKILL)

    scripted(moves, "turn")
    journal.passing = passing
    host = None if sandbox else Host(home)
    with AgentService(home) as service:
        ended = _show(service.runs.send("ada", "Please.", host=host), told)
        while ended == "requires_approval":
            words = [Decision(call.id, approve) for call in service.runs.pending("ada")]
            ended = _show(service.runs.approve("ada", words, host=host), told)
        told.send(("whole", passed))


def _show(events: Iterator[Event], told: Connection) -> str:
    reason = ""
    for event in events:
        if isinstance(event, ToolReturned):
            told.send(("shown", event.call_id, event.text))
        elif isinstance(event, RunEnded):
            reason = event.stop_reason
    return reason
