"""Talking with an agent over HTTP: what a request asks for, started as a run and told as it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi.responses import JSONResponse, StreamingResponse

from letta_kernel.errors import ConflictError
from letta_kernel.messages import Message, RunEnded, ToolCall
from letta_kernel.records import Tool
from letta_kernel.server import access
from letta_kernel.server.errors import FieldError, LeftOutError
from letta_kernel.server.events import sse
from letta_kernel.server.events.contents import ContentReader, Read
from letta_kernel.server.events.messages import MessageStream
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.server.handles import model_name
from letta_kernel.server.schemas.messages import (
    LettaResponse,
    StopReasonMessage,
    View,
    usage_of,
)
from letta_kernel.server.schemas.model_settings import check_format
from letta_kernel.server.schemas.requests import (
    ApprovalIn,
    MessageIn,
    MessageRequest,
    StreamedRequest,
    ToolReturnIn,
    ToolReturnsIn,
)
from letta_kernel.service import AgentService, Decision
from letta_kernel.stop_reasons import failed
from letta_kernel.tools import skills
from letta_kernel.tools.skills import ClientSkill

NOT_DONE = {
    "override_system": "a system prompt for one request",
    "return_logprobs": "log probabilities",
    "return_token_ids": "token ids",
    "callback_url": "calling back when a run has ended",
}
"""Fields of a request that are answered with 501, and what they ask for."""


def view_of(request: MessageRequest) -> View:
    """Return how the request wants its messages."""
    return View(
        types=request.include_return_message_types,
        speaking_tool=request.assistant_message_tool_name
        if request.use_assistant_message
        else None,
        speaking_argument=request.assistant_message_tool_kwarg,
    )


def begin(
    service: AgentService,
    live: RunManager,
    ref: str,
    request: MessageRequest,
    *,
    tokens: bool = False,
    background: bool = False,
    **options: Any,
) -> LiveRun:
    """Start the run that *request* asks for; how it is to be streamed is in ``run.extra``.

    Parameters
    ----------
    options : more for `AgentService.runs.send` and `approve`.

    Raises
    ------
    LettaError
        It cannot be started; nothing has changed.
    """
    for field, what in NOT_DONE.items():
        if getattr(request, field):
            raise LeftOutError(f"Not offered by this server: {what} ({field}).")
    options["max_steps"] = request.max_steps
    options["model"] = model_name(request.override_model, "override_model")
    if options["model"] is not None:
        access.need("write")
    options["form"] = check_format(request.response_format, "response_format")
    tools = _client_tools(request)
    options["client_tools"] = tools
    options["client_skills"] = [
        ClientSkill(one.name, one.description, one.location) for one in request.client_skills or ()
    ]
    reader = ContentReader(service)
    message, earlier = _read(request, reader)
    conversation: str | None = options.get("conversation")
    pending = service.runs.pending(ref, conversation)
    settled: dict[str, str] = {}
    decisions: list[Decision] = []
    if isinstance(message, Message):
        if pending:
            names = ", ".join(call.name for call in pending)
            raise ConflictError(
                f"The agent waits for approval of {names}: approve or deny it, or send its return."
            )
        options["earlier"] = earlier
        options["pictures"] = message.pictures
        run = live.start(ref, message.content, role=_role(message), **options)
    else:
        if not pending:
            raise ConflictError("The agent waits for no approval.")
        decisions = _complete(service, ref, pending, _decisions(message, pending, reader))
        settled = _settled(service, ref, pending, conversation)
        run = live.start(ref, decisions, **options)
    waits = _waits(service, ref, tools) if tokens else set()
    run.extra.update(
        view=view_of(request), tokens=tokens, waits=waits, settled=settled, background=background
    )
    return run


def _waits(service: AgentService, ref: str, client_tools: Sequence[Tool]) -> set[str]:
    """Return the names of the tools whose calls wait."""
    ruled = {
        rule.tool_name
        for rule in service.agents.retrieve(ref).tool_rules
        if rule.type == "requires_approval"
    }
    own = {tool.name for tool in service.tools.list(ref) if tool.requires_approval}
    return ruled | own | {tool.name for tool in client_tools} | skills.ASKS


def stream_of(run: LiveRun) -> MessageStream:
    """Return what makes messages of *run* as the one who started it wants them."""
    extra = run.extra
    return MessageStream(
        extra.get("view", View()),
        tokens=extra.get("tokens", False),
        waits=extra.get("waits", ()),
        settled=extra.get("settled"),
    )


async def respond(run: LiveRun) -> LettaResponse | JSONResponse:
    """Wait for the run's end and return all it said."""
    stream = stream_of(run)
    stream.tokens = False
    said: list[Any] = []
    ended: RunEnded | None = None
    async for event in run.events():
        said += stream.of(event) if event is not None else ()
        if isinstance(event, RunEnded):
            ended = event
    if ended is None:
        return JSONResponse({"detail": "The run was lost."}, 500)
    if failed(ended.stop_reason):
        # Not to be tried again by itself: what was sent is in the history already.
        return JSONResponse(
            {"detail": ended.error or ended.stop_reason, "run_id": ended.run_id},
            502,
            {"x-should-retry": "false"},
        )
    return LettaResponse(
        messages=[shape for shape in said if hasattr(shape, "date")],
        stop_reason=StopReasonMessage(stop_reason=ended.stop_reason),
        usage=usage_of(ended.usage, ended.steps, ended.run_id),
    )


def as_stream(run: LiveRun, request: StreamedRequest) -> StreamingResponse:
    """Return the run as a stream of events."""
    return sse.stream(run, stream_of(run), pings=request.include_pings)


# -- reading a request -----------------------------------------------------------------------------


def _read(
    request: MessageRequest, reader: ContentReader
) -> tuple[Message | Sequence[ApprovalIn | ToolReturnsIn], list[Message]]:
    """Return the message to send and those before it, or the words on calls that wait."""
    if request.input is not None and request.messages:
        raise FieldError("input", "Send either input or messages.")
    if request.input is not None:
        return _message("user", reader.read(request.input, "input")), []
    given = request.messages or []
    if not given:
        raise FieldError("messages", "There is nothing to send: no message, no input.")
    answers = [m for m in given if not isinstance(m, MessageIn)]
    if answers:
        if len(answers) < len(given):
            raise FieldError("messages", "Answer the calls that wait first; then send messages.")
        return answers, []
    read = []
    for number, item in enumerate(given):
        assert isinstance(item, MessageIn)
        read.append(message_of(item, f"messages.{number}", reader))
    if read[-1].role == "assistant":
        raise FieldError(
            f"messages.{len(read) - 1}.role", "The last message is the user's or the system's."
        )
    return read[-1], read[:-1]


def message_of(given: MessageIn, field: str, reader: ContentReader) -> Message:
    """Return a message that a client sent, as one of ours; *field* says where it stood."""
    said = reader.read(given.content, f"{field}.content")
    if not said[0].strip():
        raise FieldError(f"{field}.content", "The message is empty.")
    return _message(given.role, said, given.name)


def _message(role: str, said: Read, name: str | None = None) -> Message:
    ours: dict[str, Literal["user", "event", "assistant"]] = {"system": "event"}
    return Message(
        agent_id="",
        role=ours.get(role, "assistant" if role == "assistant" else "user"),
        content=said[0],
        pictures=[*said[1]],
        name=name,
    )


def _role(message: Message) -> Literal["user", "event"]:
    return "event" if message.role == "event" else "user"


def _client_tools(request: MessageRequest) -> list[Tool]:
    tools = []
    for given in request.client_tools or ():
        parameters = {"type": "object", "properties": {}, **(given.parameters or {})}
        tools.append(
            Tool(
                name=given.name,
                description=given.description or "",
                parameters=parameters,
                kind="source",
                runs_in="sandbox",
                requires_approval=True,
            )
        )
    return tools


# -- answers to calls that wait --------------------------------------------------------------------


def _decisions(
    answers: Sequence[ApprovalIn | ToolReturnsIn],
    pending: Sequence[ToolCall],
    reader: ContentReader,
) -> list[Decision]:
    decisions: dict[str, Decision] = {}
    for number, answer in enumerate(answers):
        if isinstance(answer, ToolReturnsIn):
            parts: Sequence[Any] = answer.tool_returns
        elif answer.approvals:
            parts = answer.approvals
        elif answer.approve is not None:
            for call in pending:
                decisions[call.id] = Decision(call.id, answer.approve, answer.reason or "")
            continue
        else:
            raise FieldError(f"messages.{number}.approvals", "Say which calls, or approve for all.")
        for place, part in enumerate(parts):
            decision = _decision(part, f"messages.{number}.{place}", reader)
            decisions[decision.call_id] = decision
    known = {call.id for call in pending}
    for call_id in decisions:
        if call_id not in known:
            raise FieldError(
                "messages",
                f"No call {call_id[:100]!r} waits; there is: {', '.join(sorted(known))}.",
            )
    return list(decisions.values())


def _decision(part: Any, field: str, reader: ContentReader) -> Decision:
    if isinstance(part, ToolReturnIn):
        text, pictures = reader.read(part.tool_return, f"{field}.tool_return")
        failed = part.status == "error"
        return Decision(
            part.tool_call_id, approve=True, result=text, failed=failed, pictures=pictures
        )
    return Decision(part.tool_call_id, part.approve, part.reason or "")


def _complete(
    service: AgentService, ref: str, pending: Sequence[ToolCall], decisions: list[Decision]
) -> list[Decision]:
    """Add a yes for calls that only waited because others of the same reply did."""
    waits = _waits(service, ref, ())
    free = ({tool.name for tool in service.tools.list(ref)} | {*skills.NAMES}) - waits
    decided = {decision.call_id for decision in decisions}
    return decisions + [
        Decision(call.id, approve=True)
        for call in pending
        if call.id not in decided and call.name in free
    ]


def _settled(
    service: AgentService, ref: str, pending: Sequence[ToolCall], conversation: str | None
) -> dict[str, str]:
    """Return the ids of the calls that wait, and that of the message that made them."""
    wanted = {call.id for call in pending}
    for message in reversed(service.messages.history(ref, limit=20, conversation=conversation)):
        if wanted & {call.id for call in message.tool_calls}:
            return dict.fromkeys(wanted, message.id)
    return {}
