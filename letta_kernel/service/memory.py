"""Core memory blocks, archival memory and recall, as a person reads and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from letta_kernel.agent.settings import timezone_of
from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.ids import LOCAL_USER
from letta_kernel.memory.archival import Hit
from letta_kernel.memory.blocks import check_label
from letta_kernel.memory.chunking import chunks
from letta_kernel.memory.recall import MessageHit
from letta_kernel.records import Block, BlockVersion, Passage
from letta_kernel.service.base import ServiceBase
from letta_kernel.store import archives, blocks, passages
from letta_kernel.store.database import Tx

NO_RELEVANCE = 0.2
"""Below this score, from 0 to 1, a hit is chance: with the embedder of the package, texts that have nothing to
do with each other often reach half of it, and this seldom (16 lines in five scripts, nine queries about nothing
in them), while paraphrases without a common word reach it. Other embedders were not looked at."""

Scored = TypeVar("Scored", Hit, MessageHit)


def for_person(query: str, hits: Sequence[Scored]) -> list[Scored]:
    """Return *hits* as a person reads them: by score, best first, without those that have no relevance.

    Agents get hits by rank, which weighs what the score leaves out (who speaks, what is asked for), and judge
    for themselves. A blank query, which asks for the newest, keeps all in their order.
    """
    if not query.strip():
        return list(hits)
    best = max((hit.score for hit in hits), default=0.0)
    least = max(
        NO_RELEVANCE, best / 4
    )  # words of the lines around it give a line a share of the best
    worth = [hit for hit in hits if hit.score >= least]
    return sorted(worth, key=lambda hit: hit.score, reverse=True)


class Memory(ServiceBase):
    """The part of the service that deals with what agents remember."""

    def blocks(self, ref: str) -> list[Block]:
        """Return the memory blocks of an agent, in the order in which it sees them."""
        return self.do(lambda tx: blocks.of_agent(tx, self._agent(tx, ref).id))

    def block(self, ref: str, label: str) -> Block:
        """Return one memory block; `NotFoundError` names the nearest label."""
        return self.do(lambda tx: self._block(tx, ref, label))

    def write_block(
        self,
        ref: str,
        label: str,
        value: str,
        *,
        expected_version: int | None = None,
        reason: str = "",
        actor: str = LOCAL_USER,
    ) -> Block:
        """Set the text of a block, making the block where there is none; the same text makes no new version.

        Parameters
        ----------
        expected_version : the version that was read before editing; if the block has moved on meanwhile,
            nothing is written.

        Raises
        ------
        ConflictError
            Someone else wrote the block since ``expected_version``.
        InvalidInputError
            The text is longer than the block's limit, or the label cannot be one.
        """

        def work(tx: Tx) -> Block:
            state = self._agent(tx, ref)
            block = blocks.find(tx, state.id, label)
            if block is None:
                made = Block(label=check_label(label), value=value, created_by=actor)
                _check_length(made, value)
                return blocks.add(tx, made, state.id)
            _check_length(block, value)
            if value == block.value and expected_version in (None, block.version):
                return block
            return blocks.write(
                tx, block.id, value, actor=actor, reason=reason, expected_version=expected_version
            )

        return self.do(work)

    def change_block(self, ref: str, label: str, **changes: Any) -> Block:
        """Change a block's limit, description, read_only, tags or metadata (not its text)."""
        allowed = {"limit", "description", "read_only", "tags", "metadata"}
        for name in changes:
            if name not in allowed:
                raise InvalidInputError(
                    f"A block has no {name!r} to change; one of: {', '.join(sorted(allowed))}."
                )

        def work(tx: Tx) -> Block:
            block = self._block(tx, ref, label)
            changed = Block.model_validate({**block.model_dump(), **changes})
            if changed.limit < 1:
                raise InvalidInputError("A block's limit is at least 1 character.")
            _check_length(changed, block.value)
            return blocks.update(tx, changed)

        return self.do(work)

    def delete_block(self, ref: str, label: str) -> None:
        """Take a block off an agent; it is deleted if no other agent has it."""

        def work(tx: Tx) -> None:
            state = self._agent(tx, ref)
            block = self._block(tx, ref, label)
            blocks.detach(tx, state.id, block.id)
            if not blocks.agents_with(tx, block.id):
                blocks.delete(tx, block.id)

        self.do(work)

    def share_block(self, ref: str, label: str, other: str) -> Block:
        """Let the agent *other* have the same block: a change by either is seen by both."""

        def work(tx: Tx) -> Block:
            block = self._block(tx, ref, label)
            target = self._agent(tx, other)
            own = blocks.find(tx, target.id, label)
            if own is not None and own.id != block.id:
                raise InvalidInputError(f"{other!r} has a block {label!r} of its own already.")
            blocks.attach(tx, target.id, block.id)
            return block

        return self.do(work)

    def block_versions(self, ref: str, label: str) -> list[BlockVersion]:
        """Return all versions of a block, oldest first: who wrote what, in which step, and why."""
        return self.do(lambda tx: blocks.versions(tx, self._block(tx, ref, label).id))

    def undo_block(self, ref: str, label: str) -> Block:
        """Go back to the version before; the one left can be had again with redo."""
        return self.do(lambda tx: blocks.undo(tx, self._block(tx, ref, label).id, LOCAL_USER))

    def redo_block(self, ref: str, label: str) -> Block:
        """Take back an undo."""
        return self.do(lambda tx: blocks.redo(tx, self._block(tx, ref, label).id, LOCAL_USER))

    # -- archival memory and recall ------------------------------------------------------------------

    def add_passage(
        self,
        ref: str,
        text: str,
        tags: Sequence[str] = (),
        *,
        created_at: datetime | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> list[Passage]:
        """Put a text of any length into archival memory; return the passages it became.

        They go into the archive the agent was attached to first, if there is one.
        """
        if not text.strip():
            raise InvalidInputError("There is no text to keep.")
        state = self.agent(ref)
        return self._memory_of(state)[0].insert(
            state.id, text, tags=list(tags), created_at=created_at, metadata=metadata
        )

    def remember(self, ref: str, text: str, tags: Sequence[str] = ()) -> tuple[list[Passage], bool]:
        """Put a text into archival memory unless the very text is there, which gets the tags it lacks.

        Returns its passages, and whether they are new.
        """
        state = self.agent(ref)
        archive = self._memory_of(state)[0]
        owner, pieces = archive.writes_to(state.id), chunks(text)

        def work(tx: Tx) -> list[Passage]:
            found = [passages.of_content(tx, owner, piece) for piece in pieces]
            known = [one for one in found if one is not None]
            if len(known) < len(pieces):
                return []
            return [self._tagged(tx, one, tags) for one in known]

        known = self.do(work)
        return (known, False) if known else (self.add_passage(ref, text, tags), True)

    @staticmethod
    def _tagged(tx: Tx, passage: Passage, tags: Sequence[str]) -> Passage:
        lacks = [tag for tag in dict.fromkeys(tags) if tag not in passage.tags]
        if not lacks:
            return passage
        return passages.update(tx, passage.id, tags=[*passage.tags, *lacks]) or passage

    def search_passages(self, ref: str, query: str, **filters: Any) -> list[Hit]:
        """Search archival memory; filters are tags, match, top_k, page, start, end, timezone.

        Moments without a zone are meant in *timezone*; the agent's own if it is not given.
        """
        state = self.agent(ref)
        filters["timezone"] = filters.get("timezone") or timezone_of(state.settings)
        return self._memory_of(state)[0].search(state.id, query, **filters)

    def passages(self, ref: str, limit: int = 50, **filters: Any) -> list[Passage]:
        """Return passages of an agent's archival memory, newest first; its archives' are among them.

        Filters are before, after (ids of passages), text, tags, match, start, end, newest_first.
        """
        return self.do(
            lambda tx: passages.page(
                tx, self._owners(tx, self._agent(tx, ref).id), limit=limit, **filters
            )
        )

    def delete_passage(self, ref: str, passage_id: str) -> None:
        """Delete a passage from archival memory, also from an archive the agent is attached to."""
        state = self.agent(ref)

        def owned(tx: Tx) -> bool:
            found = passages.get(tx, passage_id)
            return found is not None and found.agent_id in [
                state.id,
                *archives.of_agent(tx, state.id),
            ]

        if not self.do(owned):
            raise NotFoundError(f"{state.name} has no passage {passage_id!r} in archival memory.")
        self._memory_of(state)[0].delete(passage_id)

    @staticmethod
    def _owners(tx: Tx, agent_id: str) -> str | list[str]:
        """Return whose passages an agent can find, as `passages.page` takes it."""
        attached = archives.of_agent(tx, agent_id)
        return [agent_id, *attached] if attached else agent_id

    def indexed(self, ref: str) -> tuple[str, int, int]:
        """Return the agent's embedder, how far its index has come, and how many passages there were.

        Searches find what is not indexed yet too; after a change of the embedder everything is indexed anew.
        """
        state = self.agent(ref)
        archive = self._memory_of(state)[0]
        return archive.embedder_name, *archive.progress(state.id)

    def prepare(self, ref: str) -> None:
        """Load in the background what the agent's first search needs, as it is opened; returns at once."""
        state = self.agent(ref)
        for memory in self._memory_of(state):
            memory.prepare(state.id)

    def search_messages(self, ref: str, query: str, **filters: Any) -> list[MessageHit]:
        """Search the whole conversation; filters are roles, limit, page, start, end, timezone.

        Moments without a zone are meant in *timezone*; the agent's own if it is not given.
        """
        state = self.agent(ref)
        filters["timezone"] = filters.get("timezone") or timezone_of(state.settings)
        return self._memory_of(state)[1].search(state.id, query, **filters)

    def _block(self, tx: Tx, ref: str, label: str) -> Block:
        state = self._agent(tx, ref)
        found = blocks.find(tx, state.id, label)
        if found is None:
            labels = [block.label for block in blocks.of_agent(tx, state.id)]
            raise NotFoundError(
                f"{state.name} has no memory block {label!r}.{nearest(label, labels)} "
                f"There is: {', '.join(labels) or 'none'}."
            )
        return found


def _check_length(block: Block, value: str) -> None:
    if len(value) > block.limit:
        raise InvalidInputError(
            f"The block {block.label!r} may hold {block.limit:,} characters; this has {len(value):,}."
        )
