"""Purge forgotten passages from the rows of a store: wherever their text stands.

Each function takes how to run a statement, so that it works in a transaction and on an old copy alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

from letta_kernel.ids import now
from letta_kernel.store.purge_due import KEPT_DAYS, NOTE

Run = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]
"""Runs a statement with its parameters and returns its rows."""

TABLES = (
    "passages",
    "forgotten",
    "passage_versions",
    "passage_marks",
    "proposals",
    "steps",
    "messages",
    "settings",
)
"""Those that may lose text."""
FORGOTTEN = "[forgotten]"
"""Stands for a text that had a passage in it."""
_GAPS = (
    "INSERT INTO passage_gaps SELECT coalesce(v.passage_id, f.id), replace(f.agent_id, '/past', ''),"
    " coalesce(v.seq, CAST(f.passage->>'seq' AS bigint)),"
    " CAST(f.passage->>'created_at' AS timestamptz), f.forgotten_at"
    " FROM forgotten f LEFT JOIN passage_versions v ON v.id = f.id WHERE f.id = ANY($1::text[])"
    " ON CONFLICT (passage_id) DO NOTHING"
)
"""Keeps of what is forgotten when it was made and when it went, and no word of it."""


def noted(run: Run) -> set[str]:
    """Return the ids of all that is to go from everywhere."""
    rows = run("SELECT value FROM settings WHERE key = $1", [NOTE])
    return set(json.loads(rows[0][0])) if rows else set()


def delete(run: Run, ids: Sequence[str] | None, whole: bool) -> tuple[list[str], int]:
    """Delete what is forgotten and whose time has come, and note it, in the caller's transaction.

    Returns all that is noted, and how many are new.

    Parameters
    ----------
    ids : only of these passages; None: of all.
    whole : whether the time of all has come.
    """
    latest = now() if whole else now() - timedelta(days=KEPT_DAYS)
    given: list[Any] = [latest]
    sql = "SELECT id FROM forgotten WHERE forgotten_at <= $1"
    if ids is not None:
        sql += (
            " AND (id = ANY($2::text[]) OR id IN"
            " (SELECT id FROM passage_versions WHERE passage_id = ANY($2::text[])))"
        )
        given.append(list(ids))
    fresh = [str(row[0]) for row in run(sql, given)]
    gone = sorted({*fresh, *noted(run)})
    if gone:
        run(_GAPS, [fresh])
        take_out(run, gone)
        run(
            "INSERT INTO settings VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [NOTE, json.dumps(gone)],
        )
    return gone, len(fresh)


def take_out(run: Run, gone: Collection[str]) -> None:
    """Delete passages from a store of any version, wherever their text stands."""
    columns = {
        (str(table), str(column))
        for table, column in run(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema()",
            [],
        )
    }
    ids = [list(gone)]
    for table in ("passages", "forgotten"):
        if (table, "id") in columns:
            run(f"DELETE FROM {table} WHERE id = ANY($1::text[])", ids)
    for table, column in (("passage_versions", "id"), ("passage_marks", "passage_id")):
        if (table, column) in columns:
            run(f"DELETE FROM {table} WHERE {column} = ANY($1::text[])", ids)
    if ("passages", "superseded_by") in columns:
        run(
            "UPDATE passages SET superseded_by = NULL, superseded_at = NULL"
            " WHERE superseded_by = ANY($1::text[])",
            ids,
        )
    if (
        "proposals",
        "supersedes",
    ) in columns:  # what would be kept instead says the same in other words
        run(
            "UPDATE proposals SET status = 'dropped', after = '', decided_at = $2"
            " WHERE status IN ('staged', 'open') AND supersedes && $1::text[]",
            [list(gone), now()],
        )
    if ("steps", "retrieved") in columns:  # what runs were shown of them
        rows = run(
            "SELECT id, CAST(retrieved AS text), run_id FROM steps"
            " WHERE CAST(retrieved AS text) <> '[]'",
            [],
        )
        wanted, told = set(gone), set()
        for step, text, run_id in rows:
            shown = json.loads(text)
            left = [
                one for one in shown if wanted.isdisjoint([one.get("id"), *one.get("joined", ())])
            ]
            if len(left) < len(shown):
                kept = json.dumps(left, ensure_ascii=False)
                run("UPDATE steps SET retrieved = CAST($2 AS json) WHERE id = $1", [step, kept])
                told.add(str(run_id))
        if told and ("messages", "edits") in columns:
            _empty_edits(run, told)


def _empty_edits(run: Run, run_ids: Collection[str]) -> None:
    """Take the texts out of the requests that a person changed in these runs: passages stood in them."""
    rows = run(
        "SELECT id, CAST(edits AS text) FROM messages"
        " WHERE edits IS NOT NULL AND run_id = ANY($1::text[])",
        [list(run_ids)],
    )
    for message, text in rows:
        edits = [
            {**one, "before": FORGOTTEN, "after": FORGOTTEN} if one["what"] == "request" else one
            for one in json.loads(text)
        ]
        run(
            "UPDATE messages SET edits = CAST($2 AS json) WHERE id = $1",
            [message, json.dumps(edits, ensure_ascii=False)],
        )


def done(run: Run, gone: Collection[str]) -> None:
    """Remove from the note what is gone from everywhere; more may have been noted meanwhile."""
    if left := sorted(noted(run) - set(gone)):
        run("UPDATE settings SET value = $2 WHERE key = $1", [NOTE, json.dumps(left)])
    else:
        run("DELETE FROM settings WHERE key = $1", [NOTE])
