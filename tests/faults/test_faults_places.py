"""Where a project lies: read-only, on a full disk, on a network file system, beside clocks that differ."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from full_disk import FullDisk

from letta_kernel.errors import ReadOnlyError
from letta_kernel.models.scripted import scripted
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.store import filesystem
from letta_kernel.store.database import Database
from letta_kernel.tools.schema import schema_from_source

pytestmark = pytest.mark.duckdb

# Every door in one process: commands of the terminal, REST, and the service below both.
READ = """
import contextlib, io, json, logging, os, sys, threading, time
import starlette.testclient
import letta_kernel.cli, letta_kernel.cli.root, letta_kernel.display.panels
import letta_kernel.memory.recall, letta_kernel.server.app
from letta_kernel.service import AgentService
from letta_kernel.tools.sandbox_walls import drop_privileges

home, how = sys.argv[1:]
if how == "permissions":
    drop_privileges()  # root may write anywhere
os.environ["LETTA_HOME"] = home
complaints = []
threading.excepthook = lambda args: complaints.append(repr(args.exc_value))
loud = logging.Handler(logging.WARNING)
loud.emit = lambda record: complaints.append(record.getMessage())
logging.getLogger().addHandler(loud)

def terminal(*words):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    sys.argv = ["letta-kernel", *words]
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            letta_kernel.cli.main()
        except SystemExit as left:
            code = left.code or 0
    return [code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()]

told = {}
for line in json.load(sys.stdin):
    told[" ".join(line)] = terminal(*line)
with AgentService() as service:
    ada = service.agents.retrieve("ada").id
    app = letta_kernel.server.app.create_app(service, token="secret")
    client = starlette.testclient.TestClient(app, headers={"Authorization": "Bearer secret"})
    for path in ("", f"/{ada}", f"/{ada}/messages", f"/{ada}/archival-memory", f"/{ada}/context"):
        answer = client.get(f"/v1/agents{path}")
        told[f"GET {path.replace(ada, 'ada')}"] = [answer.status_code, answer.text, ""]
    answer = client.patch(f"/v1/agents/{ada}", json={"name": "eve"})
    told["PATCH"] = [answer.status_code, answer.text, ""]
    found = service.messages.search("agents and gulls", agent="ada")
    told["search"] = [len(found), found[0].message.content, ""]
    service._memories.embedded_by(None)[0].follow()
    told["indexed"] = [service._memories.embedded_by(None)[0].catch_up(), "", ""]
told["complaints"] = complaints
json.dump(told, sys.stdout)
"""
READS = (
    ("agent", "list"),
    ("agent", "show", "ada"),
    ("agent", "history", "ada"),
    ("agent", "search", "ada", "gulls"),
    ("agent", "export", "ada", "-"),
    ("agent", "context", "ada"),
    ("agent", "runs", "ada"),
    ("agent", "cost", "ada"),
    ("memory", "list", "ada"),
    ("memory", "history", "ada", "human"),
    ("archive", "search", "ada", "gulls"),
    ("archive", "list", "ada"),
    ("tool", "list"),
    ("tool", "show", "run_code"),
    ("rule", "list", "ada"),
    ("sql", "SELECT agent FROM agents"),
    ("doctor", "--quick", "--json"),
)
WRITES = (
    ("memory", "set", "ada", "human", "Grace"),
    ("send", "ada", "Hello?"),
    ("agent", "new", "eve"),
)


def can_mount() -> bool:
    tried = ["unshare", "-m", "true"]
    return os.getuid() == 0 and bool(shutil.which("unshare")) and subprocess.call(tried) == 0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, fresh_project: Callable[[Path], Path]) -> Path:
    """A project with an agent that has talked and knows something."""
    home = fresh_project(tmp_path_factory.mktemp("kept") / "home")
    with AgentService(home) as service:
        scripted("say: I know agents and gulls.", "places")
        service.agents.create("ada", model="scripted/places", human="Ada Lovelace.")
        list(service.runs.send("ada", "What do you know?"))
        service.passages.create("Gulls eat bread.", agent="ada")
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it, as a process that was killed leaves it: with its log."""
    home = tmp_path / "home"
    shutil.copytree(kept, home)
    yield home
    for path in [home, *home.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's permissions and mounts")
@pytest.mark.parametrize("how", ["mount", pytest.param("permissions", marks=pytest.mark.slow)])
def test_what_cannot_be_written_is_read_through_every_door(how: str, home: Path) -> None:
    how = how if can_mount() else "permissions"
    command = [sys.executable, "-c", READ, str(home), how]
    if how == "mount":
        read_only = f"mount --bind {home} {home} && mount -o remount,bind,ro {home}"
        command = ["unshare", "-m", "sh", "-c", f'{read_only} && exec "$@"', "sh", *command]
    else:
        for path in [*home.rglob("*"), home]:
            path.chmod(0o500 if path.is_dir() else 0o400)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    done = subprocess.run(
        command, input=json.dumps([*READS, *WRITES]), capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told.pop("complaints") == []
    # All but the doctor, who says what is wrong.
    failed = [(line, told[" ".join(line)]) for line in READS if told[" ".join(line)][0]]
    assert [line[0] for line, _ in failed] == ["doctor"], failed
    assert "I know agents and gulls." in told["agent history ada"][1]
    assert "Ada Lovelace." in told["memory list ada"][1]
    assert "Gulls eat bread." in told["archive search ada gulls"][1]
    assert "only read" in told["doctor --quick --json"][1]
    for line in WRITES:
        code, out, err = told[" ".join(line)]
        assert code == 1, (line, out, err)
        why = "on a read-only file system" if how == "mount" else "not yours"
        assert why in err
        assert err.count("\n") == 1, err
    for name, (status, text, _) in told.items():
        if name.startswith("GET"):
            assert status == 200, (name, text)
    assert told["PATCH"][0] == 403
    assert "only read" in told["PATCH"][1]
    assert told["search"][0] >= 1
    assert told["indexed"][0] == 0
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


class Full:
    """A tool's host on which the disk fills up while the tool runs, at once or when its result is written."""

    notebook = None

    def __init__(self, home: Path, room: int) -> None:
        self.home, self.room = home, room
        self.disk = FullDisk()

    def lookup(self, tool: Tool) -> Callable[[], str]:
        def fill() -> str:
            log = self.home / "letta.duckdb.wal"
            size = (log.stat().st_size if log.exists() else 0) + self.room
            self.disk.fill(size)
            return "x" * 3000

        return fill


@pytest.mark.parametrize("room", [0, 2_000, 5_000])
def test_an_agent_is_free_after_an_end_that_could_not_be_written(home: Path, room: int) -> None:
    source = "def fill() -> str:\n    '''Fill the disk.'''\n"
    full = Full(home, room)
    with AgentService(home) as service:
        tool = service.tools.upsert(Tool(**schema_from_source(source), source=source))
        service.tools.attach(tool.id, agent="ada")
        scripted("call: fill()\n\nsay: " + "Done. " * 500, "places")
        try:
            events = list(service.runs.send("ada", "Fill it.", host=full))
            assert "full" in str(events[-1].error)  # type: ignore[union-attr]
            # Still full: nothing is busy, and what was committed is read.
            ada = service.agents.retrieve("ada").id
            assert service.runs.standing("ada")[ada].state == "idle"
            assert service.messages.history("ada")
        finally:
            full.disk.free()
        assert [run.status for run in service.runs.list()] == ["failed", "completed"]
        scripted("say: Here I am.", "places")
        list(service.runs.send("ada", "Are you there?"))
        said = [message.content for message in service.messages.history("ada", limit=100)]
        assert said[-2:] == ["Are you there?", "Here I am."]
    with AgentService(home) as other:
        assert said == [m.content for m in other.messages.history("ada", limit=100)]


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that makes the system say a folder is on a file system of some type."""
    table = tmp_path / "mounts"

    def mount(folder: Path, kind: str, options: str = "rw") -> None:
        name = str(folder).replace(" ", "\\040")
        table.write_text(f"/dev/root / ext4 rw 0 0\nfar:/x {name} {kind} {options} 0 0\n")
        filesystem.file_system.cache_clear()

    monkeypatch.setattr(filesystem, "MOUNTS", table)
    yield mount
    filesystem.file_system.cache_clear()


@pytest.mark.parametrize(
    ("kind", "options", "served"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", True),
        ("cifs", "rw", True),
        ("nfs", "rw,nolock,local_lock=all", False),
        ("cifs", "rw,nobrl", False),
        ("fuse.sshfs", "rw", False),
        ("9p", "rw", False),
    ],
)
def test_a_network_file_system_is_told_and_written_only_where_locks_reach_others(
    kind: str,
    options: str,
    served: bool,
    home: Path,
    mounted: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounted(home, kind, options)
    with AgentService(home) as service:
        assert service.agents.retrieve("ada").name == "ada"
        if served:
            scripted("say: Yes.", "places")
            told = [str(event) for _ in range(2) for event in service.runs.send("ada", "There?")]
            assert sum(f"network file system ({kind})" in one for one in told) == 1
            return
        with pytest.raises(ReadOnlyError, match=r"do not reach other machines.*LETTA_HOME"):
            service.agents.create("eve")
        monkeypatch.setenv("LETTA_ONE_MACHINE", "1")
        service.close()
        service.agents.create("eve")
    monkeypatch.delenv("LETTA_ONE_MACHINE")
    new = home.with_name("home") / "deeper"
    with pytest.raises(ReadOnlyError, match=rf"\({kind}\)"):
        Database(new).run(lambda tx: tx.query("SELECT 1"))
    assert not new.exists()


CHILD = """
import sys
from letta_kernel.errors import LettaError
from letta_kernel.service import AgentService

with AgentService(sys.argv[1]) as service:
    print([agent.name for agent in service.agents.list()], flush=True)
    try:
        service.agents.create("eve")
    except LettaError as error:
        print(error, flush=True)
"""


def can_trace() -> bool:
    return (
        bool(shutil.which("strace")) and subprocess.call(["strace", "-qqo/dev/null", "true"]) == 0
    )


@pytest.mark.skipif(not can_trace(), reason="needs strace, to make locks fail")
@pytest.mark.parametrize(
    ("call", "error"),
    [
        *(("flock", "ENOLCK"), ("fcntl", "EIO")),
        pytest.param("flock", "EIO", marks=pytest.mark.slow),
        pytest.param("fcntl", "ENOLCK", marks=pytest.mark.slow),
    ],
)
def test_a_project_that_cannot_be_locked_is_read(call: str, error: str, home: Path) -> None:
    file = home / ("letta.lock" if call == "flock" else "letta.duckdb")
    file.touch()
    failing = ["strace", "-f", "-qq", "-o", os.devnull, "-P", str(file), "-e", f"trace={call}"]
    failing += ["-e", f"inject={call}:error={error}"]
    command = [*failing, sys.executable, "-c", CHILD, str(home)]
    done = subprocess.run(command, capture_output=True, text=True)
    names, refusal = done.stdout.splitlines()
    assert names == "['ada']"
    assert "cannot be locked" in refusal
    assert "LETTA_HOME" in refusal
    assert done.stderr == ""


def test_moments_of_leases_are_those_of_the_clock_all_machines_share(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = time.time
    monkeypatch.setattr(
        time, "time", lambda: here() + 3600
    )  # this machine's clock is an hour ahead
    database = Database(home)
    ahead = database.run(lambda tx: tx.now()).timestamp() - here()
    assert -3605 < ahead < -3595
    monkeypatch.undo()
    database.close()
    assert abs(database.run(lambda tx: tx.now()).timestamp() - here()) < 30
    database.close()
