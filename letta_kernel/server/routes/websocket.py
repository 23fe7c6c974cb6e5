"""Talking with an agent over one WebSocket: ``/v1/agents/{agent_id}/ws``, by id or name.

Every message is one JSON object in a text frame with a ``type``.

**The token** comes as ``Authorization: Bearer TOKEN``, as ``?token=TOKEN``, or as the first message,
``{"type": "auth", "token": "TOKEN"}``, within ten seconds. A page may connect if it is of this server, or of an
origin the server was told to allow.

**The server begins** with::

    {"type": "hello", "protocol": 1, "agent_id": "agent-…", "agent_name": "ada", "feed": "feed-…",
     "seq": 17, "resumed": false, "running": ["run-…"], "pending": [{"id", "name", "arguments"}]}

and goes on with what happens to the agent, whoever began it (this socket, REST, another client)::

    {"type": "event", "seq": 18, "run_id": "run-…", "event": {"type": "text_delta", "text": "Hel"}}

``event`` is one of `letta_kernel.messages`: run_started, step_started, reasoning_delta, text_delta,
tool_call_delta, stream_reset, tool_started, tool_progress, nested (an event of another agent that a call has
asked), tool_returned, memory_changed, approval_requested, notice, step_ended, run_ended. Pieces
(``…_delta``) are provisional; ``step_ended`` carries the whole messages.

**After a lost connection** connect with ``?feed=feed-…&after=18``, the last number that arrived: what follows
comes, nothing twice. Numbers have holes where a client that was behind got several pieces as one event; if
something is missing, ``{"type": "gap", "after": 18, "until": 400}`` says so and the history has it
(``GET /v1/agents/{agent_id}/messages``). ``resumed`` is false if the server was started anew meanwhile.
Without ``after`` a socket begins with the run that goes on, or with what comes next.

**The client says** one of these; ``id`` is its own, and comes back in the answer::

    {"type": "send", "id": "1", "text": "Hello", "role": "user", "max_steps": 10, "model": null,
     "conversation": null, "response_format": null, "wait": false}
    {"type": "approve", "id": "2", "decisions": [{"call_id": "…", "approve": true, "reason": "",
                                                  "arguments": null}], "conversation": null}
    {"type": "cancel", "id": "3", "run_id": "run-…"}        without run_id: whatever runs
    {"type": "ping", "id": "4"}

and is answered by ``{"type": "ack", "id": "1", "run_id": "run-…"}`` once it is committed, ``{"type": "pong",
"id": "4"}``, or ``{"type": "error", "id": "1", "kind": "AgentBusyError", "message": "…"}``. Where another
program keeps the store, ``{"type": "waiting", "id": "1", "message": "…"}`` comes before. A ``send`` or
``approve`` whose ``id`` was answered before is not done again: after a lost connection it may be repeated.
With ``wait`` a message to an agent that is busy waits its turn (``run_queued``) instead of being refused.
``conversation`` is the id of the agent's conversation that a ``send`` belongs to, or in which the calls of an
``approve`` wait; null or left out, it is the agent's own thread. A ``send`` may hold ``images``, each with
``data`` (base64) or ``url`` as over REST.

A token that may only read hears everything and is answered with an error where it asks for more;
``model`` needs one that may write.

**Close codes**: 4401 no or a wrong token, or one that was revoked meanwhile, 4404 no agent or several of that
name, 4429 too many sockets of this token, 1009 a message of more than 4,200,000 bytes, 1008 too many messages
that are none. A refusal before the connection is made is HTTP 403, or 429.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from letta_kernel import waiting
from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError
from letta_kernel.messages import worded
from letta_kernel.pictures.picture import MOST
from letta_kernel.records import AgentState
from letta_kernel.server import authorization, mirrors, rights, threads
from letta_kernel.server.deps import project_of
from letta_kernel.server.errors import ForbiddenError
from letta_kernel.server.events.contents import ContentReader
from letta_kernel.server.events.runs import RunManager
from letta_kernel.server.remedies import WORDS
from letta_kernel.server.schemas.model_settings import check_format
from letta_kernel.server.schemas.requests import ContentPart, ImageSource
from letta_kernel.service import AgentService, Decision
from letta_kernel.service.event_log import AgentLog, Gap
from letta_kernel.service.runs import GOING

router = APIRouter(tags=["websocket"])

MAX_FRAME = 4_200_000
"""Bytes of a message: a million characters in UTF-8, and room."""

AUTH_SECONDS = 10.0
"""Seconds in which the first message has to bring the token, if nothing did before."""

_PROTOCOL = 1
_MOST_NONSENSE = 20  # messages that are none, until the connection is closed
_BEHIND = 64  # events a client may be behind before it gets the pieces of a text as one
_REMEMBERED = 1000  # runs of which it is remembered whose they are
_NO_AGENT, _TOO_MUCH, _NONSENSE = 4404, 1009, 1008


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(default=None, max_length=200)


class Send(_Asked):
    """A message for the agent."""

    type: Literal["send"]
    text: str
    role: Literal["user", "event"] = "user"
    max_steps: int | None = Field(default=None, ge=1, le=1000)
    model: str | None = Field(default=None, max_length=300)
    response_format: dict[str, Any] | None = None
    conversation: str | None = Field(default=None, max_length=100)
    images: list[ImageSource] = Field(default_factory=list, max_length=MOST)
    wait: bool = False


class Word(BaseModel):
    """A person's word on one call."""

    model_config = ConfigDict(extra="forbid")

    call_id: str
    approve: bool
    reason: str = ""
    arguments: dict[str, Any] | None = None


class Approve(_Asked):
    """Words on the calls that wait; those not named count as denied."""

    type: Literal["approve"]
    decisions: list[Word]
    conversation: str | None = Field(default=None, max_length=100)


class Stop(_Asked):
    """End a run."""

    type: Literal["cancel"]
    run_id: str | None = None


class Ping(_Asked):
    """Is anybody there?"""

    type: Literal["ping"]


_ASKED: TypeAdapter[Send | Approve | Stop | Ping] = TypeAdapter(
    Annotated[Send | Approve | Stop | Ping, Field(discriminator="type")]
)


@router.websocket("/agents/{agent_id}/ws")
async def agent_socket(websocket: WebSocket, agent_id: str) -> None:
    """Follow an agent and talk with it; this module's text describes the protocol."""
    with suppress(WebSocketDisconnect, RuntimeError):  # the client has left, at whatever moment
        await _talk(websocket, agent_id)


async def _talk(websocket: WebSocket, agent_id: str) -> None:
    await websocket.accept()
    try:
        if (use := authorization.current_use()) is not None:
            use = await rights.enter(websocket, use, "agent_socket")
            rights.allow(use, "agent_socket")
        project = project_of(websocket)
        service = project.service
        ref = await anyio.to_thread.run_sync(authorization.whose, service, agent_id)
        agent = await anyio.to_thread.run_sync(service.agents.retrieve, ref or agent_id)
        own = await anyio.to_thread.run_sync(threads.own_thread, service, agent.id)
        pending = await anyio.to_thread.run_sync(service.runs.pending, agent.id, own.conversation)
        going = await anyio.to_thread.run_sync(_going, service, agent.id)
    except LettaError as error:
        hidden = NotFoundError | InvalidInputError | ForbiddenError
        code = _NO_AGENT if isinstance(error, hidden) else 1011
        await websocket.close(code, _reason(error.in_words(WORDS)))
        return
    log = service.events.agent(agent.id)
    after, resumed = _place(websocket, log)
    socket = _Socket(websocket, agent, service, project.live, log)
    await socket.say(
        type="hello",
        protocol=_PROTOCOL,
        agent_id=agent.id,
        agent_name=authorization.alias() or agent.name,
        feed=log.id,
        seq=after,
        resumed=resumed,
        running=await socket.seen(sorted({*log.running, *going})),
        pending=[call.model_dump() for call in pending],
    )
    with mirrors.of(project).follow(agent.id):
        await socket.serve(after)


class _Socket:
    """One connection: what the agent does goes out, what the client asks comes in."""

    def __init__(
        self,
        websocket: WebSocket,
        agent: AgentState,
        service: AgentService,
        live: RunManager,
        log: AgentLog,
    ) -> None:
        self._websocket, self._agent, self._service = websocket, agent, service
        self._live, self._log = live, log
        self._sending = asyncio.Lock()
        # Whose runs alone are told; None: everybody's.
        self._person = authorization.only_own()
        self._own: dict[str, bool] = {}

    async def say(self, **message: Any) -> None:
        """Send one message."""
        text = json.dumps(message, ensure_ascii=False)
        async with self._sending:
            await self._websocket.send_text(text.encode("utf-8", "replace").decode())

    async def seen(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of some runs that the client may follow: a guest who does not read, their own."""
        return [one for one in run_ids if self._person is None or await self._is_own(one)]

    async def _is_own(self, run_id: str) -> bool:
        told = self._service.events.run(run_id)
        if told is not None and told.user:  # also while it waits for its turn, and is no row yet
            return told.user == self._person
        if run_id not in self._own:
            if len(self._own) > _REMEMBERED:
                self._own.clear()
            try:
                run = await anyio.to_thread.run_sync(self._service.runs.retrieve, run_id)
                self._own[run_id] = run.created_by == self._person
            except LettaError:  # nothing is known of it
                return False
        return self._own[run_id]

    async def serve(self, after: int) -> None:
        """Go on until either side closes."""
        telling = asyncio.create_task(self._tell(after))
        try:
            await self._listen()
        except (WebSocketDisconnect, RuntimeError):
            pass  # it is closed
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await telling

    async def _tell(self, after: int) -> None:
        async with aclosing(self._log.follow(after, behind=_BEHIND)) as events:
            async for one in events:
                if isinstance(one, Gap):
                    await self.say(type="gap", after=one.after, until=one.number)
                elif one is not None and await self.seen([one.run_id]):
                    event = worded(one.event, WORDS).model_dump(mode="json")
                    await self.say(type="event", seq=one.number, run_id=one.run_id, event=event)

    async def _listen(self) -> None:
        nonsense = 0
        while True:
            raw = await _receive(self._websocket)
            if raw is None:
                return
            try:
                asked = _ASKED.validate_json(raw)
            except ValidationError as error:
                nonsense += 1
                if nonsense > _MOST_NONSENSE:
                    await self._websocket.close(_NONSENSE, "too many messages that are none")
                    return
                await self.say(type="error", id=_id_in(raw), kind="Invalid", message=_first(error))
                continue
            try:
                await self._do(asked)
            except LettaError as problem:
                kind = type(problem).__name__
                await self.say(
                    type="error", id=asked.id, kind=kind, message=problem.in_words(WORDS)
                )

    async def _do(self, asked: Send | Approve | Stop | Ping) -> None:
        loop = asyncio.get_running_loop()

        def wait(text: str) -> None:  # on a thread
            said = self.say(type="waiting", id=asked.id, message=text)
            asyncio.run_coroutine_threadsafe(said, loop)

        with waiting.request(wait):
            await self._done(asked)

    async def _done(self, asked: Send | Approve | Stop | Ping) -> None:
        if isinstance(asked, Ping):
            await self.say(type="pong", id=asked.id)
            return
        authorization.need("talk")
        if isinstance(asked, Stop):
            await self._stop(asked)
        else:
            agent_id, run_id = self._agent.id, None
            if asked.id:
                run_id = self._live.begun_by(agent_id, asked.id)
            if run_id is None:
                run_id = await self._start(asked)
                if asked.id:
                    self._live.note_request(agent_id, asked.id, run_id)
            await self.say(type="ack", id=asked.id, run_id=run_id)

    async def _start(self, asked: Send | Approve) -> str:
        options: dict[str, Any] = {}
        if asked.conversation is not None:
            options["conversation"] = asked.conversation
        if isinstance(asked, Send):
            if asked.model is not None:
                authorization.need("write")
                authorization.need_owner("Choosing a model")
            options.update(role=asked.role, max_steps=asked.max_steps, model=asked.model)
            options["wait"] = "here" if asked.wait else False
            parts = [ContentPart(type="image", source=one) for one in asked.images]
            reader = ContentReader(self._service)
            read = await anyio.to_thread.run_sync(reader.read, parts, "images")
            options["pictures"] = read[1]
            options["form"] = check_format(asked.response_format, "response_format")
            run = await self._live.start_async(self._agent.id, asked.text, **options)
        else:
            words = [Decision(w.call_id, w.approve, w.reason, w.arguments) for w in asked.decisions]
            run = await self._live.start_async(self._agent.id, words, **options)
        return run.id

    async def _stop(self, asked: Stop) -> None:
        mine = authorization.own_runs()

        def stop() -> list[str]:
            agent_id, wanted = self._agent.id, asked.run_id
            found = self._service.runs.list(agent_ids=[agent_id], statuses=GOING, created_by=mine)
            ids = dict.fromkeys([*self._log.running, *(run.id for run in found)])
            if mine is not None:
                ids = dict.fromkeys(run.id for run in found)
            return [one for one in ids if wanted in (None, one) and self._service.runs.cancel(one)]

        stopped = await anyio.to_thread.run_sync(stop)
        queued = self._live.get(asked.run_id or "")  # it waits its turn, and does not run yet
        theirs = queued is not None and mine in (None, queued.user)
        if not stopped and queued is not None and theirs and queued.agent_id == self._agent.id:
            queued.cancel()
            stopped = [queued.id]
        if not stopped:
            raise InvalidInputError("There is no run of this agent to end.")
        await self.say(type="ack", id=asked.id, run_id=stopped[0])


def _going(service: AgentService, agent_id: str) -> list[str]:
    """Return the runs of an agent that go on, in whatever process."""
    return [run.id for run in service.runs.list(agent_ids=[agent_id], statuses=GOING)]


async def _receive(websocket: WebSocket) -> str | None:
    """Return the next text; None when the client has gone or said too much at once."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        return None
    text = message.get("text")
    if text is None:
        return "binary"  # which is no JSON, and answered as such
    if len(text) > MAX_FRAME or len(text.encode("utf-8", "replace")) > MAX_FRAME:
        await websocket.close(_TOO_MUCH, f"a message may have {MAX_FRAME:,} bytes")
        return None
    return str(text)


def _place(websocket: WebSocket, log: AgentLog) -> tuple[int, bool]:
    """Return the number to go on after, and whether that is where the client left off."""
    after = websocket.query_params.get("after", "")
    named = websocket.query_params.get("feed")
    if after.isascii() and after.isdigit() and len(after) < 18 and named in (None, log.id):
        number = int(after)
        if number <= log.last:
            return number, True
    return log.now(), False


def _id_in(raw: str) -> str | None:
    with suppress(ValueError, RecursionError, AttributeError):
        found = json.loads(raw).get("id")
        return found[:200] if isinstance(found, str) else None
    return None


def _first(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else str(found["msg"])


def _reason(text: str) -> str:
    """Return what fits into a close frame."""
    return text.encode("utf-8", "replace")[:120].decode("utf-8", "ignore")
