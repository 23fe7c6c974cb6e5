"""Who does not write English is told of the embedder for other languages: by doctor, and once in a turn."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_kernel.cli.checks import Finding, examine
from letta_kernel.cli.watch import Watcher
from letta_kernel.messages import Notice
from letta_kernel.server.handles import embedding_handle, embedding_name
from letta_kernel.service import AgentService

GERMAN = "Gestern haben wir lange über die Reise nach Italien gesprochen und dann Karten bestellt."
ENGLISH = "Yesterday we talked about the trip to Italy for long, and then you ordered our cards."


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentService]:
    monkeypatch.delenv("LETTA_EMBEDDING", raising=False)
    monkeypatch.setenv("LETTA_MODEL", "demo")
    with AgentService(tmp_path / ".letta") as made:
        yield made


def offers(service: AgentService, text: str) -> list[str]:
    """Return the offers that `letta-kernel send` shows of a turn."""
    watcher = Watcher(stream=False, details=False)
    shown = []
    for event in service.runs.send("ada", text, wait=True):
        with contextlib.redirect_stderr(io.StringIO()) as written:
            watcher.handle(event)
        if isinstance(event, Notice) and "LETTA_EMBEDDING" in event.text:
            assert event.text in " ".join(written.getvalue().split())
            shown.append(event.text)
    return shown


def embedding(service: AgentService) -> Finding:
    return next(one for one in examine(service.home, quick=True) if one.what == "embedding")


def test_another_embedder_is_offered_once_where_most_text_is_not_english(
    service: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.agents.create("ada")
    service.passages.remember(f"{ENGLISH} " * 4, agent="ada")
    assert offers(service, GERMAN) == []  # the archive is English
    service.passages.remember(f"{GERMAN} " * 30, agent="ada")
    found = embedding(service)
    assert found.state == "note"
    assert "LETTA_EMBEDDING=multilingual" in found.todo
    for expected in (1, 0):  # also by another process
        with AgentService(service.home) as later:
            assert len(offers(later, GERMAN)) == expected
    monkeypatch.setenv("LETTA_EMBEDDING", "local//no/such/model.onnx")
    wrong = embedding(service)
    assert wrong.state == "wrong"
    assert wrong.text == "There is no embedding model at /no/such/model.onnx."


def test_it_has_a_handle_of_its_own() -> None:
    assert embedding_name("letta/multilingual") == embedding_name("multilingual") == "multilingual"
    assert embedding_handle("multilingual") == "letta/multilingual"
    assert embedding_handle(None) == "letta/wordllama"
