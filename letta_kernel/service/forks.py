"""Forks and rewinds: an agent as it was at a point in time, under another name or its own.

Nothing is copied or deleted: a fork reads the history it shares where it lies, and a rewind leaves the old end
as a branch that can be returned to. Each is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from letta_kernel.errors import InvalidInputError, NameTakenError, NotFoundError
from letta_kernel.memory.merging import merged
from letta_kernel.records import AgentState, Branch, Inherited, Run
from letta_kernel.remedies import Do, remedy
from letta_kernel.service import line_ends, outside, points, restoring
from letta_kernel.service.agent_checks import MAX_NAME, check_name
from letta_kernel.service.conversations import openable
from letta_kernel.service.core import Core
from letta_kernel.service.outside import Effect
from letta_kernel.service.points import Point
from letta_kernel.store import (
    agent_deletion,
    agents,
    blocks,
    branches,
    configurations,
    conversations,
    identities,
    lineage,
    passage_versions,
    runs,
)
from letta_kernel.store.database import Tx


@dataclass(slots=True)
class Rewound:
    """What a rewind did.

    Attributes
    ----------
    to : what it was rewound to, as people call it.
    branch : the old end, kept; None where the new line has all of it.
    runs : the runs that were taken back, the newest first, at most `line_ends.MOST_RUNS`.
    blocks : labels of memory blocks that have another text now.
    left : shared blocks, and what else was left as it is, each with the reason, in a line.
    changed : what else changed back, in a few words each.
    outside : what tools did outside, which nobody can take back.
    """

    agent: AgentState
    to: str
    branch: Branch | None = None
    runs: list[Run] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    outside: list[Effect] = field(default_factory=list)
    note: str = ""


class _Seen(Exception):
    """Ends a transaction that was only to show what it would do."""

    def __init__(self, done: Rewound) -> None:
        super().__init__()
        self.done = done


class Forks:
    """Forks, rewinds and the branches that these leave."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def fork(
        self,
        agent: str,
        name: str | None = None,
        *,
        at: str | None = None,
        conversation: str | None = None,
        purpose: str = "",
        fresh: bool = False,
    ) -> AgentState:
        """Make an agent that is what another one was at a point in time; both go on by themselves.

        It shares the history and passages up to there. Its blocks are copies, shared ones too, so that neither
        writes into the other's; archives and folders it sees as they were, and writes into none. A
        person's approval that is open at the point is not asked for in the fork: it begins just before.

        Parameters
        ----------
        name : what it is called; by default the name with a number behind it.
        at : a step, run or branch, by its id or the beginning of it; None for now, also during a run.
        conversation : the conversation that is forked, where *at* names nothing.
        purpose : what a machine makes it for (compare, eval, subagent): it is in no list then, found by its id
            alone, and its name need not be free. Whoever made it deletes it (`Agents.delete`).
        fresh : an agent of that name is set aside.

        Raises
        ------
        NotFoundError
            There is no such agent, or no such point in its history.
        NameTakenError
            There is an agent of that name. Nothing is made.
        """

        def work(tx: Tx) -> AgentState:
            state = self._core.thread(tx, agent, conversation)
            point = points.find(tx, state, at) if at else points.present(tx, state)
            if point.configuration is None:  # a step of before that was recorded: what it has now
                own = blocks.of_agent(tx, state.id)
                point.configuration = configurations.current(tx, state, own)[0]
            fork = self._fresh(tx, state, point, name, purpose, fresh)
            agents.add(tx, fork)
            held = [*point.blocks.values()]
            known = {one.id: one for one in blocks.get_many(tx, [then.id for then in held])}
            copies = [restoring.copied(then, known.get(then.id)) for then in held]
            blocks.add_first(tx, copies, fork.id, f"forked at {point.name}")
            passage_versions.carry_marks(tx, state.id, point.line, point.moment, fork.id, fork.line)
            restoring.attach(tx, fork, point, source_id=state.id)
            for one in identities.list_all(tx, owned=("agent", state.id)):
                identities.attach(tx, "agent", fork.id, one.id)
            return fork

        return self._core.do(work)

    def _fresh(
        self,
        tx: Tx,
        state: AgentState,
        point: Point,
        name: str | None,
        purpose: str,
        fresh: bool,
    ) -> AgentState:
        if name is None:
            short = state.name[: MAX_NAME - 20].rstrip()
            name = f"{short}-{purpose}" if purpose else _free_name(tx, state.name)
        name = check_name(name)
        taken = [] if purpose else [*agents.named(tx, name), *self._core.renamed(tx, name)]
        if taken and (not fresh or any(one.id == state.id for one in taken)):
            raise NameTakenError(f"There is an agent {name!r} already: choose another name.")
        for one in taken:
            agents.save(tx, one.model_copy(update={"set_aside": True}))
        fork = AgentState(
            name=name,
            description=state.description,
            settings=openable(state.settings),
            tags=state.tags,
            metadata=state.metadata_of_copy,
            inherits=point.parts,
            first_seq=point.seq + 1,
            first_passage=point.passage + 1,
            window_start=point.window_start,
            summary_id=point.summary_id,
            set_aside=bool(purpose),
            purpose=purpose,
        )
        for field_name in restoring.OF_AGENT:
            setattr(fork, field_name, getattr(state, field_name))
        restoring.configure(fork, point.configuration)
        return fork

    def mark(self, agent: str) -> str:
        """Return what tells an agent as it is now from itself after any change of what a fork would have."""

        def work(tx: Tx) -> str:
            state = self._core.agent(tx, agent)
            point = points.present(tx, state)
            assert point.configuration is not None
            held = sorted((one.id, one.version) for one in point.blocks.values())
            about = [
                state.id,
                point.seq,
                point.passage,
                configurations.name_of(point.configuration),
            ]
            return repr([*about, held])

        return self._core.do(work)

    def rewind(
        self,
        agent: str,
        to: str | None = None,
        *,
        steps: int | None = None,
        shared: bool = False,
        alone: bool = False,
    ) -> Rewound:
        """Bring an agent back to a point in its own thread; what came after stays as a branch.

        Its history, context window, blocks, settings, rules, tools (with the source they had), archives and
        folders become what they were. A block's text comes back as a new version. Blocks that other agents
        have too are left alone unless *shared* says otherwise.

        Parameters
        ----------
        to : a step or run (its end), or a branch, by its id or the beginning of it.
        steps : instead, how many steps to take back, counted from the newest.
        alone : whoever asks may change this agent alone: it is given no tool, archive, folder, budget or block
            of others that it has not got, and no other agent is named.

        Raises
        ------
        AgentBusyError
            A run of the agent goes on.
        NotFoundError
            There is no such point in its history.
        """

        return self._core.do(lambda tx: self._rewound(tx, agent, to, steps, shared, alone))

    def preview(
        self,
        agent: str,
        to: str | None = None,
        *,
        steps: int | None = None,
        shared: bool = False,
    ) -> Rewound:
        """Return what `rewind` would do, and refuse what it would; nothing is changed."""

        def work(tx: Tx) -> None:
            raise _Seen(self._rewound(tx, agent, to, steps, shared))

        try:
            self._core.do(work)
        except _Seen as seen:
            return seen.done
        raise AssertionError("unreachable")

    def _rewound(
        self,
        tx: Tx,
        agent: str,
        to: str | None,
        steps: int | None,
        shared: bool,
        alone: bool = False,
    ) -> Rewound:
        state = self._idle(tx, agent)
        if (to is None) == (steps is None):
            raise InvalidInputError(
                "Say where to: a step, run or branch, or how many steps to take back."
            )
        if steps is not None:
            point = self._steps_back(tx, state, steps)
        else:
            assert to is not None
            point = points.find(tx, state, to)
        line_ends.check_own(state, point)
        return self._go(tx, state, point, "rewind", shared, alone=alone)

    def undo(
        self,
        agent: str,
        *,
        shared: bool = False,
        leave: Collection[str] = (),
        alone: bool = False,
    ) -> Rewound:
        """Take back the last run of an agent's own thread: `rewind` to just before it.

        *leave* are labels of blocks whose text stays; see `next_undo`.
        """

        def work(tx: Tx) -> Rewound:
            state = self._idle(tx, agent)
            point = points.before_run(tx, state, line_ends.to_undo(tx, state))
            point.blocks = {k: then for k, then in point.blocks.items() if k not in leave}
            return self._go(tx, state, point, "undo", shared, leave, alone)

        return self._core.do(work)

    def next_undo(self, agent: str) -> tuple[Run, list[str]]:
        """Return the run that `undo` would take back, and the blocks somebody else wrote since it did.

        Raises
        ------
        NotFoundError
            There is none.
        """

        def work(tx: Tx) -> tuple[Run, list[str]]:
            state = self._core.agent(tx, agent)
            run = line_ends.to_undo(tx, state)
            point = points.before_run(tx, state, run)
            own = _steps_behind(tx, state, point)
            changed = []
            for block in blocks.of_agent(tx, state.id):
                then = point.blocks.get(block.label)
                newest = blocks.latest(tx, block.id)
                if then is not None and newest is not None and then.value != block.value:
                    changed += [] if newest.step_id in own else [block.label]
            return run, changed

        return self._core.do(work)

    def redo(self, agent: str, *, shared: bool = False, alone: bool = False) -> Rewound:
        """Return to the end that the last undo or rewind left.

        Raises
        ------
        NotFoundError
            There is none, or something was said since; the text says how to return all the same.
        """

        def work(tx: Tx) -> Rewound:
            state = self._idle(tx, agent)
            ends = branches.of_agent(tx, state.id)
            if not ends:
                raise NotFoundError(f"Nothing of {state.name} was taken back: there is no redo.")
            line = line_ends.line_of(tx, state)
            if not lineage.begins(line, ends[0].inherits):
                raise NotFoundError(
                    "Something was said since.", remedy(Do.RETURN_TO, points.short(ends[0].id))
                )
            end = points.of_branch(tx, ends[0])
            return self._go(tx, state, end, "return", shared, alone=alone)

        return self._core.do(work)

    def adopt(self, agent: str, fork: str) -> Rewound:
        """Let an agent go on as a fork of it has gone on: with its history and memory.

        The agent's own end stays as a branch; model, settings and tools stay as they are. A block that other
        agents have too is written only where the fork has written it. What somebody else (a person, another
        agent) wrote into a block meanwhile stays, with what the fork wrote; where both changed the same
        lines the fork's count, and the others are in the block's history. The fork may be deleted then.

        Raises
        ------
        AgentBusyError
            A run of one of them goes on.
        """

        def work(tx: Tx) -> Rewound:
            state, other = self._idle(tx, agent), self._idle(tx, fork)
            point = points.present(tx, other)
            point.name, point.configuration = "a fork that was kept", None
            wrote = {block.label for block in blocks.of_agent(tx, other.id) if block.version > 1}
            for block in blocks.of_agent(tx, state.id):
                if block.label not in wrote and len(blocks.agents_with(tx, block.id)) > 1:
                    point.blocks.pop(block.label, None)
            _keep_what_others_wrote(tx, state, other, point)
            return self._go(tx, state, point, "rewind", True)

        return self._core.do(work)

    def branches(self, agent: str) -> list[Branch]:
        """Return the ends that an agent was rewound from, the newest first."""
        return self._core.do(lambda tx: branches.of_agent(tx, self._core.agent(tx, agent).id))

    def forget_branch(self, agent: str, branch: str) -> None:
        """Forget an old end; what nobody else reads of it is deleted."""

        def work(tx: Tx) -> None:
            state = self._core.agent(tx, agent)
            kept = branches.get(tx, branch)
            if kept is None or kept.agent_id != state.id:
                raise NotFoundError(f"{state.name} has no branch {branch!r}.")
            branches.delete(tx, kept.id)
            branches.tidy(tx, state)
            agent_deletion.let_go(tx, {part.agent for part in kept.inherits} - {state.id})

        self._core.do(work)

    # -- the parts of a rewind ---------------------------------------------------------------------

    def _idle(self, tx: Tx, ref: str) -> AgentState:
        state = self._core.agent(tx, ref)
        agents.check_idle(tx, state.id)
        conversations.check_idle(tx, state.id)
        return state

    def _steps_back(self, tx: Tx, state: AgentState, count: int) -> Point:
        if count < 1:
            raise InvalidInputError("How many steps to take back is a number from 1 on.")
        rows = line_ends.steps_of_line(tx, state, count + 1)
        if len(rows) < count:
            raise NotFoundError(
                f"{state.name} has {len(rows)} steps: so many cannot be taken back."
            )
        if len(rows) > count:
            step = runs.get_step(tx, rows[count])
            assert step is not None
            return points.of_step(tx, state, step)
        first = runs.get_step(tx, rows[-1])
        run = runs.get(tx, first.run_id) if first is not None else None
        if run is None:
            raise NotFoundError(f"{state.name} has no step before that.")
        return points.before_run(tx, state, run)

    def _go(
        self,
        tx: Tx,
        state: AgentState,
        point: Point,
        reason: str,
        shared: bool,
        leave: Collection[str] = (),
        alone: bool = False,
    ) -> Rewound:
        if agents.is_waiting(tx, state.id):
            line_ends.decline(tx, state)
        old = line_ends.line_of(tx, state)
        done = Rewound(state, point.name, note=point.note)
        end = self._end_of(tx, state, old, reason, point)
        kept = not lineage.begins(old, point.parts)
        if kept or reason == "undo":
            done.branch = branches.add(tx, end)
        if kept:
            gone = lineage.behind(old, point.parts)
            done.runs = line_ends.runs_in(tx, gone)
            done.outside = outside.effects(tx, gone)
        for one in branches.of_agent(tx, state.id):
            if points.short(one.id) == point.name and one.inherits == point.parts:
                branches.delete(tx, one.id)  # it is the line now
        line_ends.turn(tx, state, point)
        known = restoring.restore(tx, state, point, shared, leave, alone)
        done.blocks, done.left, done.changed = known.blocks, known.left, known.changed
        agents.save(tx, state)
        tx.execute("UPDATE leases SET waiting = false WHERE agent_id = $1", (state.id,))
        return done

    def _end_of(
        self, tx: Tx, state: AgentState, old: list[Inherited], reason: str, point: Point
    ) -> Branch:
        """Return the end that is left, with all that is needed to return to it."""
        own = blocks.of_agent(tx, state.id)
        config, had = configurations.current(tx, state, own)
        newest = line_ends.steps_of_line(tx, state, 1)
        step = runs.get_step(tx, newest[0]) if newest else None
        return Branch(
            agent_id=state.id,
            inherits=old,
            window_start=state.window_start,
            summary_id=state.summary_id,
            configuration=configurations.keep(tx, config, had),
            blocks={block.label: [block.id, block.version] for block in own},
            reason=reason if reason in ("undo", "return") else "rewind",  # type: ignore[arg-type]
            left_at=point.seq,
            line=state.line,
            run_id=step.run_id if step is not None else None,
            step_id=step.id if step is not None else None,
        )


def _steps_behind(tx: Tx, state: AgentState, point: Point) -> set[str]:
    """Return the ids of the steps of an agent's own line that came after a point."""
    gone = lineage.behind(line_ends.line_of(tx, state), point.parts)
    return {step.id for one in line_ends.runs_in(tx, gone) for step in runs.steps_of(tx, one.id)}


def _keep_what_others_wrote(tx: Tx, state: AgentState, fork: AgentState, point: Point) -> None:
    """Put into the blocks of *point*, the end of a fork, what others wrote into the agent's since."""
    own = _steps_behind(tx, state, point)
    copies = {block.label: block for block in blocks.of_agent(tx, fork.id)}
    for block in blocks.of_agent(tx, state.id):
        copy, then = copies.get(block.label), point.blocks.get(block.label)
        newest = blocks.latest(tx, block.id)
        if copy is None or then is None or newest is None or newest.step_id in own:
            continue
        first = blocks.versions(tx, copy.id)[0].value
        text = merged(first, copy.value, block.value)
        if text is not None and len(text) <= block.limit:
            point.blocks[block.label] = replace(then, value=text)


def _free_name(tx: Tx, name: str) -> str:
    name, number = name[: MAX_NAME - 10].rstrip(), 2
    while agents.named(tx, f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"
