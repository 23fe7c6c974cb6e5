"""A server over a fresh project folder and the scripted model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving
from token_field import Field, fields

from letta_kernel.service import AgentService


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """Wait longer than httpx's five seconds for an answer, which a crowded machine may need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, "read", 60.0)
        yield


@pytest.fixture
def server(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    # On a crowded machine a step may take longer than pings wait: they come where a test asks for them.
    monkeypatch.setattr("letta_kernel.server.events.sse.PING_SECONDS", 3600.0)
    with serving(service, scripted) as running:
        yield running


@pytest.fixture(scope="module")
def field(
    tmp_path_factory: pytest.TempPathFactory, fresh_project: Callable[[Path], Path]
) -> Iterator[Field]:
    """A server with two agents, each with one of everything, for a module."""
    with fields(fresh_project(tmp_path_factory.mktemp("tokens") / "home")) as found:
        yield found
