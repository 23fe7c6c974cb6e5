"""What the tests of the loop share: an agent on a scripted model, and checks on what it was shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from scripted_server import ScriptedServer

from letta_kernel.messages import Event, Message, RunEnded
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools.schema import schema_from_source

ADD = '''
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return a + b
'''


class Functions:
    """A tool host whose functions live in this test process."""

    def __init__(self) -> None:
        self.live: dict[str, Callable[..., Any]] = {}

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        return self.live.get(tool.name)


class Bench:
    """What a test of the loop needs at hand."""

    def __init__(self, service: AgentService, server: ScriptedServer) -> None:
        self.service = service
        self.server = server
        self.host = Functions()

    def give(self, agent: str, source: str, **options: Any) -> Tool:
        """Define the function of *source* here and attach it to *agent* as a notebook would."""
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        schema = schema_from_source(source)
        self.host.live[schema["name"]] = namespace[schema["name"]]
        tool = self.service.tools.upsert(Tool(**schema, source=source, **options))
        self.service.tools.attach(tool.id, agent=agent)
        return tool

    def send(self, agent: str, text: str, **options: Any) -> list[Event]:
        return list(self.service.runs.send(agent, text, host=self.host, **options))

    def history(self, agent: str) -> list[Message]:
        return self.service.messages.history(agent, limit=1000)


def ended(events: list[Event]) -> RunEnded:
    """The last event, which says how the run ended."""
    assert isinstance(events[-1], RunEnded)
    return events[-1]


def kept_whole(service: AgentService) -> None:
    """Check what the store keeps, since what is sent is mended on its way.

    Every call has one result, right after it, unless it waits for a person's word.
    """
    for agent in service.agents.list():
        open_calls: list[str] = []
        for message in service.messages.history(agent.id, limit=100_000):
            if message.role == "tool":
                assert message.tool_call_id in open_calls, message
                open_calls.remove(message.tool_call_id)
                continue
            assert not open_calls, f"calls without a result before {message}"
            open_calls = [call.id for call in message.tool_calls]
            assert len(set(open_calls)) == len(open_calls), message
        assert sorted(open_calls) == sorted(call.id for call in service.runs.pending(agent.id))


def valid(chat: list[dict[str, Any]]) -> None:
    """Every call has exactly one result, right after it, and arguments are JSON objects."""
    open_calls: list[str] = []
    for entry in chat:
        if entry["role"] == "tool":
            assert entry["tool_call_id"] in open_calls
            open_calls.remove(entry["tool_call_id"])
            continue
        assert not open_calls, f"calls without a result before {entry}"
        assert entry.get("content") or entry.get("tool_calls"), entry
        for call in entry.get("tool_calls", []):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            open_calls.append(call["id"])
    assert not open_calls
