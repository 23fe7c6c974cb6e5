"""What docs/deploy/install.sh makes of a bare Debian, and what the unit does in one that has booted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from deploy_bench import FILES, PATH, ROOT, free_port, run
from server_bench import until

SCRIPT = FILES / "install.sh"


class Bare:
    """A root of Debian 12 with nothing but what every Debian has, and what the script makes of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def command(self, *words: str, user: str | None = None, **environment: str) -> list[str]:
        who = [f"--userspec={user}:{user}"] if user else []
        given = [f"{name}={value}" for name, value in {"PATH": PATH, **environment}.items()]
        inner = ["chroot", *who, str(self.root), "env", "-i", *given, *words]
        # With processes and mounts of its own, of which nothing is left when it ends.
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            f"--mount-proc={self.root / 'proc'}",
            *inner,
        ]

    def do(self, *words: str, user: str | None = None, **environment: str) -> str:
        return run(*self.command(*words, user=user, **environment), cwd="/")

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("a root of its own needs root")
    if not shutil.which("debootstrap"):
        pytest.skip("debootstrap is not installed")
    folder = tmp_path_factory.mktemp("bare")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)  # the server's user has to get there
    root = folder / "root"
    mirror = os.environ.get("LETTA_TEST_DEBIAN", "http://deb.debian.org/debian")
    made = subprocess.run(
        [
            *("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus"),
            *("bookworm", str(root), mirror),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if made.returncode:
        shutil.rmtree(root, ignore_errors=True)
        pytest.skip(f"debootstrap made no root: {made.stdout[-300:]}")
    wheels = folder / "wheel"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, cwd=ROOT)
    [wheel] = wheels.iterdir()
    shutil.copy(wheel, root / "root")
    shutil.copy(SCRIPT, root / "root")
    found = Bare(root)
    environment = {"LETTA_EXTRAS": ""}
    if certificates := os.environ.get("PIP_CERT"):  # where another's stand before the registry
        shutil.copy(certificates, root / "root" / "certificates")
        environment["PIP_CERT"] = "/root/certificates"
    found.do("sh", "/root/install.sh", f"/root/{wheel.name}", **environment)
    yield found
    shutil.rmtree(root, ignore_errors=True)


class Running:
    """The server inside."""

    def __init__(self, bare: Bare, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        # The program is started as an image or a unit starts it, as the user.
        command = bare.command("letta-kernel-server", user="letta", LETTA_PORT=str(port))
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/")
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(self._answers)

    def _read(self) -> None:
        assert self.process.stderr is not None
        # What makes the processes of the root has words of its own where the server inside was killed.
        self.said += (line for line in self.process.stderr if not line.startswith("unshare: "))

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.said
        try:
            return httpx.get(f"{self.url}/v1/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def server(self) -> psutil.Process:
        """The process that listens, as it is seen from outside."""
        inside = psutil.Process(self.process.pid).children(recursive=True)
        [found] = [one for one in inside if "serve" in one.cmdline()]
        return found

    def end(self, number: int) -> None:
        self.server.send_signal(number)
        self.process.wait(60)
        self._reader.join(60)


@contextmanager
def started(bare: Bare) -> Iterator[Running]:
    running = Running(bare, free_port())
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_bare_debian_becomes_a_server(bare: Bare) -> None:
    folders = {
        "/var/lib/letta-kernel": (0o700, 828, 828),
        "/var/lib/letta-kernel/files": (0o700, 828, 828),
        "/etc/letta-kernel": (0o750, 0, 828),
        "/opt/letta-kernel": (0o755, 0, 0),
    }
    for name, (mode, user, group) in folders.items():
        about = bare.path(name).stat()
        assert (about.st_mode & 0o7777, about.st_uid, about.st_gid) == (mode, user, group), name
    [wheel] = bare.path("/root").glob("*.whl")
    version = wheel.name.split("-")[1]
    assert bare.do("letta-kernel", "--version", user="letta").strip().endswith(version)
    assert bare.do("find", "/opt/letta-kernel", "-user", "letta").strip() == ""
    for tool in ("gcc", "cc", "make", "pip", "pip3", "/opt/letta-kernel/current/bin/pip"):
        done = subprocess.run(bare.command("sh", "-c", f"command -v {tool}"), capture_output=True)
        assert done.returncode != 0, f"{tool} is left"
    assert not re.search(r"-venv|-pip|-setuptools|-dev\b", bare.do("dpkg-query", "--list"))
    assert list(bare.path("/var/lib/apt/lists").iterdir()) == []
    refused = subprocess.run(bare.command("letta-kernel-server"), capture_output=True, text=True)
    assert refused.returncode == 1
    assert "not as root" in refused.stderr

    with started(bare) as first:
        assert set(first.server.uids()) == {828}
        assert bare.do("letta-kernel-health", LETTA_PORT=str(first.port)) == ""
        token = bare.path("/var/lib/letta-kernel/server-token")
        assert token.stat().st_mode & 0o777 == 0o600
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        talk = httpx.Client(base_url=first.url, headers=headers, timeout=120)
        given = {
            "name": "ada",
            "model": "letta/demo",
            "memory_blocks": [{"label": "human", "value": ""}],
            "tools": ["core_memory_append"],
        }
        agent = talk.post("/v1/agents", json=given).json()["id"]
        path = f"/v1/agents/{agent}"
        said = talk.post(f"{path}/messages", json={"input": "I like jasmine tea."})
        assert said.status_code == 200, said.text
        assert "jasmine" in talk.get(f"{path}/core-memory/blocks/human").json()["value"]
        first.end(signal.SIGKILL)
        assert first.process.returncode != 0
    log = [json.loads(one) for one in first.said]
    assert [one for one in log if one["event"] == "run ended"]
    assert token.read_text().strip() not in "".join(first.said)
    assert "jasmine" not in "".join(first.said)

    with started(bare) as second:
        talk = httpx.Client(base_url=second.url, headers=headers, timeout=120)
        assert "jasmine" in talk.get(f"{path}/core-memory/blocks/human").json()["value"]
        again = talk.post(f"{path}/messages", json={"input": "What do I like?"})
        assert again.status_code == 200, again.text
        second.end(signal.SIGTERM)
    modes = {one: one.lstat().st_mode for one in bare.path("/var/lib/letta-kernel").rglob("*")}
    assert not [str(one) for one, mode in modes.items() if mode & 0o077 and not one.is_symlink()]
    done = subprocess.run(
        bare.command("letta-kernel-health", LETTA_PORT=str(second.port)), capture_output=True
    )
    assert done.returncode != 0, "nobody is there"


class Booted:
    """The root as a machine that has booted, with this machine's network."""

    def __init__(self, bare: Bare) -> None:
        options = ["--register=no", "--keep-unit", "--quiet", "--boot", "--console=pipe"]
        self.process = subprocess.Popen(
            ["systemd-nspawn", *options, "-D", str(bare.root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        until(lambda: self.process.poll() is not None or self._init() is not None)
        assert self.process.poll() is None, "it did not boot"
        until(lambda: "running" in self.do("systemctl", "is-system-running", fails=True))

    def _init(self) -> int | None:
        return next((one.pid for one in psutil.Process(self.process.pid).children()), None)

    def do(self, *words: str, fails: bool = False) -> str:
        """Run a command there as root, which must succeed unless it *fails*, and return what it printed."""
        enter = ["nsenter", "-t", str(self._init()), "-m", "-u", "-i", "-p", "-r", "-w"]
        command = [*enter, "env", "-i", f"PATH={PATH}", "HOME=/root", *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert fails or done.returncode == 0, f"{words}\n{done.stdout}"
        return done.stdout

    def end(self) -> None:
        with suppress(AssertionError):
            self.do("systemctl", "poweroff", fails=True)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)


LOOKS = '''
def look(paths: list[str]) -> str:
    """Try to read files.

    Args:
        paths (list[str]): where they are.
    """
    import os
    found = []
    for path in paths:
        try:
            found.append(os.listdir(path) if os.path.isdir(path) else open(path).read())
        except OSError:
            found.append(None)
    return repr(found)
'''


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not shutil.which("systemd-nspawn"), reason="systemd-nspawn is not installed")
def test_the_unit_keeps_a_server_on_a_machine(bare: Bare, scripted: Any) -> None:
    shutil.copy(FILES / "letta-kernel.service", bare.path("/etc/systemd/system"))
    shutil.copy(FILES / "tmpfiles.conf", bare.path("/etc/tmpfiles.d/letta-kernel.conf"))
    port = free_port()
    secrets = {"token": "the-token-of-the-unit", "key": "a-key-that-nobody-guesses"}
    secrets |= {"metrics": "the-token-of-figures", "openai": "sk-nobody-may-see-this"}
    for name, text in secrets.items():
        bare.path(f"/etc/letta-kernel/{name}").write_text(f"{text}\n")
    settings_ = {
        "LETTA_PORT": port,
        "LETTA_LOG_LEVEL": "debug",
        "OPENAI_BASE_URL": scripted.url,
        "OPENAI_API_KEY_FILE": "/etc/letta-kernel/openai",
    }
    lines = [f"{name}={value}" for name, value in settings_.items()]
    bare.path("/etc/letta-kernel/environment").write_text("\n".join(["# settings", *lines, ""]))
    bare.path("/var/lib/letta-kernel/files/menu.txt").write_text("Dumplings")
    machine = Booted(bare)
    try:
        machine.do("systemctl", "enable", "--now", "letta-kernel")
        until(lambda: not machine.do("letta-kernel-health", fails=True))
        main = ("systemctl", "show", "-P", "MainPID", "letta-kernel")
        before = machine.do(*main)
        headers = {"Authorization": f"Bearer {secrets['token']}"}
        url = f"http://127.0.0.1:{port}"
        talk = httpx.Client(base_url=url, headers=headers, timeout=120)
        figures = {"Authorization": f"Bearer {secrets['metrics']}"}
        assert talk.get("/metrics", headers=figures).status_code == 200
        # What agents' tools see of the machine: the folder for them, and no secret.
        places = ["/var/lib/letta-kernel/files/menu.txt", "/var/lib/letta-kernel/project"]
        places += [f"/etc/letta-kernel/{name}" for name in secrets]
        asked = {"source_code": LOOKS, "name": "look", "args": {"paths": places}}
        seen = talk.post("/v1/tools/run", json=asked).json()["tool_return"]
        assert seen == repr(["Dumplings", *[None] * (len(secrets) + 1)])
        agent = talk.post("/v1/agents", json={"name": "eve", "model": "openai/scripted"}).json()[
            "id"
        ]
        scripted.say("Hello.")
        path = f"/v1/agents/{agent}/messages"
        assert talk.post(path, json={"input": "Hi"}).status_code == 200
        assert scripted.received[-1].headers["authorization"] == f"Bearer {secrets['openai']}"
        # The command line has the same agents, whoever root is, and leaves no file of root's.
        assert "eve" in machine.do("letta-kernel", "agent", "list")
        copy = "/var/lib/letta-kernel/today.duckdb"
        machine.do("letta-kernel", "backup", copy)
        others = ("find", "/var/lib/letta-kernel", "!", "-user", "letta", "!", "-name", "menu.txt")
        assert machine.do(*others) == ""
        # One that dies is begun anew; no signal of another kind ends it for good.
        machine.do("systemctl", "kill", "--signal=KILL", "letta-kernel")
        until(lambda: machine.do(*main) not in (before, "0\n"))
        until(lambda: not machine.do("letta-kernel-health", fails=True))
        # A run that goes on when it is stopped is brought to its end.
        scripted.hang(3, "At last.")
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(talk.post(path, json={"input": "Slowly"}))
        )
        count = len(scripted.received)
        asking.start()
        until(lambda: len(scripted.received) > count)
        machine.do("systemctl", "stop", "letta-kernel")
        asking.join(60)
        assert answers[0].status_code == 200
        assert "At last." in answers[0].text
        assert machine.do("systemctl", "show", "-P", "Result", "letta-kernel") == "success\n"
        # Nobody reads a secret from what systemd tells.
        told = machine.do("systemctl", "show", "letta-kernel")
        told += machine.do("journalctl", "--no-pager", "--output=json")
        assert '"event\\": \\"run ended' in told
        for text in (*secrets.values(), "Dumplings", "At last", "Slowly"):
            assert text not in told
        # What was there is put back.
        machine.do("letta-kernel", "agent", "delete", "eve", "--yes")
        machine.do("letta-kernel", "restore", copy, "--yes")
        machine.do("systemctl", "start", "letta-kernel")
        until(lambda: not machine.do("letta-kernel-health", fails=True))
        scripted.say("I am back.")
        assert "I am back." in talk.post(path, json={"input": "Hi"}).text
    finally:
        machine.end()
        for name in ("environment", *secrets):
            bare.path(f"/etc/letta-kernel/{name}").unlink()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_another_version_is_put_beside_the_one_before(bare: Bare) -> None:
    prefix = bare.path("/opt/letta-kernel")
    before = os.readlink(prefix / "current")
    # Another version, as the script sees it: it is installed where its folder says that it is whole.
    [wheel] = bare.path("/root").glob("*.whl")
    other = wheel.with_name(wheel.name.replace(wheel.name.split("-")[1], "9.9.9"))
    other.write_bytes(wheel.read_bytes() + b" ")
    script = "for w; do echo 9.9.9-$(sha256sum $w | cut -c 1-8); done"
    named = bare.do("sh", "-c", script, "sh", f"/root/{other.name}").strip()
    shutil.copytree(prefix / before, prefix / named, symlinks=True)
    bare.do("sh", "/root/install.sh", f"/root/{other.name}", LETTA_EXTRAS="")
    assert os.readlink(prefix / "current") == named
    assert os.readlink(prefix / "previous") == before
    bare.do("sh", "/root/install.sh", "--back")
    assert os.readlink(prefix / "current") == before
    assert os.readlink(prefix / "previous") == named
