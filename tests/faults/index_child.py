"""Run by test_faults_index_storage.py as another server: it keeps, finds, indexes, and makes tables anew."""

import os
import random
import sys
from pathlib import Path

from letta_kernel.memory import search
from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.store import pointer_rows
from letta_kernel.store.database import Database
from letta_kernel.store.vectors import IndexAwayError

ADA = "agent-ada"


def main(home: Path, name: str, seed: int) -> None:
    """Say on standard output what is acknowledged, until somebody ends this."""
    pointer_rows.LEASE, pointer_rows._RENEW = 1.5, 0.4
    search.LARGE = 40
    chance = random.Random(seed)
    database = Database(home)
    archive = Archive(database, home, embedder("wordllama"))
    archive.close()
    table = archive._index.table
    number = 0
    while True:
        number += 1
        text = f"server {name} of {os.getpid()} wrote item {number}"
        (kept,) = archive.insert(ADA, text)
        print("kept", kept.id, flush=True)
        if chance.random() < 0.3:
            text += " and changed it"
            archive.update(kept.id, content=text)
            print("changed", kept.id, flush=True)
        found = archive.search(ADA, text, top_k=5)
        if kept.id not in [hit.passage.id for hit in found]:
            print("missed", kept.id, archive._engine._agents[ADA].way, flush=True)
        if chance.random() < 0.15:
            archive.delete(kept.id)
            print("deleted", kept.id, flush=True)
        if chance.random() < 0.5:
            archive._index.catch_up(0.5)
        if chance.random() < 0.1:
            try:
                with table.writing(0.5) as mine:
                    if mine and table.name() is not None:
                        table._table().optimize()
                        if chance.random() < 0.3:
                            archive._index._give_up()
                            print("anew", "-", flush=True)
            except IndexAwayError:
                print("away", "-", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
