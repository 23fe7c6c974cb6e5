"""Questions in SQL about what agents said, did and remember."""

from __future__ import annotations

from letta_kernel.commands.door import Answer, Door, Notebook, Rows
from letta_kernel.commands.spec import argument, command, option

GROUP = "What it sees and takes"
_QUERY = "One query in DuckDB's SQL, such as 'FROM runs'"
ALL = 100_000
"""Rows that a variable is given at most unless --limit says otherwise."""
_SECONDS = option("After which the query is given up", 30.0, least=0.1, most=600)


@command("sql", "sql", group=GROUP)
def sql(
    door: Door,
    query: str = argument(f"{_QUERY}; at a terminal - reads it from the pipe", free=True),
    limit: int = option("Rows; 0: all", 1000, terminal="--limit -n", least=0),
    seconds: float = _SECONDS,
) -> Answer:
    """Ask what agents said, did and remember; nothing can be changed, no file or secret read.

    It sees the views agents, runs, steps, messages, calls, memory_versions, passages, passage_versions,
    retrievals, lineage and branches: SHOW TABLES and DESCRIBE runs tell what they hold,
    docs/reference/sql.md what that means.
    """
    found = door.service.sql.query(door.text(query), limit=limit, seconds=seconds)
    names: list[str] = []
    for name in found.columns:  # JSON has no two of a name
        while name in names:
            name += "_2"
        names.append(name)
    more = f"There are more than {limit:,} rows: --limit 0 shows all."

    def panel() -> object:
        from letta_kernel.display.tables import note, stack, table

        shown = table(found.columns, found.rows, empty="No rows.")
        return stack(shown, note(more)) if found.more else shown

    return Answer(
        data=[dict(zip(names, row, strict=True)) for row in found.rows],
        rows=lambda: Rows(found.columns, found.rows, "No rows."),
        panel=panel,
        notes=[more] if found.more else [],
    )


@command("%%agentsql", None, group=GROUP)
def agentsql(
    door: Notebook,
    query: str | None = argument(
        "VARIABLE << puts the rows into it; the query may begin here",
        None,
        free=True,
        shown="VARIABLE <<",
    ),
    limit: int = option("Rows; 0: all", ALL, least=0),
    seconds: float = _SECONDS,
) -> None:
    """Ask in SQL as %agent sql does, and get a DataFrame: %%agentsql df <<, the query below it.

    %agentsql df << SELECT … does it in one line. Without a variable the rows are the cell's result. Where
    pandas is not installed they are a table. {expressions} are filled in from the notebook.
    """  # the notebook does it, which has the variables
