"""Points in time of an agent: a step, the moment before a run, an end it was rewound from, or now.

A point is read, never kept: the line of history up to it, and what the agent knew and could do there. What it
ran with is the configuration that the step names; what blocks held comes from their versions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.records import (
    AgentState,
    Branch,
    Configuration,
    Conversation,
    Inherited,
    OwnThread,
    Run,
    Step,
)
from letta_kernel.remedies import Do, remedy
from letta_kernel.store import (
    attachments,
    blocks,
    branches,
    configurations,
    conversations,
    counters,
    lineage,
    messages,
    passage_versions,
    runs,
    sights,
)
from letta_kernel.store.database import Tx
from letta_kernel.store.sights import Sight

_TABLES = {"step": "steps", "run": "runs", "branch": "branches"}
_LEAST = 4  # characters of an id that name it


@dataclass(frozen=True, slots=True)
class BlockThen:
    """A block at a point in time: ``id`` may be of one that is gone meanwhile.

    ``known`` is False where its versions are gone too: the text is then the earliest of the agent's own block.
    """

    id: str
    label: str
    version: int
    value: str
    known: bool = True


@dataclass(slots=True)
class Point:
    """A point in an agent's time.

    Attributes
    ----------
    name : how it is called: the beginning of an id.
    owner : the agent whose blocks are named: itself, or one whose history it shares.
    parts : the line of history up to it.
    seq, passage : the numbers of the last message and the last passage there.
    moment : when that was.
    line : the number of the line it is in, as `AgentState.line`.
    steps : of the run it is in, the steps that were done.
    configuration : what the agent ran with; None where that was not recorded yet.
    blocks : what it remembered, by label.
    note : what is to be known about it, empty for most.
    """

    name: str
    agent_id: str
    parts: list[Inherited]
    seq: int
    passage: int
    moment: datetime
    owner: str = ""
    line: int = 0
    steps: tuple[str, ...] = ()
    window_start: int = 0
    summary_id: str | None = None
    configuration: Configuration | None = None
    blocks: dict[str, BlockThen] = field(default_factory=dict)
    run_id: str | None = None
    step_id: str | None = None
    note: str = ""

    @property
    def thread(self) -> OwnThread:
        """The history up to it, as a thread of its own that nothing is added to."""
        return OwnThread(self.agent_id, tuple(self.parts), lineage.LAST)


def sight(tx: Tx, point: Point) -> Sight:
    """Return the passages that an agent found at a point, its archives' among them."""
    config = point.configuration
    had = attachments.seen_at(
        tx,
        "archive",
        config.archives if config is not None else [],
        point.agent_id,
        point.line,
        point.moment,
        point.steps,
    )
    return sights.of_line(
        tx, point.agent_id, point.parts, had, line=point.line, moment=point.moment
    )


def short(ref: str) -> str:
    """Return an id as it is shown: ``step-1f0a9c3d``, enough to name it."""
    kind, _, rest = ref.partition("-")
    return f"{kind}-{rest[:8]}"


def cut(parts: list[Inherited], seq: int, passage: int, moment: datetime | None) -> list[Inherited]:
    """Return a line up to message number *seq* and passage number *passage*, as it stood at *moment*."""
    found = []
    for part in parts:
        had = 0 < part.first_passage <= min(part.last_passage, passage)
        if part.first > seq and not had:
            continue
        fresh = part.model_copy(
            update={
                "first": part.first if part.first <= seq else 0,
                "last": min(part.last, seq) if part.first <= seq else -1,
                "first_passage": part.first_passage if had else 0,
                "last_passage": min(part.last_passage, passage) if had else 0,
            }
        )
        until = sights.moment_of(fresh.moment)
        if moment is not None and (until is None or moment < until):
            fresh.moment = moment.isoformat()
        found.append(fresh)
    return found


def find(tx: Tx, state: AgentState, ref: str) -> Point:
    """Return the point that *ref* names: a step, a run (its end), or a branch, by id or its beginning.

    Raises
    ------
    NotFoundError
        The agent has nothing of that id.
    InvalidInputError
        It is the beginning of several ids.
    """
    kind, full = _named(tx, state, ref.strip())
    if kind == "branches":
        branch = branches.get(tx, full)
        assert branch is not None
        return of_branch(tx, branch)
    if kind == "runs":
        run = runs.get(tx, full)
        assert run is not None
        last = [step for step in runs.steps_of(tx, run.id) if _last_seq(tx, step.id)]
        if not last:
            raise NotFoundError(f"Nothing was said in the run {short(full)}: name a step.")
        return of_step(tx, state, last[-1])
    step = runs.get_step(tx, full)
    assert step is not None
    return of_step(tx, state, step)


def _named(tx: Tx, state: AgentState, ref: str) -> tuple[str, str]:
    """Return the table and the id that *ref* names among what the agent's history knows."""
    ends = [part for end in branches.of_agent(tx, state.id) for part in end.inherits]
    owners = [*{state.id, *(part.agent or state.id for part in (*state.inherits, *ends))}]
    kind, dash, rest = ref.partition("-")
    known = kind if dash and kind in _TABLES else ""
    found: list[tuple[str, str]] = []
    if len(rest if known else ref) >= _LEAST:
        for name, table in _TABLES.items():
            if known in ("", name):
                rows = tx.query(
                    f"SELECT id FROM {table} WHERE starts_with(id, $1)"
                    " AND agent_id = ANY($2::text[]) LIMIT 2",
                    # What another agent left is no part of what was shared with this one.
                    (ref if known else f"{name}-{ref}", [state.id] if name == "branch" else owners),
                )
                found += [(table, str(row[0])) for row in rows]
    if len(found) > 1:
        raise InvalidInputError(f"Several ids begin with {ref!r}: give more of it.")
    if not found:
        raise NotFoundError(
            f"{state.name} has no step, run or branch {ref!r} in its history.",
            remedy(Do.SEE_TIMELINE),
        )
    return found[0]


def of_step(tx: Tx, state: AgentState, step: Step) -> Point:
    """Return the end of a step.

    Where it ended by asking for approval, the point is just before it: its calls were never decided there.
    """
    last = _last_seq(tx, step.id)
    if not last:
        raise NotFoundError(f"Nothing was said in the step {short(step.id)}: name another.")
    seq, owner, conversation_id = last
    note = ""
    if step.stop_reason == "requires_approval":
        asked = tx.one(
            "SELECT min(seq) FROM messages WHERE step_id = $1 AND role = 'assistant'", (step.id,)
        )
        seq = (asked[0] if asked and asked[0] else seq) - 1
        note = "It asked for approval there: the point is just before that."
    line, line_number = _line_with(tx, state, owner, conversation_id, seq)
    end = step.created_at + timedelta(seconds=step.seconds or 0.0)
    passage = step.passages
    if passage is None:
        passage = passage_versions.number_at(tx, owner, end, [step.id])
    config = configurations.get(tx, step.configuration)
    begin, summary = _window(tx, state, line, step, seq)
    steps = [s.id for s in runs.steps_of(tx, step.run_id) if s.number <= step.number]
    return Point(
        name=short(step.id),
        agent_id=state.id,
        parts=cut(line, seq, passage, end),
        seq=seq,
        passage=passage,
        moment=end,
        owner=owner,
        line=line_number,
        steps=tuple(steps),
        window_start=begin,
        summary_id=summary,
        configuration=config,
        blocks=_blocks_at(tx, state, config, end, steps),
        run_id=step.run_id,
        step_id=step.id,
        note=note,
    )


def before_run(tx: Tx, state: AgentState, run: Run) -> Point:
    """Return the moment before a run of the agent's own line began."""
    row = tx.one("SELECT min(seq) FROM messages WHERE run_id = $1", (run.id,))
    if row is None or row[0] is None:
        raise NotFoundError(f"Nothing was said in the run {short(run.id)}.")
    seq = int(row[0]) - 1
    line, line_number = _line_with(tx, state, run.agent_id, run.conversation_id, seq + 1)
    moment = run.created_at
    first = next(iter(runs.steps_of(tx, run.id)), None)
    config = configurations.get(tx, first.configuration) if first is not None else None
    passage = passage_versions.number_at(tx, run.agent_id, moment)
    before = _step_before(tx, line, seq)
    begin, summary = _window(tx, state, line, first, seq)
    if first is not None and begin > seq + 1 and before is not None:
        begin, summary = _window(tx, state, line, before, seq)
    return Point(
        name=f"before {short(run.id)}",
        agent_id=state.id,
        parts=cut(line, seq, passage, moment),
        seq=seq,
        passage=passage,
        moment=moment,
        owner=run.agent_id,
        line=line_number,
        window_start=begin,
        summary_id=summary,
        configuration=config,
        blocks=_blocks_at(tx, state, config, moment, ()),
        run_id=before.run_id if before is not None else None,
        step_id=before.id if before is not None else None,
    )


def of_branch(tx: Tx, branch: Branch) -> Point:
    """Return the end of history that a branch keeps."""
    held = {}
    for label, (block_id, version) in branch.blocks.items():
        value = _value(tx, block_id, int(version))
        if value is not None:
            held[label] = BlockThen(block_id, label, int(version), value)
    last = max((part.last for part in branch.inherits), default=0)
    passage = max((part.last_passage for part in branch.inherits), default=0)
    return Point(
        name=short(branch.id),
        agent_id=branch.agent_id,
        parts=branch.inherits,
        seq=last,
        passage=passage,
        moment=branch.created_at,
        owner=branch.agent_id,
        line=branch.line,
        window_start=branch.window_start,
        summary_id=branch.summary_id,
        configuration=configurations.get(tx, branch.configuration),
        blocks=held,
        run_id=branch.run_id,
        step_id=branch.step_id,
    )


def present(tx: Tx, state: AgentState) -> Point:
    """Return how an agent is now; where calls have no result yet, just before they were asked for."""
    own = blocks.of_agent(tx, state.id)
    passage = counters.last(tx, state.id, "passages")
    line = thread_line(tx, state, passage)
    thread = OwnThread(state.id, tuple(line), lineage.LAST)
    newest = messages.page(tx, state.id, limit=1, thread=thread)
    seq = newest[0].seq if newest else max((part.last for part in state.inherits), default=0)
    asked = _open_call(tx, thread)
    config, _ = configurations.current(tx, state, own)
    moment = now()
    step = newest[0].step_id if newest else None
    if asked is not None:
        seq = asked - 1
    return Point(
        name="now",
        agent_id=state.id,
        parts=cut(line, seq, passage, moment),
        seq=seq,
        passage=passage,
        moment=moment,
        owner=state.id,
        line=state.line,
        window_start=state.window_start,
        summary_id=state.summary_id,
        configuration=config,
        blocks={b.label: BlockThen(b.id, b.label, b.version, b.value) for b in own},
        run_id=newest[0].run_id if newest else None,
        step_id=step,
    )


def thread_line(tx: Tx, state: AgentState, passage: int) -> list[Inherited]:
    """Return the whole line of the thread an agent is in; passages are those of its own line."""
    own = lineage.line(state, passage)
    if not isinstance(state.thread, Conversation):
        return own
    said_nothing = {"first": 0, "last": -1}
    known = [part.model_copy(update=said_nothing) for part in own if part.last_passage]
    return [*known, *_conversation_line(state.thread)]


def _conversation_line(one: Conversation) -> list[Inherited]:
    parts = [part.model_copy(update={"agent": part.agent or one.agent_id}) for part in one.inherits]
    own = Inherited(agent=one.agent_id, thread=one.id, first=one.first_seq, last=lineage.LAST)
    return [*parts, own]


def _open_call(tx: Tx, thread: OwnThread) -> int | None:
    """Return the number of the last message of a thread whose calls have no result yet, or None."""
    said = messages.page(tx, thread.agent_id, limit=1, roles=["assistant"], thread=thread)
    if not said or not said[0].tool_calls:
        return None
    after = messages.window(tx, thread, said[0].seq)
    answered = {message.tool_call_id for message in after}
    return said[0].seq if any(call.id not in answered for call in said[0].tool_calls) else None


def _line_with(
    tx: Tx, state: AgentState, owner: str, conversation_id: str | None, seq: int
) -> tuple[list[Inherited], int]:
    """Return the line of the agent that has a message, and its number: the one it is on, or an old end.

    Of what was said in a conversation it is the conversation's.
    """
    passage = counters.last(tx, state.id, "passages")
    line = lineage.line(state, passage)
    if conversation_id is not None and owner == state.id:
        found = conversations.get(tx, conversation_id)
        if found is not None:
            said_nothing = {"first": 0, "last": -1}
            known = [part.model_copy(update=said_nothing) for part in line if part.last_passage]
            return [*known, *_conversation_line(found)], state.line
    wanted = conversation_id or owner
    ends = [(one.inherits, one.line) for one in branches.of_agent(tx, state.id)]
    for parts, number in [(line, state.line), *ends]:
        for part in parts:
            here = (part.agent or state.id, part.thread) == (owner, wanted)
            if here and part.first <= seq <= part.last:
                return parts, number
    raise NotFoundError(
        f"That is not in the history of {state.name} any more.", remedy(Do.SEE_TIMELINE)
    )


def _last_seq(tx: Tx, step_id: str) -> tuple[int, str, str | None] | None:
    row = tx.one(
        "SELECT seq, agent_id, conversation_id FROM messages WHERE step_id = $1"
        " ORDER BY seq DESC LIMIT 1",
        (step_id,),
    )
    return None if row is None else (int(row[0]), str(row[1]), row[2])


def _step_before(tx: Tx, line: list[Inherited], seq: int) -> Step | None:
    thread = OwnThread("", tuple(line), lineage.LAST)
    found = messages.page(tx, "", limit=20, before=seq + 1, thread=thread)
    step = next((message.step_id for message in found if message.step_id), None)
    return runs.get_step(tx, step) if step else None


def _window(
    tx: Tx, state: AgentState, line: list[Inherited], step: Step | None, seq: int
) -> tuple[int, str | None]:
    """Return where the context window began at a step, and its summary, both not behind message *seq*."""
    if step is not None and step.window_start is not None:
        summary = messages.get(tx, step.summary_id) if step.summary_id else None
        if summary is None or summary.seq <= seq:
            return step.window_start, step.summary_id
    elif state.window_start <= seq:
        summary = messages.get(tx, state.summary_id) if state.summary_id else None
        if summary is None or summary.seq <= seq:
            return state.window_start, state.summary_id
    # Not recorded: from the newest summary there is, which stands for what was before it.
    thread = OwnThread("", tuple(line), lineage.LAST)
    found = messages.page(tx, "", limit=1, before=seq + 1, roles=["summary"], thread=thread)
    return (found[0].seq, found[0].id) if found else (0, None)


def _blocks_at(
    tx: Tx,
    state: AgentState,
    config: Configuration | None,
    moment: datetime,
    steps: list[str] | tuple[str, ...],
) -> dict[str, BlockThen]:
    """Return what an agent's blocks held at a moment, with what was written in *steps* by then."""
    if config is None:
        had = [(block.id, block.label) for block in blocks.of_agent(tx, state.id)]
    else:
        had = [(block_id, label) for block_id, label in config.blocks]
    made = tx.query(
        "SELECT b.id, b.label FROM block_versions v JOIN blocks b ON b.id = v.block_id"
        " WHERE v.version = 1 AND v.step_id = ANY($1::text[])",
        (list(steps),),
    )
    labels = {str(one): str(label) for one, label in [*had, *made]}
    rows = tx.query(
        "SELECT block_id, version, value FROM (SELECT block_id, version, value, row_number() OVER"
        " (PARTITION BY block_id ORDER BY version DESC) AS n FROM block_versions"
        " WHERE block_id = ANY($1::text[]) AND (created_at <= $2 OR step_id = ANY($3::text[]))) t"
        " WHERE n = 1",
        (list(labels), moment, list(steps)),
    )
    by_id = {str(row[0]): (int(row[1]), str(row[2])) for row in rows}
    found = {
        label: BlockThen(one, label, *by_id[one]) for one, label in labels.items() if one in by_id
    }
    if len(found) < len(labels):  # of an agent that was deleted, of which this one is a fork
        own = {block.label: block.id for block in blocks.of_agent(tx, state.id)}
        for label in [one for one in labels.values() if one not in found and one in own]:
            first = blocks.versions(tx, own[label])[0]
            found[label] = BlockThen(own[label], label, first.version, first.value, known=False)
    return found


def _value(tx: Tx, block_id: str, version: int) -> str | None:
    row = tx.one(
        "SELECT value FROM block_versions WHERE block_id = $1 AND version = $2", (block_id, version)
    )
    return None if row is None else str(row[0])
