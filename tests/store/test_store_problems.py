"""What can be wrong with a project folder: always one line that says how to mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest
from full_disk import FullDisk

from letta_kernel.errors import StoreError
from letta_kernel.records import AgentState
from letta_kernel.store import agents
from letta_kernel.store.database import Database, Tx
from letta_kernel.store.lock import HomeLock

pytestmark = pytest.mark.duckdb


def refusal(database: Database) -> str:
    with pytest.raises(StoreError) as raised:
        database.run(names)
    text = str(raised.value)
    assert "\n" not in text
    assert str(database.home) in text
    return text


def names(tx: Tx) -> list[str]:
    return [agent.name for agent in agents.list_all(tx)]


def in_a_child(code: str, *arguments: object) -> str:
    """Run *code* in another Python and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "in the way" in refusal(Database(tmp_path / "taken"))
    assert "in the way" in refusal(Database(tmp_path / "taken" / "deeper"))
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_file_that_is_no_database(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "letta.duckdb").write_bytes(b"not a database" * 1000)
    assert "damaged" in refusal(Database(home))
    assert (home / "letta.duckdb").read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("at", [0, 4096, 8192, 12288])
def test_a_damaged_database(home: Path, database: Database, ada: AgentState, at: int) -> None:
    database.close()
    data = bytearray(database.path.read_bytes())
    data[at : at + 512] = bytes(value ^ 0xFF for value in data[at : at + 512])
    database.path.write_bytes(data)
    assert "damaged" in refusal(Database(home))


def test_a_truncated_database(home: Path, database: Database, ada: AgentState) -> None:
    database.close()
    data = database.path.read_bytes()
    database.path.write_bytes(data[:20_000])
    assert "damaged" in refusal(Database(home))


def test_an_empty_file_is_no_obstacle(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "letta.duckdb").touch()
    assert Database(home).run(names) == []


def test_a_newer_schema(home: Path, database: Database, ada: AgentState) -> None:
    database.close()
    with duckdb.connect(database.path) as connection:
        connection.execute("UPDATE schema_version SET version = 999")
    text = refusal(Database(home))
    assert "999" in text
    assert "Update letta-kernel." in text


def test_a_folder_deleted_meanwhile(home: Path, database: Database, ada: AgentState) -> None:
    assert database.run(names) == ["ada"]
    shutil.rmtree(home)
    assert "deleted or moved" in refusal(database)
    assert database.run(names) == []  # told once, then one may begin anew


def test_a_folder_deleted_while_closed(home: Path, database: Database, ada: AgentState) -> None:
    assert database.run(names) == ["ada"]
    database.close()
    moved = home.rename(home.with_name("elsewhere"))
    assert "deleted or moved" in refusal(database)
    moved.rename(home)
    assert database.run(names) == ["ada"]


def test_a_program_that_does_not_know_our_lock(database: Database, ada: AgentState) -> None:
    database.close()
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()",
            str(database.path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        text = refusal(Database(database.home, timeout=0.1))
        assert "close it there" in text
        assert str(other.pid) in text
        other.communicate("\n")
    assert database.run(names) == ["ada"]


def test_a_process_that_keeps_the_folder_too_long(database: Database, ada: AgentState) -> None:
    database.close()
    lock = HomeLock(database.home)
    lock.acquire(1)
    try:
        text = refusal(Database(database.home, timeout=0.1))
        assert "LETTA_HOME" in text
        assert str(os.getpid()) in text
    finally:
        lock.release()
    assert database.run(names) == ["ada"]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
@pytest.mark.parametrize("made_before", [True, False])
def test_a_folder_that_cannot_be_written(tmp_path: Path, made_before: bool) -> None:
    home = tmp_path / "readonly"
    home.mkdir()
    if made_before:
        database = Database(home)
        database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
        database.close()
    for path in [*home.rglob("*"), home]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    printed = in_a_child(
        """
        import os, sys
        from letta_kernel.errors import StoreError
        from letta_kernel.store.database import Database

        if os.getuid() == 0:  # root may write anywhere
            os.setuid(65534)
        try:
            database = Database(sys.argv[1])
            if sys.argv[2] == "True":
                assert database.run(lambda tx: tx.query("SELECT 1")) == [(1,)]
            database.run(lambda tx: tx.execute("CREATE TABLE more (x integer)"))
        except StoreError as error:
            print(error)
        """,
        home,
        made_before,
    )
    assert "make it writable" in printed
    assert len(printed.splitlines()) == 1
    for path in [home, *home.rglob("*")]:
        path.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk(home: Path, database: Database, ada: AgentState) -> None:
    # Stands in for a full disk: the system refuses to let any file grow beyond a few megabytes.
    database.close()
    printed = in_a_child(
        """
        import os, resource, sys
        from letta_kernel.errors import StoreError
        from letta_kernel.messages import Message
        from letta_kernel.store import messages
        from letta_kernel.store.database import Database

        home, agent_id = sys.argv[1:]
        database = Database(home)
        sys.dont_write_bytecode = True  # Python would not notice that they are cut off
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, resource.RLIM_INFINITY))
        saved = refused = 0
        error = None
        while refused < 3:
            message = Message(agent_id=agent_id, role="user", content=os.urandom(200_000).hex())
            try:
                database.run(lambda tx: messages.append(tx, agent_id, [message]))
                saved += 1
            except StoreError as reason:
                refused += 1
                error = reason
        print(saved, error)
        os._exit(0)  # without closing: what was acknowledged must be there all the same
        """,
        home,
        ada.id,
    )
    saved, _, error = printed.partition(" ")
    assert int(saved) > 0
    assert "full" in error
    assert "\n" not in error
    stored = database.run(lambda tx: tx.one("SELECT count(*) FROM messages"))
    assert stored == (int(saved),)


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_disk_too_full_for_a_new_project(home: Path) -> None:
    disk = FullDisk()
    disk.fill(100_000)
    try:
        text = refusal(Database(home))
    finally:
        disk.free()
    assert "full" in text
    assert Database(home).run(names) == []
