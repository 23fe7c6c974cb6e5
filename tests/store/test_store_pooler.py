"""A store behind PgBouncer in transaction mode: what it says when something goes wrong is said in one line."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pooler import Pooler, needed
from postgres import Cluster

from letta_kernel.errors import InvalidInputError, LettaError, StoreError
from letta_kernel.records import AgentState
from letta_kernel.service.homes import homes
from letta_kernel.store import agents
from letta_kernel.store.database import Database, Tx

pytestmark = [pytest.mark.slow, needed]


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    cluster = Cluster(Path(f"/tmp/letta-pg-pooled-{os.getpid()}"), durable=True)
    cluster.make()
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture
def pooler(own: Cluster) -> Iterator[Pooler]:
    with Pooler(own, Path(f"/tmp/letta-pgb-store-{os.getpid()}")) as pooler:
        yield pooler


@pytest.fixture
def database(pooler: Pooler, home: Path) -> Iterator[Database]:
    database = Database(home, store=pooler.url("{folder}"))
    database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    yield database
    database.close()


def names(tx: Tx) -> list[str]:
    return sorted(one.name for one in agents.list_all(tx))


def refusal(work: Callable[[], object], kind: type[LettaError] = StoreError) -> str:
    with pytest.raises(kind) as raised:
        work()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_nothing_is_left_to_the_next_who_gets_a_connection(
    pooler: Pooler, database: Database
) -> None:
    for _ in range(5):
        database.run(names)
    database.tidy(["agents"])
    assert database.changed() is not None
    with psycopg.connect(
        host=str(pooler.folder),
        port=6432,
        user="postgres",
        dbname="postgres",
        prepare_threshold=None,
    ) as other:
        for setting, value in (
            ("search_path", '"$user", public'),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
            ("transaction_isolation", "read committed"),
        ):
            assert other.execute(f"SHOW {setting}").fetchone() == (value,)  # type: ignore[arg-type]
        assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_a_server_behind_it_that_is_restarted(own: Cluster, database: Database) -> None:
    own.stop("immediate")
    back = threading.Timer(0.5, own.start)
    back.start()
    assert database.run(names) == ["ada"]
    back.join()
    tries: list[int] = []

    def work(tx: Tx) -> None:
        agents.add(tx, AgentState(name="bob"))
        if not tries:
            own.stop("immediate")
            own.start()
        tries.append(1)
        agents.add(tx, AgentState(name="eve"))

    database.run(work)
    assert len(tries) > 1
    assert database.run(names) == ["ada", "bob", "eve"]


def test_a_server_behind_it_that_is_away(own: Cluster, pooler: Pooler, home: Path) -> None:
    fresh = Database(home, store=pooler.url("{folder}"))
    own.stop("fast")
    try:
        pooler.ask("SET query_wait_timeout = 1")
        assert "query_wait_timeout" in refusal(lambda: fresh.run(names))
    finally:
        own.start()


def test_all_of_its_connections_are_in_use(pooler: Pooler, database: Database, home: Path) -> None:
    pooler.ask("SET query_wait_timeout = 1")
    inside, go_on = threading.Barrier(4), threading.Event()

    def hold(tx: Tx) -> None:
        tx.query("SELECT 1")
        inside.wait(30)
        go_on.wait(60)

    threads = [threading.Thread(target=database.run, args=(hold,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        inside.wait(30)
        other = Database(home, store=pooler.url("{folder}"))
        assert "query_wait_timeout" in refusal(lambda: other.run(names))
    finally:
        go_on.set()
        for thread in threads:
            thread.join()
    assert other.run(names) == ["ada"]


def test_it_lets_no_more_in(pooler: Pooler, database: Database, home: Path) -> None:
    pooler.ask("SET max_client_conn = 1")
    other = Database(home, store=pooler.url("{folder}"))
    assert "no connection left" in refusal(lambda: other.run(names))


def test_a_role_that_it_would_not_pass_on_is_refused(pooler: Pooler, home: Path) -> None:
    url = pooler.url("{folder}", options="-c%20role=pg_monitor")
    assert "options" in refusal(lambda: Database(home, store=url).run(names))
    pooler.ask("SET ignore_startup_parameters = 'options'")
    assert "act as pg_monitor" in refusal(lambda: Database(home, store=url).run(names))
    assert "pooler" in refusal(lambda: homes(pooler.url("")), InvalidInputError)
