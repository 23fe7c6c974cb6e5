"""Talking with an agent over HTTP: what a request asks for, started as a run and told as it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from fastapi.responses import JSONResponse, StreamingResponse

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.messages import GroupEnded, Message, RunEnded, ToolCall
from letta_kernel.records import Tool
from letta_kernel.server import authorization
from letta_kernel.server.errors import (
    ApprovalError,
    FieldError,
    LeftOutError,
    PendingApprovalError,
)
from letta_kernel.server.events import sse
from letta_kernel.server.events.contents import ContentReader, Read
from letta_kernel.server.events.messages import MessageStream
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.server.handles import model_name
from letta_kernel.server.schemas.history import View, usage_of
from letta_kernel.server.schemas.messages import LettaResponse, StopReasonMessage
from letta_kernel.server.schemas.model_settings import check_format
from letta_kernel.server.schemas.requests import (
    ApprovalIn,
    ApprovalReturnIn,
    MessageIn,
    MessageRequest,
    StreamedRequest,
    ToolReturnIn,
    ToolReturnsIn,
)
from letta_kernel.server.threads import talks_in
from letta_kernel.service import AgentService, Decision
from letta_kernel.stop_reasons import failed
from letta_kernel.tools import skills
from letta_kernel.tools.skills import ClientSkill

Ended = TypeVar("Ended", RunEnded, GroupEnded)

NOT_DONE = {
    "return_logprobs": "log probabilities",
    "return_token_ids": "token ids",
    "callback_url": "calling back when a run has ended",
}
"""Fields of a request that are answered with 501, and what they ask for."""

NOTHING_WAITS = "No tool call is currently awaiting approval: send a message instead."
KEEP_ALIVE = "[keep-alive] Go on from where you stopped."
"""Stands for the message where an answer comes once more after the agent was cut off."""


def view_of(request: MessageRequest) -> View:
    """Return how the request wants its messages."""
    return View(
        types=request.include_return_message_types,
        speaking_tool=request.assistant_message_tool_name
        if request.use_assistant_message
        else None,
        speaking_argument=request.assistant_message_tool_kwarg,
    )


def asked_for(request: MessageRequest) -> dict[str, Any]:
    """Return the options of a run, or a group's turn, that *request* asks for; refuse what is not done here."""
    for field, what in NOT_DONE.items():
        if getattr(request, field):
            raise LeftOutError(f"Not offered by this server: {what} ({field}).")
    model = model_name(request.override_model, "override_model")
    if model is not None or request.override_system is not None:
        authorization.need("write")
        authorization.need_owner("Choosing a model or a system prompt")
    options: dict[str, Any] = {"max_steps": request.max_steps, "model": model}
    if request.override_system is not None:
        options["system"] = request.override_system
    return options


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
    options |= asked_for(request)
    options["background"] = background
    options["form"] = check_format(request.response_format, "response_format")
    tools = _client_tools(request)
    options["client_tools"] = tools
    options["client_skills"] = [
        ClientSkill(one.name, one.description, one.location) for one in request.client_skills or ()
    ]
    reader = ContentReader(service)
    answers, said = read(request, reader)
    conversation = options["conversation"] = talks_in(service, ref, options.get("conversation"))
    pending = service.runs.pending(ref, conversation)
    recent: list[Message] = []
    if pending or answers:
        recent = service.messages.approvals(ref, conversation)
    settled: dict[str, str] = {}
    if pending:
        asked = asking(recent, pending)
        if not answers:
            raise PendingApprovalError(", ".join(call.name for call in pending), asked.id)
        words = decisions(answers, pending, asked, reader)
        settled = dict.fromkeys((call.id for call in pending), asked.id)
        try:
            run = live.start(ref, words, following=said, **options)
        except InvalidInputError:
            if service.runs.pending(ref, conversation) != pending:  # another answer was quicker
                raise ApprovalError(NOTHING_WAITS) from None
            raise
    else:
        if answers:
            said = _after_all(answers, recent, said)
        options["earlier"] = said[:-1]
        options["pictures"] = said[-1].pictures
        fields = ("name", "sender_id", "group_id") if said[-1].role == "user" else ()
        fields = (*fields, "otid")
        who = {name: getattr(said[-1], name) for name in fields}
        run = live.start(ref, said[-1].content, role=_role(said[-1]), **who, **options)
    for item in request.messages or ():  # messages have theirs in the history
        if item.otid is not None:
            live.note_request(ref, _by_otid(item.otid), run.id)
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


def run_of(service: AgentService, live: RunManager, agent_id: str, otid: str) -> str:
    """Return the id of the run that an agent began with a message or an answer that a client calls *otid*.

    Raises
    ------
    NotFoundError
        There is none, or it was begun by an answer and the server has forgotten it.
    """
    known = live.begun_by(agent_id, _by_otid(otid)) or service.messages.run_of(agent_id, otid)
    if known is None:
        raise NotFoundError(f"No run of this agent began with {otid!r:.200} (otid).")
    return known


def _by_otid(otid: str) -> str:
    return f"otid {otid}"


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
    said, ended = await until_ended(run, stream, RunEnded)
    if ended is None:
        return JSONResponse({"detail": "The run was lost."}, 500)
    return answer(said, ended, usage_of(ended.usage, ended.steps, ended.run_id))


async def until_ended(
    run: LiveRun, stream: MessageStream, ends: type[Ended]
) -> tuple[list[Any], Ended | None]:
    """Return all that *stream* says of a run, and the event that ended it; None if there was none."""
    said: list[Any] = []
    ended: Ended | None = None
    async for event in run.events():
        said += stream.of(event) if event is not None else ()
        if isinstance(event, ends):
            ended = event
    return said, ended


def answer(
    said: Sequence[Any], ended: RunEnded | GroupEnded, usage: Any
) -> LettaResponse | JSONResponse:
    """Return what was said of a run, or of a group's turn, that has ended; 502 where it failed."""
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
        usage=usage,
    )


def as_stream(run: LiveRun, request: StreamedRequest) -> StreamingResponse:
    """Return the run as a stream of events."""
    return sse.stream(run, stream_of(run), pings=request.include_pings)


# -- reading a request -----------------------------------------------------------------------------


def read(
    request: MessageRequest, reader: ContentReader
) -> tuple[list[ApprovalIn | ToolReturnsIn], list[Message]]:
    """Return the words on calls that wait, and the messages; one of the two may be empty."""
    if request.input is not None and request.messages:
        raise FieldError("input", "Send either input or messages.")
    if request.input is not None:
        return [], [_message("user", reader.read(request.input, "input"))]
    given = request.messages or []
    if not given:
        raise FieldError("messages", "There is nothing to send: no message, no input.")
    answers: list[ApprovalIn | ToolReturnsIn] = []
    read: list[Message] = []
    for number, item in enumerate(given):
        if isinstance(item, MessageIn):
            read.append(message_of(item, f"messages.{number}", reader))
        elif read:
            raise FieldError("messages", "Answer the calls that wait first; then send messages.")
        else:
            answers.append(item)
    if read and read[-1].role == "assistant":
        raise FieldError(
            f"messages.{len(given) - 1}.role", "The last message is the user's or the system's."
        )
    return answers, read


def message_of(given: MessageIn, field: str, reader: ContentReader) -> Message:
    """Return a message that a client sent, as one of ours; *field* says where it stood."""
    said = reader.read(given.content, f"{field}.content")
    if authorization.guest() is not None and (given.role != "user" or given.sender_id):
        raise FieldError(f"{field}.role", "A guest speaks as the user, in their own name.")
    if not said[0].strip():
        raise FieldError(f"{field}.content", "The message is empty.")
    message = _message(given.role, said, given.name)
    message.sender_id, message.group_id = given.sender_id, given.group_id
    message.otid = given.otid
    return message


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


def asking(recent: Sequence[Message], pending: Sequence[ToolCall]) -> Message:
    """Return the message that made the calls that wait."""
    wanted = {call.id for call in pending}
    for message in reversed(recent):
        if wanted & {call.id for call in message.tool_calls}:
            return message
    raise ApprovalError(NOTHING_WAITS)


def decisions(
    answers: Sequence[ApprovalIn | ToolReturnsIn],
    pending: Sequence[ToolCall],
    asked: Message,
    reader: ContentReader,
) -> list[Decision]:
    """Return a word on each call that waits: those the answers say, and a yes for calls that asked nobody."""
    words: dict[str, Decision] = {}
    for number, answer in enumerate(answers):
        if isinstance(answer, ApprovalIn) and not answer.approvals:
            if answer.approve is None:
                field = f"messages.{number}.approvals"
                raise FieldError(field, "Say which calls, or approve for all.")
            said = [Decision(call.id, answer.approve, answer.reason or "") for call in pending]
        else:
            said = [
                _decision(part, f"messages.{number}.{place}", reader)
                for place, part in enumerate(_parts(answer))
            ]
        for decision in said:
            if decision.call_id == asked.id and len(pending) == 1:  # as clients of before said it
                decision = replace(decision, call_id=pending[0].id)
            if words.setdefault(decision.call_id, decision) != decision:
                raise FieldError(
                    f"messages.{number}",
                    f"The call {decision.call_id[:100]!r} is answered twice, each time differently.",
                )
    waiting = [call.id for call in pending]
    wanted = [call_id for call_id in waiting if call_id in asked.asked] or waiting
    if words.keys() - {*waiting} or {*wanted} - words.keys():
        given = [call_id[:100] for call_id in words]
        raise ApprovalError(f"Invalid tool call IDs. Expected '{wanted}', but received '{given}'.")
    free = (call_id for call_id in waiting if call_id not in words)
    return [*words.values(), *(Decision(call_id, approve=True) for call_id in free)]


def _parts(answer: ApprovalIn | ToolReturnsIn) -> Sequence[ApprovalReturnIn | ToolReturnIn]:
    return answer.tool_returns if isinstance(answer, ToolReturnsIn) else answer.approvals or ()


def _decision(part: ApprovalReturnIn | ToolReturnIn, field: str, reader: ContentReader) -> Decision:
    if isinstance(part, ToolReturnIn):
        text, pictures = reader.read(part.tool_return, f"{field}.tool_return")
        return Decision(
            part.tool_call_id,
            approve=True,
            result=text,
            failed=part.status == "error",
            pictures=pictures,
            stdout="".join(part.stdout or ()),
            stderr="".join(part.stderr or ()),
        )
    return Decision(part.tool_call_id, part.approve, part.reason or "")


def _after_all(
    answers: Sequence[ApprovalIn | ToolReturnsIn], recent: Sequence[Message], said: list[Message]
) -> list[Message]:
    """Return what to send where nothing waits: the answers came before, and may come once more.

    A client sends them again if it does not know that they arrived. Its messages are sent all the same;
    without any the agent goes on if it was cut off before it had answered.
    """
    given = {part.tool_call_id for answer in answers for part in _parts(answer)}
    results = {message.tool_call_id for message in recent if message.role == "tool"}
    spoke = [message for message in recent if message.role in ("tool", "assistant")]
    cut_off = bool(spoke) and spoke[-1].role == "tool"
    if not given or given - results or not (said or cut_off):
        raise ApprovalError(NOTHING_WAITS)
    return said or [Message(agent_id="", role="user", content=KEEP_ALIVE)]
