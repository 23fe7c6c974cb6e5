"""What docs/deploy holds: the steps in a bare Debian, the unit, the proxy, and files that are not run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
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
import yaml
from server_bench import TOKEN, serving, until
from websockets.sync.client import connect

import letta_kernel
from letta_kernel import metrics, settings
from letta_kernel.server.routes.metrics import _ABOUT
from letta_kernel.service import AgentService

ROOT = Path(__file__).parents[2]
FILES = ROOT / "docs" / "deploy"
SCRIPT = FILES / "install.sh"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(*command: str | Path, **options: Any) -> str:
    """Run a command, which must succeed, and return what it printed."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}"
    return done.stdout


# -- what can be said of files that are not run ------------------------------------------------------


def test_the_variables_are_those_that_are_read() -> None:
    ours = set(
        re.findall(r"LETTA_(?:EXTRAS|PREFIX|DATA|CONF|USER|UID|LISTEN|PORT)\b", SCRIPT.read_text())
    )
    known = {one.name for one in settings.VARIABLES} | ours
    known |= {f"{one.name}_FILE" for one in settings.VARIABLES if one.secret}
    for path in (*FILES.iterdir(), ROOT / "docs" / "deploy.md"):
        named = set(re.findall(r"\bLETTA_[A-Z_]+\b", path.read_text("utf-8")))
        assert named <= known, path


def test_the_alerts_are_about_what_is_counted() -> None:
    known = {*metrics.FAMILIES, *_ABOUT}
    known |= {f"{name}_{end}" for name in metrics.FAMILIES for end in ("bucket", "sum", "count")}
    told = yaml.safe_load((FILES / "alerts.yaml").read_text())
    rules = [rule["expr"] for group in told["groups"] for rule in group["rules"]]
    assert len(rules) > 5
    for text in (*rules, (ROOT / "docs" / "deploy.md").read_text("utf-8")):
        assert (
            set(re.findall(r"\b(?:letta|process)_[a-z_]*[a-z]\b(?!\.)", text)) - {"letta_kernel"}
            <= known
        )


def grows(name: str, every: int, minutes: int = 30) -> dict[str, str]:
    """A figure for promtool, read each minute: it grows by so much."""
    return {"series": name, "values": f"0+{every}x{minutes}"}


CASES = {
    "LettaServerDown": [{"series": 'up{job="letta-kernel"}', "values": "1 1 0x28"}],
    "LettaServerDiesAgainAndAgain": [
        {"series": 'process_start_time_seconds{job="letta-kernel"}', "values": "0+100x30"}
    ],
    "LettaDefects": [
        # One, of which nothing was told before: `rate` would not see it.
        {"series": 'letta_http_requests_total{status="500",route="/v1/a"}', "values": "_x24 1x5"}
    ],
    "LettaTurnsAway": [grows('letta_http_requests_total{status="503"}', 60)],
    "LettaReadsSlowly": [
        grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="0.5"}', 8),
        grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="2.5"}', 10),
        grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="+Inf"}', 10),
    ],
    "LettaModelFails": [
        grows('letta_model_calls_total{model="m",outcome="ok"}', 7),
        grows('letta_model_calls_total{model="m",outcome="timeout"}', 3),
    ],
    "LettaStoreWaits": [
        grows('letta_store_wait_seconds_bucket{le="1.0"}', 8),
        grows('letta_store_wait_seconds_bucket{le="2.5"}', 10),
        grows('letta_store_wait_seconds_bucket{le="+Inf"}', 10),
    ],
    "LettaStoreFails": [grows('letta_store_transactions_total{outcome="busy"}', 10)],
    "LettaConnectionsUsedUp": [
        {"series": "letta_store_connections_busy", "values": "8x30"},
        {"series": "letta_store_connections_limit", "values": "8x30"},
    ],
    "LettaIndexBehind": [{"series": "letta_outbox_rows", "values": "1001x30"}],
    "LettaRunsWait": [{"series": "letta_runs_waiting", "values": "21x30"}],
    "LettaTokensGuessed": [grows('letta_refused_total{status="401"}', 400)],
    "LettaCosts": [grows("letta_cost_dollars_total", 1)],
}
"""What each alert is for; and what must wake nobody."""
CALM = [
    {"series": 'up{job="letta-kernel"}', "values": "1x30"},
    {"series": 'process_start_time_seconds{job="letta-kernel"}', "values": "100x15 1000x15"},
    {"series": 'letta_http_requests_total{status="500"}', "values": "3x30"},
    grows('letta_http_requests_total{status="200"}', 6000),
    grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="0.5"}', 100),
    grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="+Inf"}', 100),
    grows('letta_http_request_seconds_bucket{method="POST",route="/v1/a",le="0.5"}', 0),
    grows('letta_http_request_seconds_bucket{method="POST",route="/v1/a",le="+Inf"}', 100),
    grows('letta_model_calls_total{model="m",outcome="ok"}', 100),
    grows('letta_model_calls_total{model="m",outcome="cancelled"}', 100),
    grows('letta_store_wait_seconds_bucket{le="1.0"}', 100),
    grows('letta_store_wait_seconds_bucket{le="+Inf"}', 100),
    grows('letta_store_transactions_total{outcome="done"}', 1000),
    {"series": "letta_store_connections_busy", "values": "1x30"},
    {"series": "letta_store_connections_limit", "values": "8x30"},
    {"series": "letta_outbox_rows", "values": "900x30"},
    {"series": "letta_runs_waiting", "values": "3x30"},
    grows('letta_refused_total{status="404"}', 1000),
    {"series": "letta_cost_dollars_total", "values": "0+0.1x30"},
]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_an_alert_wakes_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    told = yaml.safe_load((FILES / "alerts.yaml").read_text())
    assert [rule["alert"] for rule in told["groups"][0]["rules"]] == [*CASES]
    # Which labels an alert has is not the point: it is asked for whether it goes off at all.
    cases = [
        {
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": "30m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if series is not CALM else [],
                }
            ],
        }
        for name, mine in CASES.items()
        for series in (mine, CALM)
    ]
    shutil.copy(FILES / "alerts.yaml", tmp_path)
    tests = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "tests.yaml").write_text(json.dumps(tests))
    run("promtool", "test", "rules", tmp_path / "tests.yaml")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")
def test_prometheus_asks_a_server_as_it_is_told_to(
    service: AgentService, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_METRICS_TOKEN", "the-metrics-token")
    (tmp_path / "token").write_text("the-metrics-token\n")
    shutil.copy(FILES / "alerts.yaml", tmp_path)
    with serving(service, scripted) as server:
        text = (FILES / "prometheus.yaml").read_text()
        for was, becomes in (
            ("/etc/prometheus/letta-metrics-token", str(tmp_path / "token")),
            ("127.0.0.1:8283", server.url.rpartition("/")[2]),
            ("scrape_interval: 15s", "scrape_interval: 100ms"),
        ):
            assert was in text
            text = text.replace(was, becomes)
        (tmp_path / "prometheus.yaml").write_text(text)
        run("promtool", "check", "config", tmp_path / "prometheus.yaml")
        headers = {"Authorization": "Bearer the-metrics-token"}
        figures = httpx.get(f"{server.url}/metrics", headers=headers, timeout=60).text
        said = run("promtool", "check", "metrics", input=figures)
        assert said == "", "it also says what is no good form"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path / 'prometheus.yaml'}",
                f"--storage.tsdb.path={tmp_path / 'figures'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )
        try:
            until(lambda: _listens(port))

            def found(query: str) -> list[Any]:
                asked = httpx.get(
                    f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=60
                )
                return asked.json()["data"]["result"] if asked.status_code == 200 else []

            until(lambda: found('up{job="letta-kernel"} == 1'))
            until(lambda: found("letta_build_info"))
        finally:
            process.terminate()
            process.wait(60)


def test_compose_gives_secrets_as_files_alone() -> None:
    told = yaml.safe_load((FILES / "compose.yaml").read_text())
    server, database = told["services"]["server"], told["services"]["db"]
    for service in (server, database):
        for name in service["secrets"]:
            assert name in told["secrets"]
        for name, value in service["environment"].items():
            if str(value).startswith("/run/secrets/"):
                assert name.endswith("_FILE")
                assert value.rpartition("/")[2] in service["secrets"]
    assert (FILES / server["build"]["context"] / server["build"]["dockerfile"]).exists()
    assert database["healthcheck"]
    assert "HEALTHCHECK" in (FILES / "Dockerfile").read_text()
    assert "install.sh" in (FILES / "Dockerfile").read_text()


def test_the_script_says_what_it_needs(tmp_path: Path) -> None:
    run("sh", "-n", SCRIPT)
    if os.geteuid() == 0:
        for words, said in (([], "usage"), (["nothing.whl"], "no file"), (["--back"], "go back")):
            done = subprocess.run(
                ["sh", SCRIPT, *words],
                env={"PATH": PATH, "LETTA_PREFIX": str(tmp_path)},
                capture_output=True,
                text=True,
            )
            assert done.returncode != 0
            assert said in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    text = (FILES / "letta-kernel.service").read_text()
    program = tmp_path / "letta-kernel-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "letta-kernel.service"
    unit.write_text(text.replace("/usr/local/bin/letta-kernel-server", str(program)))
    said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)
    assert "letta-kernel.service" not in said, said
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"exposure level for .*: ([0-9.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) < 3.0, said


# -- the steps, in a bare root -----------------------------------------------------------------------


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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = Running(bare, port)
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
    version = letta_kernel.__version__
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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
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
        agent = talk.post("/v1/agents", json={"name": "ada", "model": "openai/scripted"}).json()[
            "id"
        ]
        scripted.say("Hello.")
        path = f"/v1/agents/{agent}/messages"
        assert talk.post(path, json={"input": "Hi"}).status_code == 200
        assert scripted.received[-1].headers["authorization"] == f"Bearer {secrets['openai']}"
        # The command line has the same agents, whoever root is, and leaves no file of root's.
        assert "ada" in machine.do("letta-kernel", "agent", "list")
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
        machine.do("letta-kernel", "agent", "delete", "ada", "--yes")
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
    other = wheel.with_name(wheel.name.replace(letta_kernel.__version__, "9.9.9"))
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


# -- a proxy with TLS before it ----------------------------------------------------------------------


@pytest.fixture
def proxied(
    service: AgentService, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """The address of nginx before a server, as docs/deploy/nginx.conf has it, and its certificate."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:{PATH}")
    if nginx is None or not shutil.which("openssl"):
        pytest.skip("nginx is not installed")
    monkeypatch.setenv("LETTA_TRUSTED_PROXIES", "127.0.0.1")
    monkeypatch.setenv("LETTA_HOSTS", "agents.example.org,localhost")
    with serving(service, scripted) as server, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject),
            *("-keyout", key, "-out", certificate),
        )
        text = (FILES / "nginx.conf").read_text()
        for was, becomes in (
            ("server 127.0.0.1:8283;", f"server 127.0.0.1:{server.url.rpartition(':')[2]};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
            ("/etc/ssl/agents.example.org.pem", str(certificate)),
            ("/etc/ssl/private/agents.example.org.key", str(key)),
            ("/var/log/nginx/letta.log", str(tmp_path / "access.log")),
        ):
            assert was in text
            text = text.replace(was, becomes)
        temporary = "".join(
            f"{name}_temp_path {tmp_path / name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path / 'pid'}; error_log {tmp_path / 'error.log'} warn;\n"
            + ("user root;\n" if os.geteuid() == 0 else "")
            + f"events {{}}\nhttp {{\n{temporary}{text}\n}}\n"
        )
        command = [nginx, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"]
        process = subprocess.Popen(command)
        try:
            until(lambda: _listens(port))
            yield f"https://localhost:{port}", certificate
        finally:
            process.terminate()
            process.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as talk:
        return talk.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_through_nginx_answers_streams_and_sockets_come_as_they_are(
    proxied: tuple[str, Path], scripted: Any, tmp_path: Path
) -> None:
    import ssl

    url, certificate = proxied
    trusts = ssl.create_default_context(cafile=str(certificate))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    talk = httpx.Client(base_url=url, headers=headers, verify=trusts, timeout=60)
    answer = talk.get("/v1/health")
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"]), "nginx's own"
    assert talk.get("/metrics").status_code == 404
    assert talk.get("/v1/agents", headers={"Host": "evil.example"}).status_code == 421
    plain = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.9"}
    assert "strict-transport-security" in talk.get("/v1/health", headers=plain).headers
    agent = talk.post("/v1/agents", json={"name": "ada", "model": "openai/scripted"}).json()["id"]
    # The first pieces come while the model has not ended: nothing is held back on the way.
    hanging = scripted.hang_mid_stream(60, "Half an answer")
    asked = {"input": "Hi", "stream_tokens": True}
    with talk.stream("POST", f"/v1/agents/{agent}/messages/stream", json=asked) as stream:
        pieces = (line for line in stream.iter_lines() if "assistant_message" in line)
        assert next(pieces)
        assert not scripted.received[-1].over.is_set(), hanging
    talk.post(f"/v1/agents/{agent}/messages/cancel")
    ws = url.replace("https", "wss", 1)
    address = f"{ws}/v1/agents/{agent}/ws?token={TOKEN}"
    with connect(address, ssl=trusts, open_timeout=60) as socket_:
        assert json.loads(socket_.recv(60))["agent_id"] == agent
    until(lambda: "/ws" in (tmp_path / "access.log").read_text())
    assert TOKEN not in (tmp_path / "access.log").read_text()
    assert TOKEN not in (tmp_path / "error.log").read_text()
