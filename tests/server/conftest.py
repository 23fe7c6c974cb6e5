"""A server over a fresh project folder and the scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving

from letta_kernel.service import AgentService


@pytest.fixture
def server(
    tmp_path: Path, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("LETTA_HOME", str(tmp_path / "home"))
    with AgentService() as service, serving(service, scripted) as running:
        yield running
