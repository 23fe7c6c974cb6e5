"""What a server tells of agents, blocks and messages, as the records that displays read.

A server is another program, maybe of another version: what is missing has a default, what is more is passed
over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from letta_kernel.ids import now
from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import Block

_LONGEST = 300  # characters of a name or a line
_MOST = 10_000  # of anything in a list
_NOTICE = 1000  # characters


class SharedAgent(BaseModel):
    """An agent of somebody else's as far as it is shown here; ``ref`` is what it is called: ``owner/name``."""

    model_config = ConfigDict(frozen=True)

    ref: str
    id: str = ""
    owner: str = ""
    rights: tuple[str, ...] = ()
    description: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()

    @property
    def may(self) -> str:
        """What one may with it, in words."""
        return ", ".join(self.rights)


def shared_of(found: Mapping[str, Any]) -> SharedAgent:
    """Return an agent as a server lists it for the person it is shared with."""
    ref = _line(found.get("agent"))
    return SharedAgent(
        ref=ref,
        id=_line(found.get("agent_id")),
        owner=ref.partition("/")[0],
        rights=tuple(_line(one) for one in _list(found.get("rights"))),
        description=_line(found.get("description")),
        model=_line(found.get("model")),
        tools=tuple(_line(one) for one in _list(found.get("tools"))),
    )


class Me(BaseModel):
    """Who asks at a server: their name there, what others share with them, and what everybody is told."""

    model_config = ConfigDict(frozen=True)

    user: str = ""
    shared: tuple[SharedAgent, ...] = ()
    notice: str = ""


def me_of(found: Mapping[str, Any]) -> Me:
    """Return who asks, of a server's answer."""
    return Me(
        user=_line(found.get("user")),
        shared=tuple(shared_of(one) for one in _maps(found.get("shared"))),
        notice=" ".join(_text(found.get("notice")).split())[:_NOTICE],
    )


def agent_of(found: Mapping[str, Any], ref: str, known: SharedAgent | None) -> SharedAgent:
    """Return the agent *ref* of a server's answer, with what is *known* of it from the list."""
    known = known or SharedAgent(ref=ref, owner=ref.partition("/")[0])
    told = {
        "id": _line(found.get("id")),
        "description": _line(found.get("description")),
        "model": _line(found.get("model")),
        "tags": tuple(_line(one) for one in _list(found.get("tags"))),
    }
    return known.model_copy(update=told)


def block_of(found: Mapping[str, Any]) -> Block:
    """Return a block of a server's answer."""
    limit, version = found.get("limit"), found.get("version")
    return Block(
        id=_line(found.get("id")),
        label=_line(found.get("label")),
        value=_text(found.get("value")),
        limit=limit if isinstance(limit, int) else 100_000,
        description=_line(found.get("description")),
        read_only=found.get("read_only") is True,
        version=version if isinstance(version, int) else 1,
        tags=[_line(one) for one in _list(found.get("tags"))],
    )


def messages_of(found: Iterable[Mapping[str, Any]], owner: str) -> list[Message]:
    """Return a history that came in the API's shapes, oldest first.

    Thought, answer and call of one reply, which are three there, are one message.

    Parameters
    ----------
    owner : who spoke the messages that name nobody.
    """
    made: list[Message] = []
    for shape in found:
        message = _message(shape, owner)
        if message is None:
            continue
        last = made[-1] if made else None
        if last is not None and last.id == message.id and last.role == message.role == "assistant":
            last.content = "\n".join(filter(None, (last.content, message.content)))
            last.reasoning += message.reasoning
            last.tool_calls = [*last.tool_calls, *message.tool_calls]
        else:
            made.append(message)
    for number, message in enumerate(made, start=1):
        message.seq = number
    return made


def _calls(shape: Mapping[str, Any]) -> list[ToolCall]:
    """Return the calls of a message in the API's shape."""
    calls = _maps(shape.get("tool_calls")) or _maps([shape.get("tool_call")])
    return [
        ToolCall(
            id=_line(one.get("tool_call_id")),
            name=_line(one.get("name")),
            arguments=_text(one.get("arguments")) or "{}",
        )
        for one in calls
    ]


def _message(shape: Mapping[str, Any], owner: str) -> Message | None:
    told: dict[str, Any] = {}
    match shape.get("message_type"):
        case "user_message":
            told = {"role": "user", "content": _said(shape.get("content"))}
            told["created_by"] = _line(shape.get("name")) or owner
        case "system_message" if not shape.get("run_id"):  # the system prompt: nobody said it
            return None
        case "system_message":
            told = {"role": "event", "content": _said(shape.get("content"))}
        case "summary_message":
            told = {"role": "summary", "content": _text(shape.get("summary"))}
        case "reasoning_message":
            told = {"role": "assistant", "reasoning": _text(shape.get("reasoning"))}
        case "assistant_message":
            told = {"role": "assistant", "content": _said(shape.get("content"))}
        case "tool_call_message" | "approval_request_message":
            told = {"role": "assistant", "tool_calls": _calls(shape)}
        case "tool_return_message":
            good = shape.get("status") == "success"
            told = {"role": "tool", "content": _said(shape.get("tool_return"))}
            told["status"] = "ok" if good else "error"
        case _:
            return None
    return Message(
        id=_line(shape.get("id")),
        agent_id="",
        run_id=_line(shape.get("run_id")) or None,
        name=_line(shape.get("name")) or None,
        sender_id=_line(shape.get("sender_id")) or None,
        created_at=_moment(shape.get("date")),
        **told,
    )


def _said(content: object) -> str:
    """Return the text of what is one, or parts, of which pictures are named only."""
    if isinstance(content, str):
        return content
    parts = _maps(content)
    return "\n".join(_text(one.get("text")) or f"[{_line(one.get('type'))}]" for one in parts)


def _moment(given: object) -> datetime:
    try:
        return datetime.fromisoformat(str(given))
    except ValueError:
        return now()


def _text(given: object) -> str:
    if given is None or isinstance(given, str):
        return given or ""
    return json.dumps(given, ensure_ascii=False, default=str)


def _line(given: object) -> str:
    return " ".join(_text(given).split())[:_LONGEST]


def _list(given: object) -> list[Any]:
    return given[:_MOST] if isinstance(given, list) else []


def _maps(given: object) -> list[dict[str, Any]]:
    return [one for one in _list(given) if isinstance(one, dict)]
