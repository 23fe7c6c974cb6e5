"""What happens to servers of PostgreSQL: another takes over, the disk is full, connections must be safe."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports import free_port
from postgres import Cluster, as_someone

from letta_kernel.errors import LettaError, ReadOnlyError, StoreError
from letta_kernel.records import AgentState
from letta_kernel.store import agents
from letta_kernel.store.database import Database, Tx

pytestmark = pytest.mark.slow

TABLE = "CREATE TABLE notes (id bigint PRIMARY KEY, text text)"


def folder(name: str) -> Path:
    return Path(f"/tmp/letta-pg-{name}-{os.getpid()}")


def note(tx: Tx, number: int, text: str = "") -> int:
    tx.execute("INSERT INTO notes VALUES ($1, $2)", (number, text))
    return number


def numbers(tx: Tx) -> list[int]:
    return [row[0] for row in tx.query("SELECT id FROM notes ORDER BY id")]


def names(tx: Tx) -> list[str]:
    return [one.name for one in agents.list_all(tx)]


def refusal(work: Callable[[], object], kind: type[LettaError] = StoreError) -> str:
    with pytest.raises(kind) as raised:
        work()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """A server, and one that follows it: what is committed is on both before anybody is told."""
    leads, follows = (Cluster(folder(name), durable=True) for name in ("leads", "follows"))
    try:
        leads.make()
        leads.start()
        follows.follow(leads)
        follows.start()
        with leads.connect() as connection:
            while not connection.execute("SELECT 1 FROM pg_stat_replication").fetchone():
                pass
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            while not connection.execute(
                "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            ).fetchone():
                pass
        yield leads, follows
    finally:
        leads.remove()
        follows.remove()


def test_another_takes_over_and_nothing_acknowledged_is_lost(
    pair: tuple[Cluster, Cluster], home: Path
) -> None:
    leads, follows = pair
    url = follows.url(
        "p", host=f"{leads.folder},{follows.folder}", target_session_attrs="read-write"
    )
    database, reader = Database(home, store=url), Database(home, store=follows.url("p"))
    database.run(lambda tx: tx.execute(TABLE))
    while "notes" not in str(reader.run(lambda tx: tx.one("SELECT to_regclass('notes')::text"))):
        pass
    assert reader.run(lambda tx: tx.read_only)
    assert "takes writes" in refusal(lambda: reader.run(lambda tx: note(tx, -1)), ReadOnlyError)

    told: list[int] = []
    refused: list[str] = []
    enough = threading.Event()

    def write() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            try:
                told.append(database.run(lambda tx, number=number: note(tx, number)))  # type: ignore[misc]
            except StoreError as error:
                refused.append(str(error))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_for(lambda: len(told) > 20, thread)
        leads.stop("immediate")
        follows.promote()
        before = len(told)
        wait_for(lambda: len(told) > before + 20, thread)
    finally:
        enough.set()
        thread.join()
    there = database.run(numbers)
    assert set(told) <= set(there)
    assert len(there) - len(told) <= sum("look whether" in one for one in refused)
    assert reader.run(lambda tx: note(tx, -1)) == -1  # who only read before writes now
    assert not any("\n" in one for one in refused)


def wait_for(condition: Callable[[], bool], thread: threading.Thread) -> None:
    while not condition():
        assert thread.is_alive()
        thread.join(0.05)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        place.rmdir()
        pytest.skip(f"no small disk can be made: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def test_a_full_disk_of_the_server(home: Path) -> None:
    place = folder("small")
    cluster = Cluster(place, durable=True, settings="min_wal_size=32MB max_wal_size=32MB")
    with small_disk(place, "160M"), contextlib.ExitStack() as stack:
        cluster.make()
        cluster.start()
        stack.callback(cluster.stop)
        database = Database(home, store=cluster.url("p"))
        stack.callback(database.close)
        database.run(lambda tx: tx.execute(TABLE))
        with cluster.connect() as connection:  # the log of what is written has room
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
        ballast = place / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(place).free - 3_000_000)))
        told: list[int] = []

        def fill() -> None:
            for number in range(100):
                told.append(
                    database.run(lambda tx, n=number: note(tx, n, secrets.token_hex(200_000)))
                )  # type: ignore[misc]

        assert "is full" in refusal(fill)
        assert database.run(numbers) == told
        ballast.unlink()
        assert database.run(lambda tx: note(tx, 1000)) == 1000
        assert database.run(numbers) == [*told, 1000]


@pytest.fixture
def safe() -> Iterator[Cluster]:
    """A server on a port that lets nobody in whom it could be overheard with."""
    rules = "hostssl all all 127.0.0.1/32 trust\nhostnossl all all 127.0.0.1/32 reject\n"
    cluster = Cluster(folder("safe"), port=free_port(), rules=rules)
    try:
        cluster.make()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
             cluster.data / "server.key", "-out", cluster.data / "server.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
        for name in ("server.key", "server.crt"):
            (cluster.data / name).chmod(0o600)
            as_someone(cluster.data / name)
        shutil.copy(cluster.data / "server.crt", cluster.folder / "root.crt")
        with (cluster.data / "postgresql.auto.conf").open("a") as file:
            file.write("ssl = on\n")
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def test_connections_that_must_be_safe(safe: Cluster, home: Path) -> None:
    port = str(safe.port)

    def come(sslmode: str, root: str = "") -> list[str]:
        url = safe.url("p", host="localhost", port=port, sslmode=sslmode, sslrootcert=root)
        database = Database(home, store=url, timeout=3)
        try:
            database.run(lambda tx: agents.add(tx, AgentState(name=f"by-{sslmode}")))
            return database.run(names)
        finally:
            database.close()

    root = str(safe.folder / "root.crt")
    assert "ask who runs the server" in refusal(lambda: come("disable"))
    assert come("require") == ["by-require"]
    assert come("verify-full", root) == ["by-require", "by-verify-full"]
    assert "cannot be reached safely" in refusal(lambda: come("verify-full", __file__))
    with safe.connect() as connection:
        connection.execute("ALTER SYSTEM SET ssl = off")
        connection.execute("SELECT pg_reload_conf()")
    # Connections that begin afterwards know of it.
    while True:
        with safe.connect() as connection:
            if connection.execute("SHOW ssl").fetchone() == ("off",):
                break
    assert "cannot be reached safely" in refusal(lambda: come("require"))
