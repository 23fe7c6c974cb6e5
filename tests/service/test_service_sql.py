"""Questions in SQL: what the views hold, that nothing else is there, and that nobody waits for them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from agent_bench import ADD, Bench
from scripted_server import ScriptedServer

from letta_kernel.errors import InvalidInputError
from letta_kernel.service import AgentService
from letta_kernel.store import encryption
from letta_kernel.store.views import View

DOCS = Path(__file__).parents[2] / "docs/reference/sql.md"
SECRET = "hunter22-very-secret"


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, fresh_project: Callable[[Path], Path]
) -> Iterator[Bench]:
    """Ada keeps a name, adds two numbers, searches, fails once and calls again under the same id."""
    home = fresh_project(tmp_path_factory.mktemp("told"))
    with (
        pytest.MonkeyPatch.context() as patch,
        ScriptedServer() as server,
        AgentService(home) as service,
    ):
        patch.setenv("LETTA_MODEL", "openai/scripted")
        patch.setenv("OPENAI_BASE_URL", server.url)
        patch.setenv("OPENAI_API_KEY", "test")
        bench = Bench(service, server)
        talk(bench)
        yield bench


def talk(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada", human="", settings={"environment": {"TEA_KEY": SECRET}})
    service.passages.create("Gulls nest in May.", agent="ada", tags=["birds"])
    bench.give("ada", ADD)
    server.call("core_memory_append", {"label": "human", "content": "Name: Kim"})
    server.say("Hello, Kim.")
    bench.send("ada", "My name is Kim.")
    server.calls([("add", {"a": 1, "b": 2}), ("add", "not JSON"), ("add", {"a": 3, "b": 4})])
    server.call("archival_memory_search", {"query": "gulls"})
    server.say("Done.")
    bench.send("ada", "When do gulls nest?")
    for number in (1, 2):
        server.calls([("add", {"a": number, "b": 0})], ids=["same"])
        server.say("Done.")
        bench.send("ada", "add")
    service.tokens.create("reader")


def rows(bench: Bench, sql: str) -> list[tuple[Any, ...]]:
    return bench.service.sql.query(sql).rows


def test_every_view_holds_what_happened(told: Bench) -> None:
    edits = "SELECT agent, count(*) FROM memory_versions WHERE step_id IS NOT NULL GROUP BY agent"
    assert rows(told, edits) == [("ada", 1)]
    calls = rows(
        told,
        "SELECT tool, arguments, status, result, seconds FROM calls WHERE call_id <> 'same'"
        " ORDER BY created_at, call_id",
    )
    assert [one[0] for one in calls] == [
        "core_memory_append",
        "add",
        "add",
        "add",
        "archival_memory_search",
    ]
    assert [(one[2], one[3]) for one in calls[1:4:2]] == [("ok", "3"), ("ok", "7")]
    assert calls[2][1] == "not JSON"
    assert calls[2][2] == "error"
    assert all(one[4] is not None for one in calls)
    found = rows(
        told,
        "SELECT how, query, item_id = (SELECT passage_id FROM passages) FROM retrievals ORDER BY how",
    )
    assert ("archival_memory_search", "gulls", True) in found
    assert ("beside", None, True) in found
    steps = rows(told, "SELECT run_id, sum(calls), count(*) FROM steps GROUP BY run_id ORDER BY 3")
    assert [one[1:] for one in steps] == [(1, 2)] * 3 + [(4, 3)]
    history = told.history("ada")
    assert rows(told, "SELECT message_id, role, content FROM messages ORDER BY seq") == [
        (one.id, one.role, one.content) for one in history
    ]
    assert rows(told, "SELECT value FROM memory_versions WHERE label = 'human' AND current") == [
        ("Name: Kim",)
    ]
    assert rows(told, "SELECT tags FROM passages") == [(["birds"],)]
    frame = told.service.sql.query("SELECT agent, created_at, cost FROM runs").frame()
    assert str(frame.dtypes["created_at"]) in (
        "datetime64[us, UTC]",
        "datetime64[ns, UTC]",
    )  # by pandas


def test_a_call_whose_id_came_before_has_the_result_behind_it(told: Bench) -> None:
    assert rows(told, "SELECT result FROM calls WHERE call_id = 'same' ORDER BY created_at") == [
        ("1",),
        ("2",),
    ]


REFUSED = (
    "DELETE FROM agents",
    "CREATE TABLE kept AS FROM runs",
    "DROP TABLE runs",
    "COPY runs TO 'out.csv'",
    "ATTACH 'letta.duckdb' AS store",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "SET enable_external_access = true",
    "SET VARIABLE a = 1",
    "CALL pragma_version()",
    "CHECKPOINT",
    "SELECT 1; SELECT 2",
    "",
    "SELEC",
    "FROM read_csv('{home}/notes.csv')",
    "FROM read_text('{home}/notes.csv')",
    "FROM '{home}/notes.csv'",
    "FROM read_blob('{home}/letta.duckdb')",
    "FROM glob('{home}/*')",
    "FROM duckdb_secrets()",
    "FROM local_variable",
    "FROM access_tokens",
    "FROM settings",
    "FROM mcp_servers",
    "SELECT settings FROM agents",
    "SELECT getenv('HOME')",
    "FROM query('FROM access_tokens')",
    "SELECT INTERVAL 100000000 YEARS",
    "SELECT '\ud800'",
)


def test_nothing_but_the_views_is_there(service: AgentService) -> None:
    local_variable = [1]
    (service.home / "notes.csv").write_text(f"a\n{SECRET}\n")
    assert service.sql.query("FROM runs").rows == []
    for query in REFUSED:
        with pytest.raises(InvalidInputError) as refused:
            service.sql.query(query.replace("{home}", str(service.home)))
        assert "\n" not in str(refused.value), query
        assert SECRET not in str(refused.value), query
    assert not Path("out.csv").exists()
    assert local_variable


def test_no_secret_is_in_any_view_or_table_of_the_system(told: Bench) -> None:
    sql = told.service.sql
    everything = [repr(sql.query(f"FROM {one.name}", limit=0).rows) for one in sql.views]
    names = [one for (one,) in rows(told, "SELECT table_name FROM duckdb_tables()")]
    assert sorted(names) == sorted(one.name for one in sql.views)
    for system in ("duckdb_settings()", "duckdb_columns()", "duckdb_views()", "duckdb_databases()"):
        everything.append(repr(rows(told, f"FROM {system}")))
    kept = told.service.database.run(lambda tx: tx.query("SELECT digest FROM access_tokens"))
    # What other tests of this process have kept secret may be a letter.
    others = [text for _, text in encryption.known() if len(text) > 7]
    secrets = [SECRET, kept[0][0], *others]
    assert not [secret for secret in secrets if secret in "".join(everything)]
    hidden = {"settings", "metadata", "environment", "headers", "digest", "tool_rules"}
    assert not hidden & {name for one in sql.views for name in one.columns}


MISSPELLED = (
    (
        "SELECT prompt_token FROM runs",
        "There is no column 'prompt_token' in runs. Did you mean 'prompt_tokens'?",
    ),
    ("SELECT r.agnet FROM runs r", "There is no column 'agnet' in runs. Did you mean 'agent'?"),
    ("FROM message", "There is no view 'message'. Did you mean 'messages'?"),
    ("FROM zzz", "There is no view 'zzz'. There are: agents, runs,"),
)


def test_a_wrong_name_is_answered_with_the_nearest(service: AgentService) -> None:
    for query, said in MISSPELLED:
        with pytest.raises(InvalidInputError) as refused:
            service.sql.query(query)
        assert str(refused.value).startswith(said), query


def test_rows_and_seconds_have_limits(service: AgentService) -> None:
    found = service.sql.query("FROM range(10)", limit=3)
    assert (found.rows, found.more) == ([(0,), (1,), (2,)], True)
    assert not service.sql.query("FROM range(3)", limit=3).more
    assert len(service.sql.query("FROM range(2000)", limit=0).rows) == 2000
    with pytest.raises(InvalidInputError, match=r"more than 0\.1 seconds"):
        service.sql.query("SELECT count(*) FROM range(10000000) a, range(10000000) b", seconds=0.1)


def test_a_query_keeps_nobody_waiting_once_it_has_its_rows(service: AgentService) -> None:
    service.agents.create("ada", human="before", model="demo")
    read, written = service.sql._read, threading.Event()

    def and_hold(views: list[View], seconds: float) -> dict[str, Any]:
        found = read(views, seconds)
        assert written.wait(30)
        return found

    service.sql._read = and_hold  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool, AgentService(service.home) as other:
        asked = pool.submit(
            service.sql.query, "SELECT value FROM memory_versions WHERE label = 'human'"
        )
        other.blocks.upsert("human", "after", agent="ada")
        written.set()
        first = asked.result(30).rows
    service.sql._read = read  # type: ignore[method-assign]
    assert first in ([("before",)], [("before",), ("after",)])
    assert len(service.sql.query("FROM memory_versions WHERE label = 'human'").rows) == 2


def test_the_page_tells_what_the_views_hold(service: AgentService) -> None:
    page = service.sql.page()
    for one in service.sql.views:
        assert service.sql.query(f"FROM {one.name}").columns == list(one.columns)
        assert f"### `{one.name}`\n\n{one.about}\n" in page


def test_each_of_the_ten_questions_has_an_answer(told: Bench) -> None:
    part = (
        DOCS.read_text("utf-8")
        .partition("<!-- questions -->")[2]
        .partition("<!-- /questions -->")[0]
    )
    questions = re.findall(r"\*\*(.+?\?)\*\*\n\n```sql\n(.+?)```", part, re.DOTALL)
    assert len(questions) == 10
    for question, sql in questions:
        found = told.service.sql.query(sql)
        assert found.rows or "badly" in question, question


def test_forks_and_rewinds_show_in_columns(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada")
    (kept,) = service.passages.create("Gulls nest in May.", agent="ada")
    for said in ("one", "two", "three"):
        server.say(said.upper())
        bench.send("ada", said)
    service.passages.delete(kept.id, agent="ada")
    assert rows(bench, "FROM passages") == []
    past = "SELECT agent, content, until IS NOT NULL FROM passage_versions"
    assert rows(bench, past) == [("ada", "Gulls nest in May.", True)]
    steps = [step.id for step, _ in service.steps.list(newest_first=False)]
    service.forks.fork("ada", "eve", at=steps[0])
    service.forks.rewind("ada", to=steps[1])
    told = "SELECT agent, forked_from IS NOT NULL, forked_at FROM agents ORDER BY agent"
    assert rows(bench, told) == [("ada", False, None), ("eve", True, 2)]
    gone = "SELECT content FROM messages WHERE NOT current ORDER BY seq"
    assert rows(bench, gone) == [("three",), ("THREE",)]
    page = DOCS.read_text("utf-8").partition("**Forks and rewinds.**")[2]
    (joined,) = re.findall(r"```sql\n(.+?)```", page, re.DOTALL)[:1]
    lines = [(agent, content) for agent, _, _, content in rows(bench, joined)]
    assert lines == [
        (agent, said)
        for agent, n in (("ada", 2), ("eve", 1))
        for said in ("one", "ONE", "two", "TWO")[: 2 * n]
    ]
    assert rows(bench, "SELECT agent, reason, left_at FROM branches") == [("ada", "rewind", 4)]
    service.agents.delete("ada")
    assert rows(bench, "SELECT agent FROM agents") == [("eve",)]
    assert rows(bench, "SELECT DISTINCT agent FROM messages") == [(None,)], (
        "what eve shares is there"
    )
    assert len(rows(bench, joined)) == 2


def test_what_is_forgotten_is_in_no_view(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada")
    (kept,) = service.passages.create("Gulls nest in May.", agent="ada")
    server.say("In May.")
    bench.send("ada", "When do gulls nest?")
    found = f"SELECT content FROM retrievals WHERE item_id = '{kept.id}'"
    assert rows(bench, found) == [("Gulls nest in May.",)]
    service.passages.forget([kept.id], agent="ada")
    assert rows(bench, found) == [(None,)]
    everything = [rows(bench, f"FROM {one.name}") for one in service.sql.views]
    assert "Gulls nest in May." not in repr(everything)
