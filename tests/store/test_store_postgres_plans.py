"""The statements of a turn find their rows in PostgreSQL by indexes, however many agents there are."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres import Cluster

from letta_kernel.service import AgentService
from letta_kernel.store.pg_transaction import PgTx, uniform

pytestmark = pytest.mark.postgresql
LARGE = {"messages", "runs", "steps", "passages", "agents", "leases", "conversations"}
"""Tables in which a turn reads few of many rows."""

# Five hundred other agents with fifty messages each; what is planned is the same for many more.
_OTHERS = """
INSERT INTO agents
    SELECT (json_populate_record(a, json_build_object('id', 'agent-' || n, 'name', 'other' || n))).*
    FROM agents a, generate_series(1, 500) n;
INSERT INTO leases (agent_id, fence, next_seq, waiting) SELECT 'agent-' || n, 0, 51, false
    FROM generate_series(1, 500) n;
INSERT INTO conversations (id, agent_id, settings, hidden, inherits, window_start, created_at, updated_at,
        created_by)
    SELECT 'conv-' || n, 'agent-' || n % 500, '{}', false, '[]', 1, now(), now(), 'me'
    FROM generate_series(1, 2000) n;
INSERT INTO messages (id, agent_id, seq, run_id, step_id, role, content, reasoning, thinking, tool_calls,
        interrupted, created_at, created_by)
    SELECT 'message-' || a || '-' || m, 'agent-' || a, m, 'run-' || a || '-' || m / 4,
        'step-' || a || '-' || m / 2, 'user', 'Said ' || m, '', '[]', '[]', false, now(), 'me'
    FROM generate_series(1, 500) a, generate_series(1, 50) m;
INSERT INTO runs (id, agent_id, status, model, steps, prompt_tokens, completion_tokens, cached_tokens,
        reasoning_tokens, created_at, created_by, fence)
    SELECT 'run-' || a || '-' || m, 'agent-' || a, 'completed', 'm', 1, 1, 1, 0, 0, now(), 'me', 1
    FROM generate_series(1, 500) a, generate_series(1, 25) m;
INSERT INTO steps (id, run_id, agent_id, number, model, prompt_tokens, completion_tokens, cached_tokens,
        reasoning_tokens, retrieved, tool_stats, created_at)
    SELECT 'step-' || a || '-' || m, 'run-' || a || '-' || m / 2, 'agent-' || a, 1, 'm', 1, 1, 0, 0, '[]', '[]',
        now()
    FROM generate_series(1, 500) a, generate_series(1, 25) m;
INSERT INTO passages (id, agent_id, seq, content, tags, position, metadata, created_at, created_by)
    SELECT 'passage-' || a || '-' || m, 'agent-' || a, m, 'Kept ' || m, '{}', m, '{}', now(), 'me'
    FROM generate_series(1, 500) a, generate_series(1, 25) m;
ANALYZE;
"""


@pytest.fixture
def crowded(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[AgentService, psycopg.Connection]]:
    """A project with many agents, and a connection that sees its tables."""
    with AgentService(tmp_path / "home", store=cluster.url("crowded")) as service:
        service.agents.create("ada", model="demo")
        with psycopg.connect(
            host=str(cluster.folder), user="postgres", dbname="postgres", autocommit=True,
            cursor_factory=psycopg.RawCursor,
        ) as connection:  # fmt: skip
            connection.execute("SET search_path = crowded")
            connection.execute(_OTHERS)
            yield service, connection


def test_a_turn_reads_no_large_table_from_end_to_end(
    crowded: tuple[AgentService, psycopg.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, connection = crowded
    told: dict[str, list[Any]] = {}
    run = PgTx._cursor

    def telling(tx: PgTx, sql: str, params: list[Any]) -> Any:
        if (
            threading.current_thread() is threading.main_thread()
        ):  # not what is done in the background
            told.setdefault(sql, params)
        return run(tx, sql, params)

    monkeypatch.setattr(PgTx, "_cursor", telling)
    list(service.runs.send("ada", "Hello, remember that I like tea"))
    list(service.runs.send("ada", "What do I like?"))
    service.passages.create("Green tea is best.", agent="ada")
    service.messages.history("ada")
    monkeypatch.undo()
    read = {}
    for sql, params in told.items():
        if re.match(r"SELECT|WITH|UPDATE|DELETE", sql.lstrip()):
            given = [uniform(one) for one in params] or None
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}", given))
            if whole := LARGE.intersection(re.findall(r"Seq Scan on (\w+)", plan)):
                read[sql] = whole
    assert len(told) > 30
    assert not read
