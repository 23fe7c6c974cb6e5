"""Server-sent events: one line of ASCII JSON each, so that nothing said can end an event or begin another."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from letta_kernel.errors import LettaError
from letta_kernel.ids import new_id, now
from letta_kernel.messages import Notice
from letta_kernel.server.events.messages import MessageStream
from letta_kernel.server.events.runs import LiveRun
from letta_kernel.server.remedies import WORDS
from letta_kernel.server.schemas.messages import ErrorMessage, Ping

PING_SECONDS = 15.0
DONE = b"data: [DONE]\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; a stream of server-sent events if that is asked for.",
        "content": {
            "text/event-stream": {
                "schema": {"description": "Events whose data is a message, and at last [DONE]."},
                "example": 'data: {"message_type": "assistant_message", "content": "Hello"}\n\n'
                "data: [DONE]\n\n",
            }
        },
    }
}


def event(data: BaseModel | dict[str, Any]) -> bytes:
    """Return one event that carries *data*."""
    plain = data.model_dump(mode="json") if isinstance(data, BaseModel) else data
    return b"data: " + json.dumps(plain).encode("ascii") + b"\n\n"


def stream(
    run: LiveRun, messages: MessageStream, *, after: int = 0, pings: bool = False
) -> StreamingResponse:
    """Return the response that tells *run* from message number *after* on until it ends.

    A client that goes away does not end the run.
    """
    messages.after = after
    return StreamingResponse(
        _told(run, messages, PING_SECONDS if pings else None),
        media_type="text/event-stream",
        headers=HEADERS,
    )


async def _told(run: LiveRun, messages: MessageStream, idle: float | None) -> AsyncIterator[bytes]:
    after = messages.after
    try:
        async with aclosing(run.events(idle)) as events:
            async for one in events:
                if one is None:
                    yield event(Ping(id=new_id("message"), date=now(), run_id=run.id))
                    continue
                if isinstance(one, Notice):  # the API has no such message
                    yield b": " + json.dumps(one.text).encode("ascii") + b"\n\n"
                told = (event(each) for each in messages.of(one) if messages.count > after)
                if said := b"".join(told):
                    yield said
    except LettaError as error:
        text = error.in_words(WORDS)
        yield event(ErrorMessage(run_id=run.id, error_type=type(error).__name__, message=text))
    yield DONE


def finished(shapes: Iterable[BaseModel]) -> StreamingResponse:
    """Return a stream of what is all there already."""

    async def told() -> AsyncIterator[bytes]:
        for shape in shapes:
            yield event(shape)
        yield DONE

    return StreamingResponse(told(), media_type="text/event-stream", headers=HEADERS)
