"""Talking with a group over HTTP: its turn as messages, each with the name of the agent that speaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.responses import JSONResponse

from letta_kernel.messages import Event, GroupEnded, RunEnded, RunStarted, StepStarted
from letta_kernel.server.errors import FieldError, LeftOutError, PendingApprovalError
from letta_kernel.server.events import requests
from letta_kernel.server.events.contents import ContentReader
from letta_kernel.server.events.messages import Anew, MessageStream
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.server.schemas.history import View, usage_of
from letta_kernel.server.schemas.messages import ErrorMessage, LettaResponse, StopReasonMessage
from letta_kernel.server.schemas.requests import MessageRequest, StreamedRequest
from letta_kernel.service import AgentService
from letta_kernel.stop_reasons import failed

_STEPS = 1000  # of one run, in the numbers of steps of a turn
_FOR_ONE = ("client_tools", "client_skills", "response_format", "override_system")


class GroupStream(MessageStream):
    """Makes messages of the events of a group's turn: those of each run, whoever asked for it."""

    def __init__(self, view: View, *, tokens: bool = False) -> None:
        super().__init__(view, tokens=tokens)
        self._runs: list[tuple[RunStarted, MessageStream]] = []  # that go on: the inner one last
        self._ids: list[str] = []

    def _shapes(self, event: Event) -> Iterator[Any]:
        if isinstance(event, RunStarted):
            self._runs.append((event, MessageStream(self.view, tokens=self.tokens)))
            self._ids.append(event.run_id)
        if isinstance(event, StepStarted):
            self._enter(len(self._ids) * _STEPS + event.number)
        if isinstance(event, Anew):
            self._again()
            if self._runs:
                self._runs[-1][1]._anew = self._anew
            return
        if isinstance(event, GroupEnded):
            yield from self._over(event)
        elif isinstance(event, RunEnded):
            if self._runs:
                self._runs.pop()
        elif self._runs:
            speaker, stream = self._runs[-1]
            for shape in stream.of(event):
                if hasattr(shape, "sender_id"):
                    shape.sender_id, shape.name = speaker.agent_id, shape.name or speaker.agent_name
                yield shape

    def _over(self, event: GroupEnded) -> Iterator[Any]:
        if event.error and failed(event.stop_reason):
            yield ErrorMessage(
                run_id=event.run_id, error_type=event.stop_reason, message=event.error
            )
        yield StopReasonMessage(stop_reason=event.stop_reason)
        usage = usage_of(event.usage, event.steps, event.run_id)
        usage.run_ids = self._ids
        yield usage


def begin(
    service: AgentService, live: RunManager, group_id: str, request: MessageRequest
) -> LiveRun:
    """Start the turn that *request* asks for.

    Raises
    ------
    LettaError
        It cannot be started; nothing has changed.
    """
    for field in _FOR_ONE:
        if getattr(request, field):
            raise LeftOutError(f"Not offered for groups: {field}. Send it to one of the agents.")
    asked = requests.asked_for(request)
    reader = ContentReader(service)
    answers, said = requests.read(request, reader)
    pending = service.groups.pending(group_id)
    if pending:
        agent, calls = pending[0]
        asking = requests.asking(service.messages.approvals(agent.id), calls)
        if not answers:
            names = ", ".join(call.name for call in calls)
            raise PendingApprovalError(f"{agent.name}: {names}", asking.id)
        decisions = requests.decisions(answers, calls, asking, reader)
        if said:
            raise FieldError("messages", "Answer the calls that wait first; then send messages.")
        return _told(live.start_group(group_id, decisions, agent=agent.id, **asked), request)
    if answers:
        raise requests.ApprovalError(requests.NOTHING_WAITS)
    if len(said) > 1:
        raise FieldError("messages", "Send a group one message at a time.")
    if said[0].role != "user":
        raise FieldError("messages.0.role", "A group is told things by a user.")
    run = live.start_group(group_id, said[0].content, pictures=said[0].pictures, **asked)
    return _told(run, request)


def _told(run: LiveRun, request: MessageRequest) -> LiveRun:
    """Remember how who began a turn wants it told, for who follows it later."""
    tokens = isinstance(request, StreamedRequest) and request.stream_tokens
    run.extra.update(view=requests.view_of(request), tokens=tokens, group=True)
    return run


def stream_of(run: LiveRun) -> MessageStream:
    """Return what makes messages of a run, or of a group's turn, as the one who started it wants them."""
    if run.extra.get("group"):
        return GroupStream(run.extra.get("view", View()), tokens=run.extra.get("tokens", False))
    return requests.stream_of(run)


async def respond(run: LiveRun, request: MessageRequest) -> LettaResponse | JSONResponse:
    """Wait for the turn's end and return all that was said in it."""
    stream = GroupStream(requests.view_of(request))
    said, ended = await requests.until_ended(run, stream, GroupEnded)
    if ended is None:
        return JSONResponse({"detail": "The turn was lost."}, 500)
    return requests.answer(said, ended, said[-1])
