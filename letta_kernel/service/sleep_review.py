"""What sleep-time agents would write: landed when they have come to their end, reviewed, and taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from letta_kernel.errors import ConflictError, InvalidInputError, LettaError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.memory.blocks import check_limit
from letta_kernel.memory.merging import hunks, merged, with_hunks
from letta_kernel.records import Block, Proposal, Sleep
from letta_kernel.service.core import Core, Memories
from letta_kernel.store import (
    agents,
    blocks,
    forgetting,
    messages,
    passage_edits,
    passages,
    purge_due,
    runs,
    sights,
    sleeps,
)
from letta_kernel.store.database import Tx
from letta_kernel.users import current_user

_REASON = 300  # characters of what an agent said as it wrote


@dataclass(frozen=True, slots=True)
class Changed:
    """A block, or with an empty ``label`` a passage, that a sleep has changed: its text before and after."""

    label: str
    before: str
    after: str


class Review:
    """The proposals of a project's sleep-time agents."""

    def __init__(self, core: Core, memories: Memories) -> None:
        self._core = core
        self._memories = memories

    def waiting(self, agent: str) -> list[Proposal]:
        """Return what waits for a person's word on an agent's memory, oldest first."""
        return self._core.do(lambda tx: sleeps.waiting(tx, self._core.agent(tx, agent).id))

    @staticmethod
    def parts(one: Proposal) -> list[tuple[str, str]]:
        """Return the parts of a proposal that can be decided by themselves: the lines before and after."""
        if one.kind == "passage":
            return [("", one.after)]
        return [("\n".join(h.old), "\n".join(h.new)) for h in hunks(one.before, one.after)]

    def accept(
        self, agent: str, which: Sequence[str] = (), *, hunk: int | None = None
    ) -> list[Proposal]:
        """Let proposals land, all or none: those named by id or block label, or all that wait.

        Parameters
        ----------
        hunk : of one proposal for a block, only its change of this number, counted from 1.

        Raises
        ------
        ConflictError
            A block has been changed since where the proposal would change it; nothing lands.
        NotFoundError, InvalidInputError
            Nothing like that waits; a block would be too long, or is read-only now.
        """

        def work(tx: Tx) -> list[Proposal]:
            chosen = self._chosen(tx, agent, which, hunk)
            for one in sorted(chosen, key=lambda one: one.kind != "passage"):
                self._accept(tx, one, hunk)
            return chosen

        return self._core.join(work)

    def reject(
        self, agent: str, which: Sequence[str] = (), *, hunk: int | None = None
    ) -> list[Proposal]:
        """Let proposals go, named as `accept` takes them; of one, only the change number *hunk*."""

        def work(tx: Tx) -> list[Proposal]:
            chosen = self._chosen(tx, agent, which, hunk)
            for one in chosen:
                if hunk is not None:
                    left = {*range(len(hunks(one.before, one.after)))} - {hunk - 1}
                    one.after = with_hunks(one.before, one.after, left)
                _decided(tx, one, "rejected", whole=hunk is None)
            return chosen

        return self._core.do(work)

    def undo(self, agent: str) -> tuple[Sleep, list[str]]:
        """Take all that the last sleep changed back at once; return it and the labels of its blocks.

        What others wrote since stays. A sleep that was taken back is passed over.

        Raises
        ------
        InvalidInputError
            There is nothing to take back.
        ConflictError
            A block was changed since in the same lines: nothing is taken back.
        """

        def work(tx: Tx) -> tuple[Sleep, list[str]]:
            state = self._core.agent(tx, agent)
            for sleep in sleeps.list_all(tx, state.id):
                steps = self._steps(tx, sleep)
                if sleep.status != "done" or not self._wrote(tx, steps):
                    continue
                labels = self._take_back(tx, steps)
                sleep.status, sleep.told = "undone", True
                sleeps.end(tx, sleep)
                return sleep, labels
            raise InvalidInputError(f"No sleep-time agent has changed the memory of {state.name}.")

        done = self._core.join(work)
        purge_due.expect(self._core.home, self._core.database.in_file)
        self._memories.of(self._core.find_agent(agent))[0].follow()
        return done

    def changed(self, tx: Tx, sleep: Sleep) -> list[Changed]:
        """Return what a sleep has changed, blocks and then passages."""
        steps = self._steps(tx, sleep)
        found = []
        for block_id, (first, last) in blocks.written_in(tx, steps).items():
            block = blocks.get(tx, block_id)
            before = blocks.latest(tx, block_id, below=first)
            after = blocks.latest(tx, block_id, below=last + 1)
            if block is not None and after is not None:
                found.append(Changed(block.label, before.value if before else "", after.value))
        kept = passages.written_in(tx, steps)
        return [*found, *(Changed("", "", one.content) for one in kept)]

    def land(self, tx: Tx, sleep: Sleep) -> list[str]:
        """Let all that a sleep proposed land, in a transaction that joins; return what could not, in words."""
        left = []
        for one in sorted(
            sleeps.proposals(tx, sleep.id, ["staged"]), key=lambda one: one.kind != "passage"
        ):
            try:
                self._accept(tx, one, None)
            except LettaError as error:
                _decided(tx, one, "conflict")
                left.append(error.text)
        return left

    def put_up(self, tx: Tx, sleep: Sleep) -> int:
        """Let what a sleep proposed wait for a person's word; return how many things that are."""
        found = sleeps.proposals(tx, sleep.id, ["staged"])
        for one in found:
            one.status = "open"
            sleeps.change(tx, one)
        return len(found)

    def give_reasons(self, tx: Tx, sleep: Sleep) -> None:
        """Note with each proposal of a sleep what its agent said as it made it."""
        for one in sleeps.proposals(tx, sleep.id, ["staged"]):
            said = messages.page(
                tx, sleep.sleeper_id, step_id=one.step_id, roles=["assistant"], limit=1
            )
            one.reason = " ".join(said[0].content.split())[:_REASON] if said else ""
            sleeps.change(tx, one)

    def drop(self, tx: Tx, sleep: Sleep) -> None:
        """Let go of what a sleep that has not come to its end would have written."""
        for one in sleeps.proposals(tx, sleep.id, ["staged"]):
            _decided(tx, one, "dropped")

    def _chosen(self, tx: Tx, agent: str, which: Sequence[str], hunk: int | None) -> list[Proposal]:
        state = self._core.agent(tx, agent)
        every = sleeps.waiting(tx, state.id)
        if not every:
            raise NotFoundError(f"Nothing waits for your word on the memory of {state.name}.")
        for name in which:
            if not any(name in (one.id, one.label) for one in every):
                labels = [one.label or one.id for one in every]
                raise NotFoundError(f"No proposal {name!r} waits; there is: {', '.join(labels)}.")
        chosen = [one for one in every if not which or one.id in which or one.label in which]
        if hunk is not None:
            if len(chosen) != 1 or chosen[0].kind != "block":
                raise InvalidInputError(
                    "A change has a number in the proposal for one block: name it."
                )
            count = len(hunks(chosen[0].before, chosen[0].after))
            if not 1 <= hunk <= count:
                raise InvalidInputError(
                    f"The proposal for {chosen[0].label} has the changes 1 to {count}, not {hunk}."
                )
        return chosen

    def _accept(self, tx: Tx, one: Proposal, hunk: int | None) -> None:
        sleep = sleeps.get(tx, one.sleep_id)
        assert sleep is not None
        if one.kind == "passage":
            self._keep(tx, one, sleep)
            _decided(tx, one, "landed")
            return
        wanted = one.after if hunk is None else with_hunks(one.before, one.after, {hunk - 1})
        self._write(tx, one, sleep, wanted)
        one.before = wanted
        _decided(tx, one, "landed", whole=hunk is None)

    def _write(self, tx: Tx, one: Proposal, sleep: Sleep, wanted: str) -> None:
        """Write into a block what a proposal changes of it, whatever else was changed meanwhile."""
        block = blocks.get(tx, one.block_id) if one.block_id else None
        if block is not None and not self._has(tx, one, sleep, block):
            block = None  # others may have it still: it is theirs alone now
        else:
            block = block or blocks.find(tx, one.agent_id, one.label)
        reason = one.reason or "tidied while at rest"
        if block is None:
            if one.block_id is not None:
                raise ConflictError(
                    f"The block {one.label} is gone: reject what was proposed for it."
                )
            block = Block(label=one.label, value=wanted, created_by=sleep.sleeper_id)
            check_limit(block, wanted)
            blocks.add(tx, block, one.agent_id, step_id=one.step_id, reason=reason)
            one.block_id, one.version = block.id, block.version
            return
        value = merged(one.before, wanted, block.value)
        if value is None:
            raise ConflictError(
                f"The block {block.label} was changed since in the same lines: it stays as it is. Reject "
                "what was proposed for it, or write it yourself."
            )
        if block.read_only:
            raise InvalidInputError(
                f"The block {block.label} is read-only: it stays as it is.", page="block-read-only"
            )
        check_limit(block, value)
        if value != block.value:
            block = blocks.write(
                tx, block.id, value, actor=sleep.sleeper_id, step_id=one.step_id, reason=reason
            )
        one.version = block.version

    @staticmethod
    def _has(tx: Tx, one: Proposal, sleep: Sleep, block: Block) -> bool:
        """Whether a block is the agent's still, or one that only who tidies has."""
        having = blocks.agents_with(tx, block.id)
        if one.agent_id in having:
            return True
        sleeper = agents.get(tx, sleep.sleeper_id)
        own = sleeper is not None and sleeper.looks_after != one.agent_id
        return own and sleep.sleeper_id in having

    def _keep(self, tx: Tx, one: Proposal, sleep: Sleep) -> None:
        state = agents.get(tx, one.agent_id)
        if state is None:
            raise NotFoundError("The agent is gone.")
        sight = sights.of_agent(tx, state.id)
        there = {p.id for p in passages.get_many(tx, one.supersedes, sight)}
        self._memories.of(state)[0].insert(
            state.id,
            one.after,
            one.tags,
            actor=sleep.sleeper_id,
            step_id=one.step_id,
            reason="archival_memory_insert",
            supersedes=[key for key in one.supersedes if key in there],
        )

    @staticmethod
    def _steps(tx: Tx, sleep: Sleep) -> list[str]:
        return [one.id for one in runs.steps_of(tx, sleep.run_id)] if sleep.run_id else []

    @staticmethod
    def _wrote(tx: Tx, steps: Sequence[str]) -> bool:
        return bool(blocks.written_in(tx, steps) or passages.written_in(tx, steps))

    @staticmethod
    def _take_back(tx: Tx, steps: Collection[str]) -> list[str]:
        labels = []
        for block_id in blocks.written_in(tx, [*steps]):
            block = blocks.get(tx, block_id)
            if block is None:
                continue
            every = blocks.versions(tx, block_id)
            value: str | None = block.value
            for number in reversed(range(len(every))):
                if every[number].step_id in steps and value is not None:
                    before = every[number - 1].value if number else ""
                    value = merged(every[number].value, value, before)  # what was there goes first
            if value is None:
                raise ConflictError(
                    f"The block {block.label} was changed since in the same lines, so nothing was taken "
                    "back: its history has every version."
                )
            if value != block.value:
                check_limit(block, value)
                reason = "what was tidied while at rest is taken back"
                blocks.write(tx, block_id, value, actor=current_user(), reason=reason)
            labels.append(block.label)
        kept = [one.id for one in passages.written_in(tx, [*steps])]
        forgetting.forget(tx, kept)
        passage_edits.unmark(tx, kept)
        return labels


def _decided(tx: Tx, one: Proposal, status: str, *, whole: bool = True) -> None:
    """Write what became of a proposal; one of whose changes some are left waits on."""
    if whole or one.before == one.after:
        one.status, one.decided_at = status, now()  # type: ignore[assignment]
        one = one.model_copy(update={"before": "", "after": ""})  # or it outlived what is forgotten
    sleeps.change(tx, one)
