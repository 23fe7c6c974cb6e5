"""Servers that share an index in an object storage are killed and held up: it is whole in the end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from object_storage import ObjectStorage

from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.records import AgentState
from letta_kernel.store import agents, passages
from letta_kernel.store.check import check
from letta_kernel.store.database import Database

CHILD = Path(__file__).with_name("index_child.py")
KEPT = 40  # lines that are kept before it ends, and so many servers killed
KILLED = 4
LONGEST = 400.0  # seconds, on a machine that has other things to do
ADA = "agent-ada"


class Child:
    """A server, and what it said."""

    def __init__(self, home: Path, name: str, seed: int) -> None:
        self.said: list[tuple[str, str]] = []
        self.errors = ""
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), str(home), name, str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            what, item = line.split()[:2]
            self.said.append((what, item))

    def kill(self) -> None:
        self.process.kill()
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()
        self.process.wait()
        self._reader.join()


@pytest.mark.slow
def test_servers_that_are_killed_and_held_up_leave_an_index_that_is_whole(
    tmp_path: Path, bucket: str, object_storage: ObjectStorage
) -> None:
    home = tmp_path / "home"
    database = Database(home)
    database.run(lambda tx: agents.add(tx, AgentState(id=ADA, name="ada")))
    database.close()
    chance = random.Random(7)
    children = [Child(home, name, seed) for seed, name in enumerate(("red", "blue", "green"))]
    ended: list[Child] = []
    latest = time.monotonic() + LONGEST

    def kept_so_far() -> int:
        return sum(what == "kept" for child in [*ended, *children] for what, _ in [*child.said])

    try:
        while kept_so_far() < KEPT or len(ended) < KILLED:
            assert time.monotonic() < latest
            time.sleep(chance.uniform(0.5, 2.5))
            at = chance.randrange(len(children))
            if chance.random() < 0.4:  # longer than its right to write lasts
                with contextlib.suppress(ProcessLookupError):
                    os.kill(children[at].process.pid, signal.SIGSTOP)
                    time.sleep(chance.uniform(0.1, 3))
                    os.kill(children[at].process.pid, signal.SIGCONT)
            elif chance.random() < 0.4 and children[at].said:  # it has come to work
                children[at].kill()
                ended.append(children[at])
                children[at] = Child(home, f"again{len(ended)}", 100 + len(ended))
    finally:
        for child in children:
            child.kill()
    said = Counter(what for child in [*ended, *children] for what, _ in child.said)
    print(said)
    assert [child.errors for child in [*ended, *children] if "Traceback" in child.errors] == []
    assert said["missed"] == 0
    assert said["kept"] >= KEPT
    kept = {item for child in [*ended, *children] for what, item in child.said if what == "kept"}
    gone = {item for child in [*ended, *children] for what, item in child.said if what == "deleted"}
    stored = {one.id for one in database.run(lambda tx: passages.page(tx, ADA, limit=100_000))}
    assert kept - gone <= stored
    assert not gone & stored
    archive = Archive(database, home, embedder("wordllama"))
    archive.close()
    for _ in range(2):
        archive.catch_up()
    table = archive._index.table
    assert sorted(table.lines_of(ADA, 0)["id"].to_pylist()) == sorted(stored)
    name = table.name()
    sql = "SELECT count(*) FROM outbox WHERE index_name = $1"
    assert database.run(lambda tx: tx.one(sql, (name,))) == (0,)
    assert check(database).findings == []
    database.close()
