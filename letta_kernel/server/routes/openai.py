"""Chat completions in OpenAI's shape, with an agent as the model: any chat program can talk to an agent.

The address for such programs is ``http://…/openai/v1``; ``/v1/chat/completions`` is the same. The model is
an agent's name, of several of one name the newest, or an id.
**Only the last user message goes to the agent**, which keeps its own history, memory
and instructions: what the client sends before it, and its system messages, are not read. Sampling and tools are
the agent's own. A client that hangs up while the answer streams ends the run. A call that waits for a person's
approval ends the answer with a line that says so.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

import anyio
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from letta_kernel.errors import LettaError
from letta_kernel.messages import (
    ApprovalRequested,
    ReasoningDelta,
    RunEnded,
    StepEnded,
    StreamReset,
    TextDelta,
    Usage,
)
from letta_kernel.records import AgentState
from letta_kernel.server.authorization import shared, visible, whose
from letta_kernel.server.deps import Live, Service
from letta_kernel.server.errors import (
    AGAIN,
    FieldError,
    LeftOutError,
    openai_error,
    status_of,
)
from letta_kernel.server.events import sse
from letta_kernel.server.events.contents import ContentReader, Read
from letta_kernel.server.events.runs import LiveRun
from letta_kernel.server.remedies import WORDS
from letta_kernel.server.schemas.model_settings import check_format
from letta_kernel.server.schemas.requests import ContentPart
from letta_kernel.service import AgentService
from letta_kernel.stop_reasons import failed

router = APIRouter(tags=["openai"])

_FINISH = {"max_tokens_exceeded": "length", "insufficient_credits": "length"}
_KEEP_ALIVE = b": still here\n\n"


class ChatMessage(BaseModel):
    """A message as OpenAI's clients send it."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    """What a stream says besides."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """A request for a completion; other fields of OpenAI's are taken and have no effect."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"model": "ada", "messages": [{"role": "user", "content": "Hello"}]}]
        },
    )

    model: str = Field(min_length=1, max_length=300, description="An agent's name or id.")
    messages: list[ChatMessage] = Field(
        min_length=1, description="Only the last one of the user is read."
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None


class Said(BaseModel):
    """What the agent said; its thoughts as ``reasoning_content``."""

    role: Literal["assistant"] = "assistant"
    content: str
    reasoning_content: str | None = None


class Choice(BaseModel):
    """The one answer."""

    index: int = 0
    message: Said
    finish_reason: str
    logprobs: None = None


class Completion(BaseModel):
    """A completion; ``letta`` says more than OpenAI's shape can."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: dict[str, Any]
    letta: dict[str, Any]


class AgentModel(BaseModel):
    """An agent as an entry of a list of models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "letta-kernel"


class AgentModels(BaseModel):
    """All agents, as models."""

    object: Literal["list"] = "list"
    data: list[AgentModel]


@router.post(
    "/chat/completions",
    operation_id="chat_completions",
    response_model=Completion,
    responses={**sse.RESPONSES, 502: {"description": "The agent's own model failed."}},
)
async def complete(request: ChatRequest, service: Service, live: Live) -> Response | Completion:
    """Send the last user message to the agent named as the model, and return what it answers."""
    try:
        text, pictures = await anyio.to_thread.run_sync(_last_of_user, request, service)
        form = check_format(request.response_format, "response_format")
        agent_id = await _newest(service, request.model)
        run = await live.start_async(agent_id, text, form=form, pictures=pictures)
    except LettaError as error:
        return _refusal(status_of(error), error.in_words(WORDS), type(error).__name__)
    answer = _Answer(run, request.model)
    if request.stream:
        usage = bool(request.stream_options and request.stream_options.include_usage)
        return StreamingResponse(
            answer.stream(usage), media_type="text/event-stream", headers=sse.HEADERS
        )
    return await answer.whole()


models = APIRouter(tags=["openai"])
"""What is served under ``/openai/v1`` only: ``/v1/models`` is the SDK's, in another shape."""


@models.get("/models", operation_id="openai_models")
def list_models(service: Service) -> AgentModels:
    """List the agents as OpenAI's clients list models; of one name the newest has it, others their ids."""
    agents = visible(service.agents.list())
    named = {state.name: state.id for state in agents}  # the last one is the newest
    entries = [_entry(one, one.name if named[one.name] == one.id else one.id) for one in agents]
    return AgentModels(data=[*entries, *(_entry(one.state, one.name) for one in shared())])


@models.get("/models/{model:path}", operation_id="openai_model")  # a name may hold slashes
def retrieve_model(model: str, service: Service) -> AgentModel:
    """Return one agent as OpenAI's clients see a model."""
    return _entry(_meant(service, model), model)


def _entry(state: AgentState, name: str) -> AgentModel:
    return AgentModel(id=name, created=int(state.created_at.timestamp()))


async def _newest(service: AgentService, model: str) -> str:
    """Return the id of the agent that is meant by a model's name, without holding up the event loop."""
    return (await anyio.to_thread.run_sync(_meant, service, model)).id


def _meant(service: AgentService, model: str) -> AgentState:
    return service.agents.retrieve(whose(service, model) or model, newest=True)


class _Answer:
    """A run in OpenAI's shapes."""

    def __init__(self, run: LiveRun, model: str) -> None:
        self._run = run
        self._model = model.encode("utf-8", "replace").decode()  # the agent was found all the same
        self._created = int(time.time())
        self._said: list[str] = []
        self._thought: list[str] = []
        self._waiting: list[dict[str, Any]] = []

    async def whole(self) -> Response | Completion:
        """Wait for the end and return all of it."""
        ended: RunEnded | None = None
        async for event in self._run.events():
            if isinstance(event, StepEnded):
                spoken = [m for m in event.messages if m.role == "assistant"]
                self._said += [m.said for m in spoken if m.said.strip()]
                self._thought += [m.reasoning for m in spoken if m.reasoning.strip()]
            elif isinstance(event, ApprovalRequested):
                self._wait(event)
            elif isinstance(event, RunEnded):
                ended = event
        if ended is None or failed(ended.stop_reason):
            return _refusal(502, *_failure(ended))
        content = "\n\n".join([*self._said, *self._notice()])
        thought = "\n\n".join(self._thought) or None
        return Completion(
            id=f"chatcmpl-{self._run.id}",
            created=self._created,
            model=self._model,
            choices=[
                Choice(
                    message=Said(content=content, reasoning_content=thought),
                    finish_reason=_FINISH.get(ended.stop_reason, "stop"),
                )
            ],
            usage=_usage(ended.usage),
            letta=self._more(ended),
        )

    async def stream(self, usage: bool) -> AsyncIterator[bytes]:
        """Yield the pieces as they come; a client that hangs up ends the run."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            async with aclosing(self._run.events(sse.PING_SECONDS)) as events:
                async for event in events:
                    said = _KEEP_ALIVE if event is None else self._piece(event, usage)
                    if said:
                        yield said
            yield sse.DONE
        finally:
            if not self._run.over.is_set():
                self._run.cancel()

    def _piece(self, event: Any, usage: bool) -> bytes:
        match event:
            case TextDelta():
                before = "\n\n" if self._said and self._said[-1] == "" else ""
                self._said.append(event.text)
                return self._chunk({"content": before + event.text})
            case ReasoningDelta():
                return self._chunk({"reasoning_content": event.text})
            case StepEnded() | StreamReset():
                if self._said and self._said[-1]:
                    self._said.append("")  # what follows begins a new paragraph
            case ApprovalRequested():
                self._wait(event)
            case RunEnded():
                return self._end(event, usage)
        return b""

    def _end(self, ended: RunEnded, usage: bool) -> bytes:
        if failed(ended.stop_reason):
            message, kind = _failure(ended)
            return sse.event(openai_error(message, kind))
        said = b""
        for line in self._notice():
            said += self._chunk({"content": ("\n\n" if self._said else "") + line})
        finish = _FINISH.get(ended.stop_reason, "stop")
        said += self._chunk({}, finish_reason=finish, letta=self._more(ended))
        if usage:
            said += self._chunk(None, usage=_usage(ended.usage))
        return said

    def _chunk(
        self, delta: dict[str, Any] | None, finish_reason: str | None = None, **more: Any
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return sse.event(
            {
                "id": f"chatcmpl-{self._run.id}",
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._model,
                "choices": [] if delta is None else [choice],
                **more,
            }
        )

    def _wait(self, event: ApprovalRequested) -> None:
        self._waiting = [call.model_dump() for call in event.calls]

    def _notice(self) -> list[str]:
        if not self._waiting:
            return []
        calls = ", ".join(f"{call['name']}({call['arguments']})" for call in self._waiting)
        return [
            f"[Waits for approval of {calls}: an approval message to /v1/agents/ID/messages decides.]"
        ]

    def _more(self, ended: RunEnded) -> dict[str, Any]:
        return {
            "run_id": ended.run_id,
            "stop_reason": ended.stop_reason,
            "steps": ended.steps,
            "pending": self._waiting,
        }


def _last_of_user(request: ChatRequest, service: AgentService) -> Read:
    if request.n not in (None, 1):
        raise LeftOutError("An agent gives one answer: leave out n.")
    if request.tools:
        raise LeftOutError("Tools of the client are not offered here: give the agent its own.")
    for number, message in reversed(list(enumerate(request.messages))):
        if message.role == "user":
            field = f"messages.{number}.content"
            return ContentReader(service).read(message.content or "", field)
    raise FieldError("messages", "There is no message of the user to send.")


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _failure(ended: RunEnded | None) -> tuple[str, str]:
    if ended is None:
        return "The run was lost.", "error"
    return ended.error or ended.stop_reason, ended.stop_reason


def _refusal(status: int, message: str, kind: str) -> JSONResponse:
    text = message.encode("utf-8", "replace").decode()
    # What failed after the message was taken must not be sent again by itself.
    headers = AGAIN if status == 429 else None
    if status in (501, 502):
        headers = {"x-should-retry": "false"}
    return JSONResponse(openai_error(text, kind), status, headers)
