"""Damaged stores: opening says so, a check says what is left, a repair saves it; sound ones are left alone."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from letta_kernel.errors import LettaError
from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import AgentState, Block, Passage, Run
from letta_kernel.store import (
    agents,
    automatic_backups,
    blocks,
    last_commit,
    messages,
    passages,
    runs,
)
from letta_kernel.store.backup_restore import restore
from letta_kernel.store.check import Report, check
from letta_kernel.store.database import Database

pytestmark = pytest.mark.duckdb

EARLY, LATE = 10, 40
FILE = "letta.duckdb"
LOG = f"{FILE}.wal"


def put(database: Database, agent_id: str, number: int) -> None:
    text = f"passage {number} " + "of gulls " * 9
    database.run(lambda tx: passages.append(tx, [Passage(agent_id=agent_id, content=text)]))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of one store: ``killed`` with forty commits in its log, ``closed`` with all of it in its file."""
    root = tmp_path_factory.mktemp("stores")
    database = Database(root / "live", lease=3600)
    ada = database.run(lambda tx: agents.add(tx, AgentState(name="ada")))
    database.run(lambda tx: blocks.add(tx, Block(label="human", value="Mara"), ada.id))
    run = Run(agent_id=ada.id, status="completed")
    database.run(lambda tx: runs.start(tx, run))
    ours = {"agent_id": ada.id, "run_id": run.id}
    asked = [ToolCall(id="c", name="count")]
    said = [  # first what came in from outside, unanswered
        Message(agent_id=ada.id, role="assistant", tool_calls=[ToolCall(id="x", name="count")]),
        Message(**ours, role="user", content="How many?"),
        Message(**ours, role="assistant", tool_calls=asked),
        Message(**ours, role="tool", tool_call_id="c", content="3", status="ok"),
    ]
    database.run(lambda tx: messages.append(tx, ada.id, said))
    for number in range(EARLY):
        put(database, ada.id, number)
    database.close()
    for number in range(EARLY, EARLY + LATE):
        put(database, ada.id, number)
    for name in ("killed", "closed"):
        (root / name).mkdir()
        for path in (
            database.path,
            last_commit.log_of(database.path),
            last_commit.place(database.path),
        ):
            if path.exists():
                shutil.copy(path, root / name / path.name)
        database.close()
    return root


def readable(home: Path) -> list[int]:
    """The numbers of the passages that can be read."""
    database = Database(home)
    try:
        rows = database.run(lambda tx: tx.query("SELECT content FROM passages ORDER BY seq"))
    finally:
        database.close()
    return [int(text.split()[1]) for (text,) in rows]


def refusal(home: Path) -> str:
    with pytest.raises(LettaError) as raised:
        readable(home)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def flip(path: Path, at: int, count: int = 32) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + count] = bytes(value ^ 0xFF for value in data[at : at + count])
    path.write_bytes(data)


def noise(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(path.stat().st_size))


def mostly(kinds: Iterable[str], *slow: str) -> list[Any]:
    """All kinds, some of them in the long form of the tests alone."""
    return [pytest.param(one, marks=pytest.mark.slow if one in slow else ()) for one in kinds]


# What is done to a killed store's log, and of how many late commits one can read at least, and at most.
LOGS: dict[str, tuple[Callable[[Path], object], int, int]] = {
    "head": (lambda log: flip(log, 4, 20), LATE, LATE),
    "middle": (lambda log: flip(log, log.stat().st_size // 2), LATE // 2 - 2, LATE // 2),
    "tail": (lambda log: flip(log, log.stat().st_size - 64), LATE - 1, LATE - 1),
    "truncated": (
        lambda log: os.truncate(log, log.stat().st_size // 2),
        LATE // 2 - 2,
        LATE // 2,
    ),
    "size of an entry": (lambda log: flip(log, 38, 8), 0, 0),
    "noise": (noise, 0, 0),
    "no bytes": (lambda log: os.truncate(log, 0), 0, 0),
    "gone": (lambda log: log.unlink(), 0, 0),
}


@pytest.mark.parametrize("kind", mostly(LOGS, "tail", "size of an entry", "gone"))
def test_a_damaged_log_is_noticed_and_its_good_part_saved(
    stores: Path, tmp_path: Path, kind: str
) -> None:
    home = Path(shutil.copytree(stores / "killed", tmp_path / "home"))
    damage, least, most = LOGS[kind]
    damage(home / LOG)
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    said = refusal(home)
    assert f"its log of {LATE} commits was cut off or changed. Check the store" in said
    assert {
        path.name: path.read_bytes() for path in home.iterdir() if path.name in before
    } == before
    if kind == "middle":
        looked = check(Database(home), index=False)
        assert not looked.repaired
        assert {
            path.name: path.read_bytes() for path in home.iterdir() if path.name in before
        } == before
    report = check(Database(home), repair=True, index=False)
    assert report.findings[0].what == "store"
    found = readable(home)
    assert found == list(range(len(found)))
    assert least <= len(found) - EARLY <= most
    sound(home)
    assert report.kept is not None
    assert {path.name: path.read_bytes() for path in report.kept.iterdir()} == before
    assert report.kept.stat().st_mode & 0o077 == 0


def sound(home: Path) -> Report:
    report = check(Database(home), index=False)
    assert report.findings == []
    return report


FILES: dict[str, Callable[[Path], object]] = {
    "first page": lambda file: flip(file, 8),
    "header": lambda file: flip(file, 4100),
    "other header": lambda file: flip(file, 8200),
    "all pages": lambda file: flip(file, 0, 12_288),
}


@pytest.mark.parametrize("kind", mostly(FILES, "header", "other header", "first page"))
def test_the_pages_of_a_file_are_written_anew(stores: Path, tmp_path: Path, kind: str) -> None:
    for name in ("killed", "closed"):
        home = Path(shutil.copytree(stores / name, tmp_path / name))
        FILES[kind](home / FILE)
        assert "is damaged" in refusal(home)
        check(Database(home), repair=True, index=False)
        assert readable(home) == list(range(EARLY + LATE))
        sound(home)


BLOCK, AREA = 262_144, 12_288


def block_of_passages(file: Path) -> int:
    """Where the block with the texts of passages begins."""
    with duckdb.connect(file, read_only=True) as connection:
        rows = connection.execute(
            "SELECT block_id FROM pragma_storage_info('passages') WHERE column_name = 'content'"
        )
        (block,), *_ = rows.fetchall()
    return int(AREA + block * BLOCK)


def test_rows_of_damaged_blocks_are_read_where_they_make_sense(
    stores: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(stores / "closed", tmp_path / "home"))
    at = block_of_passages(home / FILE)
    place = (home / FILE).read_bytes()[at : at + BLOCK].index(b"of gulls")
    flip(home / FILE, at + place, 16)
    report = check(Database(home), repair=True, index=False)
    assert "blocks are damaged" in report.findings[0].text
    assert len(readable(home)) >= EARLY + LATE - 3
    sound(home)


@pytest.mark.parametrize(
    "kind", mostly(["half", "no bytes", "begun", "noise", "gone"], "begun", "noise", "gone")
)
def test_a_file_of_which_little_is_left_is_filled_from_a_backup(
    stores: Path, tmp_path: Path, kind: str
) -> None:
    home = Path(shutil.copytree(stores / "closed", tmp_path / "home"))
    folder = home / automatic_backups.FOLDER
    folder.mkdir()
    shutil.copy(stores / "closed" / FILE, folder / "letta-20260101-000000.duckdb")
    noise(Path(shutil.copy(home / FILE, folder / "letta-20260102-000000.duckdb")))
    size = (home / FILE).stat().st_size
    {
        "half": lambda file: os.truncate(file, size // 2),
        "begun": lambda file: os.truncate(file, 20_000),
        "noise": noise,
        "no bytes": lambda file: os.truncate(file, 0),
        "gone": lambda file: file.unlink(),
    }[kind](home / FILE)
    said = refusal(home)
    assert "is damaged" in said or "agents lived in it" in said
    report = check(Database(home), repair=True, index=False)
    assert "the copy of " in report.findings[0].repair + report.findings[-1].repair
    assert readable(home) == list(range(EARLY + LATE))
    sound(home)


# -- no false alarm ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["killed", "closed"])
def test_what_is_moved_copied_put_back_or_new_is_no_loss(
    stores: Path, tmp_path: Path, name: str
) -> None:
    everything = list(range(EARLY + LATE))
    home = Path(shutil.copytree(stores / name, tmp_path / "copied"))
    assert sound(home).counts == "1 agent, 4 messages, 50 passages"
    moved = home.rename(tmp_path / "moved")
    assert readable(moved) == everything
    older = Path(shutil.copy(stores / "killed" / FILE, tmp_path / "older.duckdb"))
    restore(moved, older)
    assert readable(moved) == everything[:EARLY]
    database = Database(moved)
    ada = database.run(agents.list_all)[0].id
    put(database, ada, EARLY)
    database.close()
    assert readable(moved) == everything[: EARLY + 1]
    torn = last_commit.place(moved / FILE)
    torn.write_bytes(torn.read_bytes()[:30])  # by a power failure
    assert readable(moved) == everything[: EARLY + 1]
    for path in moved.glob(f"{FILE}*"):
        path.unlink()
    assert readable(moved) == []


def test_a_record_is_never_ahead_of_commits_that_fail(tmp_path: Path) -> None:
    code = """
        import os, resource, sys
        from letta_kernel.errors import StoreError
        from letta_kernel.records import Passage
        from letta_kernel.store import passages
        from letta_kernel.store.database import Database

        database = Database(sys.argv[1])
        database.run(lambda tx: tx.query("SELECT 1"))
        size = os.path.getsize(database.path) + 100_000
        sys.dont_write_bytecode = True  # Python would not notice that they are cut off
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        refused = 0
        while refused < 3:
            text = os.urandom(100_000).hex()
            try:
                database.run(lambda tx: passages.append(tx, [Passage(agent_id="a", content=text)]))
            except StoreError:
                refused += 1
        os._exit(0)
    """
    lines = [line.removeprefix("        ") for line in code.splitlines()]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines), str(tmp_path)], timeout=120)
    assert done.returncode == 0
    database = Database(tmp_path)
    assert database.run(lambda tx: tx.one("SELECT count(*) > 0 FROM passages")) == (True,)
    database.close()


# -- what holds between rows ---------------------------------------------------------------------------

# Each with words of what is told; those of one group do not hide each other.
BROKEN = [
    {
        "calls without a result": "DELETE FROM messages WHERE role = 'tool'",
        "number a message as one that is there": "UPDATE leases SET next_seq = 2",
        "number a passage as one that is there": "DELETE FROM counters",
        "differ from their last version": "UPDATE blocks SET value = 'Kim'",
        "runs go on that nobody runs": "INSERT INTO runs BY NAME SELECT 'run-1' AS id, id AS agent_id,"
        " 'running' AS status, '' AS model, 0 AS steps, 0 AS prompt_tokens, 0 AS completion_tokens,"
        " 0 AS cached_tokens, 0 AS reasoning_tokens, created_at, 'me' AS created_by, 0 AS fence FROM agents",
        "rows of agent_tools": "INSERT INTO agent_tools BY NAME"
        " SELECT id AS agent_id, 'tool-1' AS tool_id, 1 AS position FROM agents",
        "pictures of messages are gone": 'UPDATE messages SET pictures = \'[{"id": "p"}]\'',
        "a summary that is gone": "UPDATE agents SET summary_id = 'message-0'",
        "name no call, or no run": "UPDATE runs SET asked_by = 'run-2'",
    },
    {
        "results answer no call": "UPDATE messages SET tool_calls = '[]' WHERE run_id IS NOT NULL",
        "lack messages in their midst": "UPDATE messages SET seq = 9 WHERE role = 'tool'",
        "memory blocks are gone": "DELETE FROM blocks",
        "owners of messages or passages are gone": "DELETE FROM agents",
    },
    {
        "have no lease": "DELETE FROM leases",
        "differ from their last version": "DELETE FROM block_versions",
        "conversations are gone": "UPDATE messages SET conversation_id = 'conv-1'",
        "asked one agent twice": "INSERT INTO runs BY NAME SELECT 'run-' || n AS id, id AS agent_id,"
        " 'completed' AS status, '' AS model, 0 AS steps, 0 AS prompt_tokens, 0 AS completion_tokens,"
        " 0 AS cached_tokens, 0 AS reasoning_tokens, created_at, 'me' AS created_by, 0 AS fence,"
        " 'run-0' AS asked_by, 'call_1' AS asked_call FROM agents, range(1, 3) t(n)",
    },
]


@pytest.mark.parametrize("group", range(len(BROKEN)))
def test_rows_that_do_not_fit_together_are_told_and_mended(
    stores: Path, tmp_path: Path, group: int
) -> None:
    home = Path(shutil.copytree(stores / "closed", tmp_path / "home"))
    with duckdb.connect(home / FILE) as connection:
        for sql in BROKEN[group].values():
            connection.execute(sql)
    report = check(Database(home), repair=True, index=False)
    told = "\n".join(one.text for one in report.findings)
    for words in BROKEN[group]:
        assert words in told
    assert "None" not in told
    assert all(one.repair for one in report.findings)
    assert report.repaired
    assert sound(home).counts.endswith("50 passages")
    assert readable(home) == list(range(EARLY + LATE))


# -- copies that are made by themselves ----------------------------------------------------------------


def test_copies_are_made_daily_kept_seven_and_bounded(
    stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(shutil.copytree(stores / "killed", tmp_path / "home"))
    folder = home / automatic_backups.FOLDER

    def age(days: float) -> None:
        then = folder.stat().st_mtime - days * automatic_backups.DAY
        os.utime(folder, (then, then))

    def copies() -> int:
        readable(home)
        return len(automatic_backups.listed(home))

    assert copies() == 0  # the day begins
    assert copies() == 0
    age(1.1)
    assert (copies(), copies()) == (1, 1)
    (made,) = automatic_backups.listed(home)
    assert made.path.stat().st_mode & 0o077 == folder.stat().st_mode & 0o077 == 0
    for number in range(9):
        older = Path(shutil.copy(made.path, folder / f"letta-2026010{number}-000000.duckdb"))
        os.utime(older, (1000.0 + number, 1000.0 + number))
    age(1.1)
    assert copies() == automatic_backups.KEPT
    monkeypatch.setenv("LETTA_BACKUPS", str(made.size * 2.5 / 1e6))
    age(1.1)
    assert copies() == 2
    before = automatic_backups.listed(home)
    for too_little in ("off", str(made.size / 2e6)):
        monkeypatch.setenv("LETTA_BACKUPS", too_little)
        age(1.1)
        copies()
        assert automatic_backups.listed(home) == before
    monkeypatch.delenv("LETTA_BACKUPS")
    flip(home / FILE, block_of_passages(home / FILE))
    age(1.1)
    automatic_backups.daily(home)  # of a damaged store none is kept
    assert automatic_backups.listed(home) == before
    assert not list(home.glob(".*"))
    newest = before[0]
    restore(home, Path(newest.path.name))
    assert readable(home) == list(range(EARLY + LATE))
