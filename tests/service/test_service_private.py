"""What a project leaves on the disk is its owner's alone, whatever the umask; an open one is closed."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from letta_kernel import private
from letta_kernel.errors import StoreError
from letta_kernel.server import serving
from letta_kernel.service import AgentService
from letta_kernel.store.lock import HomeLock


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def for_others(folder: Path) -> dict[str, str]:
    """Return what under *folder*, itself included, anybody but its owner has a right to."""
    modes = {}
    for path in [folder, *folder.rglob("*")]:
        with suppress(FileNotFoundError):  # some come and go
            modes[str(path)] = path.lstat().st_mode
    return {name: oct(mode) for name, mode in modes.items() if stat.S_IMODE(mode) & 0o077}


def opened_up(home: Path) -> None:
    """Let everybody read a project, as programs did that went by the umask."""
    for path in home.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    home.chmod(0o755)


@pytest.mark.duckdb
@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_whatever_the_umask_it_is_the_owner_s(tmp_path: Path, mask: int) -> None:
    home = tmp_path / ".letta"
    with umask(mask), AgentService(home) as service:
        service.agents.create("ada")
        assert (home / "letta.duckdb.wal").exists()
        assert not for_others(home)
        service.passages.create("The key hangs behind the door.", agent="ada")
        archive, _ = service._memories.embedded_by(None)
        assert archive._index.catch_up(60.0) == 1
        assert [*home.glob("vectors/*.lance")]
        service.database.close()
        lock = HomeLock(home)
        lock.acquire(60.0)
        with pytest.raises(StoreError, match="in use"):
            HomeLock(home).acquire(0.01)
        lock.release()
        assert (home / "queue").is_dir()
        kept, _ = service.store.backup(tmp_path / "copy.duckdb")
        service.recordings.record(tmp_path / "tapes" / "one.jsonl")
        service.agent_files.export_file("ada", tmp_path / "ada.af")
        assert service.store.restore(kept) is not None
        service.agents.create("bob")
        assert not home.lstat().st_mode & private.OTHERS
        until = time.monotonic() + 60  # what indexes in the background closes what it has made
        while for_others(home) and time.monotonic() < until:
            time.sleep(0.05)
        assert not for_others(home)
        for made in ("copy.duckdb", "tapes", "ada.af"):
            assert not for_others(tmp_path / made)


def test_a_process_of_its_own_goes_by_no_umask(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "letta_kernel.cli", "agent", "new", "ada", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, umask=0, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert not for_others(tmp_path / ".letta")


@pytest.mark.duckdb
def test_an_open_project_is_closed_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "before" / ".letta"
    with AgentService(home) as service:
        service.agents.create("ada")
        service.passages.create("The key hangs behind the door.", agent="ada")
        archive, _ = service._memories.embedded_by(None)
        archive._index.catch_up(60.0)
    (home / "server-token").write_text("everybody-knows-it")
    script = home / "skills" / "one" / "run.sh"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    (tmp_path / "other").write_text("mine")
    (home / "vectors" / "link").symlink_to(tmp_path / "other")
    opened_up(home)
    script.chmod(0o755)
    moved = (tmp_path / "before").rename(tmp_path / "after") / ".letta"  # as a person moves it
    with AgentService(moved) as service:
        assert service.agents.retrieve("ada")
    assert [record.getMessage() for record in caplog.records] == [
        f"Other users of this machine could read the agents in {moved}; now only you can."
    ]
    assert not (moved / "server-token").exists(), "who could read it may have"
    script = moved / script.relative_to(home)
    assert stat.S_IMODE(script.stat().st_mode) == 0o755, "what a person put there is theirs"
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) & 0o044
    (moved / "vectors" / "link").unlink()
    shutil.rmtree(moved / "skills")
    assert not for_others(moved)
    with AgentService(moved) as service:
        assert service.agents.retrieve("ada")
    assert len(caplog.records) == 1


@pytest.mark.duckdb
def test_what_cannot_be_closed_is_said_and_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's folder refuses a change of its mode, a FAT file system takes it and does nothing."""
    home = tmp_path / ".letta"
    with AgentService(home) as service:
        service.agents.create("ada")

    def refuses(path: str, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    for number, chmod in enumerate([refuses, lambda path, mode: None]):
        there = home.rename(tmp_path / f"home-{number}")
        opened_up(there)
        with monkeypatch.context() as patch:
            patch.setattr("letta_kernel.private.os.chmod", chmod)
            with AgentService(there) as service:
                assert service.agents.create(f"bob-{number}")
            with AgentService(there) as service:
                assert len(service.agents.list()) == 2 + number
        assert len(caplog.records) == 1 + number, "once"
        assert "cannot be changed" in caplog.records[-1].getMessage()
        home = there


@pytest.mark.duckdb
@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_of_other_things_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inside: bool
) -> None:
    """The working directory, or any that LETTA_HOME names."""
    work = tmp_path / "work"
    theirs = ["index.html", "letta.ipynb", "before-noon", "backups/a", "vectors/b", "queue/c"]
    for name in theirs:
        file = work / name
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        file.touch()
        file.chmod(0o644)
        os.utime(file, (1, 1))
    work.chmod(0o2775)
    before = for_others(work)
    if inside:
        monkeypatch.chdir(work)
    with umask(0), AgentService(work) as service:
        service.agents.create("ada")
        service.passages.create("The key hangs behind the door.", agent="ada")
        archive, _ = service._memories.embedded_by(None)
        archive._index.catch_up(60.0)
        lock = HomeLock(work)  # whoever waits clears what is old from the queue
        service.database.close()
        lock.acquire(60.0)
        with pytest.raises(StoreError, match="in use"):
            HomeLock(work).acquire(0.01)
        lock.release()
    assert for_others(work) == before
    assert stat.S_IMODE(work.stat().st_mode) == 0o2775
    for path in work.rglob("*"):
        if str(path) not in before:
            path.chmod(0o755 if path.is_dir() else 0o644)  # as programs of before left it
    for _ in range(2):
        private._lines.clear()  # as in another process
        with AgentService(work) as service:
            assert service.agents.retrieve("ada")
        left = {path: mode for path, mode in for_others(work).items() if path not in before}
        assert not left
    assert len(caplog.records) == 1, "and nothing is said where nothing was open"


def test_files_of_before_are_closed_where_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "tape"
    file.touch()
    file.chmod(0o666)
    with open(file, "a", opener=private.opener) as opened:
        opened.write("more")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_server_s_token_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "server-token"
    assert serving._kept(file, "a-fresh-token") == "a-fresh-token"
    assert serving._kept(file, "another-token") == "a-fresh-token"
    file.unlink()
    file.symlink_to(file)  # which fails as what is on a disk that does not answer
    with pytest.raises(StoreError, match=re.escape(str(file))):
        serving._kept(file, "another-token")
    assert file.is_symlink()
