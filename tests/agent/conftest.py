"""An agent named ada on a fresh project folder, talking to the scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_bench import Bench
from scripted_server import ScriptedServer

from letta_kernel.service import AgentService


@pytest.fixture
def bench(
    tmp_path: Path, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    monkeypatch.setenv("LETTA_HOME", str(tmp_path / "home"))
    with AgentService() as service:
        service.create_agent("ada")
        yield Bench(service, scripted)
