"""A store in a folder of its own, with one agent in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest

from letta_kernel.records import AgentState
from letta_kernel.store import agents
from letta_kernel.store.database import Database


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AgentState]:
    """A database file with one agent, made once: copying it is quicker than making another."""
    database = Database(tmp_path_factory.mktemp("template"), store="")
    ada = database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    database.close()
    return database.path, ada


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the project folder will be; it is not there yet."""
    return tmp_path / "project" / ".letta"


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    """An empty store."""
    database = Database(home)
    yield database
    database.close()


@pytest.fixture
def ada(database: Database, template: tuple[Path, AgentState]) -> AgentState:
    """The agent ada, in the store."""
    file, agent = template
    if postgres.WANTED:
        return database.run(lambda tx: agents.add(tx, agent.model_copy(deep=True)))
    database.home.mkdir(parents=True)
    shutil.copyfile(file, database.path)
    return agent.model_copy(deep=True)
