"""Stores in PostgreSQL: what goes wrong there, and what its connections live through."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from postgres import GUARDED, Cluster
from psycopg import sql

from letta_kernel.errors import InvalidInputError, LettaError, ReadOnlyError, StoreError
from letta_kernel.records import AgentState
from letta_kernel.store import agents, migrations
from letta_kernel.store.database import CommittedInterrupt, Database, Tx
from letta_kernel.store.pg_transaction import Clock

pytestmark = pytest.mark.postgresql
SECRET = "hunter2/%&"


class Place:
    """A project in the tests' server, with ways to disturb it."""

    def __init__(self, cluster: Cluster, home: Path, number: int) -> None:
        self.cluster = cluster
        self.name = f"place_{os.getpid()}_{number}"
        self.home = home

    def database(self, timeout: float | None = None, **options: str) -> Database:
        url = self.cluster.url(self.name, application_name=self.name, **options)
        return Database(self.home, timeout=timeout, store=url)

    def do(self, text: str) -> None:
        with self.cluster.connect() as connection:
            connection.execute(text.format(self.name))

    def cut_off(self) -> int:
        """End the connections of this project at the server; return how many there were."""
        with self.cluster.connect() as connection:
            rows = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                [self.name],
            ).fetchall()
        self.wait_until_alone()
        return len(rows)

    def wait_until_alone(self) -> None:
        """Wait until this project has no connection to the server."""
        with self.cluster.connect() as connection:
            while connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s", [self.name]
            ).fetchone():
                pass


_made: list[int] = []


@pytest.fixture
def place(cluster: Cluster, home: Path) -> Place:
    _made.append(1)
    return Place(cluster, home, len(_made))


@pytest.fixture
def notes(place: Place) -> Iterator[Database]:
    database = place.database()
    database.run(lambda tx: tx.execute("CREATE TABLE notes (id bigint PRIMARY KEY, text text)"))
    yield database
    database.close()


def note(tx: Tx, number: int) -> int:
    tx.execute("INSERT INTO notes VALUES ($1, '')", (number,))
    return number


def numbers(database: Database) -> list[int]:
    return database.run(lambda tx: [row[0] for row in tx.query("SELECT id FROM notes ORDER BY id")])


def names(tx: Tx) -> list[str]:
    return [one.name for one in agents.list_all(tx)]


def refusal(work: Callable[[], object], kind: type[LettaError] = StoreError) -> str:
    with pytest.raises(kind) as raised:
        work()
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert SECRET not in shown
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> str:
    """A role whose password is asked for, and the database in which it is."""
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {GUARDED}")
        connection.execute(
            sql.SQL("CREATE ROLE warden LOGIN PASSWORD {}").format(sql.Literal(SECRET))
        )
    with cluster.connect(GUARDED) as connection:
        connection.execute("CREATE SCHEMA warden AUTHORIZATION warden")
    return "warden"


def test_a_role_has_its_own_project(cluster: Cluster, guarded: str, home: Path) -> None:
    url = cluster.url(user=guarded, database=GUARDED, password=SECRET)
    database = Database(home, store=url)
    assert not database.exists()
    database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    assert database.exists()
    assert SECRET not in f"{database!r} {database.driver!r} {database.where}"
    assert database.run(lambda tx: tx.one("SELECT current_schema()")) == ("warden",)
    assert not home.exists()  # nothing of it is in files
    database.close()


def test_a_project_that_a_role_may_not_make(cluster: Cluster, guarded: str, home: Path) -> None:
    url = cluster.url("another", user=guarded, database=GUARDED, password=SECRET)
    text = refusal(lambda: Database(home, store=url).run(names))
    assert 'CREATE SCHEMA "another" AUTHORIZATION' in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrong"}, "password"),
        ({"password": ""}, "password"),
        ({"user": "nobody-there"}, "password"),  # who may not come in is not told who there is
        ({"database": f"{GUARDED}2"}, "ask who runs the server"),
        ({"database": "nowhere"}, "make it, or name another"),
        ({"host": "/nowhere"}, "see whether it runs"),
        ({"host": "127.0.0.1", "port": "1"}, "see whether it runs"),
        ({"host": "127.0.0.1", "port": "1", "sslmode": "verify-full"}, "cannot be reached"),
        ({"host": "no.such.host.invalid"}, "see whether it runs"),
    ],
)
def test_no_way_in(
    cluster: Cluster, guarded: str, home: Path, change: dict[str, str], said: str
) -> None:
    given = {"user": guarded, "database": GUARDED, "password": SECRET, **change}
    assert said in refusal(lambda: Database(home, store=cluster.url("p", **given)).run(names))


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ann@host/db",
        f"postgresql://ann:{SECRET}@host:port/db",
        f"postgresql://ann:{SECRET}@host/db?no_such_option=1",
        "postgresql://ann@host/db?project=a%00b",
        "postgresql://ann@host/db?project=pg_mine",
        "postgresql://ann@host/db?pooler=session",
    ],
)
def test_an_address_that_makes_no_sense(home: Path, url: str) -> None:
    assert "LETTA_STORE" in refusal(lambda: Database(home, store=url), InvalidInputError)


def test_without_psycopg_it_is_said_what_to_install(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith("letta_kernel.store.pg")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "extra postgres" in refusal(place.database, InvalidInputError)


def test_a_store_of_a_newer_version(place: Place) -> None:
    database = place.database()
    database.run(names)
    place.do("UPDATE {}.schema_version SET version = 999")
    assert "newer" in refusal(lambda: place.database().run(names))
    assert "newer" in refusal(lambda: database.run(names)), "with a connection from before"


def test_a_server_that_is_too_old(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_kernel.store.pg_connection._OLDEST", 99)
    assert "needs 99 or later" in refusal(lambda: place.database().run(names))


def test_a_migration_that_fails_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = ["CREATE TABLE more (id text)", "CREATE TABLE half (id text); SELECT no_such_function()"]
    database = place.database()
    database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    database.close()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS + bad)
        refusal(lambda: database.run(names))
    assert database.run(names) == ["ada"]
    assert database.run(lambda tx: tx.one("SELECT to_regclass('more')")) == (None,)


def test_many_make_one_project(place: Place) -> None:
    databases = [place.database() for _ in range(6)]
    failed: list[BaseException] = []

    def use(database: Database) -> None:
        try:
            database.run(names)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=use, args=(one,)) for one in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert databases[0].run(lambda tx: tx.query("SELECT version FROM schema_version")) == [
        (len(migrations.MIGRATIONS),)
    ]


def test_a_role_that_may_only_read(place: Place) -> None:
    place.database().run(lambda tx: agents.add(tx, AgentState(name="ada")))
    place.do(
        "CREATE ROLE reader_{0} LOGIN; GRANT USAGE ON SCHEMA {0} TO reader_{0};"
        " GRANT SELECT ON ALL TABLES IN SCHEMA {0} TO reader_{0}"
    )
    database = place.database(user=f"reader_{place.name}")
    assert database.run(names) == ["ada"]
    assert database.run(lambda tx: tx.read_only)
    assert database.changed() is not None
    refusal(lambda: database.run(lambda tx: tx.execute("DELETE FROM agents")), ReadOnlyError)


def test_a_server_that_takes_no_writes(place: Place) -> None:
    place.database().run(lambda tx: agents.add(tx, AgentState(name="ada")))
    database = place.database(options="-c default_transaction_read_only=on")
    assert database.run(names) == ["ada"]
    text = refusal(lambda: database.run(lambda tx: tx.execute("DELETE FROM agents")), ReadOnlyError)
    assert "takes writes" in text


def test_who_looks_sees_that_others_have_written(place: Place) -> None:
    one, other = place.database(), place.database()
    assert one.changed() is None
    assert not one.exists()
    other.run(names)
    assert one.exists()
    before = one.changed()
    other.run(names)
    assert one.changed() == before  # nothing was written
    other.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    assert one.changed() != before


def test_what_is_cut_off_before_it_is_saved_is_done_again(notes: Database, place: Place) -> None:
    tries: list[int] = []

    def work(tx: Tx) -> int:
        note(tx, 1)
        tries.append(place.cut_off() if not tries else 0)
        return note(tx, 2)

    assert notes.run(work) == 2
    assert tries[0]
    assert len(tries) == 2
    assert numbers(notes) == [1, 2]


def test_idle_connections_that_were_cut_off_are_replaced(notes: Database, place: Place) -> None:
    notes.run(lambda tx: note(tx, 1))
    assert place.cut_off()
    assert notes.run(lambda tx: note(tx, 2)) == 2
    assert place.cut_off()
    assert notes.changed() is not None


@pytest.fixture
def slow_commits(notes: Database) -> Database:
    """Notes whose commits take a second."""
    for text in (
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_sleep(1); RETURN NULL; END$$",
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION dawdle()",
    ):
        notes.run(lambda tx, text=text: tx.execute(text))  # type: ignore[misc]
    return notes


def commits(place: Place) -> bool:
    with place.cluster.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = %s AND query LIKE 'COMMIT%%' AND state = 'active'",
            [place.name],
        ).fetchone()
    return row != (0,)


def once_it_commits(place: Place, act: Callable[[], object]) -> threading.Thread:
    def watch() -> None:
        while not commits(place):
            pass
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_an_end_that_nobody_knows_is_said_to_be_so(slow_commits: Database, place: Place) -> None:
    thread = once_it_commits(place, place.cut_off)
    assert "look whether" in refusal(lambda: slow_commits.run(lambda tx: note(tx, 1)))
    thread.join()


def test_the_stop_button_during_a_commit(slow_commits: Database, place: Place) -> None:
    thread = once_it_commits(place, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(CommittedInterrupt) as stopped:
        slow_commits.run(lambda tx: note(tx, 1))
    thread.join()
    assert stopped.value.result == 1
    assert numbers(slow_commits) == [1]


def test_a_server_that_is_restarted(home: Path) -> None:
    own = Cluster(Path(f"/tmp/letta-pg-restart-{os.getpid()}"), durable=True)
    own.make()
    own.start()
    try:
        database = Database(home, store=own.url("p"))
        database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
        own.stop("immediate")  # as a crash does
        back = threading.Timer(0.3, own.start)
        back.start()
        assert database.run(names) == ["ada"]
        back.join()
        own.stop("fast")
        assert "see whether it runs" in refusal(
            lambda: Database(home, timeout=1, store=own.url("p")).run(names)
        )
    finally:
        own.remove()


def test_a_child_forked_inside_a_transaction_leaves_it_alone(notes: Database) -> None:
    def work(tx: Tx) -> int:
        note(tx, 1)
        child = os.fork()
        if child == 0:
            try:
                refusal(lambda: tx.query("SELECT 1"))
                notes.run(lambda other: note(other, 2))  # with a connection of its own
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        return os.waitpid(child, 0)[1]

    assert notes.run(work) == 0
    assert numbers(notes) == [1, 2]


def test_connections_are_shared_and_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_STORE_CONNECTIONS", "1")
    database = place.database(timeout=0.3)
    inside, go_on = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        tx.query("SELECT 1")
        inside.set()
        go_on.wait(30)

    thread = threading.Thread(target=lambda: database.run(hold))
    thread.start()
    inside.wait(30)
    assert "LETTA_STORE_CONNECTIONS" in refusal(lambda: database.run(names))
    go_on.set()
    thread.join()
    assert database.run(names) == []


def test_who_meets_a_lock_of_a_stranger_is_told_in_time(notes: Database, place: Place) -> None:
    hasty = place.database(timeout=0.3)
    with place.cluster.connect() as stranger, stranger.transaction():
        stranger.execute(f"LOCK TABLE {place.name}.notes")
        assert "pg_locks" in refusal(lambda: hasty.run(lambda tx: note(tx, 1)))
        assert "pg_locks" in refusal(lambda: numbers(hasty))
    assert hasty.run(lambda tx: note(tx, 2)) == 2
    assert numbers(notes) == [2]


def test_who_finds_a_project_being_made_waits(place: Place) -> None:
    lock = f"hashtext('letta-kernel {place.name}')"
    hasty, patient = place.database(timeout=0.3), place.database()
    waiting = threading.Thread(target=patient.run, args=(names,))
    with place.cluster.connect() as stranger:
        stranger.execute(f"SELECT pg_advisory_lock({lock})")
        assert "pg_locks" in refusal(lambda: hasty.run(names))
        waiting.start()
        stranger.execute(f"SELECT pg_advisory_unlock({lock})")
    waiting.join()
    assert patient.run(names) == hasty.run(names) == []


def test_a_role_that_has_all_its_connections(cluster: Cluster, place: Place) -> None:
    place.do(
        "CREATE ROLE few_{0} LOGIN CONNECTION LIMIT 1; CREATE SCHEMA {0} AUTHORIZATION few_{0}"
    )
    one = place.database(timeout=0.3, user=f"few_{place.name}")
    assert one.run(names) == []  # and keeps its connection
    other = place.database(timeout=0.3, user=f"few_{place.name}")
    assert "no connection left" in refusal(lambda: other.run(names))
    one.close()
    place.wait_until_alone()  # the server takes its time
    assert other.run(names) == []


def test_a_password_that_is_changed_meanwhile(
    cluster: Cluster, guarded: str, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "pgpass"
    monkeypatch.setenv("PGPASSFILE", str(kept))

    def change(password: str, *, known: bool) -> None:
        with cluster.connect() as connection:
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(guarded), sql.Literal(password)
                )
            )
        if known:
            kept.write_text(f"*:*:*:{guarded}:{password}\n")
            kept.chmod(0o600)

    change(SECRET, known=True)
    database = Database(home, store=cluster.url(user=guarded, database=GUARDED))
    database.run(lambda tx: tx.execute("CREATE TABLE notes (id bigint PRIMARY KEY, text text)"))
    database.run(lambda tx: note(tx, 1))
    try:
        change("another", known=False)
        database.run(lambda tx: note(tx, 2))  # who is in stays in
        database.close()
        assert "password" in refusal(lambda: database.run(lambda tx: note(tx, 3)))
        change("another", known=True)
        database.run(lambda tx: note(tx, 4))
        assert numbers(database) == [1, 2, 4]
    finally:
        change(SECRET, known=True)
        database.close()


def test_a_project_that_is_dropped_is_not_made_anew_by_who_knew_it(place: Place) -> None:
    database = place.database()
    database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    place.do("DROP SCHEMA {} CASCADE")
    assert "dropped" in refusal(lambda: database.run(names))  # by a connection of before
    database.close()
    assert "was there before" in refusal(lambda: database.run(names))
    assert place.database().run(names) == []  # a program that begins afterwards begins a new one
    assert database.run(names) == []


def test_a_transaction_that_dawdles_is_undone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letta_kernel.store.pg_connection._STOPPED", 0.2)
    database = place.database()
    database.run(lambda tx: tx.execute("CREATE TABLE notes (id bigint PRIMARY KEY, text text)"))
    tries: list[int] = []

    def work(tx: Tx, number: int, times: int) -> int:
        tries.append(1)
        note(tx, number)
        if len(tries) <= times:
            place.wait_until_alone()
        return note(tx, number + 1)

    assert database.run(lambda tx: work(tx, 1, 1)) == 2  # the second time it was quicker
    tries.clear()
    assert "nothing was saved" in refusal(lambda: database.run(lambda tx: work(tx, 3, 99)))
    assert numbers(database) == [1, 2]


def test_a_server_that_takes_no_writes_any_more_is_left(notes: Database) -> None:
    notes.run(lambda tx: note(tx, 1))
    (connection, _), *_ = notes.driver._idle  # type: ignore[attr-defined]
    connection.execute("SET default_transaction_read_only = on")  # as after a failover behind it
    assert notes.run(lambda tx: note(tx, 2)) == 2
    assert numbers(notes) == [1, 2]


def test_statements_that_take_too_long_are_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letta_kernel.store.transaction.READ_LIMIT", 0.2)
    database = place.database()
    assert "ask for less" in refusal(
        lambda: database.run(lambda tx: tx.query("SELECT pg_sleep(20)"))
    )
    assert database.run(names) == []


def test_behind_a_pooler_nothing_is_left_on_a_connection(place: Place) -> None:
    database = place.database(pooler="transaction")
    for _ in range(5):
        database.run(names)
    limit = database.run(lambda tx: tx.one("SHOW statement_timeout"))
    assert limit == ("20s",)
    assert database.changed() is not None
    (connection, _), *_ = database.driver._idle  # type: ignore[attr-defined]
    for setting, value in (("search_path", '"$user", public'), ("statement_timeout", "0")):
        assert connection.execute(f"SHOW {setting}").fetchone() == (value,)
    assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_values_come_back_as_they_do_from_a_file(place: Place, tmp_path: Path) -> None:
    def work(tx: Tx) -> list[object]:
        tx.execute(
            "CREATE TABLE things (id bigint PRIMARY KEY, whole integer, part double precision, is_so boolean,"
            " words text, data json, texts text[], raw bytea, made timestamptz)"
        )
        moment = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)
        texts = ["a,b", "", 'c"d', "\\e", "NULL"]
        for number in (1, 2):
            tx.execute(
                "INSERT INTO things VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                (
                    number,
                    3,
                    0.5,
                    True,
                    "a\0ü😀\\",
                    '{"b": "c", "d": [1, null]}',
                    texts,
                    b"\0\xff",
                    moment,
                ),
            )
        tx.execute("INSERT INTO things (id) VALUES (3)")
        columns = tx.columns("SELECT id, part FROM things WHERE part IS NOT NULL ORDER BY id")
        return [
            [[value.astimezone(UTC) if isinstance(value, datetime) else value for value in row]
             for row in tx.query("SELECT * FROM things ORDER BY id")],
            tx.one("SELECT sum(id), avg(part), count(*), max(whole) FROM things"),
            tx.one("SELECT data->>'b', texts[2] FROM things WHERE id = $1", (1,)),
            tx.query("SELECT id FROM things WHERE id = ANY($1::bigint[]) ORDER BY id", ([1, 2**40],)),
            tx.query("SELECT n FROM unnest($1::double precision[]) AS t(n)", ([1, 0.5, None],)),
            tx.query("UPDATE things SET part = 1 WHERE id < 3"),
            {name: (column.dtype.kind, column.tolist()) for name, column in columns.items()},
            tx.arrow("SELECT id, part, is_so, words, texts FROM things ORDER BY id").to_pylist(),
            tx.arrow("SELECT id, words FROM things WHERE id > 99").to_pylist(),
        ]  # fmt: skip

    here, there = Database(tmp_path / "file", store=""), place.database()
    assert there.run(work) == here.run(work)
    here.close()


def test_the_clock_is_the_servers() -> None:
    clock, asked = Clock(), []

    def ask() -> datetime:
        asked.append(1)
        return datetime(2030, 1, 1, tzinfo=UTC)

    first = clock.now(ask)
    assert first == datetime(2030, 1, 1, tzinfo=UTC)
    assert timedelta(0) <= clock.now(ask) - first < timedelta(seconds=20)
    assert len(asked) == 1


def test_projects_do_not_see_one_another(cluster: Cluster, home: Path, tmp_path: Path) -> None:
    one = Database(home, store=cluster.url("{folder}"))
    other = Database(tmp_path / "other" / ".letta", store=cluster.url("{folder}"))
    one.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    assert one.where != other.where
    assert other.run(names) == []
    assert isinstance(one.changed(), tuple)
    with psycopg.connect(host=str(cluster.folder), user="postgres", dbname="postgres") as plain:
        row = plain.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'other_%'"
        ).fetchone()
        assert row is not None
        assert row[0] >= 1
