"""The search tools as a model calls them: their arguments, what they return, what they say when it is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from scripted_server import ScriptedServer

from letta_kernel.ids import now
from letta_kernel.memory.excerpts import BUDGET
from letta_kernel.messages import Message
from letta_kernel.models.tokens import estimate
from letta_kernel.records import Passage
from letta_kernel.service import AgentService


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> None:
    service.agents.create("ada", settings={"timezone": "America/New_York"})


def call(service: AgentService, tool: str, **arguments: Any) -> str:
    outcome = service.tools.run(tool, arguments, agent="ada")
    assert outcome.status == "ok", outcome.text
    return outcome.text


def found(service: AgentService, **arguments: Any) -> list[str]:
    text = call(service, "archival_memory_search", **arguments)
    return [hit["content"] for hit in json.loads(text)] if text.startswith("[") else []


@pytest.fixture
def birds(service: AgentService) -> None:
    """Three passages around the turn of the year in New York, where it is five hours earlier."""
    for text, tags, moment in (
        ("Puffins left.", ["birds", "sea"], datetime(2024, 1, 1, 4, 59, 59, tzinfo=UTC)),
        ("Gulls stayed.", ["birds"], datetime(2024, 1, 1, 5, tzinfo=UTC)),
        ("Seals came.", ["sea"], datetime(2024, 1, 2, 12, tzinfo=UTC)),
    ):
        service.passages.create(text, tags, agent="ada", created_at=moment)


def test_what_is_inserted_can_be_named_and_found(service: AgentService) -> None:
    said = call(service, "archival_memory_insert", content="Puffins nest in May.", tags=["birds"])
    (passage,) = service.passages.list("ada")
    assert said == f"Kept in archival memory as {passage.id}."
    (hit,) = json.loads(call(service, "archival_memory_search", query="puffins"))
    assert set(hit) == {"cite", "id", "timestamp", "content", "tags", "relevance"}
    assert (hit["id"], hit["content"], hit["tags"]) == (
        passage.id,
        "Puffins nest in May.",
        ["birds"],
    )
    assert datetime.fromisoformat(hit["timestamp"]) == passage.created_at.replace(microsecond=0)
    assert hit["timestamp"][-6:] in ("-05:00", "-04:00")
    assert 0 < hit["relevance"] <= 1


@pytest.mark.usefixtures("birds")
def test_tags_and_days_filter_before_the_limit(service: AgentService) -> None:
    assert found(service, query="", tags=["birds", "sea"], tag_match_mode="all") == [
        "Puffins left."
    ]
    assert len(found(service, query="", tags=["birds", "sea"])) == 3
    assert found(service, query="gulls", tags=["birds"], top_k=1) == ["Gulls stayed."]
    assert found(service, query="puffins", end_datetime="2023-12-31", top_k=1) == ["Puffins left."]
    assert found(
        service, query="gulls", start_datetime="2024-01-01", end_datetime="2024-01-01"
    ) == ["Gulls stayed."]
    assert found(service, query="", start_datetime="2024-01-01T05:00:00Z") == [
        "Seals came.",
        "Gulls stayed.",
    ]
    assert found(service, query="gulls", top_k=0) == []


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("archival_memory_insert", {"content": "  "}, "no text"),
        ("archival_memory_insert", {"content": "a", "tags": "birds"}, "'tags' should be"),
        ("archival_memory_search", {"query": "a", "tag_match_mode": "both"}, "'any' or 'all'"),
        ("archival_memory_search", {"query": "a", "top_k": -1}, "negative"),
        ("archival_memory_search", {"query": "a", "start_datetime": "soon"}, "write 2024-01-31"),
        ("conversation_search", {"query": "a", "end_date": "2024-02-30"}, "write 2024-01-31"),
        (
            "conversation_search",
            {"query": "a", "start_date": "2024-02-02", "end_date": "2024-02-01"},
            "lies before the start",
        ),
        (
            "conversation_search",
            {"query": "a", "roles": ["robot"]},
            "'assistant', 'user' or 'tool'",
        ),
    ],
)
def test_a_bad_argument_says_what_to_write(
    service: AgentService, tool: str, arguments: dict[str, Any], words: str
) -> None:
    outcome = service.tools.run(tool, arguments, agent="ada")
    assert outcome.status == "error"
    assert words in outcome.text
    assert service.passages.list("ada") == []


def test_the_conversation_is_searched_by_role_and_day(
    service: AgentService, scripted: ScriptedServer
) -> None:
    scripted.say("The puffins came on Monday.")
    list(service.runs.send("ada", "When did the puffins come?"))
    both = json.loads(call(service, "conversation_search", query="puffins"))
    assert {hit["role"] for hit in both} == {"user", "assistant"}
    assert set(both[0]) == {"cite", "timestamp", "time_ago", "role", "content"}
    (answer,) = json.loads(
        call(service, "conversation_search", query="puffins", roles=["assistant"])
    )
    assert answer["content"] == "The puffins came on Monday."
    day = answer["timestamp"][:10]
    assert "puffins" in call(
        service, "conversation_search", query="puffins", start_date=day, end_date=day
    )
    assert call(service, "conversation_search", query="puffins", end_date="2020-01-01") == (
        "Nothing in the conversation matches."
    )
    assert "is not searched" in call(
        service, "conversation_search", query="puffins", roles=["tool"]
    )


def test_a_whole_answer_takes_no_more_than_its_budget_however_short_the_texts_are(
    service: AgentService,
) -> None:
    home = service.agents.retrieve("ada").id
    made: list[Passage] = []
    for n in range(30):  # some belong together, some are full of what is written as two signs
        each = {"agent_id": home, "created_at": now(), "tags": ["a tag of some length"] * (n % 3)}
        made += [
            Passage(content=f'"Puffin {n}"\n\n\tnests', **each),
            Passage(
                content=f"Puffin {n} flies.", source="log", position=n if n < 10 else 3 * n, **each
            ),
        ]
    service.archives.create("birds")
    service.archives.attach("birds", agent="ada")
    service.passages.insert(made, archive="birds")
    said = [Message(agent_id=home, role="user", content=f"Puffin {n} nests.") for n in range(60)]
    service.messages.insert("ada", said)
    for tool in ("archival_memory_search", "conversation_search"):
        text = call(service, tool, query="Which puffin nests or flies?")
        assert BUDGET // 2 < estimate(text) <= BUDGET, tool
        assert len(json.loads(text)) > 5
