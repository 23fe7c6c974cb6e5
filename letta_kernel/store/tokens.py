"""Tokens that let clients of a server in: their hashes, whose they are, what they allow."""

from __future__ import annotations

from letta_kernel.ids import now
from letta_kernel.records import AccessToken
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table

TABLE = "access_tokens"

_TOKENS = Table(TABLE, AccessToken)

add = _TOKENS.add


def list_all(tx: Tx) -> list[AccessToken]:
    """Return all tokens, oldest first."""
    return _TOKENS.select(tx, "ORDER BY created_at, id")


def delete(tx: Tx, token_id: str) -> None:
    """Delete a token, if it is there."""
    tx.execute("DELETE FROM access_tokens WHERE id = $1", (token_id,))


def used(tx: Tx, token_id: str) -> None:
    """Note that a token has been used now, to the hour."""
    hour = now().replace(minute=0, second=0, microsecond=0)
    tx.execute("UPDATE access_tokens SET used_at = $2 WHERE id = $1", (token_id, hour))
