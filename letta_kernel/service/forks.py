"""Forks and rewinds: an agent as it was at a point in time, under another name or its own.

Nothing is copied or deleted: a fork reads the history it shares where it lies, and a rewind leaves the old end
as a branch that can be returned to. Each is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from letta_kernel.agent.decisions import pending_calls
from letta_kernel.errors import InvalidInputError, NameTakenError, NotFoundError
from letta_kernel.ids import LOCAL_USER, now
from letta_kernel.messages import DID_NOT_HAPPEN, Message
from letta_kernel.records import AgentState, Block, Branch, Inherited, OwnThread, Run
from letta_kernel.remedies import Do, remedy
from letta_kernel.service import outside, points, restoring
from letta_kernel.service.agent_checks import check_name
from letta_kernel.service.conversations import openable
from letta_kernel.service.core import Core
from letta_kernel.service.outside import Effect
from letta_kernel.service.points import Point
from letta_kernel.store import (
    agents,
    attachments,
    blocks,
    branches,
    configurations,
    conversations,
    counters,
    identities,
    lineage,
    messages,
    passage_versions,
    runs,
)
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Where

MOST_RUNS = 1000
"""Runs taken back that a rewind names at most: the newest."""


@dataclass(slots=True)
class Rewound:
    """What a rewind did.

    Attributes
    ----------
    to : what it was rewound to, as people call it.
    branch : the old end, kept; None where the new line has all of it.
    runs : the runs that were taken back, the newest first, at most `MOST_RUNS`.
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
            copies = [_copy(then, known.get(then.id)) for then in held]
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
            name = f"{state.name}-{purpose}" if purpose else _free_name(tx, state.name)
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
    ) -> Rewound:
        """Bring an agent back to a point in its own thread; what came after stays as a branch.

        Its history, context window, blocks, settings, rules, tools (with the source they had), archives and
        folders become what they were. A block's text comes back as a new version. Blocks that other agents
        have too are left alone unless *shared* says otherwise.

        Parameters
        ----------
        to : a step or run (its end), or a branch, by its id or the beginning of it.
        steps : instead, how many steps to take back, counted from the newest.

        Raises
        ------
        AgentBusyError
            A run of the agent goes on.
        NotFoundError
            There is no such point in its history.
        """

        return self._core.do(lambda tx: self._rewound(tx, agent, to, steps, shared))

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
        self, tx: Tx, agent: str, to: str | None, steps: int | None, shared: bool
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
        _check_own(state, point)
        return self._go(tx, state, point, "rewind", shared)

    def undo(self, agent: str, *, shared: bool = False, leave: Collection[str] = ()) -> Rewound:
        """Take back the last run of an agent's own thread: `rewind` to just before it.

        *leave* are labels of blocks whose text stays; see `next_undo`.
        """

        def work(tx: Tx) -> Rewound:
            state = self._idle(tx, agent)
            point = points.before_run(tx, state, _to_undo(tx, state))
            point.blocks = {k: then for k, then in point.blocks.items() if k not in leave}
            return self._go(tx, state, point, "undo", shared, leave)

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
            run = _to_undo(tx, state)
            point = points.before_run(tx, state, run)
            gone = lineage.behind(_line(tx, state), point.parts)
            own = {step.id for one in _runs_in(tx, gone) for step in runs.steps_of(tx, one.id)}
            changed = []
            for block in blocks.of_agent(tx, state.id):
                then = point.blocks.get(block.label)
                newest = blocks.latest(tx, block.id)
                if then is not None and newest is not None and then.value != block.value:
                    changed += [] if newest.step_id in own else [block.label]
            return run, changed

        return self._core.do(work)

    def redo(self, agent: str, *, shared: bool = False) -> Rewound:
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
            line = _line(tx, state)
            if not lineage.begins(line, ends[0].inherits):
                raise NotFoundError(
                    "Something was said since.", remedy(Do.RETURN_TO, points.short(ends[0].id))
                )
            return self._go(tx, state, points.of_branch(tx, ends[0]), "return", shared)

        return self._core.do(work)

    def adopt(self, agent: str, fork: str) -> Rewound:
        """Let an agent go on as a fork of it has gone on: with its history and memory.

        The agent's own end stays as a branch; model, settings and tools stay as they are. A block that other
        agents have too is written only where the fork has written it. The fork may be deleted then.

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
            agents.let_go(tx, {part.agent for part in kept.inherits} - {state.id})

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
        rows = steps_of_line(tx, state, count + 1)
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
    ) -> Rewound:
        if agents.is_waiting(tx, state.id):
            _decline(tx, state)
        old = _line(tx, state)
        done = Rewound(state, point.name, note=point.note)
        end = self._end_of(tx, state, old, reason, point)
        kept = not lineage.begins(old, point.parts)
        if kept or reason == "undo":
            done.branch = branches.add(tx, end)
        if kept:
            gone = lineage.behind(old, point.parts)
            done.runs = _runs_in(tx, gone)
            done.outside = outside.effects(tx, gone)
        for one in branches.of_agent(tx, state.id):
            if points.short(one.id) == point.name and one.inherits == point.parts:
                branches.delete(tx, one.id)  # it is the line now
        _turn(tx, state, point)
        known = restoring.restore(tx, state, point, shared, leave)
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
        newest = steps_of_line(tx, state, 1)
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


def steps_of_line(tx: Tx, state: AgentState, count: int) -> list[str]:
    """Return the ids of the newest steps in which something was said on an agent's line, newest first."""
    where = Where()
    lineage.of_thread(where, state.thread)
    rows = tx.query(
        f"SELECT step_id FROM messages {where} AND step_id IS NOT NULL GROUP BY step_id"
        f" ORDER BY max(seq) DESC LIMIT {where.place(count)}",
        where.params,
    )
    return [str(row[0]) for row in rows]


def _line(tx: Tx, state: AgentState) -> list[Inherited]:
    """Return the whole line of an agent up to its newest message and passage."""
    passage = counters.last(tx, state.id, "passages")
    newest = messages.page(tx, state.id, limit=1, thread=OwnThread(state.id, (), state.first_seq))
    return lineage.line(state, passage, newest[0].seq if newest else 0)


def _turn(tx: Tx, state: AgentState, point: Point) -> None:
    """Let an agent go on behind a point; its own begins anew behind its newest numbers."""
    state.inherits, rest = lineage.resumed(
        point.parts,
        state.id,
        messages.following(tx, state.id),
        counters.last(tx, state.id, "passages") + 1,
    )
    state.first_seq, state.first_passage = rest
    line = counters.take(tx, state.id, "lines")
    passage_versions.carry_marks(tx, state.id, point.line, point.moment, state.id, line)
    attachments.leave(tx, state.id, state.line)
    state.line = line
    state.window_start, state.summary_id = point.window_start, point.summary_id


def _decline(tx: Tx, state: AgentState) -> None:
    """Answer the calls that wait for a person on the line that is left: they did not happen."""
    begin = messages.newest(tx, state.thread, state.window_start, characters=1)
    seen = messages.window(tx, state.thread, begin)
    asked = next((m for m in reversed(seen) if m.role == "assistant"), None)
    if asked is None:
        return
    told = [
        Message(
            agent_id=state.id,
            run_id=asked.run_id,
            step_id=asked.step_id,
            role="tool",
            content=DID_NOT_HAPPEN,
            name=call.name,
            tool_call_id=call.id,
            status="interrupted",
        )
        for call in pending_calls(seen)
    ]
    messages.append(tx, state.id, told)


def _check_own(state: AgentState, point: Point) -> None:
    last = next((part for part in reversed(point.parts) if part.last >= part.first), None)
    if last is not None and last.thread.startswith("conv-"):
        raise InvalidInputError(
            f"{point.name} is in a conversation of {state.name}, which cannot be rewound.",
            remedy(Do.FORK_FROM, point.name),
        )


def _last_run(tx: Tx, state: AgentState) -> Run | None:
    """Return the last run of an agent's line as a person counts them: its first part, before approvals."""
    where = Where()
    where.add("run_id IS NOT NULL")
    lineage.of_thread(where, state.thread)
    row = tx.one(f"SELECT run_id FROM messages {where} ORDER BY seq DESC LIMIT 1", where.params)
    run = runs.get(tx, row[0]) if row else None
    while run is not None and run.continues and (before := runs.get(tx, run.continues)):
        run = before
    return run


def _to_undo(tx: Tx, state: AgentState) -> Run:
    run = _last_run(tx, state)
    if run is None:
        raise NotFoundError(f"{state.name} has no run that could be taken back.")
    return run


def _runs_in(tx: Tx, parts: Sequence[Inherited]) -> list[Run]:
    """Return the runs that messages of these parts are of, the newest first."""
    if not parts:
        return []
    where = Where()
    lineage.of_parts(where, parts)
    rows = tx.query(
        f"SELECT run_id FROM messages {where} AND run_id IS NOT NULL GROUP BY run_id"
        f" ORDER BY max(seq) DESC LIMIT {where.place(MOST_RUNS)}",
        where.params,
    )
    ids = [str(row[0]) for row in rows]
    known = {run.id: run for run in runs.select(tx, "WHERE id = ANY($1::text[])", (ids,))}
    return [known[one] for one in ids if one in known]


def _free_name(tx: Tx, name: str) -> str:
    number = 2
    while agents.named(tx, f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"


def _copy(then: points.BlockThen, old: Block | None) -> Block:
    """Return a block for a fork with the text it had; what else it is comes from the one that is there."""
    block = Block(label=then.label, value=then.value, created_by=LOCAL_USER)
    if old is not None:
        block.limit, block.description = old.limit, old.description
        block.read_only, block.tags, block.metadata = old.read_only, old.tags, old.metadata
    block.limit = max(block.limit, len(block.value))
    block.created_at = block.updated_at = now()
    return block
