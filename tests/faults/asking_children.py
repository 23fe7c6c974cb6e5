"""Processes in which agents ask each other, some of which are killed in the midst of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from letta_kernel.agent import journal
from letta_kernel.agent_messages import NOTIFY, WAIT
from letta_kernel.messages import RunEnded, ToolReturned
from letta_kernel.models.scripted import scripted
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools.schema import schema_from_source

MEET = '''
def meet() -> str:
    """Wait for the other."""
    return "met"
'''
ASKS = f'call: {WAIT}(message="Where?", other_agent_id="bob")\n\nsay: Bob knows.'
TELLS = f'call: {NOTIFY}(message="News.", other_agent_id="bob")\n\nsay: Told.'
ANSWERS = 'call: core_memory_append(label="human", content="Was asked.")\n\nsay: On the cliff.'


class Meeting:
    """A notebook with one function, which waits until it may go on."""

    notebook = None

    def __init__(self, meet: Callable[[], str]) -> None:
        self._meet = meet

    def lookup(self, tool: Tool) -> Any:
        return self._meet if tool.name == "meet" else None


def prepare(service: AgentService) -> None:
    """Make two agents that can ask each other, and meet."""
    meet = service.tools.upsert(Tool(**schema_from_source(MEET), source=MEET))
    for name in ("ada", "bob"):
        service.agents.create(name, model=f"scripted/{name}")
        for tool in (WAIT, NOTIFY, meet.id):
            service.tools.attach(tool, agent=name)


def ask_and_die(home: str, moves: str, kill_at: int, told: Connection) -> None:
    """Let ada work, whose model makes *moves*, and die at the point *kill_at* at which a step is written."""
    passed = 0
    lock = threading.Lock()

    def passing(point: str) -> None:
        nonlocal passed
        with lock:
            passed += 1
            if passed == kill_at:
                told.send(("point", point))
                os.kill(os.getpid(), signal.SIGKILL)

    scripted(moves, "ada")
    scripted(ANSWERS, "bob")
    journal.passing = passing
    with AgentService(home) as service:
        service.deliveries.start()
        for event in service.runs.send("ada", "Go."):
            if isinstance(event, ToolReturned):
                told.send(("shown", event.text))
        told.send(("whole", ""))
        if moves == TELLS:
            while not any(
                one.content == "On the cliff." for one in service.messages.history("bob")
            ):
                threading.Event().wait(0.02)
    told.send(("over", ""))


def ask_when_told(home: str, name: str, moves: str, told: Connection) -> None:
    """Let an agent work that waits in its function `meet` until the pipe says that it may go on."""

    def meet() -> str:
        told.send("here")
        told.recv()
        return "met"

    scripted(moves, name)
    other = "bob" if name == "ada" else "ada"
    scripted("say: I am here.", other)
    with AgentService(home) as service:
        ended = [
            one
            for one in service.runs.send(name, "Go.", host=Meeting(meet))
            if isinstance(one, RunEnded)
        ]
    told.send(ended[-1].stop_reason)
