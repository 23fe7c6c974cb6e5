"""What the tests of models share: impatience, and short ways to call one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from letta_kernel.models import facts, refusals, retry
from letta_kernel.models.base import Cancel, ChatRequest, Piece, Reply, ResponseFormat
from letta_kernel.models.providers import PROVIDERS
from letta_kernel.models.registry import open_model

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}

Ask = Callable[..., list[Piece]]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider of this machine, no limits of the test before, and no long waits."""
    for provider in PROVIDERS.values():
        for name in [v for group in provider.variables for v in group] + list(
            provider.base_variables
        ):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")  # nothing listens on the discard port
    monkeypatch.delenv("LETTA_MODEL", raising=False)
    monkeypatch.setenv("LETTA_MODEL_WAIT", "0.01")
    monkeypatch.setattr(retry, "_limits", {})
    monkeypatch.setattr(facts, "_asked", {})
    monkeypatch.setattr(refusals, "_known", {})


@pytest.fixture
def ask() -> Ask:
    """Call a model and return its pieces; the last one is the reply."""

    def call(
        text: str | list[dict[str, Any]] = "hi",
        *,
        model: str = "openai/scripted",
        fallbacks: tuple[str, ...] = (),
        tools: bool = False,
        cancel: Cancel | None = None,
        response_format: ResponseFormat | None = None,
        **params: Any,
    ) -> list[Piece]:
        messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
        request = ChatRequest(messages, [TOOL] if tools else [], None, params, response_format)
        chat = open_model(model, fallbacks=fallbacks)
        return list(chat.stream(request, cancel or Cancel()))

    return call


@pytest.fixture
def reply(ask: Ask) -> Callable[..., Reply]:
    """Call a model and return its whole reply."""

    def call(*args: Any, **options: Any) -> Reply:
        last = ask(*args, **options)[-1]
        assert isinstance(last, Reply)
        return last

    return call
