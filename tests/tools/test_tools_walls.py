"""Attacks on the sandbox's walls: each is tried at every level there is, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools import sandbox_walls as walls
from letta_kernel.tools.sandbox import ResourceLimits, Sandbox, View, default_sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has walls")
SECRET = "sk-nobody-may-read-this"
NOBODY = 65534


@dataclass
class Cell:
    """A sandbox of one level beside a project: ``folder`` is the notebook's, ``home`` the agents'."""

    level: str
    sandbox: Sandbox
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / ".letta"

    def try_(self, body: str, *, network: bool = False, writable: tuple[str, ...] = ()) -> object:
        """Run the *body* of a tool there and return what it returns, or its error."""
        inside = textwrap.indent(textwrap.dedent(body).strip(), "    ")
        before = "import ctypes, glob, json, os, signal, socket, subprocess, sys, time"
        source = f'''{before}
def work():
{inside}

def f():
    """Do it."""
    return json.dumps(work())
'''
        tool = Tool(name="f", source=source, runs_in="sandbox", network=network)
        view = View((str(self.folder),), writable, (str(self.home),))
        outcome = self.sandbox.run(tool, {}, view=view)
        return json.loads(outcome.text) if outcome.status == "ok" else outcome.text


@pytest.fixture(scope="module", params=walls.LEVELS)
def cell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cell]:
    sandbox = Sandbox(ResourceLimits(seconds=30, disk=4 << 20), levels=(request.param,))
    if sandbox.level() != request.param:
        sandbox.close()
        pytest.skip(f"this system has no {request.param}")
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "data.csv").write_text("a,b\n")
    (folder / ".env").write_text(f"KEY={SECRET}")
    (folder / "deeper" / ".letta").mkdir(parents=True)
    (folder / "deeper" / ".letta" / "letta.duckdb").write_text(SECRET)
    (folder / "deeper" / "more.csv").write_text("c")
    service = AgentService(folder / ".letta")
    service.agents.create("ada", persona=SECRET)
    service.close()
    yield Cell(request.param, sandbox, folder)
    sandbox.close()


def test_the_notebooks_files_are_read_by_name_and_stay_as_they_are(cell: Cell) -> None:
    body = f"""
    found = [open("data.csv").read(), open({str(cell.folder / "data.csv")!r}).read()]
    found.append(open("deeper/more.csv").read())
    try:
        open("data.csv", "a").write("more")
    except OSError as error:
        found.append(type(error).__name__)
    open("own.csv", "w").write("mine")
    return found
    """
    found = cell.try_(body)
    assert isinstance(found, list)
    assert found[:3] == ["a,b\n", "a,b\n", "c"]
    assert not (cell.folder / "own.csv").exists()
    if cell.level == "process":
        (cell.folder / "data.csv").write_text("a,b\n")
    else:
        assert found[3:] in (["OSError"], ["PermissionError"])


def test_the_agents_and_keys_are_not_there(cell: Cell) -> None:
    if cell.level == "process":
        pytest.skip(
            "without walls a tool reads what its user may: docs/explanation/sandbox.md says so"
        )
    wanted = [
        *(
            cell.home / "letta.duckdb",
            cell.folder / ".env",
            cell.folder / "deeper/.letta/letta.duckdb",
        ),
        *(Path("/etc/shadow"), Path.home() / ".bashrc", Path("/root/.bashrc")),
    ]
    body = f"""
    seen = []
    for path in {list(map(str, wanted))!r}:
        try:
            seen.append(open(path).read()[:20])
        except OSError:
            pass
    seen += glob.glob({str(cell.folder)!r} + "/**/letta.duckdb", recursive=True)
    os.environ["LETTA_HOME"] = {str(cell.home)!r}
    try:
        from letta_kernel.service import AgentService
        seen += [one.name for one in AgentService().agents.list()]
        AgentService().agents.create("eve")
    except Exception as error:
        pass
    return seen
    """
    assert cell.try_(body) == []
    service = AgentService(cell.home)
    assert [agent.name for agent in service.agents.list()] == ["ada"]
    service.close()


def test_other_processes_are_out_of_reach(cell: Cell) -> None:
    found = cell.try_(f"""
    seen = []
    for name in ("environ", "mem", "maps", "fd/0"):
        try:
            open(f"/proc/{os.getpid()}/{{name}}", "rb").read(1)
            seen.append(name)
        except OSError:
            pass
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, {os.getpid()}, 0, 0) == 0:  # PTRACE_ATTACH
        seen.append("ptrace")
    return seen
    """)
    assert found == []


def test_privileges_do_not_come_back(cell: Cell) -> None:
    found = cell.try_("""
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    if libc.umount2(b"/proc", 2) == 0:
        done.append("umount")
    if libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) == 0:
        done.append("mount")
    if libc.chroot(b".") == 0:
        done.append("chroot")
    if os.getuid() == 0 and libc.setuid(1) == 0:
        done.append("setuid")
    for line in open("/proc/self/status"):
        if line.startswith(("CapEff", "CapPrm", "CapBnd")) and int(line.split()[1], 16):
            done.append(line)
    return done
    """)
    assert found == []


def test_a_network_is_there_only_for_those_who_may(cell: Cell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = f"""
        try:
            socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 5).close()
            return True
        except OSError:
            return False
        """
        assert cell.try_(body, network=True) is True
        if cell.level == "namespaces" or (cell.level == "landlock" and walls.landlock_abi() >= 4):
            assert cell.try_(body, network=False) is False


def test_what_is_written_has_a_limit_and_goes(cell: Cell) -> None:
    found = cell.try_("""
    for number in range(40):
        open(f"{number}", "wb").write(bytes(500_000))
    time.sleep(25)
    """)
    assert "No space left" in str(found) or "wrote more than 4 MB" in str(found)
    assert not list(Path("/tmp").glob("letta-tool-*/39"))


def test_a_daemon_ends_with_its_call_though_it_kills_its_keeper(cell: Cell, tmp_path: Path) -> None:
    pulse = tmp_path / "pulse"
    cell.try_(
        f"""
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            for _ in range(600):
                open({str(pulse)!r}, "a").write("x")
                time.sleep(0.05)
            os._exit(0)
        while not os.path.exists({str(pulse)!r}):
            time.sleep(0.01)
        try:
            os.kill(os.getppid(), signal.SIGKILL)
        except OSError:
            pass
        """,
        writable=(str(tmp_path),),
    )
    end = time.monotonic() + 30
    quiet, size = 0, -1
    while quiet < 10 and time.monotonic() < end:
        time.sleep(0.1)
        now = pulse.stat().st_size
        quiet, size = (quiet + 1 if now == size else 0), now
    assert quiet == 10
    assert cell.try_("return 1") == 1


def test_client_reaches_the_agent_that_calls_and_nothing_else(cell: Cell) -> None:
    source = '''
import os

def f() -> list:
    """Do it."""
    me = os.environ["LETTA_AGENT_ID"]
    told = [client.agents.blocks.retrieve("human", agent_id=me).value]
    client.agents.blocks.update("human", agent_id=me, value="Grace")
    told.append([block.label for block in client.agents.blocks.list(me)])
    for ask in (
        lambda: client.agents.passages.create(me, text="Gulls eat bread.", tags=["sea"])[0].text,
        lambda: client.agents.passages.search(me, query="gulls")[0].content,
        lambda: client.agents.messages.list(me),
        lambda: client.agents.blocks.update("persona", value="Mine now."),
        lambda: client.agents.blocks.list("agent-of-others"),
        lambda: client.agents.list(),
        lambda: client.agents.blocks.update("human", value=3),
        lambda: client.agents.blocks.update("human"),
    ):
        try:
            told.append(ask())
        except Exception as error:
            told.append(str(error))
    return told
'''
    with AgentService(cell.home) as service:
        name = f"of-{cell.level}"
        agent = service.agents.create(name, human="Ada", persona=SECRET)
        service.blocks.update("persona", agent=name, read_only=True)
        for network in (True, False):
            tool = Tool(name="f", source=source, runs_in="sandbox", network=network)
            executor = service.tools.executor(None, agent)
            executor.sandbox = cell.sandbox
            outcome = executor.run(tool, {})
            assert outcome.status == "ok", outcome.text
            told = json.loads(outcome.text)
            assert told[:2] == ["Ada" if network else "Grace", ["persona", "human"]]
            rest = ["Gulls eat bread.", "Gulls eat bread.", []]
            assert told[2:5] == rest or (not network and all("no network" in t for t in told[2:5]))
            assert [change.block.value for change in outcome.changes] == ["Grace"] * network
            assert "read-only" in told[5]
            assert "only the agent that calls it" in told[6]
            assert "is not to be had in a tool" in told[7]
            assert "is a text" in told[8]
            assert "missing" in told[9]
        assert service.blocks.retrieve("human", agent=name).value == "Grace"
        service.agents.delete(name)


ODD_ASKS = '''
def f() -> list:
    """Do it."""
    told = []
    passages, messages, blocks = client.agents.passages, client.agents.messages, client.agents.blocks
    for many in (float("inf"), -float("inf"), float("nan"), 10**40, -10**40, -1, 0, "x", None, [], {}):
        for ask in (
            lambda: passages.search(query="x", top_k=many),
            lambda: passages.list(limit=many),
            lambda: messages.list(limit=many),
            lambda: messages.search(query="x", limit=many),
            lambda: passages.search(query="x", tags=many),
            lambda: passages.create(text="", tags=many),
            lambda: passages.create(text="x", tags=[many]),
            lambda: blocks.retrieve(many),
            lambda: blocks.update(many, value="x"),
            lambda: blocks.update("human", value="\\ud800\\0"),
            lambda: passages.create(text="\\ud800\\0"),
            lambda: passages.search(query="\\ud800\\0"),
            lambda: messages.search(query="\\ud800\\0"),
        ):
            try:
                ask()
                told.append("")
            except Exception as error:
                told.append(str(error))
    return told
'''
UNREAD = '''
def f() -> str:
    """Do it."""
    from letta_kernel.tools.sandbox_call import send

    inside = [cell.cell_contents for cell in client._ask.__closure__]
    channel = next(one for one in inside if hasattr(one, "fileno"))
    for _ in range(100):
        send(channel, {"ask": "agents.blocks.list", "arguments": [[], {}]})
    return "done"
'''


def test_what_a_tool_asks_oddly_is_refused_in_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with AgentService(tmp_path) as service:
        executor = service.tools.executor(None, service.agents.create("odd", human="Ada"))
        outcome = executor.run(
            Tool(name="f", source=ODD_ASKS, runs_in="sandbox", network=True, return_limit=100_000),
            {},
        )
        assert outcome.status == "ok", outcome.text
        told = json.loads(outcome.text)
        assert "client.agents.passages.search: cannot convert float infinity to integer." in told
        assert not [text for text in told if "\n" in text or len(text) > 300]
        assert not caplog.records
        outcome = executor.run(Tool(name="f", source=UNREAD, runs_in="sandbox", network=True), {})
        assert (outcome.status, "no answer" in outcome.text) == ("error", True)


ASKS = '''
def f() -> str:
    """Do it."""
    try:
        return str(client.agents.blocks.list())
    except Exception as error:
        return str(error)
'''


def test_an_ask_that_takes_long_or_breaks_holds_nothing_up() -> None:
    cancel, nobody, waited = Cancel(), threading.Event(), []

    def never(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        cancel.cancel()
        waited.append(nobody.wait(30))

    def breaks(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        raise OSError("of ours")

    tool = Tool(name="f", source=ASKS, runs_in="sandbox")
    outcome = default_sandbox().run(tool, {}, ask=never, cancel=cancel)
    assert (outcome.status, waited) == ("interrupted", [])
    nobody.set()
    outcome = default_sandbox().run(tool, {}, ask=breaks)
    assert (outcome.status, outcome.text) == ("ok", "client.agents.blocks.list failed: OSError.")


def test_this_process_stays_open_to_its_user(cell: Cell) -> None:
    cell.try_("return 1")
    assert psutil.Process().environ()  # a debugger of the user's may look


ORDINARY = """
import os, sys, tempfile
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox_walls as walls

def ran(work):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, repr(work()).encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4096).decode()
    os.waitpid(child, 0)
    return said

def without_namespaces():
    walls.unshare(True)
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
    return walls.strongest(walls.LEVELS, tempfile.mkdtemp())

def attack(pid):
    seen = []
    for path in (f"/proc/{pid}/environ", secret, "/etc/shadow"):
        try:
            seen.append(open(path).read(5))
        except OSError:
            pass
    try:
        open(secret + ".new", "w")
        seen.append("written")
    except OSError:
        pass
    return seen

def in_namespaces():
    walls.unshare(False)
    root = tempfile.mkdtemp()
    def inside():
        walls.make_root(root, "/scratch/one", walls.granted([], [folder]), (), 1 << 20)
        walls.drop_privileges()
        return attack(parent)
    return eval(ran(inside))

def behind_landlock():
    walls.enter_landlock(walls.granted([], [folder]), [tempfile.mkdtemp()], False)
    return attack(parent)

parent = os.getpid()
folder = tempfile.mkdtemp()
secret = os.path.join(folder, "letta.duckdb")
open(secret, "w").write("secret")
print(os.getuid(), walls.strongest(walls.LEVELS, tempfile.mkdtemp()), ran(without_namespaces))
print(ran(in_namespaces))
print(ran(behind_landlock))
"""


def test_an_ordinary_user_has_the_same_walls() -> None:
    python = "/usr/bin/python3"
    if os.getuid() == 0 and not os.path.exists(python):
        pytest.skip("root's own Python cannot be read by another user here, and there is no other")
    folder = Path("/tmp") / f"letta-walls-{os.getpid()}"
    folder.mkdir()
    try:
        shutil.copy(walls.__file__, folder)
        (folder / "attack.py").write_text(ORDINARY)
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.chmod(0o644)
        as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        command = [python if as_user else sys.executable, "-B", str(folder / "attack.py")]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **as_user)
    finally:
        shutil.rmtree(folder)
    assert done.stderr == ""
    first, namespaces, landlock = done.stdout.splitlines()
    user, level, without = first.split(maxsplit=2)
    assert int(user) != 0
    if level == "namespaces":
        assert namespaces == "[]"
        assert without in ("'landlock'", "'process'")
    if walls.landlock_abi():
        assert landlock == "[]"
