"""A service on a fresh project folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_kernel.service import AgentService


@pytest.fixture
def service(tmp_path: Path) -> Iterator[AgentService]:
    with AgentService(tmp_path / "home") as service:
        yield service
