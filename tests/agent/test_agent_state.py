"""Tools that ask for ``agent_state``: who calls them, and its memory, which they read and write."""

from __future__ import annotations

import json

import pytest
from agent_bench import Bench, ended

from letta_kernel.messages import MemoryChanged, ToolReturned

LOOK = '''
def look(agent_state: "AgentState", label: str) -> str:
    """Look.

    Args:
        label: Which block.
    """
    import json
    memory = agent_state.memory
    told = [agent_state.name, agent_state.id, agent_state.tags, memory.list_block_labels()]
    names = [tool.name for tool in agent_state.tools]
    return json.dumps([*told, "look" in names, memory.get_block(label).value])
'''
NOTE = '''
def note(agent_state: "AgentState", label: str, text: str) -> str:
    """Note.

    Args:
        label: Which block.
        text: What.
    """
    block = agent_state.memory.get_block(label)
    if text.startswith("by hand"):
        block.value = text
    else:
        agent_state.memory.update_block_value(label=label, value=block.value + text)
    if text == "fail":
        raise RuntimeError("no")
    return "Noted: " + agent_state.memory.get_block(label).value
'''
PLACES = pytest.mark.parametrize("where", ["notebook", "sandbox"])


def give(bench: Bench, source: str, where: str) -> None:
    kind = "source" if where == "sandbox" else "notebook"
    bench.give("ada", source, runs_in=where, kind=kind)


def returned(bench: Bench, **arguments: str) -> ToolReturned:
    bench.server.call(arguments.pop("tool"), arguments)
    events = bench.send("ada", "Go on.")
    assert ended(events).stop_reason == "end_turn"
    return next(e for e in events if isinstance(e, ToolReturned))


def value(bench: Bench, label: str = "human") -> str:
    return bench.service.blocks.retrieve(label, agent="ada").value


@PLACES
def test_a_tool_knows_the_agent_that_calls_it(bench: Bench, where: str) -> None:
    give(bench, LOOK, where)
    bench.service.agents.update("ada", tags=["a", "b"])
    bench.service.blocks.upsert("human", "Kim", agent="ada")
    told = returned(bench, tool="look", label="human")
    ada = bench.service.agents.retrieve("ada")
    expected = ["ada", ada.id, ["a", "b"], ["persona", "human"], True, "Kim"]
    assert json.loads(told.text) == expected
    missing = returned(bench, tool="look", label="humn")
    assert "There is no memory block 'humn'; there is: persona, human." in missing.text


@PLACES
def test_what_a_tool_writes_to_memory_is_a_version_of_the_agent(bench: Bench, where: str) -> None:
    give(bench, NOTE, where)
    bench.service.blocks.upsert("human", "Kim", agent="ada")
    bench.server.call("note", {"label": "human", "text": ", a baker"})
    events = bench.send("ada", "I bake.")
    change = next(e for e in events if isinstance(e, MemoryChanged))
    assert (change.label, change.before, change.after) == ("human", "Kim", "Kim, a baker")
    assert value(bench) == "Kim, a baker"
    written = bench.service.blocks.versions("human", agent="ada")[-1]
    assert (written.value, written.reason) == ("Kim, a baker", "note")
    assert written.actor == bench.service.agents.retrieve("ada").id
    assert written.step_id
    assert returned(bench, tool="note", label="human", text="by hand").text == "Noted: by hand"
    assert value(bench) == "by hand"
    # Neither what failed nor what may not be lands.
    assert returned(bench, tool="note", label="human", text="fail").status == "error"
    assert value(bench) == "by hand"
    block = bench.service.blocks.retrieve("persona", agent="ada")
    bench.service.blocks.update(block.id, read_only=True)
    refused = returned(bench, tool="note", label="persona", text="!")
    assert refused.status == "error"
    assert "read-only" in refused.text
    assert value(bench, "persona") == block.value
    # By hand it is the same.
    done = bench.service.tools.run(
        "note", {"label": "human", "text": ", by me"}, agent="ada", host=bench.host
    )
    assert done.status == "ok", done.text
    assert value(bench) == "by hand, by me"


def test_what_somebody_else_wrote_meanwhile_is_not_lost(bench: Bench) -> None:
    give(bench, NOTE, "notebook")
    inner = bench.host.live["note"]

    def meanwhile(agent_state: object, label: str, text: str) -> str:
        bench.service.blocks.upsert("human", "Sam", agent="ada")
        return str(inner(agent_state, label, text))

    bench.host.live["note"] = meanwhile
    refused = returned(bench, tool="note", label="human", text=", a baker")
    assert "was changed meanwhile" in refused.text
    assert value(bench) == "Sam"
