"""What every room's tests share: the scripted model server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripted_server import ScriptedServer


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A scripted server, and the environment that makes ``openai/scripted`` the model to use."""
    with ScriptedServer() as server:
        monkeypatch.setenv("LETTA_MODEL", "openai/scripted")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        yield server
