"""What every room's tests share: the scripted model server, and a second try where processes compete."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import ScriptedServer

# What starts in the background of a script ignores it, and so would every process the tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_ONCE = ("faults", "store")  # a second try could hide a write that was lost


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test try once more; those that needed it are named at the end.

    The tests start thousands of real processes, threads and pages on machines of any size: one of them
    starved for a moment says nothing of the code, and a fault of the code fails twice.
    """
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] not in _ONCE:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A scripted server, and the environment that makes ``openai/scripted`` the model to use."""
    with ScriptedServer() as server:
        monkeypatch.setenv("LETTA_MODEL", "openai/scripted")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        yield server
