"""``letta-kernel sql``, ``backup`` and ``restore``: the store as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from letta_kernel.cli import output
from letta_kernel.cli.asking import Yes, confirmed, read_text
from letta_kernel.cli.session import Session, command
from letta_kernel.errors import NotFoundError


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    command(app, "sql")(sql)
    command(app, "backup")(backup)
    command(app, "restore", makes=True)(restore)


def sql(
    session: Session,
    query: Annotated[
        str,
        typer.Argument(
            help="One statement of DuckDB's SQL, such as 'SHOW TABLES'; - for the pipe."
        ),
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows; 0: all.")] = 1000,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=60, help="After which the query is given up.")
    ] = 30.0,
) -> None:
    """Ask the store; nothing can be changed, and no other file read."""
    answer = session.service.store.query(read_text(query), limit=limit, seconds=seconds)
    session.show(
        [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        lambda: output.table(answer.columns, answer.rows, "No rows."),
    )
    if answer.more:
        output.put(f"There are more than {limit:,} rows: --limit 0 shows all.", stderr=True)


def backup(
    session: Session,
    file: Annotated[Path, typer.Argument(help="The file to write, or a folder.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a whole, consistent copy of the store, also while others work with it."""
    target, size = session.service.store.backup(file, replace=force)
    session.done(
        f"The store is in {target} too ({size / 1e6:.1f} MB).", {"file": target, "bytes": size}
    )


def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(help="A file that backup has written.")],
    yes: Yes = False,
) -> int:
    """Put a copy in the store's place; the store that was there is kept beside it."""
    if not file.is_file():
        raise NotFoundError(f"There is no file {file}.")
    if session.has_project and not confirmed(f"Replace the store in {session.home}?", yes):
        output.put("Nothing was changed.", stderr=True)
        return 1
    kept = session.service.store.restore(file)
    told = f" The store before is kept: {kept}." if kept else ""
    session.done(f"{session.home} holds the copy now.{told}", {"home": session.home, "kept": kept})
    return 0
