"""Persons with projects at a server of many, and what their runs took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from letta_kernel.records import Person, Use
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, utc

TABLE = "people"

_PEOPLE = Table(TABLE, Person)
_USES = Table("uses", Use)

add = _PEOPLE.add
add_use = _USES.add


def list_all(tx: Tx) -> list[Person]:
    """Return all persons by their names."""
    return _PEOPLE.select(tx, "ORDER BY name")


def find(tx: Tx, name: str) -> Person | None:
    """Return the person of that name, None if there is none."""
    found = _PEOPLE.select(tx, "WHERE name = $1", (name,))
    return found[0] if found else None


def save(tx: Tx, person: Person) -> Person:
    """Write what has changed of a person."""
    return _PEOPLE.save(tx, person, "person")


def forget(tx: Tx, person: Person) -> None:
    """Delete what is known of a person; their tokens, and what they used, stay."""
    tx.execute("DELETE FROM people WHERE id = $1", (person.id,))


def delete(tx: Tx, person: Person) -> None:
    """Delete a person, with their tokens and what is known of their grants; what they used stays."""
    forget(tx, person)
    tx.execute('DELETE FROM access_tokens WHERE "user" = $1', (person.name,))
    tx.execute("DELETE FROM known_grants WHERE owner = $1", (person.name,))


def going(tx: Tx, person: str) -> list[Use]:
    """Return the runs of a person that have no end yet, oldest first."""
    return _USES.select(tx, "WHERE person = $1 AND ended_at IS NULL ORDER BY created_at", (person,))


def used(tx: Tx, person: str, day: datetime) -> tuple[int, float]:
    """Return the tokens and dollars that runs of a person took that began within a day from a moment on."""
    row = tx.one(
        "SELECT coalesce(sum(tokens), 0), coalesce(sum(cost), 0) FROM uses"
        " WHERE person = $1 AND created_at >= $2 AND created_at < $3",
        (person, day, day + timedelta(days=1)),
    )
    return (int(row[0]), float(row[1])) if row is not None else (0, 0.0)


def progress(
    tx: Tx, run_id: str, tokens: int, cost: float | None, ended: datetime | None = None
) -> Use | None:
    """Write what a run has taken, and its end; return it as it counts, None if it does not."""
    tx.execute(
        "UPDATE uses SET tokens = $2, cost = $3,"
        " ended_at = coalesce(CAST($4 AS timestamptz), ended_at) WHERE id = $1",
        (run_id, tokens, cost, ended),
    )
    found = _USES.select(tx, "WHERE id = $1", (run_id,))
    return found[0] if found else None


def end_use(tx: Tx, run_id: str, tokens: int, cost: float | None, at: datetime) -> None:
    """Write what a run took, once it has ended: no less than was known of it while it went on."""
    tx.execute(
        "UPDATE uses SET tokens = greatest(tokens, $2), ended_at = $4,"
        " cost = greatest(cost, CAST($3 AS double precision)) WHERE id = $1",
        (run_id, tokens, cost, at),
    )


def by_day(tx: Tx, since: datetime, names: Sequence[str] | None) -> list[Use]:
    """Return the uses of some persons, or of all, since a moment, oldest first."""
    if names is None:
        return _USES.select(tx, "WHERE created_at >= $1 ORDER BY created_at, id", (since,))
    return _USES.select(
        tx,
        "WHERE created_at >= $1 AND person = ANY($2::text[]) ORDER BY created_at, id",
        (since, list(names)),
    )


def last_seen(tx: Tx) -> dict[str, datetime]:
    """Return when each person last began a run."""
    rows = tx.query("SELECT person, max(created_at) FROM uses GROUP BY person")
    return {str(name): utc(at) for name, at in rows}
