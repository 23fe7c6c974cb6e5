"""Archives that agents share: made, found, attached, deleted."""

from __future__ import annotations

from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import embedder
from letta_kernel.records import SharedArchive
from letta_kernel.service.core import Core, Memories
from letta_kernel.store import archives
from letta_kernel.store.database import Tx

MAX_NAME = 200
"""Characters of an archive's name."""


class Archives:
    """The archives of passages that agents share; each is named by its id or name."""

    def __init__(self, core: Core, memories: Memories) -> None:
        self._core = core
        self._memories = memories

    def create(
        self,
        name: str,
        *,
        description: str = "",
        embedding: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> SharedArchive:
        """Make an empty archive, searched with *embedding* (None: the project's embedder)."""
        if embedding is not None:
            try:
                embedder(embedding)
            except ModelError as error:
                raise InvalidInputError(f"embedding: {error}") from None
        made = SharedArchive(
            name=_name(name),
            description=description,
            embedding=embedding,
            metadata=metadata or {},
        )
        return self._core.do(lambda tx: archives.add(tx, made))

    def retrieve(self, ref: str) -> SharedArchive:
        """Return one archive; `NotFoundError` names the nearest."""
        return self._core.do(lambda tx: self.find(tx, ref))

    def update(
        self, ref: str, *, name: str | None = None, description: str | None = None
    ) -> SharedArchive:
        """Change what is given."""

        def work(tx: Tx) -> SharedArchive:
            found = self.find(tx, ref)
            changes = {
                "name": found.name if name is None else _name(name),
                "description": found.description if description is None else description,
            }
            return archives.save(tx, found.model_copy(update=changes))

        return self._core.do(work)

    def delete(self, ref: str) -> None:
        """Delete an archive with its passages, taking it from every agent."""
        self._core.do(lambda tx: archives.delete(tx, self.find(tx, ref).id))
        self._memories.embedded_by(None)[0].follow()

    def attach(self, ref: str, *, agent: str) -> SharedArchive:
        """Let an agent find an archive's passages; what it keeps goes there if it has no other."""

        def work(tx: Tx) -> SharedArchive:
            found = self.find(tx, ref)
            archives.attach(tx, self._core.agent(tx, agent).id, found.id)
            return found

        return self._core.do(work)

    def detach(self, ref: str, *, agent: str) -> SharedArchive:
        """Take an archive from an agent; the archive and its passages stay."""

        def work(tx: Tx) -> SharedArchive:
            state, found = self._core.agent(tx, agent), self.find(tx, ref)
            if found.id not in archives.of_agent(tx, state.id):
                raise NotFoundError(f"{state.name} is not attached to the archive {found.name!r}.")
            archives.detach(tx, state.id, found.id)
            return found

        return self._core.do(work)

    def find(self, tx: Tx, ref: str) -> SharedArchive:
        """Return one archive; `NotFoundError` names the nearest."""
        found = archives.get(tx, ref)
        if found is None:
            named = archives.list_all(tx, name=ref)
            found = named[0] if len(named) == 1 else None
            if len(named) > 1:
                raise InvalidInputError(f"Several archives are called {ref!r}: give an id.")
        if found is None:
            names = [archive.name for archive in archives.list_all(tx)]
            raise NotFoundError(f"There is no archive {ref!r}.{nearest(ref, names)}")
        return found

    # Last, so that `list` in the annotations above is Python's.
    def list(self, agent: str | None = None, *, name: str | None = None) -> list[SharedArchive]:
        """Return archives, oldest first: all, those of an agent, those of one name."""

        def work(tx: Tx) -> list[SharedArchive]:
            agent_id = self._core.agent(tx, agent).id if agent is not None else None
            return archives.list_all(tx, agent_id=agent_id, name=name)

        return self._core.do(work)


def _name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidInputError(f"name: an archive has a name of at most {MAX_NAME} characters.")
    return name
