"""What was forgotten is removed for good: from the store, its copies and every other file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from passages_bench import ZONE, found, home_of, keep, listed, where

from letta_kernel.errors import LettaError
from letta_kernel.records import AgentState
from letta_kernel.service import AgentService
from letta_kernel.store import automatic_backups, purge, purge_due
from letta_kernel.store.lock import HomeLock


@pytest.fixture(autouse=True)
def ada(service: AgentService) -> AgentState:
    return service.agents.create("ada", settings={"timezone": ZONE})


def forget_since(service: AgentService, ids: list[str], days: float) -> None:
    """Forget passages as if that were so many days ago."""
    service.passages.forget(ids, agent="ada")
    at = datetime.now(UTC) - timedelta(days=days)
    service.database.run(
        lambda tx: tx.execute(
            "UPDATE forgotten SET forgotten_at = $1 WHERE id = ANY($2::text[])", (at, ids)
        )
    )
    os.utime(home_of(service) / "letta.duckdb.due", (at.timestamp(), time.time() - 1))


@pytest.mark.duckdb
def test_after_thirty_days_no_file_of_the_project_has_it(
    service: AgentService, ada: AgentState
) -> None:
    index = service.passages._memories.of(ada)[0]
    index.close()  # it follows when it is told to
    kept = [keep(service, f"Zanzibar is number {n}.") for n in range(3)]
    gone = keep(service, "The word is quetzalcoatlus, or hexakosioi.")
    index.catch_up()
    joined: dict[str, Any] = {"id": kept[1].id, "content": f"Zanzibar {gone.content}"}
    joined["joined"] = [kept[1].id, gone.id]
    step = [
        {"id": gone.id, "content": gone.content},
        {"id": kept[0].id, "content": "Zanzibar", "joined": [kept[0].id, kept[1].id]},
        joined,
    ]
    service.database.run(
        lambda tx: tx.execute(
            "INSERT INTO steps (id, run_id, agent_id, number, model, prompt_tokens, completion_tokens,"
            " cached_tokens, reasoning_tokens, retrieved, tool_stats, created_at) VALUES ('step-1',"
            " 'run-1', $1, 1, '', 0, 0, 0, 0, CAST($2 AS json), '{}', CURRENT_TIMESTAMP)",
            (ada.id, json.dumps(step)),
        )
    )
    service.database.close()
    home = home_of(service)
    before = automatic_backups.before_change(home, 3)
    assert before is not None
    old = time.time() - 5 * automatic_backups.DAY
    os.utime(before, (old, old))
    (home / "backups" / "letta-20200101-000000.duckdb").write_bytes(b"quetzalcoatlus, torn")
    (home / "damaged-20200101-000000").mkdir()
    (home / "damaged-20200101-000000" / "letta.duckdb").write_bytes(b"quetzalcoatlus")
    (home / "before-restore-20200101.duckdb").write_bytes(before.read_bytes())
    (home / "before-restore-20200101.duckdb.wal").write_bytes(b"quetzalcoatlus, torn")
    assert len(where(service, "quetzalcoatlus")) >= 5

    forget_since(service, [gone.id], 29.9)
    service.database.close()
    assert service.passages.forgotten("ada") != []
    forget_since(service, [kept[2].id], 1)
    at = datetime.now(UTC) - timedelta(days=30, seconds=1)
    service.database.run(
        lambda tx: tx.execute("UPDATE forgotten SET forgotten_at = $1 WHERE id = $2", (at, gone.id))
    )
    temp = home / f".letta.duckdb.{os.getpid()}.part"  # a copy that somebody is making
    temp.write_bytes(b"")
    service.database.close()
    assert where(service, "quetzalcoatlus") != []
    assert [one.id for one, _ in service.passages.forgotten("ada")] == [kept[2].id]
    temp.unlink()
    os.utime(home / "letta.duckdb.due", (old, old))
    service.database.close()  # goes on with what was interrupted

    assert where(service, "quetzalcoatlus") == where(service, "hexakosioi") == []
    assert len(where(service, "Zanzibar")) >= 3  # store and copies are there
    assert (home / "before-restore-20200101.duckdb").exists()  # all but its log could be read
    assert before.stat().st_mtime == pytest.approx(old)
    assert found(service, "Zanzibar") == [one.content for one in kept[:2]]
    (row,) = service.database.run(lambda tx: tx.query("SELECT retrieved FROM steps"))
    assert [one["id"] for one in json.loads(row[0])] == [kept[0].id]
    assert (home / "letta.duckdb.due").stat().st_mtime > time.time() + 28 * automatic_backups.DAY
    index.catch_up()
    assert [one.what for one in service.store.check().findings] == ["runs"]  # the step has none

    assert service.passages.purge() == 1  # the other one, without waiting
    assert where(service, kept[2].content) == []
    assert not (home / "letta.duckdb.due").exists()
    service.store.restore(before)
    assert len(listed(service)) == 2  # a copy of before does not bring it back
    assert purge.purge(service.database) == 0


@pytest.mark.duckdb
def test_copies_are_kept_when_there_is_no_room_and_a_killed_purge_holds_nothing_up(
    service: AgentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(service, "Zanzibar.")
    gone = keep(service, "The word is quetzalcoatlus.")
    home = home_of(service)
    service.database.close()
    copy = automatic_backups.before_change(home, 3)
    assert copy is not None
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    dead = int(ended.stdout)
    left = [f".letta.duckdb.{pid}.purge.part" for pid in (os.getpid(), dead)]
    for name in (*left, f".letta.duckdb.{dead}.copy.part"):
        (home / name).write_bytes(b"quetzalcoatlus")

    real, calls = shutil.disk_usage, []

    def full(folder: Any) -> Any:  # there is room for the store, none for the copy
        calls.append(folder)
        return real(folder) if len(calls) == 1 else shutil._ntuple_diskusage(9, 9, 0)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", full)
        with pytest.raises(LettaError, match="no room"):
            service.passages.forget([gone.id], agent="ada", now=True)
    assert len(calls) == 2
    assert where(service, "quetzalcoatlus") == [copy.name]  # as it was, and later:
    data = copy.read_bytes()
    copy.unlink()
    os.mkfifo(copy)  # which is read when we write
    deadline = time.monotonic() + 60
    later = threading.Thread(target=service.database.close)
    later.start()
    while True:
        try:
            pipe = os.open(copy, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:  # nobody reads yet
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if (
            not later.is_alive()
        ):  # somebody had the store at that moment: it would be tried in an hour
            purge_due.look_again(home, time.time())
            later = threading.Thread(target=service.database.close)
            later.start()
    os.set_blocking(pipe, True)
    lock = HomeLock(home)
    lock.acquire(60)  # others have the store meanwhile
    lock.release()
    with os.fdopen(pipe, "wb") as file:
        file.write(data)
    later.join()
    assert where(service, "quetzalcoatlus") == []
    assert copy.is_file()
    assert not (home / "letta.duckdb.due").exists()


@pytest.mark.duckdb
def test_what_gone_owners_had_forgotten_goes_from_copies_too(service: AgentService) -> None:
    shared = service.archives.create("shared")
    service.archives.attach("shared", agent="ada")
    secret = keep(service, "The word is quetzalcoatlus.")  # the archive's
    service.agents.create("bob")
    other = keep(service, "The word is hexakosioi.", "bob")
    service.agents.create("eve")
    service.archives.attach("shared", agent="eve")
    home = home_of(service)
    service.database.close()
    copy = automatic_backups.before_change(home, 3)
    service.passages.forget([secret.id], agent="ada")
    service.passages.forget([other.id], agent="bob")
    service.archives.delete(shared.id)
    service.agents.delete("bob")
    assert copy is not None
    assert copy.name in where(service, "hexakosioi")
    (home / "letta.duckdb.due").unlink()  # as in a store that came from elsewhere
    service.store.restore(service.store.backup(home / "mine.duckdb")[0])
    service.agents.list()
    assert (home / "letta.duckdb.due").exists()
    (home / "mine.duckdb").unlink()
    service.database.close()
    assert where(service, "quetzalcoatlus") == where(service, "hexakosioi") == []
    assert not (home / "letta.duckdb.due").exists()
