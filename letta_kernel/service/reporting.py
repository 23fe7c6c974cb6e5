"""What a report of a conversation is made of: its runs as they went, memory before and after, what it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import Event, Message, RunEnded, StepEnded, StepStarted
from letta_kernel.records import AgentState, Step
from letta_kernel.service.core import Core
from letta_kernel.service.replay import replay
from letta_kernel.store import blocks, messages, passages, runs
from letta_kernel.store.database import Tx

MOST_MESSAGES = 5_000
"""Messages of a conversation that a report holds; the newest."""


@dataclass(frozen=True, slots=True)
class Part:
    """What was said to the agent, and the events that followed; a message of no run has none."""

    at: datetime
    asked: str
    events: Sequence[Event] = ()
    said: Message | None = None


@dataclass(frozen=True, slots=True)
class BlockChange:
    """What a memory block held before the conversation, and holds now; ``edits`` counts versions in between."""

    label: str
    before: str
    after: str
    edits: int


@dataclass(slots=True)
class Report:
    """A conversation of an agent, oldest part first. ``left`` says whether older messages are not in it."""

    agent: AgentState
    conversation: str | None
    parts: list[Part] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    memory: list[BlockChange] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # passages that the agent kept meanwhile
    left: bool = False


class Reports:
    """Reports of the conversations of a project's agents."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def make(self, ref: str, conversation: str | None = None) -> Report:
        """Gather what a report shows of an agent's own thread, or of a conversation.

        Raises
        ------
        InvalidInputError
            Nothing was said in it yet.
        """

        def work(tx: Tx) -> Report:
            state = self._core.thread(tx, ref, conversation)
            found = messages.page(tx, state.id, limit=MOST_MESSAGES + 1, thread=state.thread)
            history = found[:MOST_MESSAGES][::-1]
            if not history:
                raise InvalidInputError(f"Nothing was said to {state.name} yet.")
            made = Report(state, conversation, left=len(found) > MOST_MESSAGES)
            seen = {one.step_id for one in history if one.step_id}
            made.parts = list(_parts(tx, history, seen))
            made.steps = [
                step
                for run_id in dict.fromkeys(one.run_id for one in history if one.run_id)
                for step in runs.steps_of(tx, run_id)
                if step.id in seen and step.number > 0
            ]
            made.memory = _memory(tx, state, history[0].created_at)
            kept = passages.page(
                tx, state.id, limit=MOST_MESSAGES, start=history[0].created_at, newest_first=False
            )
            made.kept = [one.content for one in kept if one.step_id in seen]
            return made

        return self._core.do(work)


def _parts(tx: Tx, history: Sequence[Message], seen: set[str]) -> Iterator[Part]:
    told: set[str] = set()
    for one in history:
        if one.run_id is None:  # it came from outside
            yield Part(one.created_at, "", said=one)
            continue
        if one.run_id in told:
            continue
        run = runs.get(tx, one.run_id)
        if run is None:
            yield Part(one.created_at, "", said=one)
            continue
        while run.continues and (before := runs.get(tx, run.continues)) is not None:
            run = before
        chain = {each.id for each in runs.chain(tx, run)}
        if told.isdisjoint(chain):
            asked, events = replay(tx, run.id, "")
            yield Part(one.created_at, asked, list(_shared(events, seen)))
        told |= chain


def _shared(events: Sequence[Event], seen: set[str]) -> Iterator[Event]:
    """Yield the events of a run but those of steps that are not in this history: it may end amid the run."""
    cut = leaving = False
    for event in events:
        if isinstance(event, StepStarted | StepEnded):
            leaving = event.step_id not in seen
            cut |= leaving
        if isinstance(event, RunEnded):
            leaving = cut
        if not leaving:
            yield event


def _memory(tx: Tx, state: AgentState, start: datetime) -> list[BlockChange]:
    found = []
    for block in blocks.of_agent(tx, state.id):
        versions = blocks.versions(tx, block.id)
        earlier = [one for one in versions if one.created_at <= start] or versions[:1]
        before = earlier[-1].value if earlier else ""
        found.append(BlockChange(block.label, before, block.value, len(versions) - len(earlier)))
    return found
