"""Archives that agents share: made, filled, attached, searched, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.memory.archival import Hit
from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import embedder
from letta_kernel.records import Passage, SharedArchive
from letta_kernel.service.memory import Memory
from letta_kernel.store import archives, passages
from letta_kernel.store.database import Tx

MAX_NAME = 200
"""Characters of an archive's name."""
LONGEST = 50_000
"""Characters of one passage that is put into an archive as it is."""


class Archives(Memory):
    """The part of the service that deals with shared archives; each is named by its id or name."""

    def create_archive(
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
        return self.do(lambda tx: archives.add(tx, made))

    def archives(self, *, agent: str | None = None, name: str | None = None) -> list[SharedArchive]:
        """Return archives, oldest first: all, those of an agent, those of one name."""

        def work(tx: Tx) -> list[SharedArchive]:
            agent_id = self._agent(tx, agent).id if agent is not None else None
            return archives.list_all(tx, agent_id=agent_id, name=name)

        return self.do(work)

    def archive(self, ref: str) -> SharedArchive:
        """Return one archive; `NotFoundError` names the nearest."""
        return self.do(lambda tx: self._archive(tx, ref))

    def update_archive(
        self, ref: str, *, name: str | None = None, description: str | None = None
    ) -> SharedArchive:
        """Change what is given."""

        def work(tx: Tx) -> SharedArchive:
            found = self._archive(tx, ref)
            changes = {
                "name": found.name if name is None else _name(name),
                "description": found.description if description is None else description,
            }
            return archives.save(tx, found.model_copy(update=changes))

        return self.do(work)

    def delete_archive(self, ref: str) -> None:
        """Delete an archive with its passages, taking it from every agent."""
        self.do(lambda tx: archives.delete(tx, self._archive(tx, ref).id))
        self._memories_with(None)[0].follow()

    def attach_archive(self, agent: str, ref: str) -> SharedArchive:
        """Let an agent find an archive's passages; what it keeps goes there if it has no other."""

        def work(tx: Tx) -> SharedArchive:
            found = self._archive(tx, ref)
            archives.attach(tx, self._agent(tx, agent).id, found.id)
            return found

        return self.do(work)

    def detach_archive(self, agent: str, ref: str) -> SharedArchive:
        """Take an archive from an agent; the archive and its passages stay."""

        def work(tx: Tx) -> SharedArchive:
            state, found = self._agent(tx, agent), self._archive(tx, ref)
            if found.id not in archives.of_agent(tx, state.id):
                raise NotFoundError(f"{state.name} is not attached to the archive {found.name!r}.")
            archives.detach(tx, state.id, found.id)
            return found

        return self.do(work)

    def fill_archive(self, ref: str, new: Sequence[Passage]) -> list[Passage]:
        """Put passages, whose owner may be anybody, into an archive as they are: all of them or none."""
        found = self.archive(ref)
        for number, passage in enumerate(new):
            if not passage.content.strip():
                raise InvalidInputError(f"Passage {number}: there is no text to keep.")
            if len(passage.content) > LONGEST:
                raise InvalidInputError(
                    f"Passage {number}: a passage has at most {LONGEST:,} characters, this one "
                    f"{len(passage.content):,}; cut it into several."
                )
        ours = [passage.model_copy(update={"agent_id": found.id}) for passage in new]
        return self._memories_with(found.embedding)[0].insert_many(ours)

    def archive_passages(self, ref: str, limit: int = 50, **filters: Any) -> list[Passage]:
        """Return passages of an archive, newest first; filters as `passages` takes them."""
        return self.do(
            lambda tx: passages.page(tx, self._archive(tx, ref).id, limit=limit, **filters)
        )

    def update_archive_passage(
        self,
        ref: str,
        passage_id: str,
        *,
        content: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> Passage:
        """Change the text or tags of an archive's passage."""
        found = self.archive(ref)
        self._check_passage(found, passage_id)
        memory = self._memories_with(found.embedding)[0]
        changed = memory.update(passage_id, content=content, tags=tags)
        if changed is None:
            raise NotFoundError(f"The archive {found.name!r} has no passage {passage_id!r}.")
        return changed

    def delete_archive_passage(self, ref: str, passage_id: str) -> None:
        """Delete a passage of an archive."""
        found = self.archive(ref)
        self._check_passage(found, passage_id)
        self._memories_with(found.embedding)[0].delete(passage_id)

    def search_archive(self, ref: str, query: str, **filters: Any) -> list[Hit]:
        """Search one archive; filters are tags, match, top_k, page, start, end, timezone."""
        found = self.archive(ref)
        return self._memories_with(found.embedding)[0].search(found.id, query, **filters)

    def search_all_passages(self, query: str, *, top_k: int = 10, **filters: Any) -> list[Hit]:
        """Search every agent's passages and every archive, best first."""

        def work(tx: Tx) -> list[str]:
            rows = tx.query("SELECT DISTINCT agent_id FROM passages ORDER BY agent_id")
            return [str(row[0]) for row in rows]

        memory = self._memories_with(None)[0]
        return memory.search_owners(self.do(work), query, top_k=top_k, **filters)

    def has_passage(self, passage_id: str) -> bool:
        """Return whether there is a passage of this id, whosever it is."""
        return self.do(lambda tx: passages.get(tx, passage_id)) is not None

    def _check_passage(self, archive: SharedArchive, passage_id: str) -> None:
        found = self.do(lambda tx: passages.get(tx, passage_id))
        if found is None or found.agent_id != archive.id:
            raise NotFoundError(f"The archive {archive.name!r} has no passage {passage_id!r}.")

    def _archive(self, tx: Tx, ref: str) -> SharedArchive:
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


def _name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidInputError(f"name: an archive has a name of at most {MAX_NAME} characters.")
    return name
