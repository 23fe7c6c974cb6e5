"""A project folder with its archival memory and recall, on the offline embedder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from letta_kernel.memory.archival import Archive
from letta_kernel.memory.recall import Recall
from letta_kernel.models.embedding import Embedder, embedder
from letta_kernel.records import AgentState
from letta_kernel.store import agents
from letta_kernel.store.database import Database


@dataclass
class Project:
    home: Path
    database: Database

    def archive(self, model: Embedder | None = None) -> Archive:
        """An archive that indexes only when told to, so that tests decide when."""
        made = Archive(self.database, self.home, model or embedder("wordllama"))
        made.close()
        return made

    def recall(self) -> Recall:
        made = Recall(self.database, self.home, embedder("wordllama"))
        made.close()
        return made


@pytest.fixture
def project(tmp_path: Path, fresh_project: Callable[[Path], Path]) -> Iterator[Project]:
    database = Database(fresh_project(tmp_path / "home"))
    for name in ("ada", "bob"):
        state = AgentState(id=f"agent-{name}", name=name)
        database.run(lambda tx, state=state: agents.add(tx, state))
    yield Project(tmp_path / "home", database)
    database.close()
