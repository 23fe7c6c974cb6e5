"""PostgreSQL through the doors: a server that is away or does not answer, and what is kept up in it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from postgres import Cluster, project, wait_until

import letta_kernel.cli
from letta_kernel.server.app import create_app
from letta_kernel.service import AgentService
from letta_kernel.service.tokens import PREFIX
from letta_kernel.store import presence
from letta_kernel.store.database import Database

pytestmark = pytest.mark.postgresql
SECRET = "hunter22"


# -- a server that is away -------------------------------------------------------------------------


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Have agents where no server listens."""
    monkeypatch.setenv("LETTA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LETTA_STORE", f"postgresql://ann:{SECRET}@127.0.0.1:1/agents?project=p")
    monkeypatch.setenv("LETTA_STORE_WAIT", "1")
    return "127.0.0.1:1/agents cannot be reached"


def terminal(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it complained of."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    monkeypatch.setattr(sys, "argv", ["letta-kernel", *words])
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            letta_kernel.cli.main()
        except SystemExit as left:
            code = left.code or 0
    said = [one.buffer.getvalue().decode() for one in (out, err)]  # type: ignore[attr-defined]
    assert SECRET not in "".join(said)
    return code, said[0] if "--json" in words else said[1]


COMMANDS = (
    ("agent", "list"),
    ("agent", "new", "ada"),
    ("send", "ada", "Hello?"),
    ("memory", "list", "ada"),
    ("archive", "search", "ada", "gulls"),
    ("sql", "FROM agents"),
    ("check",),
    ("check", "--repair"),
    ("token", "list"),
)


def test_the_terminal_says_so_in_a_line(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in COMMANDS:
        code, said = terminal(monkeypatch, *words)
        assert code == 1, words
        assert away in said, words
        assert said.count("\n") == 1, said
    code, said = terminal(monkeypatch, "doctor", "--quick", "--json")
    assert code == 1
    assert [one for one in json.loads(said) if away in one["text"] and "project" in one.values()]


def test_a_server_says_so_in_a_line_and_to_strangers_nothing(away: str) -> None:
    async def ask() -> None:
        with AgentService() as service:
            app = create_app(service, token="secret")
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                for given in ("secret", f"{PREFIX}of-somebody"):
                    head = {"Authorization": f"Bearer {given}"}
                    answer = await client.get("/v1/agents/", headers=head)
                    assert answer.status_code == 503, answer.text
                    assert SECRET not in answer.text
                    assert "\n" not in answer.json()["detail"]
                    assert (away in answer.text) == (given == "secret"), answer.text

    asyncio.run(ask())


# -- one that takes connections and does not answer ------------------------------------------------


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[socket.socket]:
    """Have agents where a server never says a word; whoever waits for it waits for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        url = f"postgresql://ann@127.0.0.1:{listener.getsockname()[1]}/agents?project=p&connect_timeout=300"
        monkeypatch.setenv("LETTA_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("LETTA_STORE", url)
        monkeypatch.setenv("LETTA_STORE_WAIT", "1")
        yield listener


# In a process of its own: a notebook fixes its project for as long as that lives.
NOTEBOOK = """
import contextlib, io, json, os, sys
from types import SimpleNamespace
from IPython.core.interactiveshell import InteractiveShell
from letta_kernel import magics

shell = InteractiveShell()
magics.install(shell)

def complete(line):
    context = SimpleNamespace(text_until_cursor=line, full_text=line, cursor_line=0)
    return [one.text for one in shell._letta_magics.complete(context)["completions"]]

# The second while the first still waits; what needs no store is offered.
told = [complete("%agent use "), complete("%agent use "), complete("%agent li")]
os.environ.update(json.loads(sys.argv[1]))
for line in ("%agent list", "%agent sql FROM agents", "%agent use ada"):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        shell.run_cell(line)
    told.append(said.getvalue())
print(json.dumps(told), flush=True)
os._exit(0)
"""


def test_a_notebook_says_so_in_a_line_and_tab_waits_for_no_server(
    silent: socket.socket, tmp_path: Path
) -> None:
    away = {
        "LETTA_HOME": str(tmp_path / "other"),
        "LETTA_STORE": f"postgresql://ann:{SECRET}@127.0.0.1:1/agents?project=p",
    }
    with subprocess.Popen(
        [sys.executable, "-c", NOTEBOOK, json.dumps(away)], stdout=subprocess.PIPE, text=True
    ) as notebook:
        taken, _ = silent.accept()
        with taken:  # it stays open: nobody has been refused
            out, _ = notebook.communicate(timeout=120)
    first, second, plain, *said = json.loads(out.splitlines()[-1])
    assert first == second == []
    assert "list" in plain
    assert len(said) == 3
    for one in said:
        assert "127.0.0.1:1/agents cannot be reached" in one
        assert SECRET not in one
        assert "Traceback" not in one


def test_a_token_that_cannot_be_looked_up_holds_nobody_else_up(silent: socket.socket) -> None:
    async def ask() -> None:
        with AgentService() as service:
            app = create_app(service, token="secret")
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                head = {"Authorization": f"Bearer {PREFIX}of-somebody"}
                asked = [
                    asyncio.create_task(client.get("/v1/agents/", headers=head)) for _ in range(3)
                ]
                taken, _ = await asyncio.to_thread(silent.accept)
                with taken:
                    health = await client.get(
                        "/v1/health", headers={"Authorization": "Bearer secret"}
                    )
                    assert health.status_code == 200
                    assert not any(one.done() for one in asked)
                    for one in asked:
                        assert (await one).status_code == 503
                silent.close()

    asyncio.run(ask())


# -- what is kept up there ---------------------------------------------------------------------------


@pytest.fixture
def there(cluster: Cluster, tmp_path: Path) -> Iterator[AgentService]:
    """A project with an agent that remembers something."""
    with AgentService(tmp_path / "home", store=cluster.url(project())) as service:
        service.agents.create("ada", human="Kim")
        service.passages.create("Gulls nest in May.", agent="ada")
        yield service


def sql(service: AgentService, text: str) -> Any:
    return service.database.run(lambda tx: tx.query(text))


def test_a_check_finds_and_repairs_what_does_not_fit(there: AgentService) -> None:
    assert there.store.check().findings == []
    before = there.database.changed()
    sql(there, "DELETE FROM blocks WHERE label = 'human'")
    assert there.database.changed() != before
    report = there.store.check()
    assert [one.what for one in report.findings] == ["blocks", "agent blocks"]
    assert not report.repaired
    assert there.store.check().findings  # looking has changed nothing
    report = there.store.check(repair=True)
    assert report.repaired
    assert report.kept is None  # there are no files to keep
    assert there.store.check().findings == []
    assert [one.content for one in there.passages.list("ada")] == ["Gulls nest in May."]


def test_a_purge_leaves_no_row_and_lets_the_server_overwrite(
    there: AgentService, cluster: Cluster
) -> None:
    (kept,) = there.passages.create("The word is quetzalcoatlus.", agent="ada")
    there.passages.forget([kept.id], agent="ada")
    schema = sql(there, "SELECT current_schema()")[0][0]
    with cluster.connect() as connection:
        everything = "SELECT table_to_xml('{}.{}'::regclass, true, true, '')::text"

        def text(table: str) -> str:
            row = connection.execute(everything.format(schema, table)).fetchone()
            return str(row and row[0])

        tables = [
            str(name)
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]
            )
        ]
        assert [one for one in tables if "quetzalcoatlus" in text(one)]
        assert there.passages.purge() == 1
        assert not [one for one in tables if "quetzalcoatlus" in text(one)]
        # Not that nothing dead is left: a transaction of another test, open meanwhile, would keep it.
        vacuumed = (
            "SELECT count(*) > 0 FROM pg_stat_user_tables WHERE schemaname = %s AND relname = 'forgotten'"
            " AND last_vacuum IS NOT NULL"
        )
        wait_until(lambda: connection.execute(vacuumed, [schema]).fetchone() == (True,))
    assert [one.content for one in there.passages.list("ada")] == ["Gulls nest in May."]


def test_whether_there_is_a_project_that_was_dropped(
    there: AgentService, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    schema = sql(there, "SELECT current_schema()")[0][0]
    url = cluster.url(schema)
    monkeypatch.setenv("LETTA_STORE", url)
    home = tmp_path / "home"
    assert presence.exists(home)
    known = Database(home, store=url)
    assert known.exists()
    before = known.changed()
    with cluster.connect() as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
    assert not Database(home, store=url).exists()
    assert known.changed() != before  # whoever watches looks again, and is told
    with pytest.raises(Exception, match=r"dropped|was there before"):
        known.run(lambda tx: tx.query("SELECT 1 FROM agents"))
    known.close()
