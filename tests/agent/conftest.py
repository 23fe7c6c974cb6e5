"""An agent named ada on a fresh project folder, talking to the scripted model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agent_bench import Bench, kept_whole


@pytest.fixture
def bench(bench: Bench) -> Iterator[Bench]:
    """Whatever a test does to ada, what is kept of it is whole in the end."""
    bench.service.agents.create("ada")
    yield bench
    kept_whole(bench.service)
