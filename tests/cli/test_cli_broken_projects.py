"""Projects that are none, or broken: one line on stderr says so, whatever was asked; never a traceback."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from cli_bench import Cli

from letta_kernel.commands import at
from letta_kernel.commands.spec import Command
from letta_kernel.store.database import Database

pytestmark = pytest.mark.duckdb
STORE = "letta.duckdb"


def _sqlite(home: Path) -> None:
    with sqlite3.connect(home / STORE) as connection:
        connection.execute("CREATE TABLE agents (id text)")


def _foreign(home: Path) -> None:
    with duckdb.connect(home / STORE) as connection:
        connection.execute("CREATE TABLE tea (name text)")


def _half(home: Path) -> None:
    with duckdb.connect(home / STORE) as connection:
        connection.execute("CREATE TABLE schema_version (version text)")
        connection.execute("INSERT INTO schema_version VALUES ('tea')")


def _lock_folder(home: Path) -> None:
    database = Database(home)
    database.run(lambda tx: None)
    database.close()
    (home / "letta.lock").unlink()
    (home / "letta.lock").mkdir()


def _folder_instead(home: Path) -> None:
    home.rmdir()
    home.write_text("no folder")


FOREIGN = "is no store of letta-kernel: move it away"
DAMAGED = "is damaged (IO Error"
NOTHING = "There is no project in"

BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "an SQLite file": (_sqlite, FOREIGN),
    "a text": (
        lambda home: (home / STORE).write_text("words, and not few of them\n" * 1000),
        DAMAGED,
    ),
    "a few bytes": (lambda home: (home / STORE).write_bytes(b"DUCK"), DAMAGED),
    "a folder": (lambda home: (home / STORE).mkdir(), FOREIGN),
    "another database": (_foreign, FOREIGN),
    "a version that is none": (_half, FOREIGN),
    "a file as the folder": (_folder_instead, NOTHING),
    "a link to itself": (lambda home: (home / STORE).symlink_to(home / STORE), NOTHING),
    "a lock that is a folder": (_lock_folder, "letta.lock"),
}


@pytest.fixture(params=BROKEN)
def broken(cli: Cli, request: pytest.FixtureRequest) -> tuple[Cli, str]:
    make, said = BROKEN[request.param]
    cli.home.mkdir(0o700)
    make(cli.home)
    for one in (cli.home, *(cli.home.iterdir() if cli.home.is_dir() else ())):
        if not one.is_symlink():
            one.chmod(0o700 if one.is_dir() else 0o600)  # or that is said as well
    return cli, said


def test_a_broken_project_is_named_in_one_line(broken: tuple[Cli, str]) -> None:
    cli, said = broken
    serve = [] if said == NOTHING else [("serve", "--port", "0")]
    for words in (("send", "ada", "hi"), ("backup", "copy.duckdb"), *serve):
        assert said in cli.fails(*words), words
    assert not (cli.folder / "copy.duckdb").exists()
    for words in (("sql", "SELECT * FROM agents"), ("agent", "list")):
        done = cli(*words, code=None)
        assert "Traceback" not in done.stderr
        assert done.returncode == done.stderr.count("\n") or "agent" in words, words


def test_what_is_no_backup_is_not_restored(cli: Cli) -> None:
    cli("agent", "new", "ada")
    for number, (make, _) in enumerate(BROKEN.values()):
        elsewhere = cli.folder / str(number)
        elsewhere.mkdir()
        make(elsewhere)
        if make is not _lock_folder:
            said = cli.fails("restore", str(elsewhere / STORE), "--yes")
            assert "no copy of a letta-kernel store" in said or "There is no file" in said
    damaged = cli.folder / "damaged.duckdb"
    cli("backup", str(damaged))
    damaged.write_bytes(damaged.read_bytes()[:100_000])
    assert str(damaged) in cli.fails("restore", str(damaged), "--yes")
    assert [one["name"] for one in cli.json("agent", "list")] == ["ada"]


def _words(command: Command, name: str) -> Iterator[str]:
    yield from name.split()
    for one in command.takes("terminal"):
        if one.required:
            yield "1" if one.type in (int, float) else "ada"


@pytest.mark.slow
def test_no_command_shows_a_traceback(broken: tuple[Cli, str]) -> None:
    cli, _ = broken
    for name, command in at("terminal").items():
        if name not in ("chat", "serve", "mcp", "acp", "doctor", "install"):
            done = cli(*_words(command, name), code=None)
            assert "Traceback" not in done.stderr, (name, done.stderr)
            assert "inside letta-kernel" not in done.stderr, (name, done.stderr)
