"""A model that plays a script: it checks what it is sent, and says and calls what is written down."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

from letta_kernel.ids import new_id
from letta_kernel.messages import ToolCall, Usage
from letta_kernel.models.base import (
    CallPiece,
    Cancel,
    ChatRequest,
    ModelError,
    Piece,
    ReasoningPiece,
    Reply,
    TextPiece,
)
from letta_kernel.models.images import described
from letta_kernel.models.scripted.moves import Call, Expect, Fail, Move, Script, Text, Wait
from letta_kernel.models.tokens import estimate

_SHOWN = 200  # characters of what came instead
_PARTS = {
    "last": "the last message",
    "system": "the system prompt",
    "conversation": "the conversation",
}
_NO_SUMMARY = "A script says nothing of the earlier conversation."


class Scripts:
    """The scripts of this process, and which answer each agent gets next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, Script] = {}  # the newest last
        self._next: dict[tuple[str, str], int] = {}

    def put(self, script: Script) -> None:
        """Keep *script*; every agent begins it at its first answer."""
        with self._lock:
            self._scripts.pop(script.name, None)
            self._scripts[script.name] = script
            for key in [key for key in self._next if key[0] == script.name]:
                del self._next[key]

    def clear(self) -> None:
        """Forget all scripts."""
        with self._lock:
            self._scripts.clear()
            self._next.clear()

    def all(self) -> list[Script]:
        """Return the scripts, the newest last."""
        with self._lock:
            return list(self._scripts.values())

    def find(self, name: str) -> Script:
        """Return the script *name*, or the newest where the name is empty.

        Raises
        ------
        ModelError
            ``unknown_model`` where there is none.
        """
        known = {script.name: script for script in self.all()}
        if name in known:
            return known[name]
        if not name and known:
            return list(known.values())[-1]
        there = f" Scripts here: {', '.join(known)}." if known else ""
        raise ModelError(
            "unknown_model",
            f"There is no script {name!r} in this process: run its cell first, which begins with "
            f"%%script {name or 'NAME'}.{there}",
        )

    def answer(self, name: str, request: ChatRequest) -> tuple[Script, tuple[Move, ...]]:
        """Return the next answer for the agent that asks, if what it sends is as expected.

        Raises
        ------
        ModelError
            ``unknown_model`` without such a script; ``replay_miss`` where it has ended, or expected something
            else: then the same answer is next again.
        """
        script = self.find(name)
        key = (script.name, request.agent_id)
        with self._lock:
            at = self._next.get(key, 0)
            if at >= len(script.answers):
                count = len(script.answers)
                raise ModelError(
                    "replay_miss",
                    f"The script {script.name!r} is at its end: {'all ' * (count > 1)}{count} "
                    f"answer{'s' * (count > 1)} given. Run its cell again to begin anew.",
                )
            for move in script.answers[at]:
                if isinstance(move, Expect):
                    _check(move, script.name, request)
            self._next[key] = at + 1
        return script, script.answers[at]


SCRIPTS = Scripts()


class ScriptedModel:
    """Plays the script it is named after; see `letta_kernel.scripted`."""

    context_window = 32_000
    takes_format = True  # what is written down is said
    supports_tools = True
    supports_reasoning = True
    supports_images = True  # a check sees their descriptions

    def __init__(self, name: str) -> None:
        self.name = name
        self.label = "script: no language model"

    def count_tokens(self, text: str) -> int:
        """Return an estimate."""
        return estimate(text)

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Yield the next answer of the script; a request that no agent's step makes takes none."""
        started = time.perf_counter()
        reply = Reply(model=self.name, label=self.label)
        if request.agent_id:
            script, moves = SCRIPTS.answer(self.name.partition("/")[2], request)
        else:
            script, moves = Script("", ()), (Text(0, _NO_SUMMARY),)
        for piece in _play(script, moves, request, reply, cancel):
            if reply.first_token is None:
                reply.first_token = time.perf_counter() - started
            yield piece
        said = reply.text + reply.reasoning + "".join(call.arguments for call in reply.tool_calls)
        sent = json.dumps([described(request.messages), request.tools], ensure_ascii=False)
        reply.usage = Usage(
            prompt_tokens=estimate(sent), completion_tokens=estimate(said), cost=0.0
        )
        yield reply


def _play(
    script: Script,
    moves: tuple[Move, ...],
    request: ChatRequest,
    reply: Reply,
    cancel: Cancel,
) -> Iterator[Piece]:
    offered = {tool["function"]["name"]: tool["function"] for tool in request.tools}
    calls = any(isinstance(move, Call) for move in moves)
    for move in moves:
        if cancel.cancelled:
            raise _stopped(script)
        match move:
            case Wait():
                if cancel.wait(move.seconds):
                    raise _stopped(script)
            case Fail():
                raise ModelError(move.kind, move.text, partial=reply)
            case Text(thought=True):
                reply.reasoning += "\n" * bool(reply.reasoning) + move.text
                yield ReasoningPiece(move.text)
            case Text() if "send_message" in offered and not calls:
                # An agent in heartbeat style answers by a call.
                yield from _call(
                    Call(move.line, "send_message", named=(("message", move.text),)),
                    offered, script, reply,
                )  # fmt: skip
            case Text():
                text = "\n" * bool(reply.text) + move.text
                pieces = [text] if move.pause is None else re.findall(r"\s*\S+\s*", text)
                for number, piece in enumerate(pieces):
                    if number and move.pause and cancel.wait(move.pause):
                        raise _stopped(script)
                    reply.text += piece
                    yield TextPiece(piece)
            case Call():
                yield from _call(move, offered, script, reply)


def _call(
    move: Call, offered: dict[str, dict[str, Any]], script: Script, reply: Reply
) -> Iterator[Piece]:
    raw = move.raw if move.raw is not None else _arguments(move, offered, script)
    call = ToolCall(id=new_id("call"), name=move.name, arguments=raw)
    index = len(reply.tool_calls)
    reply.tool_calls.append(call)
    reply.finish_reason = "tool_calls"
    yield CallPiece(index, call.id, call.name)
    yield CallPiece(index, arguments=raw)


def _arguments(move: Call, offered: dict[str, dict[str, Any]], script: Script) -> str:
    schema = offered.get(move.name, {}).get("parameters") or {}
    loop = {"thinking": "As the script says.", "request_heartbeat": move.name != "send_message"}
    names = [name for name in schema.get("properties", {}) if name not in loop]
    if len(move.values) > len(names):
        had = f"takes {', '.join(names) or 'nothing'}" if schema else "is no tool of this agent"
        raise ModelError(
            "replay_miss",
            f"Line {move.line} of the script {script.name!r} gives {move.name} values without names, and "
            f"{move.name} {had}: name them.",
        )
    given = dict(zip(names, move.values, strict=False)) | dict(move.named)
    asked = {name: loop[name] for name in schema.get("required", ()) if name in loop}
    return json.dumps({**asked, **given}, ensure_ascii=False)


# -- checks --------------------------------------------------------------------------------------------


def _check(check: Expect, name: str, request: ChatRequest) -> None:
    # What is looked at differs by place, what is said of it does not: so both are found first and told once.
    if check.where == "tools":
        there = [tool["function"]["name"] for tool in request.tools]
        wrong = [text for text in check.texts if (text in there) is not check.wanted]
        wanted = f"the tools to {'include' if check.wanted else 'lack'} {', '.join(wrong)}"
        came = f"they are {', '.join(there)}" if there else "there are none"
    else:
        messages = [one for one in request.messages if one.get("role") != "system"]
        if check.where == "system":
            messages = [one for one in request.messages if one.get("role") == "system"]
        elif check.where == "last":
            messages = messages[-1:]
        said = "\n".join(map(_said, messages))
        flat = _flat(said)
        wrong = [text for text in check.texts if (_flat(text) in flat) is not check.wanted]
        what = _PARTS[check.where]
        wanted = f"{what} to {'contain' if check.wanted else 'lack'} {', '.join(map(repr, wrong))}"
        came = f"it {_shown(said, from_end=check.where != 'system')}"
    if wrong:
        raise ModelError(
            "replay_miss", f"Line {check.line} of the script {name!r} expected {wanted}; {came}."
        )


def _said(message: dict[str, Any]) -> str:
    """Return what a message says, as it was before the step loop packed it."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    calls = [
        f"{call['function']['name']}({call['function']['arguments']})"
        for call in message.get("tool_calls") or ()
    ]
    text = str(content)
    if text.startswith("{"):
        try:
            packed = json.loads(text)
        except (ValueError, RecursionError):
            packed = None
        if isinstance(packed, dict) and isinstance(packed.get("message"), str):
            text = packed["message"]
    return "\n".join(filter(None, [text, *calls]))


def _shown(text: str, from_end: bool) -> str:
    """Return what *text* is, or the part of a long one that tells most."""
    if len(text) <= _SHOWN:
        return f"is {' '.join(text.split())!r}"
    part = text[-_SHOWN:] if from_end else text[:_SHOWN]
    return f"{'ends' if from_end else 'begins'} {' '.join(part.split())!r}"


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _stopped(script: Script) -> ModelError:
    return ModelError("cancelled", f"The script {script.name!r} was stopped.")
