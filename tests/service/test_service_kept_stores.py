"""Stores that earlier versions wrote (tests/data): today's code opens them, loses nothing, and goes on."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_bench import ended
from PIL import Image
from scripted_server import ScriptedServer

from letta_kernel.agent.decisions import Decision
from letta_kernel.messages import Message
from letta_kernel.pictures.picture import read
from letta_kernel.service import AgentService
from letta_kernel.store.migrations import MIGRATIONS

pytestmark = pytest.mark.duckdb

KEPT = sorted((Path(__file__).parents[1] / "data").glob("store-v*.duckdb.gz"))


@pytest.fixture(params=KEPT, ids=lambda path: path.name.partition(".")[0])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentService]:
    home = tmp_path / ".letta"
    home.mkdir()
    (home / "letta.duckdb").write_bytes(gzip.decompress(request.param.read_bytes()))
    with AgentService(home) as opened:
        yield opened


def test_everything_is_there(service: AgentService) -> None:
    (version,) = service.database.run(lambda tx: tx.one("SELECT version FROM schema_version")) or ()
    assert version == len(MIGRATIONS)
    assert [agent.name for agent in service.agents.list()] == ["ada", "bob"]
    ada = service.agents.retrieve("ada")
    assert (ada.settings["temperature"], ada.tags) == (0.5, ["birds"])
    labels = {block.label: block.value for block in service.blocks.list("ada")}
    assert labels == {"persona": "I am Ada.", "human": "Name: Mara", "team": "We count birds."}
    assert [block.label for block in service.blocks.list("bob")][-2:] == ["notes", "team"]
    assert len(service.blocks.versions("human", agent="ada")) == 3
    assert service.blocks.redo("human", agent="ada").value == "Name: Mara. Looks after the puffins."
    said = [(message.role, message.content) for message in service.messages.history("ada")]
    assert [text for role, text in said if role != "assistant"] == [
        "How many puffins?",
        "12",
        "The door opened.",
        "Pay five euros.",
    ]
    assert ("assistant", "Twelve puffins.") in said
    assert {"count_birds", "pay"} <= {tool.name for tool in service.tools.list("ada")}
    (plan,) = service.conversations.list("ada")
    assert plan.summary == "planning"
    thread = [message.content for message in service.messages.list("ada", plan.id)]
    assert sorted(thread) == ["A plan, please.", "Let us plan."]
    ((_, file, _),) = service.files.of_agent("ada")
    assert (file.name, file.content) == ("tide.md", "# Tides\n\nHigh water is at noon.")
    assert service.identities.retrieve("mara@station").name == "Mara"
    assert service.settings.get("agent") == "ada"
    assert len(service.runs.whole("ada")) >= 3


def test_what_it_remembers_is_found(service: AgentService, request: pytest.FixtureRequest) -> None:
    assert "north cliff" in service.passages.search("puffin colony", agent="ada")[0].passage.content
    (origin,) = service.passages.origins(service.passages.list("ada", 1))
    version = int(
        request.node.callspec.params["service"].name.split(".")[0].removeprefix("store-v")
    )
    assert ("not recorded" in str(origin)) == (version < 19)  # since then it is
    assert "kitchen door" in service.passages.search("key", agent="bob")[0].passage.content
    assert "puffins" in service.messages.search("how many puffins", agent="ada")[0].message.content


def test_the_call_that_waits_is_approved_and_the_talk_goes_on(
    service: AgentService, scripted: ScriptedServer
) -> None:
    (waiting,) = service.runs.pending("ada")
    assert (waiting.name, waiting.arguments) == ("pay", '{"euros": 5}')
    scripted.say("Paid.")
    assert (
        ended(list(service.runs.approve("ada", [Decision(waiting.id, approve=True)]))).stop_reason
        == "end_turn"
    )
    assert "paid 5" in [m.content for m in service.messages.history("ada") if m.role == "tool"][-1]
    scripted.say("Good night.")
    assert ended(list(service.runs.send("ada", "Good night."))).stop_reason == "end_turn"


def test_old_messages_have_no_pictures_and_new_ones_may(service: AgentService) -> None:
    before = service.messages.history("ada", limit=1000)
    assert before
    assert all(message.pictures == [] for message in before)
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(buffer, "PNG")
    red = read(buffer.getvalue())
    new = Message(agent_id="", role="user", content=f"Look: {red.described}", pictures=[red])
    service.messages.insert(
        "bob", [new, *[new.model_copy(update={"id": f"message-{n}"}) for n in range(9)]]
    )
    kept = service.messages.with_pictures(service.messages.history("bob", limit=10))
    assert [message.pictures for message in kept] == [[red]] * 10
