"""An agent named ada on a fresh project folder, talking to the scripted model."""

from __future__ import annotations

import pytest
from agent_bench import Bench


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.service.create_agent("ada")
    return bench
