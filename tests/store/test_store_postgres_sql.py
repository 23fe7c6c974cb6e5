"""Questions in SQL where the rows are in PostgreSQL: who reads them, and what a statement cannot do."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from postgres import Cluster, programs, wait_until
from psycopg import sql

from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.service import AgentService
from letta_kernel.store import pg_people, pg_reader, view_rows

pytestmark = pytest.mark.postgresql
DOCS = Path(__file__).parents[2] / "docs"
SECRET = "hunter22-very-secret"
_numbers = itertools.count(1)


class Person:
    """Somebody with a role and a project of its own, and an agent in it that has a secret."""

    def __init__(self, cluster: Cluster, home: Path, **options: str) -> None:
        self.cluster = cluster
        self.name = f"person{os.getpid()}_{next(_numbers)}"
        pg_people.make(cluster.url(), self.name)
        self.do(
            "ALTER ROLE {} SET log_statement = 'all'", "ALTER ROLE {} SET log_min_messages = 'log'"
        )
        url = cluster.url(user=self.name, application_name=self.name, **options)
        self.service = AgentService(home, store=url)
        self.service.agents.create("ada", human="", settings={"environment": {"TEA_KEY": SECRET}})
        self.service.passages.create("Gulls nest in May.", agent="ada")
        self.service.tokens.create("reader")

    def do(self, *texts: str) -> None:
        """Run statements as a superuser; {} is the person."""
        with self.cluster.connect() as connection:
            for text in texts:
                connection.execute(text.format(self.name))

    @property
    def reader(self) -> str:
        """The role that reads for this person's queries."""
        with self.cluster.connect() as connection:
            return pg_reader.called(connection, self.name)

    def ask(self, text: str, seconds: float = 30.0) -> list[tuple[object, ...]]:
        return self.service.sql.query(text, seconds=seconds).rows

    def refused(self, kind: type[Exception] = StoreError, seconds: float = 30.0) -> str:
        with pytest.raises(kind) as error:
            self.ask("FROM agents", seconds)
        assert "\n" not in str(error.value)
        return str(error.value)


@pytest.fixture(scope="module")
def ann(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    person = Person(cluster, tmp_path_factory.mktemp("ann"))
    with person.service:
        yield person


@pytest.fixture
def bob(cluster: Cluster, home: Path) -> Iterator[Person]:
    person = Person(cluster, home)
    with person.service:
        yield person


def test_the_views_are_those_of_a_file(ann: Person, tmp_path: Path) -> None:
    with AgentService(tmp_path, store="") as service:
        folder_page = service.sql.page()
    assert ann.service.sql.page() == folder_page
    assert ann.ask("SELECT agent, purpose FROM agents") == [("ada", "")]
    assert ann.ask("SELECT content FROM passages") == [("Gulls nest in May.",)]


ATTACKS = (
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_export(lo_import('/etc/passwd'), '{file}')",
    "SELECT * FROM dblink('{url}', 'SELECT 1') AS t(x int)",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_notify('x', 'y')",
    "SELECT nextval('changes')",
    "SELECT query_to_xml('TABLE access_tokens', true, true, '')",
    "COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "COPY agents FROM PROGRAM 'cat /etc/passwd'",
    "COPY agents TO '{file}'",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "RESET ROLE",
    "DISCARD ALL",
    "DO $$ BEGIN DELETE FROM agents; END $$",
    "SELECT 1; RESET ROLE; DELETE FROM agents",
    "COMMIT; DELETE FROM agents",
    "INSERT INTO agents SELECT * FROM agents",
    "UPDATE agents SET agent = 'eve'",
    "TRUNCATE agents",
    "LOCK TABLE agents",
    "NOTIFY x",
    "LISTEN x",
    "PREPARE q AS SELECT 1",
    "EXECUTE q",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "CREATE EXTENSION dblink",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TEMP TABLE t AS SELECT 1",
    "VACUUM",
    "CALL p()",
    "ATTACH '{url}' AS db (TYPE postgres)",
    "FROM postgres_scan('{url}', '{name}', 'access_tokens')",
    "FROM {name}.access_tokens",
    "SELECT settings FROM agents",
    "FROM {other}.agents",
    "FROM pg_authid",
    "FROM pg_stat_activity",
)


def test_what_is_asked_never_reaches_the_server(ann: Person, bob: Person, tmp_path: Path) -> None:
    marker = "nobody_else_says_this"
    given = {
        "file": str(tmp_path / "made" / "it"),
        "url": ann.cluster.url(),
        "name": ann.name,
        "other": bob.name,
    }
    (tmp_path / "made").mkdir(mode=0o777)
    for attack in ATTACKS:
        text = attack
        for key, value in given.items():
            text = text.replace(f"{{{key}}}", value)
        with pytest.raises(InvalidInputError) as refused:
            ann.ask(f"{text} -- agents {marker}")  # of which alone rows are read
        assert "\n" not in str(refused.value), attack
        assert SECRET not in str(refused.value), attack
    own = f"EXPLAIN ANALYZE DELETE FROM agents -- {marker}"  # of its own copy
    ann.ask(own)
    assert ann.ask(f"SELECT agent FROM agents -- {marker}") == [("ada",)]
    said = (ann.cluster.folder / "log").read_text(errors="replace")
    assert f'SET LOCAL ROLE "{ann.reader}"' in said
    assert marker not in said
    assert not [*(tmp_path / "made").iterdir()]
    assert [one.name for one in ann.service.agents.list()] == ["ada"]


def test_nothing_stays_in_the_session(ann: Person) -> None:
    ann.ask("FROM agents")
    asked = "SELECT current_user, current_setting('role'), current_setting('statement_timeout')"
    assert ann.service.database.run(lambda tx: tx.one(asked)) == (ann.name, "none", "20s")
    ann.service.agents.create("eve", human="")  # what may write, still may
    ann.service.agents.delete("eve")
    locks = "SELECT count(*) = 0 FROM pg_locks JOIN pg_stat_activity a USING (pid) WHERE application_name = %s"
    with ann.cluster.connect() as connection:  # the service's own look may just go on
        wait_until(lambda: connection.execute(locks, [ann.name]).fetchone() == (True,))


def test_the_reader_may_read_what_the_views_name_and_nothing_else(ann: Person, bob: Person) -> None:
    ann.ask("FROM agents")
    with ann.cluster.connect() as connection:
        found = connection.execute(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s) AND a.attnum > 0"
            " AND c.relkind IN ('r', 'S') AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')",
            [[ann.name, bob.name], ann.reader],
        ).fetchall()
        known = {
            (table, column) for table, columns in view_rows.READS.items() for column in columns
        }
        assert set(found) == known
        assert len(found) == len(known)  # of one schema
        wrote = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind = 'r'"
            " AND has_table_privilege(%s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')",
            [ann.name, ann.reader],
        ).fetchall()
        assert wrote == []
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(ann.reader)))
        for text in (
            "SELECT settings FROM {0}.agents",
            "SELECT * FROM {0}.access_tokens",
            "SELECT * FROM {1}.agents",
            "SELECT pg_read_file('/etc/passwd')",
            "CREATE TABLE {0}.mine (x int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(text.format(ann.name, bob.name))


def test_hidden_columns_are_not_among_those_that_are_read() -> None:
    read = {column for columns in view_rows.READS.values() for column in columns}
    assert not read & {
        "settings",
        "metadata",
        "environment",
        "headers",
        "digest",
        "tool_rules",
        "created_by",
    }
    assert not view_rows.READS.keys() & {
        "access_tokens",
        "mcp_servers",
        "settings",
        "grants",
        "people",
        "leases",
    }


@pytest.mark.parametrize(
    ("more", "less", "what"),
    [
        ("ALTER ROLE {} SUPERUSER", "ALTER ROLE {} NOSUPERUSER", "is a superuser"),
        ("ALTER ROLE {} BYPASSRLS", "ALTER ROLE {} NOBYPASSRLS", "more than its own"),
        (
            "GRANT pg_read_server_files TO {}",
            "REVOKE pg_read_server_files FROM {}",
            "more than its own",
        ),
        ("GRANT pg_read_all_data TO {}", "REVOKE pg_read_all_data FROM {}", "more than its own"),
    ],
)
def test_a_role_that_may_too_much_is_refused(ann: Person, more: str, less: str, what: str) -> None:
    try:
        ann.do(more)
    except psycopg.errors.UndefinedObject:
        pytest.skip("PostgreSQL 13 has no such role")
    try:
        said = ann.refused()
    finally:
        ann.do(less)
    assert what in said
    assert "name one in LETTA_STORE" in said
    assert ann.ask("SELECT agent FROM agents") == [("ada",)]


def test_a_project_of_a_superuser_can_be_given_away(cluster: Cluster, home: Path) -> None:
    name = f"given{os.getpid()}"
    with AgentService(home, store=cluster.url(name)) as service:
        service.agents.create("ada", human="")
        with pytest.raises(StoreError, match="is a superuser"):
            service.sql.query("FROM agents")
    page = (DOCS / "how-to/postgresql.md").read_text("utf-8")
    (told,) = re.findall(r"```postgresql\n(CREATE ROLE ann .+?)```", page, re.DOTALL)
    with cluster.connect() as connection:
        connection.execute(re.sub(r"\bann\b", name, told))
    url = cluster.url(user=name)
    with AgentService(home, store=url) as service, pytest.raises(StoreError) as refused:
        service.sql.query("FROM agents")
    (statements,) = re.findall(r"let an administrator run (.+)$", str(refused.value))
    with cluster.connect() as connection:
        connection.execute(statements)
    with AgentService(home, store=url) as service:
        assert service.sql.query("SELECT agent FROM agents").rows == [("ada",)]
        service.agents.create("eve", human="")


def test_who_may_make_roles_makes_the_reader_with_the_project(cluster: Cluster, home: Path) -> None:
    name = f"maker{os.getpid()}"
    with cluster.connect() as connection:
        connection.execute(
            f"CREATE ROLE {name} LOGIN CREATEROLE; GRANT CREATE ON DATABASE postgres TO {name}"
        )
        with AgentService(home, store=cluster.url(user=name)) as service:
            service.agents.create("ada", human="")
            reader = pg_reader.called(connection, name)
            asked = "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s"
            assert connection.execute(asked, [reader]).fetchone() == (False,)
            connection.execute(f'DROP OWNED BY "{reader}"; DROP ROLE "{reader}"')
            assert service.sql.query("SELECT agent FROM agents").rows == [("ada",)]  # made anew


def test_a_reader_that_others_may_use_is_not_used(bob: Person) -> None:
    bob.ask("FROM agents")
    bob.do(f'CREATE ROLE eve_{{0}} LOGIN; GRANT "{bob.reader}" TO eve_{{0}}')
    assert f"eve_{bob.name} may use it" in bob.refused()
    bob.do(f'REVOKE "{bob.reader}" FROM eve_{{}}', f'ALTER ROLE "{bob.reader}" CREATEDB')
    said = bob.refused()
    (statements,) = re.findall(r"run (DROP .+), then ask again", said)
    bob.do(statements)
    assert "let an administrator run CREATE ROLE" in bob.refused()


def test_rights_that_were_lost_are_given_anew(bob: Person) -> None:
    bob.do(f'REVOKE ALL ON ALL TABLES IN SCHEMA {{}} FROM "{bob.reader}"')  # as after pg_restore
    assert bob.ask("SELECT agent FROM agents") == [("ada",)]


def test_a_role_that_may_only_read_asks_through_the_reader(bob: Person) -> None:
    bob.ask("FROM agents")
    guest = f"guest_{bob.name}"
    bob.do(
        f"CREATE ROLE {guest} LOGIN; GRANT USAGE ON SCHEMA {{0}} TO {guest};"
        f" GRANT SELECT ON ALL TABLES IN SCHEMA {{0}} TO {guest}"
    )
    with AgentService(bob.service.home, store=bob.cluster.url(bob.name, user=guest)) as service:
        with pytest.raises(StoreError) as refused:
            service.sql.query("FROM agents")
        (statements,) = re.findall(r"let an administrator run (.+)$", str(refused.value))
        bob.do(statements)
        assert service.sql.query("SELECT agent FROM agents").rows == [("ada",)]


@contextmanager
def held_up(person: Person) -> Iterator[Callable[[], bool]]:
    """Let nobody read the agents meanwhile; yields whether somebody waits to."""
    asked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    with (
        person.cluster.connect() as looker,
        person.cluster.connect() as holder,
        holder.transaction(),
    ):
        holder.execute(f"LOCK TABLE {person.name}.passages IN ACCESS EXCLUSIVE MODE")
        yield lambda: looker.execute(asked, [person.name]).fetchone() == (True,)


def test_reading_the_rows_has_a_limit_in_time(ann: Person) -> None:
    with held_up(ann), pytest.raises(InvalidInputError, match=r"more than 0\.2 seconds") as late:
        ann.ask("FROM passages", seconds=0.2)
    assert "\n" not in str(late.value)
    with pytest.raises(InvalidInputError, match=r"more than 0\.2 seconds"):
        ann.ask("SELECT pg_sleep(600) FROM passages", seconds=0.2)  # nobody sleeps but who asks
    assert len(ann.ask("FROM passages")) == 1


def test_the_stop_button_ends_it(ann: Person) -> None:
    with held_up(ann) as waits:

        def press() -> None:
            wait_until(waits)
            os.kill(os.getpid(), signal.SIGINT)

        pressing = threading.Thread(target=press)
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            ann.ask("FROM passages")
        pressing.join()
        wait_until(lambda: not waits())  # the server has given it up, too
    assert len(ann.ask("FROM passages")) == 1


def test_so_many_bytes_are_copied_and_no_more(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.service.passages.create("Terns " * 5000, agent="ada")
    monkeypatch.setattr(view_rows, "_ROWS", 1)  # pieces of one row
    assert len(ann.ask("FROM passages")) >= 2
    monkeypatch.setattr(view_rows, "MOST_BYTES", 10_000)
    with pytest.raises(InvalidInputError, match="ask views that hold less"):
        ann.ask("FROM passages")
    assert ann.ask("SELECT agent FROM agents") == [("ada",)]


def test_the_role_that_the_compose_file_makes_is_answered(
    cluster: Cluster, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "postgres").write_text(f"{SECRET}'\\\n")
    environment = {
        "PATH": f"{programs()}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": str(cluster.folder),
        "PGPORT": str(cluster.port),
        "SECRETS": str(tmp_path),
    }
    try:
        subprocess.run(["sh", str(DOCS / "deploy/database.sh")], env=environment, check=True)
        with AgentService(home, store=cluster.url("letta", user="letta", database="letta")) as one:
            one.agents.create("ada", human="")
            assert one.sql.query("SELECT agent FROM agents").rows == [("ada",)]
    finally:
        with cluster.connect() as connection:
            connection.execute("DROP DATABASE IF EXISTS letta WITH (FORCE)")
            connection.execute("DROP ROLE IF EXISTS letta")
