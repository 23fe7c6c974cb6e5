"""Tokens counted without the network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from letta_kernel.models import tokens
from letta_kernel.models.registry import open_model

ENGLISH = (
    Path(tokens.__file__).read_text() + "\n" + "The quick brown fox jumps over the lazy dog. " * 20
)


def test_counting_uses_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(tokens, "_encoding", [])
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert tokens.count("hello world") == 2
    assert tokens.count("") == 0
    assert tokens.count("a lone \ud800 surrogate") > 3


def test_the_estimate_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = tokens.count(ENGLISH)
    assert exact > 500
    assert 0.75 < tokens.estimate(ENGLISH) / exact < 1.25
    german = "Der Löwe schläft heute Nacht im Dschungel; über alles wächst Gras." * 5
    assert 0.6 < tokens.estimate(german) / tokens.count(german) < 1.5
    chinese = "今天天气很好我们去公园散步吧" * 10
    assert 0.5 < tokens.estimate(chinese) / tokens.count(chinese) < 1.5


def test_without_a_vocabulary_it_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_FILE", "no/such/file")
    monkeypatch.setattr(tokens, "_encoding", [])
    tokens._count.cache_clear()
    try:
        assert tokens.count(ENGLISH) == tokens.estimate(ENGLISH)
    finally:
        tokens._count.cache_clear()


def test_one_endless_word_is_counted_in_time() -> None:
    assert tokens.count("x" * 2_000_000) > 100_000


def test_models_count_in_their_own_scale() -> None:
    openai = open_model("openai/gpt-5-mini").count_tokens(ENGLISH)
    claude = open_model("anthropic/claude-sonnet-5").count_tokens(ENGLISH)
    assert claude > openai
