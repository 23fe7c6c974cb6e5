"""Core memory: the blocks of one agent, read and edited with limits, versions and no lost updates."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.ids import hidden_sign
from letta_kernel.memory.edits import EditError
from letta_kernel.memory.origins import names
from letta_kernel.records import STANDING, Block
from letta_kernel.store import blocks as store
from letta_kernel.store.database import Database, Tx
from letta_kernel.users import is_own

LONGEST_LABEL = 200
"""Characters a block's label may have."""


LONGEST_QUOTED = 20_000
"""Characters of a block's text that an agent is told of in a tool's result."""


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change of a block; *others* says who else wrote it since the agent saw it, if anybody."""

    before: str
    block: Block
    others: str = ""


class OutdatedError(EditError):
    """A block was not rewritten, because it has changed since the agent saw it; *block* is the new one."""

    page = "changed-meanwhile"

    def __init__(self, text: str, block: Block) -> None:
        super().__init__(text)
        self.block = block


class CoreMemory:
    """The core memory of the agent *agent_id*.

    Every edit is one transaction that reads the block, changes it and writes a version, so that edits
    by a person, another agent or another notebook at the same time never overwrite each other unseen.
    """

    def __init__(self, database: Database, agent_id: str) -> None:
        self.database = database
        self.agent_id = agent_id

    def all(self) -> list[Block]:
        """Return the agent's blocks in the order in which they were attached."""
        return self.database.run(lambda tx: store.of_agent(tx, self.agent_id))

    def edit(
        self,
        label: str,
        change: Callable[[str], str],
        *,
        actor: str,
        step_id: str | None = None,
        reason: str = "",
        seen: Mapping[str, int] | None = None,
        whole: bool = False,
    ) -> Change:
        """Apply *change* to the block's newest text as an agent does; commit before returning.

        The block `STANDING` is made where the agent has none.

        Parameters
        ----------
        seen : by a block's id the version that the agent has in sight; None where nobody keeps count.
        whole : *change* does not look at the text there is, so it must be the one the agent has seen.

        Raises
        ------
        NotFoundError
            No block of that label.
        OutdatedError
            Others wrote the *whole* text since; the error has what it reads now.
        EditError
            The block is read-only, the change cannot be made, or the result is over the limit.
        """

        def work(tx: Tx) -> Change:
            if label == STANDING and store.find(tx, self.agent_id, label) is None:
                return self._first_standing(tx, change(""), actor, step_id, reason)
            block = self._editable(tx, label)
            others = (
                "" if seen is None else self._writers(tx, block, seen.get(block.id, 0), step_id)
            )
            if others and whole:
                raise OutdatedError(_outdated(block, others), block)
            value = change(block.value)
            check_limit(block, value)
            if value == block.value:
                return Change(block.value, block, others)
            written = store.write(tx, block.id, value, actor=actor, step_id=step_id, reason=reason)
            return Change(block.value, written, others)

        return self.database.run(work)

    def _writers(self, tx: Tx, block: Block, seen: int, step_id: str | None) -> str:
        """Return who wrote a block since version *seen*, as the agent reads it; not it itself in this step."""
        if block.version == seen:
            return ""
        since = [one for one in store.versions(tx, block.id, seen + 1) if one.step_id != step_id]
        called = names(tx, [one.actor for one in since])
        called |= {one.actor: "the user" for one in since if is_own(one.actor)}
        called |= {self.agent_id: "you in another run"}
        return " and ".join(dict.fromkeys(called[one.actor] for one in since))

    def _first_standing(
        self, tx: Tx, value: str, actor: str, step_id: str | None, reason: str
    ) -> Change:
        made = Block(label=STANDING, value=value, created_by=actor)
        check_limit(made, value)
        store.add(tx, made, self.agent_id, step_id=step_id, reason=reason)
        return Change("", made)

    def create(
        self,
        label: str,
        value: str,
        description: str,
        *,
        actor: str,
        step_id: str | None = None,
        reason: str = "created",
    ) -> Block:
        """Make a block; `EditError` if the agent has one of that label."""

        def work(tx: Tx) -> Block:
            check_label(label)
            if store.find(tx, self.agent_id, label) is not None:
                raise EditError(f"There is a memory block {label!r} already: edit it instead.")
            made = Block(label=label, value=value, description=description, created_by=actor)
            check_limit(made, value)
            return store.add(tx, made, self.agent_id, step_id=step_id, reason=reason)

        return self.database.run(work)

    def remove(self, label: str) -> Block:
        """Take a block off the agent; the block and its versions stay in the store."""

        def work(tx: Tx) -> Block:
            block = self._editable(tx, label)
            store.detach(tx, self.agent_id, block.id)
            return block

        return self.database.run(work)

    def describe(self, label: str, *, new_label: str | None, description: str | None) -> Block:
        """Give a block another label, another description, or both."""

        def work(tx: Tx) -> Block:
            block = self._editable(tx, label)
            if new_label is not None:
                block.label = check_label(new_label)
            if description is not None:
                block.description = description
            return store.update(tx, block)

        return self.database.run(work)

    def _editable(self, tx: Tx, label: str) -> Block:
        block = self._find(tx, label)
        if block.read_only:
            raise EditError(
                f"The memory block {label!r} is read-only and cannot be edited.",
                page="block-read-only",
            )
        return block

    def _find(self, tx: Tx, label: str) -> Block:
        block = store.find(tx, self.agent_id, label)
        if block is None and "&" in label:  # as it stands in the prompt's tag
            block = store.find(tx, self.agent_id, html.unescape(label))
        if block is None:
            labels = [b.label for b in store.of_agent(tx, self.agent_id)]
            known = ", ".join(labels) or "none"
            raise NotFoundError(
                f"There is no memory block {label!r} (there is: {known}).{nearest(label, labels)}"
            )
        return block


def quoted(block: Block) -> str | None:
    """Return a block's text as a tool's result quotes it; None if it is too long."""
    if len(block.value) > LONGEST_QUOTED:
        return None
    return f"It reads now:\n{block.value}" if block.value else "It is empty now."


def _outdated(block: Block, others: str) -> str:
    told = quoted(block)
    way = (
        f"Nothing was rewritten. {told}\nRewrite it again, with what should stay of that."
        if told is not None
        else "Nothing was rewritten. Use a tool that changes a part of it, or rewrite it in your next turn."
    )
    return f"The block {block.label!r} was changed by {others} since you last saw it. {way}"


def check_limit(block: Block, value: str) -> None:
    """Refuse a *value* longer than the block may hold, saying how much room is left."""
    if len(value) > block.limit:
        room = max(0, block.limit - len(block.value))
        way = "put it into archival memory"
        if block.label == STANDING:  # or the block would not be found when it applies
            way = "join those that say the same; what no longer holds can go"
        raise EditError(
            f"The block {block.label!r} may hold {block.limit:,} characters; this would make it "
            f"{len(value):,}. It holds {len(block.value):,} now ({room:,} left): shorten or drop "
            f"something, or {way}.",
            page="block-full",
        )


def check_label(label: str) -> str:
    """Return *label* if it can name a block: any text of one line, as ``system/human`` or ``my label``.

    Raises
    ------
    InvalidInputError
        It is empty, too long, or has blanks around it or signs in it that nobody sees.
    """
    if not label or label != label.strip():
        raise InvalidInputError(
            f"A block's label is a text without blanks around it, not {label!r}."
        )
    if len(label) > LONGEST_LABEL:
        raise InvalidInputError(
            f"A block's label has at most {LONGEST_LABEL} characters; this has {len(label):,}."
        )
    if (hidden := hidden_sign(label)) is not None:
        raise InvalidInputError(
            f"A block's label is one line of visible characters; {label!r} has {hidden!r} in it."
        )
    return label
