"""What projects cost a PostgreSQL server: really made ones, on a cluster that is thrown away.

Used by `many_users.py`. The cluster has PostgreSQL's own limits (100 connections, 64 locks each), and does not
sync while projects are made.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import psycopg
from postgres import Cluster, programs

from letta_kernel.store import migrations, pg_people
from letta_kernel.store.database import Database

LOOKS = 7  # times that what takes milliseconds is measured
CATALOGUE = (
    "pg_class", "pg_attribute", "pg_type", "pg_index", "pg_constraint", "pg_depend", "pg_attrdef",
)  # fmt: skip
_LONGEST_DUMP = 240  # seconds
_STEP = "ALTER TABLE agents ADD COLUMN of_the_benchmark text DEFAULT ''"


@contextmanager
def cluster() -> Iterator[tuple[Cluster, Path]]:
    """Yield a server with PostgreSQL's own limits, and a folder for projects."""
    with tempfile.TemporaryDirectory(prefix="letta-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)  # PostgreSQL runs as another user
        made = Cluster(
            Path(folder) / "pg",
            settings="max_connections=100 max_pred_locks_per_transaction=64 autovacuum_naptime=1min",
        )
        made.make()
        made.start()
        try:
            yield made, Path(folder)
        finally:
            made.remove()


class Projects:
    """Projects of one server, called ``u1``, ``u2`` and so on."""

    def __init__(self, server: Cluster, home: Path) -> None:
        self.server, self.home = server, home
        self.count = 0
        self._dice = random.Random(5)

    def database(self, number: int) -> Database:
        return Database(self.home / f"u{number}", store=self.server.url(f"u{number}"))

    def make_until(self, count: int) -> None:
        """Make projects until there are so many, one for each core at a time."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(self._make, range(self.count + 1, count + 1)))
        self.count = count

    def _make(self, number: int) -> float:
        began = time.perf_counter()
        with closing(self.database(number)) as database:
            database.run(lambda tx: tx.query("SELECT 1"))
        return time.perf_counter() - began

    def measure(self, log: Callable[[str], None]) -> dict[str, Any]:
        """Return the figures with as many projects as there are now."""
        found: dict[str, Any] = {}
        made = [self._make(self.count + 1 + n) for n in range(LOOKS)]
        self.count += LOOKS
        found["projects"] = self.count
        found["make_ms"] = _ms(made)
        with self.server.connect() as admin:
            admin.execute("CHECKPOINT")
            found |= _sizes(admin)
        found["files"] = sum(1 for _ in self.server.folder.glob("data/base/*/*"))
        some = [self._dice.randint(1, self.count) for _ in range(LOOKS)]
        opened, mega = zip(*(self._open(number) for number in some), strict=True)
        found["open_ms"], found["backend_mb"] = _ms(opened), statistics.median(mega)
        found["migrate_ms"] = _ms([self._migrate(number) for number in some])
        found["granted_ms"], found["granted_mb"] = self._granted()
        dumped = [self._dump(f"u{number}") for number in some[:3]]
        found["dump_one_s"] = sorted(dumped, key=str)[1]
        found["dump_all_s"] = self._dump()
        log(f"{self.count:,} projects: measured")
        return found

    def _open(self, number: int) -> tuple[float, float]:
        """Return the seconds to a first answer of a project, and the megabytes its backend has then."""
        began = time.perf_counter()
        with closing(self.database(number)) as database:
            database.run(lambda tx: tx.query("SELECT * FROM agents"))
            taken = time.perf_counter() - began
            pid = database.run(lambda tx: tx.query("SELECT pg_backend_pid()"))[0][0]
            for table in ("messages", "runs", "steps", "passages", "leases", "blocks"):
                database.run(lambda tx, table=table: tx.query(f"SELECT * FROM {table} LIMIT 1"))
            return taken, _private_mb(pid)

    def _migrate(self, number: int) -> float:
        """Return the seconds that one more migration takes, which is undone."""
        with closing(self.database(number)) as database:
            database.run(lambda tx: tx.query("SELECT 1"))
        migrations.MIGRATIONS.append(_STEP)
        try:
            with closing(self.database(number)) as database:
                began = time.perf_counter()
                database.run(lambda tx: tx.query("SELECT 1"))
                taken = time.perf_counter() - began
        finally:
            migrations.MIGRATIONS.pop()
        with self.server.connect() as admin:
            admin.execute(
                f"ALTER TABLE u{number}.agents DROP COLUMN of_the_benchmark;"
                f" UPDATE u{number}.schema_version SET version = version - 1"
            )
        return taken

    def _granted(self) -> tuple[float | str, float | str]:
        """Return the ms to find what all grant to somebody, asked before, and the backend's megabytes."""
        names = [f"u{number}" for number in range(1, self.count + 1)]
        with closing(pg_people.connect(self.server.url())) as connection:
            try:
                for _ in range(3):  # it is prepared with the third
                    pg_people.granted(connection, names, "nobody")
                began = time.perf_counter()
                pg_people.granted(connection, names, "nobody")
            except psycopg.Error as error:
                return str(error).splitlines()[0], ""
            taken = round(1000 * (time.perf_counter() - began), 1)
            return taken, _private_mb(connection.info.backend_pid)

    def _dump(self, schema: str = "") -> float | str:
        """Return the seconds that pg_dump takes, or what it says."""
        command = [
            programs() / "pg_dump",
            "--host",
            str(self.server.folder),
            "--username",
            "postgres",
        ]
        command += ["--no-sync", "--file", "/dev/null", *(["--schema", schema] if schema else [])]
        began = time.perf_counter()
        try:
            done = subprocess.run(
                [*command, "postgres"],
                capture_output=True,
                text=True,
                timeout=_LONGEST_DUMP,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"more than {_LONGEST_DUMP} s"
        if done.returncode:
            return "out of shared memory" if "shared memory" in done.stderr else done.stderr[:200]
        return round(time.perf_counter() - began, 3)


def _ms(seconds: Any) -> float:
    return round(1000 * statistics.median(seconds), 1)


def _sizes(admin: psycopg.Connection) -> dict[str, float]:
    rows = sum(_one(admin, f"SELECT count(*) FROM {table}") for table in CATALOGUE)
    catalogue = _one(
        admin,
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared",
    )
    return {
        "catalogue_rows": rows,
        "catalogue_mb": round(catalogue / 1e6, 2),
        "disk_mb": round(_one(admin, "SELECT pg_database_size(current_database())") / 1e6, 2),
    }


def _one(admin: psycopg.Connection, text: str) -> int:
    row = admin.execute(text).fetchone()  # type: ignore[call-overload]
    return int(row[0])


def _private_mb(pid: int) -> float:
    full = psutil.Process(pid).memory_full_info()
    return round(full.uss / 1e6, 2)


def shape(projects: Projects) -> dict[str, int]:
    """Return of what a project consists."""
    with projects.server.connect() as admin:
        found = admin.execute(
            "SELECT relkind, count(*), sum(pg_relation_size(oid)) FROM pg_class"
            " WHERE relnamespace = 'u1'::regnamespace GROUP BY 1"
        ).fetchall()
        toast = _one(
            admin,
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'u1'::regnamespace AND reltoastrelid <> 0",
        )
    kinds = {str(kind): (int(count), int(size or 0)) for kind, count, size in found}
    return {
        "tables": kinds["r"][0],
        "indexes": kinds["i"][0],
        "toast": toast,
        "empty_bytes": kinds["r"][1] + kinds["i"][1] + 8192 * toast,
    }
