"""``letta-kernel archive``: an agent's archival memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from letta_kernel.cli import output
from letta_kernel.cli.asking import read_text
from letta_kernel.cli.completion import Agent
from letta_kernel.cli.session import Session, command, group
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.memory.archival import Hit

app = group("Archival memory: add, search, list and delete.")

Tags = Annotated[list[str] | None, typer.Option("--tag", "-t", help="May be repeated.")]


@command(app, "add")
def add(
    session: Session,
    agent: Agent,
    text: Annotated[
        str | None, typer.Argument(help="A text of any length; - reads it from the pipe.")
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            "-f",
            help="A text, Markdown, notebook, web page or PDF, a folder or a pattern; may be repeated.",
        ),
    ] = None,
    tag: Tags = None,
) -> int:
    """Put a text, or files, into an agent's archive."""
    if (text is None) == (not file):
        raise InvalidInputError("Give a text, or files with --file.")
    if text is not None:
        made, new = session.service.passages.remember(read_text(text), tag or (), agent=agent)
        said = "Kept as" if new else "Known already, as"
        session.done(f"{said} {len(made)} passage{'s' * (len(made) != 1)}.", made)
        return 0
    results = session.service.passages.add_files(file or (), tag or (), agent=agent)

    def render() -> None:
        output.table(
            ["file", "", "passages", ""], ((r.path, r.status, r.passages, r.why) for r in results)
        )

    session.show(
        [
            {"path": r.path, "status": r.status, "passages": r.passages, "why": r.why}
            for r in results
        ],
        render,
    )
    return 1 if any(r.status == "failed" for r in results) else 0


@command(app, "search")
def search(
    session: Session,
    agent: Agent,
    query: Annotated[str, typer.Argument(help="Words, or a question.")],
    tag: Tags = None,
    match: Annotated[
        str, typer.Option("--match", metavar="any|all", help="Any or all of the tags.")
    ] = "any",
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="From this day or moment on.")
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="DATE", help="Up to this day or moment, all of it."),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-n", min=1, max=1000, help="How many.")] = 10,
    page: Annotated[int, typer.Option("--page", min=1, help="Which so many; 2: the next.")] = 1,
) -> None:
    """Search an agent's archive by words and meaning, best first; dates are in its time zone."""
    from letta_kernel.service.passages import for_person

    hits = session.service.passages.search(
        query,
        agent=agent,
        tags=tag or None,
        match=match,
        top_k=top,
        page=page - 1,
        start=start,
        end=end,
    )
    hits = for_person(query, hits)
    session.show(
        [{"score": h.score, "passage": h.passage} for h in hits], lambda: _print_hits(hits)
    )


def _print_hits(hits: list[Hit]) -> None:
    from letta_kernel.display.panels import source_of

    columns = ["score", "kept", "text", "tags", "id"]
    rows = [
        [
            f"{hit.score:.2f}",
            hit.passage.created_at,
            hit.passage.content,
            ", ".join(hit.passage.tags),
            hit.passage.id,
        ]
        for hit in hits
    ]
    _print_with_source(columns, rows, [source_of(hit.passage) for hit in hits], "Nothing found.")


def _print_with_source(
    columns: list[str], rows: list[list[object]], sources: list[str], empty: str
) -> None:
    """Print rows, with what their passages belong to where any belongs to something."""
    if any(sources):  # last, so that the other columns keep their places in a pipe
        columns = [*columns, "source"]
        rows = [[*row, source] for row, source in zip(rows, sources, strict=True)]
    output.table(columns, rows, empty)


@command(app, "list")
def list_(
    session: Session,
    agent: Agent,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 50,
) -> None:
    """List the newest passages of an agent's archive."""
    found = session.service.passages.list(agent, limit)

    def render() -> None:
        from letta_kernel.display.panels import source_of

        _print_with_source(
            ["kept", "text", "tags", "id"],
            [[p.created_at, p.content, ", ".join(p.tags), p.id] for p in found],
            [source_of(p) for p in found],
            "The archive is empty.",
        )

    session.show(found, render)


@command(app, "delete")
def delete(
    session: Session,
    agent: Agent,
    passage: Annotated[str, typer.Argument(help="A passage's id.")],
) -> None:
    """Delete a passage."""
    session.service.passages.delete(passage, agent=agent)
    session.done(f"Deleted {passage}.", {"deleted": passage})
