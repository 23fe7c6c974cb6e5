"""Identities: to whom agents and blocks belong, by keys of the caller's own."""

from __future__ import annotations

from typing import Literal

from letta_kernel.errors import ConflictError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.records import Identity
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, Where

Kind = Literal["agent", "block"]

_IDENTITIES = Table("identities", Identity, json=("properties",))

get = _IDENTITIES.get


def save(tx: Tx, identity: Identity) -> Identity:
    """Insert an identity, or write it over the one of the same id.

    Raises
    ------
    ConflictError
        Another identity has its key.
    """
    other = find(tx, identity.identifier_key)
    if other is not None and other.id != identity.id:
        raise ConflictError(
            f"There is an identity with the identifier_key {identity.identifier_key!r} already:"
            " update that one, or choose another key."
        )
    identity.updated_at = now()
    if not _IDENTITIES.update(tx, identity, keep=("created_at", "created_by")):
        _IDENTITIES.insert(tx, [identity])
    return identity


def find(tx: Tx, key: str) -> Identity | None:
    """Return the identity with this key, or None."""
    found = _IDENTITIES.select(tx, "WHERE identifier_key = $1", (key,))
    return found[0] if found else None


def list_all(
    tx: Tx,
    *,
    name: str | None = None,
    key: str | None = None,
    identity_type: str | None = None,
    owned: tuple[Kind, str] | None = None,
) -> list[Identity]:
    """Return identities, oldest first.

    Parameters
    ----------
    name
        Only those whose name contains this, in any case.
    key, identity_type
        Only those with this key, or of this type.
    owned
        Only those attached to this ("agent" or "block", id).
    """
    where = Where()
    if name:
        where.add("position({} IN lower(name)) > 0", name.lower())
    if key is not None:
        where.add("identifier_key = {}", key)
    if identity_type is not None:
        where.add("identity_type = {}", identity_type)
    if owned is not None:
        kind, owner = owned
        inner = f"SELECT identity_id FROM {kind}_identities WHERE {kind}_id"
        where.add(f"id IN ({inner} = {{}})", owner)
    return _IDENTITIES.select(tx, f"{where} ORDER BY created_at, id", where.params)


def attach(tx: Tx, kind: Kind, owner_id: str, identity_id: str) -> None:
    """Connect an agent or block with an identity; doing so twice changes nothing.

    Raises
    ------
    NotFoundError
        There is no such agent, block or identity.
    """
    if get(tx, identity_id) is None:
        raise NotFoundError(f"There is no identity {identity_id}.")
    if tx.one(f"SELECT 1 FROM {kind}s WHERE id = $1", (owner_id,)) is None:
        raise NotFoundError(f"There is no {kind} {owner_id}.")
    tx.execute(
        f"INSERT INTO {kind}_identities VALUES ($1, $2) ON CONFLICT DO NOTHING",
        (owner_id, identity_id),
    )


def detach(tx: Tx, kind: Kind, owner_id: str, identity_id: str) -> None:
    """Take an identity from an agent or block."""
    tx.execute(
        f"DELETE FROM {kind}_identities WHERE {kind}_id = $1 AND identity_id = $2",
        (owner_id, identity_id),
    )


def owned(tx: Tx, kind: Kind, identity_id: str) -> list[str]:
    """Return the ids of the agents or blocks an identity is attached to."""
    rows = tx.query(
        f"SELECT {kind}_id FROM {kind}_identities WHERE identity_id = $1 ORDER BY {kind}_id",
        (identity_id,),
    )
    return [str(row[0]) for row in rows]


def delete(tx: Tx, identity_id: str) -> bool:
    """Delete an identity, taking it from every agent and block; False if there is none."""
    for kind in ("agent", "block"):
        tx.execute(f"DELETE FROM {kind}_identities WHERE identity_id = $1", (identity_id,))
    return tx.one("DELETE FROM identities WHERE id = $1 RETURNING id", (identity_id,)) is not None
