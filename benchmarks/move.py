"""A project of many rows moved from a folder to PostgreSQL and back: seconds, CPU and memory.

``python benchmarks/move.py [ROWS]`` makes a project with so many messages and passages (1,000,000), and a
PostgreSQL of its own, in a temporary folder. Each move is a process of its own; its memory is what it had at
most (DuckDB included, the server not). Two figures to compare it with: a move of a hundredth of the rows.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from postgres import Cluster

_VALUES = {
    "BIGINT": "i",
    "INTEGER": "i % 1000",
    "BOOLEAN": "i % 2 = 0",
    "DOUBLE": "i / 7",
    "JSON": "'{\"number\": ' || i || '}'",
    "VARCHAR[]": "['a', 'tag-' || (i % 50)]",
    "BLOB": "'\\x00\\x01'::blob",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ '2026-01-01' + to_seconds(i)",
}


def fill(home: Path, rows: int) -> None:
    """Make a project: nine of ten rows are messages, one a passage, with 300 characters each."""
    from letta_kernel.store.database_file import CONFIG, FILE
    from letta_kernel.store.move.shapes import shapes
    from letta_kernel.store.opening import open_database

    home.mkdir(parents=True)
    parts = {"messages": rows * 9 // 10, "passages": rows // 10}
    with open_database(home / FILE, CONFIG) as connection:
        for shape in shapes():
            if shape.name not in parts:
                continue
            values = []
            for name, kind in shape.columns:
                if name == "content":
                    values.append("repeat('Birds at the lake, number ' || i || '. ', 10)")
                elif kind == "VARCHAR":
                    values.append(f"'{name}-' || {'i' if name in shape.key else 'i % 100'}")
                else:
                    values.append(_VALUES[kind])
            connection.execute(
                f'INSERT INTO "{shape.name}" ({shape.names}) SELECT {", ".join(values)}'
                f" FROM range({parts[shape.name]}) AS numbers(i)"
            )
        connection.execute("CHECKPOINT")


def move(home: Path, to: str, store: str, found: Any) -> None:
    """Move a project, and send what it took."""
    from letta_kernel.service.moving import Move

    began = time.monotonic()
    done = Move(home, to, store).run(lambda share, told: None)
    seconds = time.monotonic() - began
    # Not ru_maxrss: a new process has that of the one that started it.
    status = Path("/proc/self/status").read_text()
    memory = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    found.put((done.rows, seconds, time.process_time(), memory))


def measured(name: str, home: Path, to: str, store: str = "") -> None:
    """Move a project in a process of its own, and print what it took."""
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    child = context.Process(target=move, args=(home, to, store, found))
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"{name}: the move failed")
    rows, seconds, cpu, memory = found.get()
    print(
        f"{name:22} {rows:10,} rows {seconds:8.1f} s {cpu:8.1f} s of CPU {memory:6.0f} MB",
        flush=True,
    )


def main(rows: int) -> None:
    """Measure all ways, with few rows and with many."""
    os.environ.pop("LETTA_STORE", None)
    with tempfile.TemporaryDirectory(prefix="letta-move-", dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o711)
        cluster = Cluster(place / "pg")
        cluster.make()
        cluster.start()
        try:
            for number, many in enumerate((max(1, rows // 100), rows)):
                home, to = place / f"home{number}", cluster.url(f"p{number}")
                fill(home, many)
                measured("folder to PostgreSQL", home, to)
                measured("PostgreSQL to folder", home, str(place / f"back{number}"), to)
        finally:
            cluster.remove()


if __name__ == "__main__":
    main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 1_000_000)
