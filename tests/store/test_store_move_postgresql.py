"""A project moved to PostgreSQL, within it, and back to a folder; who uses it meanwhile."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import every_table
import postgres
import pytest
from postgres import Cluster
from test_store_move import KEPT, digests, quiet

from letta_kernel.errors import (
    AgentBusyError,
    InvalidInputError,
    ReadOnlyError,
    StoreBusyError,
    StoreError,
)
from letta_kernel.records import AgentState
from letta_kernel.service import moving
from letta_kernel.service.moving import Move
from letta_kernel.store import agents, lease, settings
from letta_kernel.store.database import Database
from letta_kernel.store.move import pg_end


@pytest.fixture
def url(cluster: Cluster) -> Callable[[], str]:
    """Return a function that names a project that is not there yet."""
    return lambda: cluster.url(postgres.project())


def put(key: str, value: str = "x", **place: str | Path | float) -> None:
    """Write into a project by a connection of its own."""
    database = Database(**place)  # type: ignore[arg-type]
    try:
        database.run(lambda tx: settings.put(tx, key, value))
    finally:
        database.close()


@pytest.fixture(
    params=["random", *(pytest.param(one, marks=pytest.mark.slow) for one in KEPT)],
    ids=lambda one: str(getattr(one, "name", one)).split(".")[0],
)
def full(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of an earlier version, or one with random rows in every table."""
    monkeypatch.setenv("LETTA_SECRET_KEY", "long enough that nobody guesses it")
    home = tmp_path / "full"
    if request.param == "random":
        return every_table.fill(home).parent
    home.mkdir()
    (home / "letta.duckdb").write_bytes(gzip.decompress(request.param.read_bytes()))
    return home


def test_there_and_back_nothing_has_changed(
    full: Path, tmp_path: Path, url: Callable[[], str]
) -> None:
    """In batches of a few rows."""
    there, new = url(), tmp_path / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("letta_kernel.store.move.end.PAGE_ROWS", 11)
        done = [Move(full, there, "").run(quiet), Move(full, str(new), there).run(quiet)]
    assert digests(done[0]) == digests(done[1])
    before, after = (every_table.contents(one / "letta.duckdb") for one in (full, new))
    assert after == before


@pytest.fixture
def ours(tmp_path: Path, url: Callable[[], str]) -> tuple[Path, str]:
    """A project on the server, its folder and its address."""
    home, store = tmp_path / "home", url()
    put("who", "ada", home=home, store=store)
    return home, store


def test_connections_that_were_open_before_learn_of_it(
    ours: tuple[Path, str], tmp_path: Path, url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_STORE_WAIT", "0.3")
    home, store = ours
    with_password = store.replace("postgres@", "postgres:hush@") + "&password=hush"
    database, target = Database(home, store=with_password), url()
    third = tmp_path / "third"
    third.mkdir()
    every_table.open_database(third / "letta.duckdb", {}).close()
    database.run(lambda tx: settings.put(tx, "a", "b"))
    meanwhile = []

    def look(share: float, told: str) -> None:
        if not meanwhile:
            with pytest.raises(StoreBusyError) as caught:
                database.run(lambda tx: settings.put(tx, "a", "c"))
            meanwhile.append(str(caught.value))
            assert database.run(lambda tx: settings.get(tx, "a")) == "b"
            with pytest.raises(StoreError, match=r"is a copy of .* that is not done"):
                put("x", home=home, store=target)
            for one in (Move(home, url(), store), Move(third, target, "")):  # never two movers
                with pytest.raises(StoreBusyError, match="is being moved by another process"):
                    one.run(quiet)

    move = Move(home, target, with_password)
    assert pg_end.PgEnd(with_password, home).shown == pg_end.PgEnd(store, home).shown
    planned = repr(move.plan())
    move.run(look)
    put("free", home=third, store="")
    assert "cannot be written now: a move to postgresql://postgres@" in meanwhile[0]
    with pytest.raises(ReadOnlyError, match=r"moved to .* set LETTA_STORE to that") as refused:
        database.run(lambda tx: settings.put(tx, "a", "c"))
    assert "hush" not in move.source + planned + str(refused.value) + meanwhile[0]
    assert database.run(lambda tx: settings.get(tx, "a")) == "b"
    put("a", "c", home=home, store=target)
    with pytest.raises(ReadOnlyError, match=r"is only read here"):
        put("a", home=home, store=store)
    with pytest.raises(InvalidInputError, match=r"moved to"):
        Move(home, url(), store).plan()
    assert moving.back(home, store).endswith(target.partition("project=")[2])
    database.run(lambda tx: settings.put(tx, "a", "d"))
    database.close()
    with pytest.raises(InvalidInputError, match=r"has not moved"):
        moving.back(home, store)


def test_a_move_that_fails_lets_go(
    ours: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, store = ours

    def fail(share: float, told: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Move(home, str(tmp_path / "new"), store).run(fail)
    put("a", home=home, store=store)
    database = Database(home, store=store)
    left = "SELECT count(*) FROM pg_trigger WHERE tgname = 'letta_move' AND tgrelid = 'settings'::regclass"
    assert database.run(lambda tx: tx.one(left)) == (0,)
    ada = database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    database.run(lambda tx: agents.acquire(tx, ada.id, f"{lease.process_owner()}/run-1", 60))
    with pytest.raises(AgentBusyError, match=r"agent 'ada' is in the middle of a run"):
        Move(home, str(tmp_path / "other"), store).run(fail)
    database.run(lambda tx: settings.put(tx, "a", "b"))
    database.close()


def test_places_that_are_none_are_left_as_they_are(
    ours: tuple[Path, str], tmp_path: Path, url: Callable[[], str]
) -> None:
    """One that has agents, and one of a newer version."""
    home, store = ours
    there, newer = url(), url()
    database = Database(home, store=there)
    database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    database.close()
    with pytest.raises(
        InvalidInputError, match=r"There is a project in .* already \(1 rows in agents"
    ):
        Move(home, there, store).run(quiet)
    put("free", home=home, store=there)
    put("a", home=home, store=newer)
    database = Database(home, store=newer)
    database.run(lambda tx: tx.execute("UPDATE schema_version SET version = version + 1"))
    database.close()
    for source, target in ((store, newer), (newer, store)):
        with pytest.raises(StoreError, match=r"was written by a newer letta-kernel"):
            Move(home, target, source).run(quiet)
    put("free", home=home, store=store)


def test_what_postgresql_does_not_take_is_named(
    ours: tuple[Path, str], tmp_path: Path, url: Callable[[], str]
) -> None:
    home = every_table.fill(tmp_path / "odd").parent
    path = home / "letta.duckdb"
    with every_table.duckdb.connect(path) as connection:
        connection.execute("UPDATE agents SET metadata = '{\"a\": NaN}'")
        connection.execute("UPDATE steps SET model = 'a\0b'")
    with pytest.raises(InvalidInputError, match=r"refused a value .*json"):
        Move(home, url(), "").run(quiet)
    with every_table.duckdb.connect(path) as connection:
        connection.execute("UPDATE agents SET metadata = '{}'")
    done = Move(home, url(), "").run(quiet)
    assert {one.name: one.cleaned for one in done.tables if one.cleaned} == {"steps": 16}
