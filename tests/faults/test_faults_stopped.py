"""A process that is stopped inside a transaction holds nobody: reads go on, the rest is told of it in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import httpx
import psutil
import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving
from store_children import children, stop_inside
from websockets.sync.client import connect

from letta_kernel import waiting
from letta_kernel.errors import StoreBusyError
from letta_kernel.service import AgentService
from letta_kernel.store.database import Database

pytestmark = [
    pytest.mark.duckdb,
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing stops a process"),
]


@dataclass
class Stopped:
    """A project, and the process that keeps its store."""

    home: Path
    process: psutil.Process

    @property
    def still(self) -> bool:
        return self.process.status() == psutil.STATUS_STOPPED


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """A project with the agent ada, whose store is kept by a process that was stopped in a transaction."""
    home = tmp_path_factory.mktemp("project") / ".letta"
    with AgentService(home) as service:
        service.agents.create("ada", model="demo")
        service.blocks.upsert("human", "Kim likes birds.", agent="ada")
    ours, theirs = Pipe()
    child = children().Process(target=stop_inside, args=(str(home), theirs))  # type: ignore[attr-defined]
    child.start()
    assert ours.recv() == "inside"
    found = Stopped(home, psutil.Process(child.pid))
    while not found.still:
        time.sleep(0.01)
    yield found
    os.kill(child.pid, signal.SIGCONT)
    assert ours.recv() == "committed"  # it was never disturbed
    child.join(60)
    database = Database(home)
    assert database.run(lambda tx: tx.query("SELECT name FROM agents ORDER BY name")) == [
        ("ada",),
        ("of the stopped",),
    ]
    database.close()


@pytest.fixture
def impatient(stopped: Stopped, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentService]:
    monkeypatch.setenv("LETTA_STORE_WAIT", "2.5")
    with AgentService(stopped.home) as service:
        yield service


def test_reads_go_on_and_say_why_they_took_longer(
    stopped: Stopped, impatient: AgentService
) -> None:
    told: list[str] = []
    with waiting.request(told.append) as asked:
        assert [agent.name for agent in impatient.agents.list()] == ["ada"]
        assert impatient.blocks.list("ada")[0].value
    assert asked.copied
    assert told == [told[0]]
    assert f"(process {stopped.process.pid}, which is stopped)" in told[0]
    assert impatient.sql.query("SELECT agent FROM agents").rows == [("ada",)]
    assert stopped.still
    left = {file.name for file in stopped.home.iterdir()}
    assert not {name for name in left if "snapshot" in name or "copy" in name}


def test_sixty_that_write_are_told_together_whom_they_waited_for(
    stopped: Stopped, impatient: AgentService
) -> None:
    said: list[str] = []

    def write(number: int) -> None:
        try:
            impatient.agents.create(f"agent {number}")
        except StoreBusyError as error:
            said.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 60  # each by itself and in turn: 150
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    assert len(said) == 60
    for line in said:
        assert f"process {stopped.process.pid}, which is stopped" in line
        assert "\n" not in line
    assert stopped.still


def test_what_waited_in_the_queue_of_its_own_process_has_waited(
    stopped: Stopped, impatient: AgentService
) -> None:
    with waiting.request():
        with pytest.raises(StoreBusyError):
            impatient.agents.create("bob")
        told: list[str] = []
        with waiting.request(told.append, part=True), pytest.raises(StoreBusyError):
            impatient.agents.create("bob")  # at once: its time is over
        assert told == []


def test_rest_and_websocket(
    stopped: Stopped, impatient: AgentService, scripted: ScriptedServer
) -> None:
    with serving(impatient, scripted) as server:
        with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
            read = client.get("/v1/agents/")
            assert [agent["name"] for agent in read.json()] == ["ada"]
            assert read.headers["letta-snapshot"] == "true"
            agent_id = read.json()[0]["id"]
            refused = client.post("/v1/agents/", json={"name": "bob"})
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert "which is stopped" in refused.json()["detail"]
            stream = client.post(
                f"/v1/agents/{agent_id}/messages/stream",
                json={"messages": [{"role": "user", "content": "Hello"}]},
            )
            assert stream.status_code == 503
            assert client.get("/v1/health/").status_code == 200
        waits, ends = said_over_websocket(server)
        assert waits["type"] == "waiting"
        assert f"process {stopped.process.pid}" in waits["message"]
        assert (ends["type"], ends["id"], ends["kind"]) == ("error", "1", "StoreBusyError")
    assert stopped.still


def said_over_websocket(server: Server) -> tuple[dict[str, str], dict[str, str]]:
    """What comes of a message to ada: the answers after the greeting."""
    url = f"{server.url.replace('http', 'ws', 1)}/v1/agents/ada/ws"
    with connect(url, additional_headers=server.headers) as connection:
        assert json.loads(connection.recv(timeout=60))["type"] == "hello"
        connection.send(json.dumps({"type": "send", "id": "1", "text": "Hello"}))
        return json.loads(connection.recv(timeout=60)), json.loads(connection.recv(timeout=60))


def test_the_command_line(stopped: Stopped, impatient: AgentService) -> None:
    read = command_line(stopped, "agent", "list")
    assert read.returncode == 0, read.stderr
    assert "ada" in read.stdout
    assert "Waiting for the store: " in read.stderr
    refused = command_line(stopped, "agent", "new", "bob")
    assert refused.returncode == 1
    assert refused.stdout == ""
    waits, error = refused.stderr.strip().splitlines()
    assert f"(process {stopped.process.pid}, which is stopped) is using it" in waits
    assert "LETTA_HOME" in error
    assert stopped.still


def command_line(stopped: Stopped, *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "letta_kernel.cli", *words, "--home", str(stopped.home)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_the_stop_button_ends_the_wait_for_a_turn(
    stopped: Stopped, impatient: AgentService
) -> None:
    impatient.database.timeout = 600
    told = threading.Event()

    def interrupt(text: str) -> None:
        told.set()
        os.kill(os.getpid(), signal.SIGINT)

    with waiting.request(interrupt), pytest.raises(KeyboardInterrupt):
        for _ in impatient.runs.send("ada", "Hello"):
            pass
    assert told.is_set()
    assert stopped.still


def test_a_long_read_gives_way_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_kernel.store.transaction.READ_LIMIT", 0.3)
    reads, other = Database(tmp_path), Database(tmp_path)
    reads.run(lambda tx: tx.execute("CREATE TABLE rows (number bigint)"))
    begun = threading.Event()
    failed: list[BaseException] = []

    def read() -> None:
        def work(tx: object) -> None:
            begun.set()
            tx.query(
                "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range = -b.range"
            )  # type: ignore[attr-defined]

        try:
            reads.run(work)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(60)
    other.run(lambda tx: tx.execute("INSERT INTO rows VALUES (1)"))  # waits for no longer than that
    thread.join(60)
    assert "given up" in str(failed[0])
    assert "\n" not in str(failed[0])
    assert reads.run(lambda tx: tx.query("FROM rows")) == [(1,)]
    reads.close()
    other.close()


def test_a_file_that_this_process_has_open_is_not_copied(tmp_path: Path) -> None:
    kept, reader = Database(tmp_path), Database(tmp_path, timeout=1.5)
    kept.run(lambda tx: tx.execute("CREATE TABLE rows (number bigint)"))
    # This very process has it open: to read the file and close it again would drop the driver's lock.
    inside, leave = threading.Event(), threading.Event()

    def hold(tx: object) -> None:
        inside.set()
        leave.wait(60)

    thread = threading.Thread(target=kept.run, args=(hold,))
    thread.start()
    inside.wait(60)
    with pytest.raises(StoreBusyError, match="in use by"):
        reader.run(lambda tx: tx.query("FROM rows"))
    leave.set()
    thread.join()
    assert reader.run(lambda tx: tx.query("FROM rows")) == []
    kept.close()
    reader.close()
