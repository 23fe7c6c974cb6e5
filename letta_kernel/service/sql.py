"""A database to ask: read-only queries over documented views of what agents said, did and remember."""

from __future__ import annotations

from typing import Any

from letta_kernel import lazy_import
from letta_kernel.service.core import Core
from letta_kernel.store import view_rows
from letta_kernel.store.view_query import Answer, answer
from letta_kernel.store.views import VIEWS, View

ROWS = 1000
"""Rows that are returned where nobody says how many."""
_TYPES = {
    "VARCHAR": "text",
    "VARCHAR[]": "list of texts",
    "TIMESTAMP WITH TIME ZONE": "moment",
    "BIGINT": "integer",
}
SECONDS = 30.0
"""Seconds that a query may take where nobody says how many."""


class Sql:
    """The views of a project, and queries over them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def views(self) -> list[View]:
        """The views: what they are called, and what their columns mean."""
        return [*VIEWS.values()]

    def query(self, query: str, *, limit: int = ROWS, seconds: float = SECONDS) -> Answer:
        """Answer a query in DuckDB's SQL over the views as they are now.

        It sees nothing but the views' rows: no file, no secret, no other table. Nobody waits for it but
        while these are read. In PostgreSQL they are copied by a role that may read nothing else.

        Parameters
        ----------
        limit : rows to return at most; 0: all.
        seconds : after which it is given up; copying the rows, where they are copied, may take as long.

        Raises
        ------
        InvalidInputError
            It is no query, or wrong, or took too long; the line names the nearest column or view.
        StoreError
            The store cannot be read, or the role in PostgreSQL may more than queries should.
        """
        return answer(lambda views: self._read(views, seconds), query, limit=limit, seconds=seconds)

    def page(self) -> str:
        """Return what the views hold, in Markdown: the documentation has it in docs/reference/sql.md."""
        told = []
        for view in VIEWS.values():
            types = self.query(f"SELECT column_name, column_type FROM (DESCRIBE {view.name})").rows
            lines = [
                f"| `{name}` | {_TYPES.get(kind, kind.lower())} | {view.columns[name]} |"
                for name, kind in types
            ]
            head = ["| column | type | |", "| --- | --- | --- |"]
            told.append("\n".join([f"### `{view.name}`", "", view.about, "", *head, *lines]))
        return "\n\n".join(told)

    def _read(self, views: list[View], seconds: float) -> dict[str, Any]:
        """Return the rows of these views as Arrow tables, all of one moment."""
        lazy_import.load("pyarrow")
        texts = {one.name: one.select() for one in views}
        return self._core.view(lambda tx: view_rows.rows(tx, texts, seconds=seconds), seconds)
