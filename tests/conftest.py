"""What every room's tests share: the scripted model server."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from scripted_server import ScriptedServer

# What starts in the background of a script ignores it, and so would every process the tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A scripted server, and the environment that makes ``openai/scripted`` the model to use."""
    with ScriptedServer() as server:
        monkeypatch.setenv("LETTA_MODEL", "openai/scripted")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        yield server
