"""What goes wrong in the background is nobody's cell or terminal: threads write nothing there."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letta_kernel.memory import index
from letta_kernel.service import AgentService
from letta_kernel.store.database import Database


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []
        self.raised: list[threading.ExceptHookArgs] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def has(self, words: str) -> bool:
        return any(words in record.getMessage() for record in self.records)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[_Heard]:
    """All that threads say; in the end nothing of it may be for a person."""
    handler, log = _Heard(), logging.getLogger("letta_kernel")
    monkeypatch.setattr(threading, "excepthook", handler.raised.append)
    monkeypatch.setattr("letta_kernel.memory.index._SETTLE", 0.01)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)
    assert handler.raised == []
    assert [one.getMessage() for one in handler.records if one.levelno > logging.INFO] == []
    assert capfd.readouterr().err == ""


def until(holds: Callable[[], object]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_an_index_that_cannot_be_written(heard: _Heard, tmp_path: Path) -> None:
    service = AgentService(tmp_path / ".letta")
    ada = service.agents.create("ada").id
    service.home.mkdir(exist_ok=True)
    (service.home / "vectors").write_text("in the way")
    service.passages.create("tea", agent=ada)
    until(lambda: heard.has("stays behind"))
    assert service.passages.search("tea", agent=ada)
    service.close()


@pytest.mark.duckdb
def test_an_index_whose_project_goes_away(heard: _Heard, tmp_path: Path) -> None:
    service = AgentService(tmp_path / ".letta")
    ada = service.agents.create("ada").id
    service.passages.create("tea", agent=ada)

    def gone() -> bool:
        service.database.close()
        shutil.rmtree(service.home, ignore_errors=True)  # the thread may be writing there
        with contextlib.suppress(OSError):
            service.home.write_text("a file now")
        return service.home.is_file()

    def noticed() -> bool:
        for one in list(index._everyone):  # it may have been done before
            if one.database is service.database:
                one.follow()
        return heard.has("stays behind")

    until(gone)
    until(noticed)
    service.close()


@pytest.mark.duckdb
def test_a_queue_that_cannot_be_read_while_a_connection_is_idle(
    heard: _Heard, tmp_path: Path
) -> None:
    database = Database(tmp_path / ".letta", lease=0.2)
    database.run(lambda tx: None)
    (database.home / "queue").write_text("no folder")
    until(lambda: not database.driver.connection.lock.held)
    assert database.run(lambda tx: tx.one("SELECT 1")) == (1,)
    database.close()
