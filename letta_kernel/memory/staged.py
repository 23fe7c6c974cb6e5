"""The memory of an agent as its sleep-time agent edits it: what is written waits until all of it can land.

The tools work as ever; each sees what the ones before it would have written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory.archival import Archive, Hit, check_tags
from letta_kernel.memory.blocks import Change, CoreMemory, check_limit
from letta_kernel.memory.edits import EditError
from letta_kernel.memory.recall import MessageHit, Recall
from letta_kernel.records import STANDING, Block, Passage, Proposal
from letta_kernel.store import blocks as store
from letta_kernel.store import passages, sights, sleeps
from letta_kernel.store.database import Database, Tx

MOST = 200
"""Things that one sleep may propose."""


class StagedMemory(CoreMemory):
    """The blocks of the sleep-time agent *agent_id*, shared with the agent *of*; edits are proposals.

    They are edits of the texts *in_sight*, which its model has before it: what others write into a block
    meanwhile is joined with them when they land.
    """

    def __init__(
        self, database: Database, agent_id: str, of: str, sleep_id: str, in_sight: Sequence[Block]
    ) -> None:
        super().__init__(database, agent_id)
        self._of, self._sleep_id = of, sleep_id
        self._in_sight = {block.id: block for block in in_sight}

    def edit(
        self,
        label: str,
        change: Callable[[str], str],
        *,
        actor: str,
        step_id: str | None = None,
        reason: str = "",
        **seen: Any,
    ) -> Change:
        """Do as `CoreMemory.edit` does, but keep what it makes of the block as a proposal."""

        def work(tx: Tx) -> Change:
            block, is_new = self._staged_block(tx, label)
            known = sleeps.staged(tx, self._sleep_id, block.label)
            before = known.after if known is not None else block.value
            after = change(before)
            check_limit(block.model_copy(update={"value": before}), after)
            done = block.model_copy(update={"value": after})
            if after == before:
                return Change(before, done)
            if known is not None:
                known.after, known.step_id = after, step_id
                sleeps.change(tx, known)
            else:
                _check_number(tx, self._sleep_id)
                sleeps.propose(
                    tx,
                    Proposal(
                        sleep_id=self._sleep_id,
                        agent_id=self._of,
                        block_id=None if is_new else block.id,
                        label=block.label,
                        version=0 if is_new else block.version,
                        before=block.value,
                        after=after,
                        step_id=step_id,
                    ),
                )
            return Change(before, done)

        return self.database.run(work)

    def _staged_block(self, tx: Tx, label: str) -> tuple[Block, bool]:
        """Return the block of a label, and whether it is one that there is not yet."""
        if label == STANDING and store.find(tx, self.agent_id, label) is None:
            return Block(label=STANDING), True
        block = self._editable(tx, label)
        return self._in_sight.get(block.id, block), False

    def create(self, label: str, value: str, description: str, **given: Any) -> NoReturn:
        """Refuse: blocks are made and taken away while one is awake."""
        raise EditError("Blocks are not made here: write into one there is, or into the archive.")

    def remove(self, label: str) -> NoReturn:
        """Refuse, as `create` does."""
        raise EditError("Blocks are not taken away here: edit their text.")

    def describe(self, label: str, **given: Any) -> NoReturn:
        """Refuse, as `create` does."""
        raise EditError("Blocks are not renamed here: edit their text.")


class StagedArchive:
    """The archive of the agent *of*; what is put into it is a proposal."""

    def __init__(self, archive: Archive, of: str, sleep_id: str) -> None:
        self._archive, self._of, self._sleep_id = archive, of, sleep_id

    def insert(
        self,
        agent_id: str,
        content: str,
        tags: Sequence[str] = (),
        *,
        step_id: str | None = None,
        supersedes: Sequence[str] = (),
        **given: Any,
    ) -> list[Passage]:
        """Keep a text, and which passages it replaces, as a proposal; return what it would become."""
        if not content.strip():
            raise InvalidInputError("There is no text to keep in archival memory.")
        check_tags(tags)

        def work(tx: Tx) -> Proposal:
            _check_number(tx, self._sleep_id)
            sight = sights.of_agent(tx, self._of)
            there = {one.id for one in passages.get_many(tx, supersedes, sight)}
            for one in supersedes:
                if one not in there:
                    raise NotFoundError(f"There is no passage {one!r} in archival memory.")
            return sleeps.propose(
                tx,
                Proposal(
                    sleep_id=self._sleep_id,
                    agent_id=self._of,
                    kind="passage",
                    after=content,
                    tags=list(dict.fromkeys(tags)),
                    supersedes=list(dict.fromkeys(supersedes)),
                    step_id=step_id,
                ),
            )

        kept = self._archive.database.run(work)
        return [Passage(id=kept.id, agent_id=self._of, content=content, tags=kept.tags)]

    def replaced_by(self, agent_id: str, new: Sequence[Passage]) -> list[Passage]:
        """Return the passages there are that *new* ones seem to replace."""
        return self._archive.replaced_by(self._of, new)

    def search(self, agent_id: str, query: str, **filters: Any) -> list[Hit]:
        """Search the archive of the agent that sleeps."""
        return self._archive.search(self._of, query, **filters)


class OthersRecall:
    """The conversation of the agent *of*, searched by its sleep-time agent."""

    def __init__(self, recall: Recall, of: str) -> None:
        self._recall, self._of = recall, of

    def search(self, agent_id: str, query: str, **filters: Any) -> list[MessageHit]:
        """Search what that agent said and heard."""
        return self._recall.search(self._of, query, **filters)


def _check_number(tx: Tx, sleep_id: str) -> None:
    if not sleeps.is_open(tx, sleep_id):
        raise EditError("This memory is not tidied any more: finish your edits.")
    if len(sleeps.proposals(tx, sleep_id)) >= MOST:
        raise EditError(f"{MOST} changes are enough for one time: finish your edits.")
