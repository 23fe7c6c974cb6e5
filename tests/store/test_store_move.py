"""A project copied to another place: all of it, compared, and nothing is a project that is not whole."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import duckdb
import every_table
import pytest

from letta_kernel.errors import (
    AgentBusyError,
    InvalidInputError,
    ReadOnlyError,
    StoreBusyError,
    StoreError,
)
from letta_kernel.records import AgentState
from letta_kernel.service import moving
from letta_kernel.service.moving import Move, Moved
from letta_kernel.store import agents, lease, settings
from letta_kernel.store.backup_restore import backup
from letta_kernel.store.database import Database
from letta_kernel.store.move import duck_end, end, shapes

pytestmark = pytest.mark.duckdb
KEPT = sorted((Path(__file__).parents[1] / "data").glob("store-v*.duckdb.gz"))


def quiet(share: float, told: str) -> None: ...


def moved(home: Path, to: Path) -> Moved:
    return Move(home, str(to), "").run(quiet)


def digests(done: Moved) -> dict[str, tuple[int, str]]:
    return {one.name: (one.rows, one.digest) for one in done.tables}


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A project with random rows in every table."""
    return every_table.fill(tmp_path / "full").parent


@dataclass
class Done:
    """A move of a full project with files in its folder: what was planned and done, and what was there."""

    home: Path
    new: Path
    rows: dict[str, list[str]]
    planned: Moved
    moved: Moved


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Move it once, a few rows at a time."""
    home = every_table.fill(tmp_path_factory.mktemp("move") / "full").parent
    new = home.parent / "new"
    (home / "skills" / "birds").mkdir(parents=True)
    (home / "skills" / "birds" / "SKILL.md").write_text("Count them.")
    (home / "skills" / "link").symlink_to("birds")
    (home / "server-token").write_text("secret")
    (home / "server-token").chmod(0o600)
    (home / "damaged-20260101-1").mkdir()
    (home / "vectors").mkdir()
    (home / "chat_history").write_text("ours")
    (new / "skills").mkdir(parents=True)
    (new / "chat_history").write_text("theirs")
    before = every_table.contents(home / "letta.duckdb")
    assert all(before.values()), "a table is not filled: see tests/every_table.py"
    planned = Move(home, str(new), "").plan()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duck_end, "_CHUNK_BYTES", 100)
        patch.setattr(end, "PAGE_ROWS", 7)
        return Done(home, new, before, planned, moved(home, new))


@pytest.mark.slow
@pytest.mark.parametrize("packed", KEPT, ids=lambda path: path.name.split(".")[0])
def test_stores_of_every_version_come_through_whole(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_SECRET_KEY", "long enough that nobody guesses it")
    home = tmp_path / "old"
    home.mkdir()
    (home / "letta.duckdb").write_bytes(gzip.decompress(packed.read_bytes()))
    assert moved(home, tmp_path / "new").rows > 90
    before, after = (every_table.contents(one / "letta.duckdb") for one in (home, tmp_path / "new"))
    assert before == after


def test_every_table_and_every_column_comes_along(done: Done) -> None:
    assert every_table.contents(done.new / "letta.duckdb") == done.rows
    counts = {name: len(rows) for name, rows in done.rows.items()}
    assert {one.name: one.rows for one in done.moved.tables} == counts
    assert {one.name: one.rows for one in done.planned.tables} == counts
    with duckdb.connect(done.new / "letta.duckdb") as connection:
        tables = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
        for shape in shapes.shapes():
            empty = [
                name
                for name, _ in shape.columns
                if connection.execute(f'SELECT count("{name}") FROM "{shape.name}"').fetchone()
                == (0,)
                and (shape.name, name) not in every_table.NOBODY
            ]
            assert not empty, f"nothing stands in {empty} of {shape.name}"
    assert tables == {*done.rows, *shapes.NOT_COPIED}, "a table is neither copied nor said to stay"


def test_the_folder_comes_along(done: Done) -> None:
    new = done.new
    assert done.moved.copied == done.planned.copied == ["server-token", "skills"]
    assert done.moved.left == done.planned.left == ["chat_history", "damaged-20260101-1"]
    assert (new / "skills" / "link" / "SKILL.md").read_text() == "Count them."
    assert (new / "skills" / "link").is_symlink()
    assert (new / "server-token").stat().st_mode & 0o777 == 0o600
    assert (new / "chat_history").read_text() == "theirs"
    assert not (new / "vectors").exists()


def test_large_rows_come_a_few_at_a_time() -> None:
    pages = end.planned([(("a",), 5 << 20), (("b",), 5 << 20), (("c",), 90 << 20), (("d",), 1)])
    assert [(page.rows, page.last) for page in pages] == [(1, (key,)) for key in "abcd"]
    assert end.single(2, 5 << 20) == [end.Page(2, ())]
    assert end.single(2, 9 << 20) is None
    assert end.single(0, 0) == []


def test_a_digest_tells_what_engines_might_mix_up() -> None:
    rows = [(1,), (1.0,), (True,), ("1",), (b"1",), (None,), ("",), ([],), ([""],), (0.0,), (-0.0,)]
    assert len({shapes.digest(row) for row in rows}) == len(rows)
    assert shapes.digest((float("nan"),)) == shapes.digest((float("nan"),))
    assert shapes.digest(("a", "b")) != shapes.digest(("ab", ""))


def test_what_is_moved_can_only_be_read_where_it_was(
    home: Path, database: Database, ada: AgentState, tmp_path: Path
) -> None:
    database.run(lambda tx: settings.put(tx, "who", "ada"))
    moving_to = tmp_path / "new"
    database.close()
    moved(home, moving_to)
    assert database.run(lambda tx: agents.get(tx, ada.id)) == ada
    told = rf"moved to {moving_to} on .* set LETTA_HOME to that. letta-kernel move --back"
    with pytest.raises(ReadOnlyError, match=told):
        database.run(lambda tx: settings.put(tx, "who", "bob"))
    there = Database(moving_to)
    there.run(lambda tx: settings.put(tx, "who", "bob"))
    there.close()
    database.close()
    with pytest.raises(InvalidInputError, match=r"holds a project that moved"):
        moved(moving_to, home)
    with pytest.raises(InvalidInputError, match=r"moved to .*new"):
        moved(home, tmp_path / "elsewhere")
    assert moving.back(home) == str(moving_to)
    database.run(lambda tx: settings.put(tx, "who", "eve"))
    database.close()
    with pytest.raises(InvalidInputError, match=r"has not moved"):
        moving.back(home)
    with pytest.raises(InvalidInputError, match=r"There is a project in .*new already"):
        moved(home, moving_to)


def test_a_run_that_goes_on_is_waited_for(
    home: Path, database: Database, ada: AgentState, tmp_path: Path
) -> None:
    owner = f"{lease.process_owner()}/run-1"
    database.run(lambda tx: agents.acquire(tx, ada.id, owner, 60))
    database.close()
    with pytest.raises(AgentBusyError, match=r"agent 'ada' is in the middle of a run here"):
        moved(home, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    database.run(lambda tx: agents.release(tx, ada.id, owner))
    database.close()
    planned = Move(home, str(tmp_path / "new")).plan()
    assert (planned.there, (tmp_path / "new").exists()) == ("nothing", False)
    with pytest.raises(InvalidInputError, match=r"is in .* already"):
        Move(home, str(home / ".." / home.name))


def test_others_wait_and_are_told_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also another mover: there are never two."""
    full = tmp_path / "full"
    full.mkdir()
    every_table.open_database(full / "letta.duckdb", {}).close()
    monkeypatch.setenv("LETTA_STORE_WAIT", "0.1")
    told: list[str] = []

    def look(share: float, text: str) -> None:
        if told:
            return
        for home, other in ((full, tmp_path / "other"), (tmp_path / "third", tmp_path / "new")):
            with pytest.raises(StoreBusyError) as caught:
                moved(home, other)
            told.append(str(caught.value))
        for home in (full, tmp_path / "new"):
            with pytest.raises(StoreBusyError) as caught:
                Database(home, timeout=0.1).run(lambda tx: settings.put(tx, "a", "b"))
            told.append(str(caught.value))

    (tmp_path / "third").mkdir()
    every_table.open_database(tmp_path / "third" / "letta.duckdb", {}).close()
    Move(full, str(tmp_path / "new")).run(look)
    assert f"has been in use by a move to {tmp_path / 'new'} (process " in told[0]
    assert f"has been in use by a move from {full} (process " in told[1]
    assert told[2:] == [one for one in told[2:] if "in use by a move" in one]


def test_a_copy_that_is_not_the_same_is_no_project(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what changed in the source since that try is mended in the next."""
    new = tmp_path / "new"
    write = duck_end.DuckEnd.write

    def careless(self, shape, rows, gone=(), note=None):  # type: ignore[no-untyped-def]
        write(self, shape, rows[1:] if shape.name == "messages" else rows, gone, note)

    with monkeypatch.context() as patch:
        patch.setattr(duck_end.DuckEnd, "write", careless)
        with pytest.raises(StoreError, match=r"messages in .*new is not the same .*is missing"):
            moved(full, new)
    with pytest.raises(StoreError, match=r"is a copy of .*full that is not done"):
        Database(new).run(lambda tx: tx.query("SELECT 1"))
    with pytest.raises(StoreError, match=f"--home {full} --to {new} goes on with it"):
        backup(new, tmp_path)
    other = every_table.fill(tmp_path / "other").parent
    with pytest.raises(InvalidInputError, match=rf"holds a part of {full}"):
        moved(other, new)
    with duckdb.connect(full / "letta.duckdb") as connection:
        for table, key in (("messages", "id"), ("settings", "key"), ("counters", "owner_id")):
            ids = [
                row[0] for row in connection.execute(f'SELECT "{key}" FROM "{table}"').fetchall()
            ]
            connection.execute(f'DELETE FROM "{table}" WHERE "{key}" = $1', [ids[3]])
        connection.execute("UPDATE agents SET description = 'changed' WHERE description <> ''")
        connection.execute("INSERT INTO settings VALUES ('fresh', 'x')")
        connection.execute("DELETE FROM passage_marks WHERE rowid < 3")
    before = every_table.contents(full / "letta.duckdb")
    moved(full, new)
    assert every_table.contents(new / "letta.duckdb") == before


def test_secrets_that_are_not_encrypted_stay(full: Path, tmp_path: Path) -> None:
    with duckdb.connect(full / "letta.duckdb") as connection:
        connection.execute("INSERT INTO settings VALUES ('unsealed', 'project-1')")
        connection.execute("""UPDATE mcp_servers SET environment = '{"KEY": "open"}'""")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", "/proc/nowhere")
        patch.delenv("LETTA_SECRET_KEY", raising=False)
        with pytest.raises(StoreError, match=r"secrets of this project are not encrypted yet"):
            moved(full, tmp_path / "new")
