"""What every room's tests share: an empty store to copy, the scripted model server, markers, second tries."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import postgres
import pytest
from agent_bench import Bench
from object_storage import ObjectStorage, environment
from pooler import Pooler
from postgres import Cluster
from scripted_server import ScriptedServer

from letta_kernel.models.scripted.model import SCRIPTS
from letta_kernel.service import AgentService
from letta_kernel.store.database import Database

# What starts in the background of a script ignores it, and so would every process the tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MARKERS = {"browser": "browser", "kernel": "kernel", "notebooks": "kernel"}
# Rooms whose modules start processes, those with the longest first.
_LONG = ("notebooks", "packaging", "faults", "kernel", "cli", "tools", "server", "memory")
RERUNS_ALLOWED = 3
_REASON_LINES = 25  # of a first try's failure that are printed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by their room, let those of the browser try once more, and spread these over the run.

    A page on a crowded machine may be starved for a moment, which says nothing of the code. Everywhere
    else a second try could hide a fault.
    """
    for item in items:
        marker = _MARKERS.get(item.path.relative_to(Path(__file__).parent).parts[0])
        if marker is not None:
            item.add_marker(marker)
        if marker == "browser":
            item.add_marker(pytest.mark.flaky(reruns=1))
        if postgres.WANTED and item.get_closest_marker("duckdb"):
            item.add_marker(
                pytest.mark.skip(reason="about the file of a store, or how it is shared")
            )
        if not postgres.WANTED and item.get_closest_marker("postgresql"):
            item.add_marker(
                pytest.mark.skip(reason="about PostgreSQL alone, as make test-postgres runs it")
            )
    items[:] = _spread(items)


def _spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """Put long modules first and the browser's, which wait more than they work, evenly among the others'.

    A module is one worker's: short ones at the end leave no worker alone for long.
    """
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    pages = [path for path, tests in modules.items() if tests[0].get_closest_marker("browser")]
    others = [path for path in modules if path not in pages]
    others.sort(key=lambda path: _LONG.index(room) if (room := path.parent.name) in _LONG else 99)
    # The last of them well before the end, or a worker would go on with it alone.
    places = {int(n * len(others) * 0.8 / len(pages)): path for n, path in enumerate(pages)}
    if not others or len(places) < len(pages):
        return items
    order = []
    for n, path in enumerate(others):
        order += [places[n], path] if n in places else [path]
    return [item for path in order for item in modules[path]]


def _second_tries(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [] if reporter is None else reporter.stats.get("rerun", [])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which more than a few tests needed their second try."""
    if len(_second_tries(session.config)) > RERUNS_ALLOWED and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name and count the tests that needed a second try, and say why the first failed."""
    again = _second_tries(config)
    if again:
        terminalreporter.section("second tries")
        for report in again:
            terminalreporter.line(report.nodeid)
            terminalreporter.line("\n".join(report.longreprtext.splitlines()[-_REASON_LINES:]))
        terminalreporter.line(
            f"{len(again)} needed a second try; more than {RERUNS_ALLOWED} fail the run."
        )


@pytest.fixture(scope="session", autouse=True)
def _configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a user sets and keeps, and the keys of the tests' projects, lie apart from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        yield


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The PostgreSQL server of this run of the tests."""
    base = tmp_path_factory.getbasetemp()
    return postgres.shared((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pg")


@pytest.fixture(scope="session", autouse=True)
def _store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where the stores of tests are in PostgreSQL, each project folder has a project of its own there."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        if postgres.POOLED:
            one = Pooler(request.getfixturevalue("cluster"), Path(f"/tmp/letta-pgb-{os.getpid()}"))
            patch.setenv("LETTA_STORE", stack.enter_context(one).url("{folder}"))
        elif postgres.WANTED:
            url = request.getfixturevalue("cluster").url("{folder}", user=postgres.ORDINARY)
            patch.setenv("LETTA_STORE", url)
        yield


@pytest.fixture(scope="session")
def fresh_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Return a function that makes a project folder with an empty store.

    The store is made once for each process of the tests: copying it takes a few milliseconds, making it
    a few hundred.
    """
    database = Database(tmp_path_factory.mktemp("empty"), store="")
    database.run(lambda tx: tx.query("SELECT 1"))
    database.close()

    def make(home: Path) -> Path:
        home.mkdir(parents=True, exist_ok=True)
        if not postgres.WANTED:
            shutil.copyfile(database.path, home / database.path.name)
        return home

    return make


@pytest.fixture(scope="module", autouse=True)
def own_scripts() -> Iterator[None]:
    """Leave no scripted model to the tests of another module: scripts stay in their process."""
    yield
    SCRIPTS.clear()


@pytest.fixture
def service(
    tmp_path: Path, fresh_project: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AgentService]:
    """A service on a fresh project folder, which other processes that a test starts use too."""
    monkeypatch.setenv("LETTA_HOME", str(fresh_project(tmp_path / "home")))
    with AgentService() as service:
        yield service


@pytest.fixture
def bench(service: AgentService, scripted: ScriptedServer) -> Bench:
    """The service and the model its agents talk to."""
    return Bench(service, scripted)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A scripted server, and the environment that makes ``openai/scripted`` the model to use."""
    with ScriptedServer() as server:
        monkeypatch.setenv("LETTA_MODEL", "openai/scripted")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        yield server


@pytest.fixture(scope="session")
def object_storage() -> Iterator[ObjectStorage]:
    """One object storage for all tests."""
    made = ObjectStorage()
    yield made
    made.stop()


@pytest.fixture
def bucket(object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket, in which ``LETTA_INDEX`` puts the indexes of this test."""
    name = object_storage.bucket()
    for key, value in environment(object_storage.endpoint, name).items():
        monkeypatch.setenv(key, value)
    return name
