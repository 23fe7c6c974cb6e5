"""A store in a folder of its own, with one agent in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_kernel.records import AgentState
from letta_kernel.store import agents
from letta_kernel.store.database import Database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".letta"


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    database = Database(home)
    yield database
    database.close()


@pytest.fixture
def ada(database: Database) -> AgentState:
    return database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
