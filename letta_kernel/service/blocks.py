"""Memory blocks: made, found, changed, shared and taken back, by their ids or as an agent's labels."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from letta_kernel.agent.settings import timezone_of
from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.memory import dates
from letta_kernel.memory.attribution import AT_MOST, attribute
from letta_kernel.memory.blocks import check_label
from letta_kernel.memory.dates import Moment
from letta_kernel.memory.origins import Origin, Sentence, of_versions, of_written
from letta_kernel.records import AgentState, Block, BlockStanding, BlockVersion
from letta_kernel.service.core import Core
from letta_kernel.store import agents, blocks, sleeps
from letta_kernel.store.database import Tx
from letta_kernel.users import current_user

LARGEST = 10_000_000
"""The largest limit a block may be given, in characters."""
_CHANGEABLE = ("label", "value", "limit", "description", "read_only", "tags", "metadata")


class Blocks:
    """The memory blocks of a project; each is named by its id, or with *agent* by the label it has there."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def create(self, block: Block, *, agent: str | None = None, reason: str = "created") -> Block:
        """Keep a new block, for an *agent* or for nobody yet; *reason* is its first version's.

        Raises
        ------
        InvalidInputError
            Its label, limit or length cannot be, or the agent has a block of that label.
        """
        check_block(block)

        def work(tx: Tx) -> Block:
            owner = self._core.agent(tx, agent).id if agent is not None else None
            blocks.add(tx, block, owner, reason=reason)
            return _get(tx, block.id)

        return self._core.do(work)

    def retrieve(self, block: str, *, agent: str | None = None, as_of: Moment = None) -> Block:
        """Return one block; `NotFoundError` where there is none, which names an agent's nearest label.

        *as_of* asks for its text as it stood then; a day is meant as its end, in the agent's time zone.

        Raises
        ------
        InvalidInputError
            That is no date, lies in the future, or the block had not been made.
        """

        def work(tx: Tx) -> Block:
            found = self._find(tx, block, agent)
            end = self._until(tx, agent, as_of)
            then = found if end is None else _stood(tx, found, end)
            if then is None:
                made = blocks.versions(tx, found.id)[0].created_at.isoformat(timespec="seconds")
                raise InvalidInputError(
                    f"There was no memory block {found.label!r} at {as_of}: it was made at {made}."
                )
            return then

        return self._core.do(work)

    def _until(self, tx: Tx, agent: str | None, as_of: Moment) -> datetime | None:
        zone = None if agent is None else timezone_of(self._core.agent(tx, agent).settings)
        return dates.as_of(as_of, zone)

    def update(
        self,
        block: str,
        *,
        agent: str | None = None,
        reason: str = "",
        actor: str | None = None,
        expected_version: int | None = None,
        **changes: Any,
    ) -> Block:
        """Change label, value, limit, description, read_only, tags or metadata: all or nothing.

        A new value is a new version, however many agents have the block; the same value makes none.

        Parameters
        ----------
        reason, actor : why and by whom, as the version tells; whoever acts if not given.
        expected_version : the version that was read before editing; if the block has moved on meanwhile,
            nothing is changed.

        Raises
        ------
        ConflictError
            Someone else wrote the block since ``expected_version``.
        InvalidInputError
            The text is longer than the limit, or another value cannot be.
        """
        for name in changes:
            if name not in _CHANGEABLE:
                raise InvalidInputError(
                    f"A block has no {name!r} to change; one of: {', '.join(_CHANGEABLE)}."
                )

        def work(tx: Tx) -> Block:
            found = self._find(tx, block, agent)
            return _change(tx, found, changes, reason, actor, expected_version)

        return self._core.do(work)

    def upsert(
        self,
        label: str,
        value: str,
        *,
        agent: str,
        reason: str = "",
        actor: str | None = None,
        expected_version: int | None = None,
    ) -> Block:
        """Set the text of an agent's block as `update` does, making the block where there is none."""

        def work(tx: Tx) -> Block:
            state = self._core.agent(tx, agent)
            found = blocks.find(tx, state.id, label)
            if found is not None:
                return _change(tx, found, {"value": value}, reason, actor, expected_version)
            made = Block(label=label, value=value, created_by=actor or current_user())
            check_block(made)
            return blocks.add(tx, made, state.id, reason=reason or "created")

        return self._core.do(work)

    def delete(self, block: str, *, agent: str | None = None) -> None:
        """Delete a block with its versions, taking it from every agent.

        With *agent*, take it off that agent; it is deleted if no other agent has it.
        """

        def work(tx: Tx) -> None:
            found = self._find(tx, block, agent)
            if agent is not None:
                owner = self._core.agent(tx, agent).id
                for one in (owner, *sleeps.sleepers(tx, owner)):
                    blocks.detach(tx, one, found.id)
                if blocks.agents_with(tx, found.id):
                    return
            blocks.delete(tx, found.id)

        self._core.do(work)

    def attach(self, block: str, *, agent: str) -> Block:
        """Let an agent have the block of this id; a change by any agent that has it is seen by all.

        Raises
        ------
        InvalidInputError
            The agent has another block of that label.
        """

        def work(tx: Tx) -> Block:
            state, found = self._core.agent(tx, agent), _get(tx, block)
            blocks.attach(tx, state.id, found.id)
            return found

        return self._core.do(work)

    def detach(self, block: str, *, agent: str) -> Block:
        """Take the block of this id from an agent; the block stays."""

        def work(tx: Tx) -> Block:
            state, found = self._core.agent(tx, agent), _get(tx, block)
            if state.id not in blocks.agents_with(tx, found.id):
                raise NotFoundError(f"{state.name} does not have the memory block {found.label!r}.")
            blocks.detach(tx, state.id, found.id)
            return found

        return self._core.do(work)

    def share(self, label: str, *, agent: str, other: str) -> AgentState:
        """Let another agent have an agent's block too; return the other one.

        Raises
        ------
        InvalidInputError
            The other has a block of that label already.
        """

        def work(tx: Tx) -> AgentState:
            found, with_it = self._find(tx, label, agent), self._core.agent(tx, other)
            own = blocks.find(tx, with_it.id, found.label)
            if own is not None and own.id != found.id:
                raise InvalidInputError(
                    f"{with_it.name!r} has a block {found.label!r} of its own already: take that one off it"
                    " first, or give one of the two another label."
                )
            blocks.attach(tx, with_it.id, found.id)
            return with_it

        return self._core.do(work)

    def unshare(self, label: str, *, agent: str, other: str) -> AgentState:
        """Take an agent's block off another agent that has it too; return the other one.

        Raises
        ------
        InvalidInputError
            The other does not have it, or is the same agent.
        """

        def work(tx: Tx) -> AgentState:
            state, without = self._core.agent(tx, agent), self._core.agent(tx, other)
            found = self._find(tx, label, state.id)
            if without.id == state.id or without.id not in blocks.agents_with(tx, found.id):
                others = _standing(tx, state.id, blocks.newest(tx, [found.id])[found.id]).others
                raise InvalidInputError(
                    f"{state.name} does not share {label!r} with {without.name!r}; it is shared with:"
                    f" {', '.join(others) or 'nobody'}."
                )
            blocks.detach(tx, without.id, found.id)
            return without

        return self._core.do(work)

    def agents(self, block: str) -> list[str]:
        """Return the ids of the agents that have the block of this id."""
        return self._core.do(lambda tx: blocks.agents_with(tx, _get(tx, block).id))

    def standing(self, agent: str) -> dict[str, BlockStanding]:
        """Return who else has each of an agent's blocks and who wrote it last, by the blocks' ids."""

        def work(tx: Tx) -> dict[str, BlockStanding]:
            agent_id = self._core.agent(tx, agent).id
            newest = blocks.newest(tx, [one.id for one in blocks.of_agent(tx, agent_id)])
            return {key: _standing(tx, agent_id, one) for key, one in newest.items()}

        return self._core.do(work)

    def history(
        self, block: str, *, agent: str | None = None
    ) -> builtins.list[tuple[BlockVersion, Origin]]:
        """Return all versions of a block, oldest first, each with who wrote it, in which run, after what."""

        def work(tx: Tx) -> builtins.list[tuple[BlockVersion, Origin]]:
            found = blocks.versions(tx, self._find(tx, block, agent).id)
            origins = of_written(tx, found)
            return [(one, origins[one.version]) for one in found]

        return self._core.do(work)

    def writers(self, block_ids: Sequence[str]) -> dict[str, str]:
        """Return the ids of who wrote the newest versions of these blocks, by the blocks' ids."""
        newest = self._core.do(lambda tx: blocks.newest(tx, block_ids))
        return {key: version.actor for key, version in newest.items()}

    def versions(self, block: str, *, agent: str | None = None) -> list[BlockVersion]:
        """Return all versions of a block, oldest first: who wrote what, in which step, and why."""
        return self._core.do(lambda tx: blocks.versions(tx, self._find(tx, block, agent).id))

    def origin(self, block: str, *, agent: str | None = None) -> builtins.list[Sentence]:
        """Return the sentences of a block's text, each with where it comes from; joined they are the text.

        A sentence that was edited comes from the edit. Of a block with very much history (20 million
        characters) the newest part is looked at; what was there before it counts as not recorded.
        """

        def work(tx: Tx) -> tuple[Block, builtins.list[BlockVersion]]:
            found = self._find(tx, block, agent)
            since = blocks.within(tx, found.id, AT_MOST)
            return found, blocks.versions(tx, found.id, since)

        found, versions = self._core.do(work)
        written = attribute(versions)  # takes seconds of a long history: nobody waits meanwhile
        return self._core.do(lambda tx: of_versions(tx, written, found.created_at))

    def undo(
        self, block: str, *, agent: str | None = None, expected_version: int | None = None
    ) -> Block:
        """Go back to the version before; the one left can be had again with redo.

        Raises
        ------
        ConflictError
            Someone else wrote the block since ``expected_version``.
        """
        return self._core.do(
            lambda tx: blocks.undo(
                tx, self._find(tx, block, agent).id, current_user(), expected_version
            )
        )

    def redo(
        self, block: str, *, agent: str | None = None, expected_version: int | None = None
    ) -> Block:
        """Take back an undo. Raises as `undo` does."""
        return self._core.do(
            lambda tx: blocks.redo(
                tx, self._find(tx, block, agent).id, current_user(), expected_version
            )
        )

    def movable(self, agent: str) -> dict[str, tuple[bool, bool]]:
        """Return of each of an agent's blocks, by id, whether `undo` and `redo` would do something."""
        return self._core.do(lambda tx: blocks.movable(tx, self._core.agent(tx, agent).id))

    def _find(self, tx: Tx, block: str, agent: str | None) -> Block:
        """Return the block of an id or, with *agent*, of the label it has there."""
        if agent is None:
            return _get(tx, block)
        state = self._core.agent(tx, agent)
        found = blocks.find(tx, state.id, block)
        if found is None:
            labels = [one.label for one in blocks.of_agent(tx, state.id)]
            raise NotFoundError(
                f"{state.name} has no memory block {block!r}.{nearest(block, labels)} "
                f"There is: {', '.join(labels) or 'none'}."
            )
        return found

    def ids(self, **filters: Any) -> list[str]:
        """Return the ids of blocks; filters as `letta_kernel.store.blocks.ids` takes them."""
        return self._core.do(lambda tx: blocks.ids(tx, **filters))

    # Last, so that `list` in the annotations above is Python's.
    def list(
        self,
        agent: str | None = None,
        *,
        ids: Sequence[str] | None = None,
        as_of: Moment = None,
    ) -> list[Block]:
        """Return an agent's blocks in the order in which it sees them, or those of *ids* that exist.

        *as_of* gives an agent's blocks the texts they had then, without those that had not been made.
        """

        def work(tx: Tx) -> list[Block]:
            if agent is not None:
                found = blocks.of_agent(tx, self._core.agent(tx, agent).id)
                if (end := self._until(tx, agent, as_of)) is None:
                    return found
                then = [_stood(tx, one, end) for one in found]
                return [one for one in then if one is not None]
            return blocks.get_many(tx, ids) if ids is not None else blocks.list_all(tx)

        return self._core.do(work)


def check_block(block: Block) -> None:
    """Refuse a block that could not be one."""
    check_label(block.label)
    if not 1 <= block.limit <= LARGEST:
        raise InvalidInputError(f"limit: a block may hold 1 to {LARGEST:,} characters.")
    if len(block.value) > block.limit:
        raise InvalidInputError(
            f"The block {block.label!r} may hold {block.limit:,} characters; this has "
            f"{len(block.value):,}.",
            page="block-full",
        )


def _standing(tx: Tx, agent_id: str, newest: BlockVersion) -> BlockStanding:
    others = [agents.get(tx, one) for one in blocks.agents_with(tx, newest.block_id)]
    there = [one for one in others if one is not None]
    called = Counter(one.name for one in there)
    origin = of_written(tx, [newest])[newest.version]
    return BlockStanding(
        others=sorted(
            f"{one.name} ({one.id})" if called[one.name] > 1 else one.name
            for one in there
            if one.id != agent_id
        ),
        by=origin.who,
        how=origin.how,
        step_id=newest.step_id,
        run_id=origin.asked.run_id if origin.asked else None,
    )


def _stood(tx: Tx, block: Block, end: datetime) -> Block | None:
    """Return a block with the text it had just before *end*; None if it had not been made."""
    then = blocks.latest(tx, block.id, until=end)
    if then is None:
        return None
    changes = {"value": then.value, "version": then.version, "updated_at": then.created_at}
    return block.model_copy(update=changes)


def _get(tx: Tx, block_id: str) -> Block:
    found = blocks.get(tx, block_id)
    if found is None:
        raise NotFoundError(f"There is no memory block {block_id!r}.")
    return found


def _change(
    tx: Tx,
    block: Block,
    changes: dict[str, Any],
    reason: str,
    actor: str | None,
    expected_version: int | None,
) -> Block:
    """Change a block, its text as a new version where it differs or an *expected_version* is passed."""
    changed = Block.model_validate({**block.model_dump(), **changes})
    check_block(changed)
    if changed.model_copy(update={"value": block.value}) != block:
        blocks.update(tx, changed)
    if changed.value != block.value or expected_version not in (None, block.version):
        blocks.write(
            tx,
            block.id,
            changed.value,
            actor=actor or current_user(),
            reason=reason,
            expected_version=expected_version,
        )
    return _get(tx, block.id)
