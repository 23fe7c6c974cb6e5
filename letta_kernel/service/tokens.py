"""Tokens that let clients of a server in: made, listed, revoked."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import get_args

from letta_kernel import users
from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError, nearest
from letta_kernel.ids import hidden_sign, now
from letta_kernel.records import AccessToken, Rights
from letta_kernel.service.core import Core
from letta_kernel.store import tokens
from letta_kernel.store.database import Tx

PREFIX = "lk-"
"""How every token begins that is made here; what does not need not be looked up."""

RIGHTS: tuple[Rights, ...] = get_args(Rights)

_MAX_NAME = 100  # characters
_BYTES = 32  # of chance in a token


def digest_of(token: str) -> str:
    """Return what is kept of a token: by chance alone it cannot be guessed, so a quick hash will do."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class AccessTokens:
    """The tokens of a project, each named by its id or its name."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create(
        self,
        name: str,
        rights: Rights = "read",
        *,
        agent: str | None = None,
        expires_at: datetime | None = None,
        user: str | None = None,
        teach: bool = False,
    ) -> tuple[AccessToken, str]:
        """Make a token; return its record and the token itself, which nothing can tell again.

        Parameters
        ----------
        agent : the one agent it is for; None for the project.
        expires_at : the moment, with a time zone, from which on it is worth nothing; None: never.
        user : whose it is. It reaches what is granted to that person; the owner's reaches what *rights* say.
            None: nobody's, it stands for the owner.
        teach : whether it tells what every person uses.

        Raises
        ------
        ConflictError
            There is a token of that name.
        InvalidInputError
            A value cannot be used.
        """
        if not name.strip() or len(name) > _MAX_NAME or hidden_sign(name) is not None:
            raise InvalidInputError(f"A token's name has 1 to {_MAX_NAME} visible characters.")
        if rights not in RIGHTS:
            raise InvalidInputError(f"{rights!r} is no right: one of {', '.join(RIGHTS)}.")
        if user is not None:
            users.checked_name(user)
        if expires_at is not None and expires_at <= now():
            raise InvalidInputError("A token expires in the future, not in the past.")
        token = PREFIX + secrets.token_urlsafe(_BYTES)

        def work(tx: Tx) -> AccessToken:
            whose = None if agent is None else self._core.agent(tx, agent).id
            if any(one.name == name for one in tokens.list_all(tx)):
                raise ConflictError(f"There is a token {name!r} already: revoke it first.")
            made = AccessToken(
                name=name,
                digest=digest_of(token),
                agent_id=whose,
                rights=rights,
                expires_at=expires_at,
                user=user,
                teach=teach,
            )
            return tokens.add(tx, made)

        return self._core.do(work), token

    def revoke(self, ref: str) -> AccessToken:
        """Delete a token: who uses it is turned out at once; `NotFoundError` names the nearest."""

        def work(tx: Tx) -> AccessToken:
            known = tokens.list_all(tx)
            for one in known:
                if ref in (one.id, one.name):
                    tokens.delete(tx, one.id)
                    return one
            hint = nearest(ref, [one.name for one in known])
            raise NotFoundError(f"There is no token {ref[:100]!r}.{hint}")

        return self._core.do(work)

    def used(self, token_id: str) -> None:
        """Note that a token has been used now, to the hour."""
        self._core.do(lambda tx: tokens.used(tx, token_id))

    # Last, so that `list` in the annotations above is Python's.
    def list(self) -> list[AccessToken]:
        """Return the tokens of the project, oldest first, those that have expired too."""

        def work(tx: Tx) -> list[AccessToken]:
            return self._core.kept(tx, "tokens", (tokens.TABLE,), lambda: tokens.list_all(tx))

        return [*self._core.do(work)]
