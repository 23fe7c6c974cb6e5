"""A run of another process as its events, read from the store as its steps are committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import datetime

import anyio.to_thread

from letta_kernel.messages import (
    Event,
    GroupEnded,
    GroupStarted,
    Message,
    ReasoningDelta,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    StreamReset,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from letta_kernel.records import Run, Step
from letta_kernel.server.events.messages import Anew
from letta_kernel.service import AgentService
from letta_kernel.service.replay import run_ended, step_ended, usage_of

_LOOK = 0.5  # seconds between two looks at the store
_MOST = 100_000  # messages of a run


class Seen:
    """What has been told of a run, or of the runs of a turn.

    Attributes
    ----------
    over : the end has been told.
    """

    def __init__(self) -> None:
        self.over = False
        self.started: set[str] = set()
        self.ended: set[str] = set()
        self.steps: set[str] = set()
        self.step = ""  # that is half told
        self.text = self.reasoning = ""  # of it
        self.calls = False  # pieces of calls of it have been told
        self._turn = False

    def take(self, event: Event) -> None:
        """Note that *event* has been told."""
        match event:
            case GroupStarted():
                self._turn = True
            case RunStarted():
                self.started.add(event.run_id)
            case StepStarted():
                self.step, self.text, self.reasoning, self.calls = event.step_id, "", "", False
            case StreamReset():  # `Anew` too
                self.text, self.reasoning, self.calls = "", "", False
            case TextDelta():
                self.text += event.text
            case ReasoningDelta():
                self.reasoning += event.text
            case ToolCallDelta():
                self.calls = True
            case StepEnded():
                self.steps.add(event.step_id)
                self.step = ""
            case RunEnded():
                self.ended.add(event.run_id)
                self.over = self.over or not self._turn
            case GroupEnded():
                self.over = True


class StoredRun:
    """A run, told from the store; what *seen* says was told before is not told again."""

    def __init__(self, service: AgentService, run_id: str, agent_id: str, seen: Seen) -> None:
        self._service, self._id, self._agent_id, self._seen = service, run_id, agent_id, seen

    async def events(self, idle: float | None = None) -> AsyncGenerator[Event | None, None]:
        """Yield what follows, until the end; None when *idle* seconds were quiet."""
        quiet, stamp = time.monotonic(), object()
        while True:
            now = await anyio.to_thread.run_sync(self._service.database.changed)
            # Of a holder that is gone only the clock tells: then reading ends its run.
            if now != stamp or time.monotonic() - quiet > _LOOK * 10:
                stamp = now
                for event in await anyio.to_thread.run_sync(self._read):
                    quiet = time.monotonic()
                    yield event
                if self._seen.over:
                    return
            if idle is not None and time.monotonic() - quiet >= idle:
                quiet = time.monotonic()
                yield None
            await asyncio.sleep(_LOOK)

    def _read(self) -> list[Event]:
        return self._of(self._id)

    def _of(self, run_id: str) -> list[Event]:
        found = []
        run = self._service.runs.retrieve(run_id)
        for event in self._new(run):
            self._seen.take(event)
            found.append(event)
        return found

    def _new(self, run: Run) -> Iterator[Event]:
        seen, service = self._seen, self._service
        if run.id in seen.ended:
            return
        if run.id not in seen.started:
            yield RunStarted(
                run_id=run.id,
                agent_id=run.agent_id,
                agent_name=service.agents.retrieve(run.agent_id).name,
                conversation=run.conversation_id,
                model=run.model,
            )
        steps = service.steps.of_run(run.id)
        left = [step for step in steps if step.id not in seen.steps]
        messages: Sequence[Message] = ()
        if left:
            messages = service.messages.list(
                run.agent_id, run_id=run.id, limit=_MOST, newest_first=False
            )
        for step in left:
            whole = step.seconds is not None or run.ended_at is not None or step is not steps[-1]
            if not whole:
                return
            yield from self._step(step, [one for one in messages if one.step_id == step.id])
        if run.ended_at is not None:
            yield run_ended(run)

    def _step(self, step: Step, said: list[Message]) -> Iterator[Event]:
        if self._seen.step == step.id:
            yield from self._rest(step, said)
        else:
            yield StepStarted(step_id=step.id, number=step.number)
            yield Anew()
        yield step_ended(step, said)

    def _rest(self, step: Step, said: list[Message]) -> Iterator[Event]:
        """Yield what is missing of a step that was half told; all of it where that was something else."""
        seen = self._seen
        spoke = next((one for one in said if one.role == "assistant"), None)
        text, reasoning = (spoke.content, spoke.reasoning) if spoke is not None else ("", "")
        same = text.startswith(seen.text) and reasoning.startswith(seen.reasoning)
        if not same or seen.calls:
            yield StreamReset()
            yield StepStarted(step_id=step.id, number=step.number)
            return
        if seen.reasoning and (rest := reasoning[len(seen.reasoning) :]):
            yield ReasoningDelta(text=rest)
        if seen.text and (rest := text[len(seen.text) :]):
            yield TextDelta(text=rest)


class StoredTurn(StoredRun):
    """A turn of a group, told from the store: its runs, and an end when nobody carries it out any more."""

    _began: datetime | None = None

    def _read(self) -> list[Event]:
        servers = self._service.servers
        end = servers.end_of_turn(self._id)  # before the runs: none begins after that
        self._began = self._began or servers.turn_began(self._agent_id)
        ids = servers.runs_of_turn(self._agent_id, self._began) if self._began else []
        found = [event for run_id in ids for event in self._of(run_id)]
        runs = [self._service.runs.retrieve(run_id) for run_id in ids]
        # The end of a run is not the turn's; and a dead holder's run may have its lease for a while.
        self._seen.over = end is not None and all(run.ended_at is not None for run in runs)
        if end is not None and self._seen.over:
            last = runs[-1] if runs else None
            usage = Usage()
            for run in runs:
                usage += usage_of(run)
            found.append(
                GroupEnded(
                    run_id=self._id,
                    group_id=self._agent_id,
                    stop_reason=end.stop_reason or (last and last.stop_reason) or "end_turn",
                    error=end.error or (last.error if last is not None else None),
                    turns=len(runs),
                    steps=sum(run.steps for run in runs),
                    usage=usage,
                    seconds=sum(run.seconds or 0.0 for run in runs),
                )
            )
        return found
