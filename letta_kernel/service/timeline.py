"""An agent's past as a tree: its runs and steps, the ends it was rewound from, its forks; and what it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from letta_kernel.errors import NotFoundError
from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Inherited, Passage, Run, Step, Tool, ToolRule
from letta_kernel.service import points, restoring
from letta_kernel.service.core import Core
from letta_kernel.service.differences import Difference, Side, difference
from letta_kernel.service.points import Point
from letta_kernel.store import (
    agents,
    blocks,
    branches,
    configurations,
    forgetting,
    lineage,
    messages,
    passages,
    runs,
)
from letta_kernel.store.database import Tx
from letta_kernel.store.forgetting import Gap
from letta_kernel.store.mapping import Where, load, utc

PAGE = 50
"""Runs of a timeline that are read at once."""


@dataclass(slots=True)
class TimedRun:
    """A run on a line: as a person counts it, with its steps that the line has.

    ``of`` is the name of the agent it was said to, where a fork inherits it; ``seq`` the number of its first
    message, ``edited`` the ids of steps that a person has changed by hand.
    """

    run: Run
    asked: str
    seq: int
    steps: list[Step]
    of: str = ""
    waits: bool = False
    edited: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Parted:
    """Something that parts from a line: an old end (``id`` of the branch) or a fork (``agent`` its name).

    ``after`` is the run of the line behind which it parts, empty where it parts before the first that is shown;
    ``said`` is how many messages it has behind that, of an old end.
    """

    id: str
    after: str
    created_at: datetime
    reason: str = ""
    agent: str = ""
    purpose: str = ""
    said: int = 0


@dataclass(slots=True)
class Timeline:
    """One page of an agent's line, the newest run first, and what parts from it there.

    ``origin`` is the name of the agent it was forked from, ``more`` whether there are older runs.
    """

    agent: AgentState
    runs: list[TimedRun]
    sides: list[Parted]
    origin: str = ""
    more: bool = False

    def data(self) -> dict[str, Any]:
        """Return it as what JSON holds, for front ends and clients."""
        return {
            "agent": self.agent.name,
            "origin": self.origin,
            "runs": [
                {
                    "id": one.run.id,
                    "asked": one.asked,
                    "of": one.of,
                    "status": one.run.status,
                    "stop_reason": one.run.stop_reason,
                    "error": one.run.error,
                    "waits": one.waits,
                    "created_at": one.run.created_at.isoformat(),
                    "seconds": one.run.seconds,
                    "cost": one.run.cost,
                    "prompt_tokens": one.run.prompt_tokens,
                    "completion_tokens": one.run.completion_tokens,
                    "steps": [
                        {
                            "id": step.id,
                            "number": step.number,
                            "model": step.model,
                            "tools": [str(call.get("name", "")) for call in step.tool_stats],
                            "error": step.error,
                            "edited": step.id in one.edited,
                            "prompt_tokens": step.prompt_tokens,
                            "completion_tokens": step.completion_tokens,
                            "cost": step.cost,
                            "seconds": step.seconds,
                            "created_at": step.created_at.isoformat(),
                        }
                        for step in one.steps
                    ],
                }
                for one in self.runs
            ],
            "branches": [
                {
                    "id": one.id,
                    "after": one.after,
                    "created_at": one.created_at.isoformat(),
                    "reason": one.reason,
                    "agent": one.agent,
                    "purpose": one.purpose,
                    "messages": one.said,
                }
                for one in self.sides
            ],
            "more": self.more,
        }


@dataclass(slots=True)
class AgentThen:
    """An agent as it was at a point in time, to be looked at.

    ``blocks`` are texts by label, ``archives`` and ``folders`` names. ``messages`` are the newest ones, oldest
    first; ``seq`` and ``passage`` the numbers of the last message and passage there. ``passages`` are the
    newest of archival memory, newest first, and ``gaps`` where some were that are forgotten. ``known`` is False
    where the step is of a version that did not record what it ran with: settings and tools are those of now
    then.
    """

    name: str
    at: str
    moment: datetime
    messages: list[Message]
    blocks: dict[str, str]
    tools: list[Tool]
    rules: list[ToolRule]
    settings: dict[str, Any]
    model: str | None
    instructions: str
    archives: list[str]
    folders: list[str]
    seq: int
    passage: int
    passages: list[Passage] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    parts: list[Inherited] = field(repr=False, default_factory=list)
    note: str = ""
    known: bool = True

    def data(self) -> dict[str, Any]:
        """Return it as programs are told of it."""
        return {
            "name": self.name,
            "at": self.at,
            "moment": self.moment,
            "blocks": self.blocks,
            "tools": [{"name": tool.name, "source": tool.source} for tool in self.tools],
            "rules": self.rules,
            "settings": self.settings,
            "model": self.model,
            "archives": self.archives,
            "folders": self.folders,
            "messages": self.messages,
            "passages": [{"id": one.id, "content": one.content} for one in self.passages],
            "gaps": [
                {"id": gap.passage_id, "made_at": gap.made_at, "forgotten_at": gap.forgotten_at}
                for gap in self.gaps
            ],
            "known": self.known,
        }


class Times:
    """What agents were: their lines, points in them, and how two of these differ."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def of(self, agent: str, *, limit: int = PAGE, before: str | None = None) -> Timeline:
        """Return a page of an agent's line: the newest *limit* runs, or those before the run *before*."""

        def work(tx: Tx) -> Timeline:
            state = self._core.agent(tx, agent)
            upto = _first_seq(tx, before) if before else lineage.LAST
            found = _runs(tx, state, limit + 1, upto)
            shown = found[:limit]
            origin = ""
            if others := [
                part.agent for part in state.inherits if part.agent not in ("", state.id)
            ]:
                origin = _name(tx, others[-1])
            oldest = shown[-1].seq if len(found) > limit else 0
            newest = upto if before else lineage.LAST
            sides = [
                one for one in _sides(tx, state, shown) if oldest <= one[0] + 1 and one[0] < newest
            ]
            return Timeline(state, shown, [one for _, one in sides], origin, len(found) > limit)

        return self._core.do(work)

    def at(self, agent: str, ref: str, *, limit: int = 50) -> AgentThen:
        """Return an agent as it was at a step, run (its end) or branch, with the newest *limit* messages.

        Raises
        ------
        NotFoundError
            There is no such point in its history.
        """

        def work(tx: Tx) -> AgentThen:
            state = self._core.agent(tx, agent)
            return _then(tx, state, points.find(tx, state, ref), limit)

        return self._core.do(work)

    def diff(self, one: str, other: str, *, agent: str | None = None) -> Difference:
        """Return what two points say, know and can do differently.

        Each is an agent's name (as it is now), ``NAME@STEP``, or a step, run or branch of *agent*.
        """

        def work(tx: Tx) -> Difference:
            return difference(tx, self._side(tx, one, agent), self._side(tx, other, agent))

        return self._core.do(work)

    def _side(self, tx: Tx, ref: str, agent: str | None) -> Side:
        name, at, point = ref.rpartition("@")
        if at and name and not agents.named(tx, ref):  # an agent may be called so
            state = self._core.agent(tx, name)
            return Side(ref, state, points.find(tx, state, point))
        if agent is not None and ref == "now":
            state = self._core.agent(tx, agent)
            return Side(state.name, state, points.present(tx, state))
        if agent is not None:
            state = self._core.agent(tx, agent)
            try:
                return Side(ref, state, points.find(tx, state, ref))
            except NotFoundError:
                if ref.partition("-")[0] in ("step", "run", "branch"):
                    raise
        state = self._core.agent(tx, ref)
        return Side(state.name, state, points.present(tx, state))


def _runs(tx: Tx, state: AgentState, limit: int, upto: int) -> list[TimedRun]:
    where = Where()
    where.add("run_id IS NOT NULL AND seq < {}", upto)
    lineage.of_thread(where, state.thread)
    rows = tx.query(
        f"SELECT run_id, min(seq) AS first FROM messages {where} GROUP BY run_id"
        f" ORDER BY first DESC LIMIT {where.place(limit)}",
        where.params,
    )
    first = {str(row[0]): int(row[1]) for row in rows}
    if not first:
        return []
    where = Where()
    where.add("seq >= {} AND seq < {}", min(first.values()), upto)
    lineage.of_thread(where, state.thread)
    said = tx.query(
        "SELECT run_id, step_id, min(seq), min(CASE WHEN step_id IS NULL AND role IN ('user', 'event')"
        f" THEN left(content, 300) END), count(edits) FROM messages {where} AND run_id IS NOT NULL"
        " GROUP BY run_id, step_id ORDER BY 3",
        where.params,
    )
    asked = {str(row[0]): str(row[3]) for row in reversed(said) if row[3] is not None}
    here = {str(row[1]) for row in said if row[1] is not None}
    edited = {str(row[1]) for row in said if row[4]}
    steps: dict[str, list[Step]] = {}
    for step in runs.steps_of_many(tx, list(first)):
        if step.id in here:
            steps.setdefault(step.run_id, []).append(step)
    waits = agents.is_waiting(tx, state.id)
    names: dict[str, str] = {state.id: ""}
    found = []
    for number, (run_id, seq) in enumerate(first.items()):
        run = runs.get(tx, run_id)
        if run is None:
            continue
        if run.agent_id not in names:
            names[run.agent_id] = _name(tx, run.agent_id)
        said_to = names[run.agent_id]
        found.append(
            TimedRun(
                run,
                asked.get(run_id, ""),
                seq,
                steps.get(run_id, []),
                said_to,
                waits and number == 0,
                {step.id for step in steps.get(run_id, ())} & edited,
            )
        )
    return found


def _sides(tx: Tx, state: AgentState, shown: Sequence[TimedRun]) -> list[tuple[int, Parted]]:
    """Return what parts from an agent's line, each with the number of the message behind which it does."""

    def after(seq: int) -> str:
        return next((one.run.id for one in shown if one.seq <= seq), "")

    found = []
    for branch in branches.of_agent(tx, state.id):
        gone = lineage.behind(branch.inherits, lineage.line(state, 0))
        if not gone:
            continue  # its whole end is part of the line, or of another's
        where = Where()
        lineage.of_parts(where, gone)
        row = tx.one(f"SELECT count(*) FROM messages {where}", where.params)
        seq = gone[0].first - 1
        said = int(row[0]) if row else 0
        side = Parted(branch.id, after(seq), branch.created_at, branch.reason, said=said)
        found.append((seq, side))
    for one, name, purpose, made, text in tx.query(
        "SELECT id, name, purpose, created_at, CAST(inherits AS text) FROM agents WHERE id <> $1"
        " AND deleted_at IS NULL AND position($1 IN CAST(inherits AS text)) > 0",
        (state.id,),
    ):
        parts = [Inherited.model_validate(part) for part in load(text)]
        shared = [part.last for part in parts if part.agent == state.id and part.last >= 0]
        seq = max(shared, default=0)
        side = Parted(one, after(seq), utc(made), "fork", agent=name, purpose=purpose or "")
        found.append((seq, side))
    return found


def _name(tx: Tx, agent_id: str) -> str:
    row = tx.one("SELECT name FROM agents WHERE id = $1", (agent_id,))
    return str(row[0]) if row else agent_id


def _first_seq(tx: Tx, run_id: str) -> int:
    row = tx.one("SELECT min(seq) FROM messages WHERE run_id = $1", (run_id,))
    if row is None or row[0] is None:
        raise NotFoundError(f"There is no run {run_id!r}.")
    return int(row[0])


def _then(tx: Tx, state: AgentState, point: Point, limit: int) -> AgentThen:
    config, _ = (
        (point.configuration, None)
        if point.configuration is not None
        else configurations.current(tx, state, blocks.of_agent(tx, state.id))
    )
    assert config is not None
    seen = messages.page(tx, state.id, limit=limit, thread=point.thread)[::-1]
    sight = points.sight(tx, point)
    return AgentThen(
        name=state.name,
        at=point.step_id or point.name,
        moment=point.moment,
        messages=seen,
        blocks={label: one.value for label, one in point.blocks.items()},
        tools=restoring.tools_then(tx, config),
        rules=config.tool_rules,
        settings=config.settings,
        model=config.model,
        instructions=config.instructions,
        archives=restoring.names(tx, "archives", config.archives),
        folders=restoring.names(tx, "folders", config.folders),
        seq=point.seq,
        passage=point.passage,
        passages=passages.page(tx, sight, limit=limit, superseded=False),
        gaps=forgetting.gaps(tx, sight),
        parts=point.parts,
        note=point.note,
        known=point.configuration is not None,
    )
