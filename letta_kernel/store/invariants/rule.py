"""A rule about the store: a query for what breaks it, and how that is repaired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from letta_kernel.store.database import Tx

OWNERS = "SELECT id FROM agents UNION SELECT id FROM archives UNION SELECT id FROM folders"
"""Who messages, passages and files may belong to."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that always holds; ``broken`` returns what breaks it, ``text`` and ``repair`` say so."""

    what: str
    text: str
    broken: str | Callable[[Tx], list[str]]
    repair: str = ""
    mend: tuple[str, ...] | Callable[[Tx, list[str]], None] | None = None

    def found(self, tx: Tx) -> list[str]:
        """Return what breaks it."""
        if callable(self.broken):
            return self.broken(tx)
        return [str(row[0]) for row in tx.query(self.broken)]


def link(table: str, column: str, target: str) -> Rule:
    """Return the rule that every row of *table* names a row of *target*."""
    broken = f"{column} NOT IN (SELECT id FROM {target})"
    return Rule(
        table.replace("_", " "),
        f"rows of {table} name no row of {target}",
        f"SELECT {column} FROM {table} WHERE {broken}",
        "remove them",
        (f"DELETE FROM {table} WHERE {broken}",),
    )
