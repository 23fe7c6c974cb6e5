"""What a message, a turn and a passage cost: rows and bytes in PostgreSQL, bytes of the vector index.

Used by `many_users.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import scale
from many_schemas import Projects

from letta_kernel.memory.archival import Archive
from letta_kernel.records import Passage
from letta_kernel.service import AgentService
from letta_kernel.store.database import Database

DIMENSIONS = (256, 768, 1536, 3072)
_WARM = 20  # turns before those that are counted


class _Chance:
    """An embedder whose vectors are by chance: they fill an index as any others do."""

    def __init__(self, dimension: int) -> None:
        self.name, self.dimension = f"chance-{dimension}", dimension
        self._dice = np.random.default_rng(3)

    def embed(self, texts: list[str]) -> np.ndarray:
        made = self._dice.normal(size=(len(texts), self.dimension)).astype(np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def _table_sizes(admin: psycopg.Connection, schema: str) -> dict[str, tuple[int, int]]:
    """Return the rows and the bytes of each table, with its indexes, without what is left of old rows."""
    names = admin.execute(
        "SELECT relname, oid::regclass::text FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s) ORDER BY 1",
        [schema],
    ).fetchall()
    found = {}
    for name, table in names:
        admin.execute(f"VACUUM FULL {table}")
        row = admin.execute(
            f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}"
        ).fetchone()
        assert row is not None
        found[str(name)] = (int(row[0]), int(row[1]))
    return found


@contextmanager
def _counted() -> Iterator[list[int]]:
    """Yield a list of one number: how often this process has waited for the server's answer."""
    count, execute = [0], psycopg.Connection.execute

    def counting(self: psycopg.Connection, *arguments: Any, **options: Any) -> Any:
        count[0] += 1
        return execute(self, *arguments, **options)

    psycopg.Connection.execute = counting  # type: ignore[method-assign]
    try:
        yield count
    finally:
        psycopg.Connection.execute = execute  # type: ignore[method-assign]


def turns(projects: Projects, count: int) -> dict[str, Any]:
    """Return the rows and bytes that a turn of one step adds: a question and an answer of 20 words or so."""
    from scripted_server import Answer, ScriptedServer

    texts = scale.sentences(4)
    home = projects.home / "rows"
    with ScriptedServer() as model, projects.server.connect() as admin:
        model.default = lambda body: Answer(text=next(texts))
        os.environ |= {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
        os.environ |= {"LETTA_MODEL": "openai/scripted", "LETTA_EMBEDDING": "wordllama"}
        with AgentService(home, projects.server.url("rows")) as service:
            agents = [service.agents.create(f"agent {n}").id for n in range(max(1, count // 20))]

            def talk(number: int) -> None:
                for n in range(number):
                    for _ in service.runs.send(agents[n % len(agents)], next(texts)):
                        pass

            talk(_WARM)
            before = _table_sizes(admin, "rows")
            with _counted() as trips:
                talk(count)
            after = _table_sizes(admin, "rows")
            characters = service.database.run(
                lambda tx: tx.query("SELECT avg(length(content)) FROM messages")
            )[0][0]
    more = {
        name: {
            "rows": round((after[name][0] - before[name][0]) / count, 2),
            "bytes": round((after[name][1] - before[name][1]) / count),
        }
        for name in after
        if after[name] != before[name]
    }
    return {
        "turns": count,
        "characters": round(characters),
        "round_trips": round(trips[0] / count, 1),
        "rows": round(sum(one["rows"] for one in more.values()), 1),
        "bytes": sum(one["bytes"] for one in more.values()),
        "tables": more,
    }


def passages(projects: Projects, count: int) -> dict[str, Any]:
    """Return the bytes that a passage of 20 words or so costs, in rows and in the index by dimension."""
    import lancedb  # takes seconds

    texts = scale.sentences(6)
    found: dict[str, Any] = {"passages": count, "index": {}}
    for dimension in DIMENSIONS:
        schema = f"passages{dimension}"
        home = projects.home / schema
        store = projects.server.url(schema)
        with projects.server.connect() as admin:
            os.environ["LETTA_EMBEDDING"] = f"chance-{dimension}"
            with AgentService(home, store) as service:
                owner = service.agents.create("ada").id
            with closing(Database(home, store=store)) as database:
                archive = Archive(database, home, _Chance(dimension))
                archive.close()  # no background work: what is measured is done when told
                before = sum(size for _, size in _table_sizes(admin, schema).values())
                made = [Passage(agent_id=owner, content=next(texts)) for _ in range(count)]
                for first in range(0, count, 2000):
                    archive.insert_many(made[first : first + 2000])
                archive.catch_up()
                after = sum(size for _, size in _table_sizes(admin, schema).values())
        found["characters"] = round(sum(len(one.content) for one in made) / count)
        found["bytes"] = round((after - before) / count)
        old = _bytes_of(home / "vectors")
        index = lancedb.connect(home / "vectors")
        for name in index.table_names():
            index.open_table(name).optimize(
                cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True
            )
        settled = _bytes_of(home / "vectors")
        found["index"][str(dimension)] = {
            "settled": round(settled / count),
            "with_old": round(old / count),
        }
    return found


def _bytes_of(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
