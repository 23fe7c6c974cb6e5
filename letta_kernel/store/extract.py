"""Copies the readable rows of a damaged database file into a new one, in a process that may crash.

``python -m letta_kernel.store.extract OLD NEW REPORT``: a line of JSON in REPORT for each table that is begun
and done. Started again after a crash it goes on with the table behind the one it was at.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb

from letta_kernel.store import migrations
from letta_kernel.store.database_file import CONFIG
from letta_kernel.store.salvage import mend_log

_FATAL = (duckdb.FatalException, duckdb.InternalException)


def main(old: Path, new: Path, report: Path) -> None:
    """Copy table by table."""
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    begun = {one.get("table") for one in lines}

    def tell(**what: Any) -> None:
        with report.open("a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")

    tell(log=[one.text for one in mend_log(old, old)])
    connection = duckdb.connect(new, config=CONFIG)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH '{str(old).replace(chr(39), chr(39) * 2)}' AS old (READ_ONLY)")
    row = connection.execute("SELECT version FROM old.schema_version").fetchone()
    version = min(row[0] if row else 0, len(migrations.MIGRATIONS))
    if not begun - {None}:
        connection.execute("CREATE TABLE schema_version AS SELECT * FROM old.schema_version")
        for sql in migrations.MIGRATIONS[:version]:
            connection.execute(sql)
        connection.execute("CHECKPOINT")
    for (table,) in connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name <> 'old' ORDER BY 1"
    ).fetchall():
        if table in begun or table == "schema_version":
            continue
        tell(table=table)
        tell(table=table, rows=_copied(connection, table))
        connection.execute("CHECKPOINT")
    tell(done=True)


def _copied(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
    """Copy the rows of a table that make sense; return how many that are, and how many not."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name <> 'old'"
        " AND table_name = $1 ORDER BY column_index",
        [table],
    ).fetchall()
    names = ", ".join(f'"{name}"' for name, _ in columns)
    sense = " AND ".join(filter(None, (_makes_sense(name, kind) for name, kind in columns)))
    sql = (
        f'INSERT OR IGNORE INTO "{table}" ({names}) SELECT {names} FROM old."{table}"'
        f" WHERE rowid >= $1 AND rowid < $2 AND {sense or 'true'}"
    )
    size = connection.execute(f'SELECT count(*) FROM old."{table}"').fetchone()
    every = int(size[0]) if size else 0
    last = connection.execute(f'SELECT max(rowid) FROM old."{table}"').fetchone()
    waiting, read = [(0, 1 + (last[0] or 0) if last else 1)], 0
    while waiting:
        first, end = waiting.pop()
        try:
            found = connection.execute(sql, [first, end]).fetchone()
            read += int(found[0]) if found else 0
        except _FATAL:
            raise
        except duckdb.Error:
            if end - first > 1:
                middle = (first + end) // 2
                waiting += [(middle, end), (first, middle)]
    return read, max(every - read, 0)


def _makes_sense(name: str, kind: str) -> str | None:
    """Return the condition that a value is none that damage has made of it, as far as that shows."""
    if kind == "JSON":
        return f'("{name}" IS NULL OR json_valid("{name}"))'
    if kind == "VARCHAR":
        return f'("{name}" IS NULL OR TRY(decode(encode("{name}"))) IS NOT NULL)'
    return None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
