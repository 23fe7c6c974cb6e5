"""A run's events once more, from what the store kept of it, for those who missed how it went on.

What tools printed and displayed is not kept by the store, but for the first picture of a result, in small: the
text the model saw stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from letta_kernel.agent_messages import ANSWERED
from letta_kernel.errors import NotFoundError
from letta_kernel.memory import citations
from letta_kernel.messages import (
    ApprovalRequested,
    Event,
    MemoryChanged,
    Message,
    Nested,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    ToolCall,
    ToolReturned,
    ToolStarted,
    Usage,
)
from letta_kernel.pictures.picture import Thumbnail
from letta_kernel.records import Run, Step
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store import agents, blocks, lease, messages, pictures, runs
from letta_kernel.store.database import Tx

_STOPPED: dict[str, StopReason] = {"completed": "end_turn", "cancelled": "cancelled"}
_MOST_MESSAGES = 5_000
_DEEPEST = 8  # runs within runs


@dataclass(frozen=True)
class _Kept:
    """What the store kept of one run, in order; each change of memory has the id of the step that made it."""

    run: Run
    steps: Sequence[Step]
    messages: Sequence[Message]
    changes: Sequence[tuple[str, MemoryChanged]]
    cites: list[dict[str, Any]]  # what it found that an answer may cite
    asked: dict[str, list[Nested]]  # what other agents told that its calls asked, by call
    shown: dict[str, Thumbnail]  # the first picture of a message, by its id

    def waiting(self) -> list[ToolCall]:
        """Return the calls it ended with that a person had to decide about."""
        if self.run.stop_reason != "requires_approval":
            return []
        answered = {m.tool_call_id for m in self.messages if m.role == "tool"}
        made = [call for m in self.messages if m.role == "assistant" for call in m.tool_calls]
        return [call for call in made if call.id not in answered]


def replay(tx: Tx, run_id: str, label: str, depth: int = 0) -> tuple[str, list[Event]]:
    """Return what was said to the agent, and the events of a run and of those that went on from it.

    A run whose process is dead counts as failed from then on.

    Parameters
    ----------
    label : what is shown beside every answer of its model.
    depth : how many runs it is nested in.

    Raises
    ------
    NotFoundError
        There is no such run.
    """
    run = runs.get(tx, run_id)
    if run is None:
        raise NotFoundError(f"There is no run {run_id!r} in this project.")
    if run.status in ("created", "running"):
        lease.recover(tx, run.agent_id, run.conversation_id)
        run = runs.get(tx, run_id) or run
    agent = agents.get(tx, run.agent_id)
    name = agent.name if agent is not None else "agent"
    parts = [_kept(tx, one, depth) for one in runs.chain(tx, run)]
    asked = [m for m in parts[0].messages if m.role in ("user", "event")]
    shown = pictures.thumbnails(tx, asked[-1].pictures) if asked else []
    found: list[Event] = []
    before: list[Message] = []
    for part in parts:
        found += _events(part, before, name, label)
        before += part.messages
    sender = asked[-1].speaker if asked else ""
    if (shown or sender) and isinstance(found[0], RunStarted):
        found[0] = found[0].model_copy(update={"pictures": shown, "sender": sender})
    return asked[0].bare if asked else "", found


def _kept(tx: Tx, run: Run, depth: int) -> _Kept:
    steps = runs.steps_of(tx, run.id)
    said = messages.page(tx, run.agent_id, run_id=run.id, limit=_MOST_MESSAGES, newest_first=False)
    first = {one.id: pictures.thumbnails(tx, one.pictures[:1])[0] for one in said if one.pictures}
    cites = citations.shown(tx, citations.cited_in(steps), run.agent_id)
    told = _asked(tx, run, said, depth) if depth < _DEEPEST else {}
    return _Kept(run, steps, said, _changes(tx, run.agent_id, steps), cites, told, first)


def _asked(tx: Tx, run: Run, said: Sequence[Message], depth: int) -> dict[str, list[Nested]]:
    """Return what other agents told that calls of a run waited for, by the call."""
    waited = {call.id for one in said for call in one.tool_calls if call.name in ANSWERED}
    waited |= {one.tool_call_id or "" for one in said if one.name in ANSWERED}
    found: dict[str, list[Nested]] = {}
    for other in runs.asked_for(tx, run.id) if waited else ():
        call_id = other.asked_call or ""
        if call_id in waited:
            _, events = replay(tx, other.id, "", depth + 1)
            found.setdefault(call_id, []).extend(
                Nested(call_id=call_id, agent_id=other.agent_id, event=event) for event in events
            )
    return found


def _changes(tx: Tx, agent_id: str, steps: list[Step]) -> list[tuple[str, MemoryChanged]]:
    """Return what these steps wrote into the agent's blocks, each with its step's id."""
    own = {step.id for step in steps}
    found = []
    for block in blocks.of_agent(tx, agent_id):
        versions = blocks.versions(tx, block.id)
        for before, after in zip([None, *versions], versions, strict=False):
            if after.step_id in own and after.step_id is not None:
                change = MemoryChanged(
                    label=block.label,
                    before=before.value if before is not None else "",
                    after=after.value,
                    version=after.version,
                )
                found.append((after.step_id, change))
    return found


def _events(part: _Kept, before: list[Message], agent_name: str, label: str) -> Iterator[Event]:
    # The order of the events when they first came, which the store keeps in four tables.
    run, said = part.run, part.messages
    yield RunStarted(
        run_id=run.id,
        agent_id=run.agent_id,
        agent_name=agent_name,
        conversation=run.conversation_id,
        model=run.model,
        model_label=label,
        cites=part.cites,
    )
    approved = {call.id for message in before for call in message.tool_calls}
    for answer in said:
        if answer.role == "tool" and answer.tool_call_id in approved:
            yield from _tool([], before, answer, part)
    for step in part.steps:
        own = [message for message in said if message.step_id == step.id]
        yield StepStarted(
            step_id=step.id,
            number=step.number,
            # What may be cited of it stands above, without what is gone.
            retrieved=[{k: v for k, v in one.items() if k != "n"} for one in step.retrieved],
            beside=[one.model_dump() for one in step.beside],
        )
        yield step_ended(step, [m for m in own if m.role == "assistant" or m.edits])
        for answer in (m for m in own if m.role == "tool" and m.tool_call_id not in approved):
            yield from _tool(step.tool_stats, own, answer, part)
        yield from (change for step_id, change in part.changes if step_id == step.id)
    if run.status in ("created", "running"):
        return
    if waiting := part.waiting():
        yield ApprovalRequested(calls=waiting)
    yield run_ended(run)


def _tool(
    stats: Sequence[dict[str, Any]],
    own: Sequence[Message],
    answer: Message,
    part: _Kept,
) -> Iterator[Event]:
    shown = part.shown
    call_id, name = answer.tool_call_id or "", answer.name or "tool"
    calls = {call.id: call for message in own for call in message.tool_calls}
    timed = [one for one in stats if one.get("name") == name]
    given = calls[call_id].values if call_id in calls else None
    if given is not None:
        yield ToolStarted(call_id=call_id, name=name, arguments=given, runs_in="")
    yield from part.asked.get(call_id, ())
    status = answer.status or "ok"
    yield ToolReturned(
        call_id=call_id,
        name=name,
        status=status,
        text=answer.content,
        display=shown[answer.id].bundle if answer.id in shown else None,
        seconds=float((timed[0].get("seconds") if timed else 0.0) or 0.0),
        error=answer.content if status == "error" else None,
    )


def run_ended(run: Run) -> RunEnded:
    """Return how a run ended, as it was told then."""
    return RunEnded(
        run_id=run.id,
        stop_reason=run.stop_reason or _STOPPED.get(run.status, "error"),
        error=run.error,
        steps=run.steps,
        usage=usage_of(run),
        seconds=run.seconds or 0.0,
        first_token=run.first_token,
        model=run.model,
    )


def step_ended(step: Step, said: list[Message]) -> StepEnded:
    """Return how a step ended, with the messages of it, as it was told then."""
    return StepEnded(
        step_id=step.id,
        number=step.number,
        messages=said,
        usage=usage_of(step),
        seconds=step.seconds or 0.0,
        first_token=step.first_token,
        model=step.model,
    )


def usage_of(record: Run | Step) -> Usage:
    """Return what a run or a step has used."""
    return Usage(**{name: getattr(record, name) for name in Usage.model_fields})
