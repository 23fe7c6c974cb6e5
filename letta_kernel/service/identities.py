"""Identities: who agents and blocks belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError
from letta_kernel.records import Identity
from letta_kernel.service.core import Core
from letta_kernel.store import identities
from letta_kernel.store.database import Tx
from letta_kernel.store.identities import Kind

_KINDS: tuple[Kind, ...] = ("agent", "block")


class Identities:
    """The identities of a project; each is named by its id or key."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create(
        self,
        key: str,
        name: str,
        *,
        identity_type: str = "user",
        properties: Sequence[dict[str, Any]] = (),
        agents: Sequence[str] = (),
        blocks: Sequence[str] = (),
        replace: bool = False,
    ) -> Identity:
        """Make an identity with a key of the caller's own, attached to *agents* and *blocks*.

        Raises
        ------
        ConflictError
            The key is taken, and *replace* was not asked for.
        """

        def work(tx: Tx) -> Identity:
            known = identities.find(tx, key)
            if known is not None and not replace:
                raise ConflictError(
                    f"There is an identity with the identifier_key {key!r} already: update that one,"
                    " or choose another key."
                )
            made = Identity(
                identifier_key=_filled("identifier_key", key),
                name=_filled("name", name),
                identity_type=identity_type,  # type: ignore[arg-type]
                properties=list(properties),
            )
            if known is not None:
                made = made.model_copy(update={"id": known.id, "created_at": known.created_at})
            identities.save(tx, made)
            self._belong(tx, made.id, agents, blocks)
            return made

        return self._core.do(work)

    def retrieve(self, ref: str) -> Identity:
        """Return one identity; `NotFoundError` if there is none."""
        return self._core.do(lambda tx: self._identity(tx, ref))

    def update(
        self,
        ref: str,
        *,
        agents: Sequence[str] | None = None,
        blocks: Sequence[str] | None = None,
        **changes: Any,
    ) -> Identity:
        """Change identifier_key, name, identity_type or properties; *agents* and *blocks* replace."""

        def work(tx: Tx) -> Identity:
            found = self._identity(tx, ref)
            for field in ("identifier_key", "name"):
                if field in changes:
                    _filled(field, changes[field])
            changed = Identity.model_validate({**found.model_dump(), **changes})
            identities.save(tx, changed)
            for kind, wanted in zip(_KINDS, (agents, blocks), strict=True):
                if wanted is not None:
                    for owner in identities.owned(tx, kind, found.id):
                        identities.detach(tx, kind, owner, found.id)
            self._belong(tx, found.id, agents or (), blocks or ())
            return changed

        return self._core.do(work)

    def set_properties(self, ref: str, properties: Sequence[dict[str, Any]]) -> Identity:
        """Set properties by their keys; those with other keys stay."""

        def work(tx: Tx) -> Identity:
            found = self._identity(tx, ref)
            merged = {one["key"]: one for one in [*found.properties, *properties]}
            changed = found.model_copy(update={"properties": list(merged.values())})
            return identities.save(tx, changed)

        return self._core.do(work)

    def delete(self, ref: str) -> None:
        """Delete an identity; the agents and blocks stay."""
        self._core.do(lambda tx: identities.delete(tx, self._identity(tx, ref).id))

    def owned(self, ref: str, kind: Kind) -> list[str]:
        """Return the ids of the agents or blocks of an identity."""
        return self._core.do(lambda tx: identities.owned(tx, kind, self._identity(tx, ref).id))

    def attach(self, ref: str, kind: Kind, owner: str) -> None:
        """Say that an agent or block belongs to an identity."""

        def work(tx: Tx) -> None:
            found = self._identity(tx, ref)
            owner_id = self._core.agent(tx, owner).id if kind == "agent" else owner
            identities.attach(tx, kind, owner_id, found.id)

        self._core.do(work)

    def detach(self, ref: str, kind: Kind, owner: str) -> None:
        """Say that an agent or block does not belong to an identity any more."""

        def work(tx: Tx) -> None:
            found = self._identity(tx, ref)
            owner_id = self._core.agent(tx, owner).id if kind == "agent" else owner
            if owner_id not in identities.owned(tx, kind, found.id):
                raise NotFoundError(f"The identity {found.name!r} has no {kind} {owner!r}.")
            identities.detach(tx, kind, owner_id, found.id)

        self._core.do(work)

    @staticmethod
    def _belong(tx: Tx, identity_id: str, agents: Sequence[str], blocks: Sequence[str]) -> None:
        for kind, owners in zip(_KINDS, (agents, blocks), strict=True):
            for owner in owners:
                identities.attach(tx, kind, owner, identity_id)

    @staticmethod
    def _identity(tx: Tx, ref: str) -> Identity:
        found = identities.get(tx, ref) or identities.find(tx, ref)
        if found is None:
            raise NotFoundError(f"There is no identity {ref!r}.")
        return found

    # Last, so that `list` in the annotations above is Python's.
    def list(self, **filters: Any) -> list[Identity]:
        """Return identities, oldest first; filters are name, key, identity_type, owned."""
        return self._core.do(lambda tx: identities.list_all(tx, **filters))


def _filled(field: str, text: str) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > 500:
        raise InvalidInputError(f"{field}: an identity needs one, of at most 500 characters.")
    return text
