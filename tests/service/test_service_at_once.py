"""What many do to one project at the same moment: nothing is doubled, nothing is lost, in both engines."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_bench import ADD
from pooler import Pooler, needed
from scripted_server import ScriptedServer

from letta_kernel.errors import LettaError
from letta_kernel.messages import RunEnded
from letta_kernel.records import Block, Tool
from letta_kernel.service import AgentService
from letta_kernel.store import agents
from letta_kernel.store.database import Tx
from letta_kernel.tools.schema import schema_from_source

MANY = 6
ROUNDS = 4

Act = Callable[[AgentService, int, int], object]


@pytest.fixture(
    params=["duckdb", "postgresql", pytest.param("pgbouncer", marks=[pytest.mark.slow, needed])]
)
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[AgentService]]:
    """Several services on one project, each with connections of its own, as several processes have them."""
    with contextlib.ExitStack() as stack:
        store = ""
        if request.param != "duckdb":
            cluster = request.getfixturevalue("cluster")
            store = cluster.url("{folder}")
        if request.param == "pgbouncer":
            pooler = Pooler(cluster, Path(f"/tmp/letta-pgb-once-{os.getpid()}"))
            store = stack.enter_context(pooler).url("{folder}")
        found = [
            stack.enter_context(AgentService(tmp_path / "home", store=store)) for _ in range(MANY)
        ]
        found[0].agents.create("first")
        yield found


def together(services: list[AgentService], act: Act, rounds: int = ROUNDS) -> Counter[str]:
    """Let each service *act* at the same moment, in each round; count how it ended."""
    ended: Counter[str] = Counter()

    def go(number: int, start: threading.Barrier, turn: int) -> None:
        start.wait()
        try:
            act(services[number], turn, number)
            ended["done"] += 1
        except LettaError as error:
            ended[type(error).__name__] += 1

    for turn in range(rounds):
        start = threading.Barrier(len(services))
        threads = [
            threading.Thread(target=go, args=(number, start, turn))
            for number in range(len(services))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return ended


def test_no_two_agents_get_one_name(services: list[AgentService]) -> None:
    ended = together(services, lambda one, turn, number: one.agents.create(f"agent{turn}"))
    names = Counter(one.name for one in services[0].agents.list())
    assert not {name for name, count in names.items() if count > 1}
    assert ended == {"done": ROUNDS, "NameTakenError": ROUNDS * (MANY - 1)}


def test_no_agent_gets_two_blocks_of_one_label(services: list[AgentService]) -> None:
    def write(one: AgentService, turn: int, number: int) -> None:
        one.blocks.create(Block(label=f"notes{turn}", value=f"of {number}"), agent="first")

    ended = together(services, write)
    labels = Counter(one.label for one in services[0].blocks.list(agent="first"))
    assert not {label for label, count in labels.items() if count > 1}
    assert ended["done"] == ROUNDS
    assert sum(ended.values()) == ROUNDS * MANY


def test_nobodys_change_is_written_over(services: list[AgentService]) -> None:
    def tag(one: AgentService, turn: int, number: int) -> None:
        def work(tx: Tx) -> None:
            state = agents.named(tx, "first")[0]
            state.tags = [*state.tags, f"tag-{turn}-{number}"]
            agents.save(tx, state)

        one.database.run(work)

    assert together(services, tag) == {"done": ROUNDS * MANY}
    assert len(set(services[0].agents.retrieve("first").tags)) == ROUNDS * MANY


def test_an_agent_talks_in_many_conversations_at_once(services: list[AgentService]) -> None:
    threads = [services[0].conversations.create("first").id for _ in services]

    def talk(one: AgentService, turn: int, number: int) -> None:
        events = list(
            one.runs.send("first", f"Round {turn}", conversation=threads[number], model="demo")
        )
        (end,) = (event for event in events if isinstance(event, RunEnded))
        assert end.stop_reason == "end_turn", end.error

    assert together(services, talk, 2) == {"done": 2 * MANY}
    seqs = services[0].database.run(
        lambda tx: [row[0] for row in tx.query("SELECT seq FROM messages ORDER BY seq")]
    )
    assert seqs == list(range(1, 4 * MANY + 1))


@pytest.mark.parametrize("services", ["postgresql"], indirect=True)  # a file tells who else wrote
def test_what_another_has_written_is_in_the_next_request(
    services: list[AgentService], scripted: ScriptedServer
) -> None:
    """Whatever a process keeps of what it has read: it reads again what others may have changed."""
    one, other = services[:2]
    notes = other.blocks.create(Block(label="notes", value="old words"), agent="first")
    schema = schema_from_source(ADD)

    def asked(text: str) -> str:
        scripted.say("Yes.")
        list(one.runs.send("first", text, model="openai/scripted"))
        return json.dumps(scripted.requests[-1])

    assert "old words" in asked("One.")
    assert '"add"' not in asked("Two.")
    other.blocks.update(notes.id, value="new words")
    assert "new words" in asked("Three.")
    tool = other.tools.upsert(Tool(**schema, source=ADD))
    other.tools.attach(tool.id, agent="first")
    assert '"add"' in asked("Four.")
    other.passages.create("The moon is made of tea.", agent="first")
    assert "made of tea" in asked("What is the moon made of?")
    list(other.runs.send("first", "By another.", model="openai/scripted"))
    assert "By another." in asked("Six.")
    other.agents.update("first", instructions="You are a pirate.")
    assert "pirate" in asked("Seven.")
    made, _ = other.tokens.create("someone", "read")
    assert [token.id for token in one.tokens.list()] == [made.id]
