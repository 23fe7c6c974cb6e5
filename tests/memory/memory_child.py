"""Run by test_memory_index.py as another process: inserts, searches and indexes in one project."""

import sys
from pathlib import Path

from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.store.database import Database


def main() -> None:
    home, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    database = Database(home)
    archive = Archive(database, home, embedder("wordllama"))
    for n in range(count):
        archive.insert("agent-ada", f"process {name} wrote item {n}")
        found = archive.search("agent-ada", f"process {name} item {n}", top_k=200)
        assert any(hit.passage.content == f"process {name} wrote item {n}" for hit in found)
        if n % 5 == 4:
            archive.catch_up()
    archive.close()
    database.close()
    print("done")


if __name__ == "__main__":
    main()
