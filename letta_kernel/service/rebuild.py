"""The request of a step once more, from what the store keeps of it, and what is missing of it.

`letta_kernel.agent.request_record` says what a step keeps. Everything is read as it was: blocks by their
versions, messages by their numbers, schemas and instructions by their content. What was forgotten for good, or
deleted, cannot be had again; each such gap is one line in `Rebuilt.missing`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.agent.beside import described, lasting
from letta_kernel.agent.context import (
    compile_block,
    compile_blocks,
    describe_retrieved,
    joined,
    to_chat,
)
from letta_kernel.agent.open_step import spoken_id
from letta_kernel.agent.request_record import FORM, part_id
from letta_kernel.agent.stops import edited
from letta_kernel.agent.window import Window
from letta_kernel.messages import Edit, Message
from letta_kernel.models.base import ChatRequest, ResponseFormat, Sent
from letta_kernel.records import Block, Conversation, Inherited, OwnThread, Run, Step
from letta_kernel.store import blocks, messages, pictures, request_parts, runs
from letta_kernel.store.database import Tx

_NAMED = ("prompt", "tools", "frame", "route", "note", "line")
_BEFORE = "The step was written before requests were kept: what the model was shown is not known any more."
_CHANGED = "It differs from what was sent: something that it was made of has been changed since."
_LIBRARY = "Its bytes were made by a provider's library: shown is what that was given."


@dataclass(slots=True)
class Piece:
    """A part of a request.

    ``kind`` is instructions, block, files, skills, rules, metadata, prompt, tools, summary, message, history,
    call, result, notebook, passages or group. Of a block ``block_id`` and ``version`` are told.
    """

    kind: str
    name: str
    text: str
    block_id: str = ""
    version: int | None = None
    message_id: str = ""
    images: int = 0  # tokens of pictures


@dataclass(slots=True)
class Rebuilt:
    """A request as it was, as far as it can be had.

    ``exact`` says whether its bytes are those that went out, None where nobody knows them; ``body`` are these.
    ``edits`` is what a person changed of the step by hand: of the request, and of the reply.
    """

    request: ChatRequest = field(default_factory=lambda: ChatRequest([]))
    pieces: list[Piece] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    body: bytes | None = None
    exact: bool | None = None
    sent: Sent | None = None
    window: dict[str, Any] = field(default_factory=dict)
    shortened: list[dict[str, Any]] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)


def rebuild(tx: Tx, step: Step, run: Run, *, body: bool = True) -> Rebuilt:
    """Return the request of *step*, which belongs to *run*; its *body* takes time, and may be left out."""
    made = Rebuilt()
    if step.number == 0 or "prompt" not in step.request:
        if step.number:
            made.missing.append(_BEFORE)
        return made
    parts = _Parts(tx, step, made)
    system = _system(tx, parts)
    tools = _tools(parts)
    frame = parts.value("frame") or {}
    window, beside = _window(tx, step, run, parts, bool(frame.get("images")))
    chat = window.chat(beside, lambda wanted: pictures.urls(tx, wanted))
    made.pieces += _of_messages(window, beside, run)
    made.window |= {"model": frame.get("model"), "tokens": frame.get("window")}
    wanted = frame.get("form")
    spoken = messages.get(tx, spoken_id(step.id))
    made.edits = [*(spoken.edits or ())] if spoken is not None else []
    made.request = ChatRequest(
        messages=edited([{"role": "system", "content": system}, *chat], made.edits),
        tools=tools,
        tool_choice=step.request.get("choice"),
        params=frame.get("params") or {},
        response_format=ResponseFormat(**wanted, now=bool(step.request.get("now")))
        if wanted
        else None,
    )
    route = parts.value("route")
    if route is not None and body:
        made.sent = Sent(digest=step.request.get("sent", ""), **route)
        from letta_kernel.models.rebuilt import (  # what calls models takes time to load
            body_of,
            is_same,
        )

        made.body = body_of(made.request, made.sent)
        if made.sent.digest:
            made.exact = is_same(made.body, made.sent)
            if not made.exact and not made.missing:
                made.missing.append(_CHANGED)
        elif not made.missing:
            made.missing.append(_LIBRARY)
    return made


class _Parts:
    """The parts that a step's request names, as they are kept."""

    def __init__(self, tx: Tx, step: Step, made: Rebuilt) -> None:
        self._tx, self._step, self.made = tx, step, made
        ids = {name: step.request[name] for name in _NAMED if name in step.request}
        self.ids = ids
        found = request_parts.read(tx, step.agent_id, [*ids.values()])
        self._values = {name: found.get(one) for name, one in ids.items()}
        for name in sorted(name for name, value in self._values.items() if value is None):
            self.lacks(f"its {name}")

    def value(self, name: str) -> Any:
        """Return the value of a part; None where the request has none of that name, or it is gone."""
        return self._values.get(name)

    def read(self, wanted: Sequence[str]) -> dict[str, Any]:
        """Return what parts name in turn."""
        return request_parts.read(self._tx, self._step.agent_id, wanted)

    def lacks(self, what: str) -> None:
        """Note that something is gone."""
        self.made.missing.append(f"{what[:1].upper()}{what[1:]} is gone from the store.")


def _system(tx: Tx, parts: _Parts) -> str:
    """Return the system prompt, and add its pieces."""
    made, kept = parts.made, parts.value("prompt")
    if not isinstance(kept, dict):  # one for this run alone
        text = kept or ""
        made.pieces.append(Piece("prompt", "system prompt", text))
        return text
    entries = kept["pieces"]
    texts = parts.read([one["text"] for one in entries if "text" in one])
    pieces: list[tuple[str, str]] = []
    for one in entries:
        name = one["name"]
        if "blocks" in one:
            shown = [_block(tx, head, parts) for head in one["blocks"]]
            made.pieces += [
                Piece("block", block.label, compile_block(block), block.id, block.version)
                for block in shown
            ]
            pieces.append((name, compile_blocks(shown)))
            continue
        text = one["is"] if "is" in one else texts.get(one["text"])
        if text is None:
            parts.lacks(f"the text of its {name}")
        made.pieces.append(Piece(name, name, text or ""))
        pieces.append((name, text or ""))
    system = joined(pieces)
    if part_id(system) != parts.ids["prompt"] and not made.missing:
        older = kept.get("form") != FORM
        made.missing.append(
            "Its system prompt was compiled by another version of this program."
            if older
            else "Its system prompt differs: a block's history was changed."
        )
    return system


def _block(tx: Tx, head: dict[str, Any], parts: _Parts) -> Block:
    found = blocks.at(tx, head["id"], head["version"])
    if found is None:
        label, version = head["label"], head["version"]
        parts.made.missing.append(
            f"Version {version} of the block {label!r} is gone: it was deleted with its history."
        )
    return Block(**head, value=found.value if found is not None else "")


def _tools(parts: _Parts) -> list[dict[str, Any]]:
    ids = parts.value("tools") or []
    found = parts.read(ids)
    if len(found) < len(set(ids)):
        parts.lacks("the schema of a tool")
    tools = [found[one] for one in ids if one in found]
    if tools:
        text = "\n".join(json.dumps(one, ensure_ascii=False) for one in tools)
        name = f"{len(tools)} tools" if len(tools) > 1 else "1 tool"
        parts.made.pieces.append(Piece("tools", name, text))
    return tools


def _window(
    tx: Tx, step: Step, run: Run, parts: _Parts, images: bool
) -> tuple[Window, dict[str, str]]:
    """Return the history as it was in sight, and what stood beside the message of the step's run."""
    kept, made = step.request, parts.made
    found: list[Message] = []
    if "first" in kept:
        thread = _thread(tx, run, parts.value("line"))
        found = messages.between(tx, thread, kept["first"], kept["last"])
        found = [one for one in found if one.role != "summary"]
        if gone := kept["count"] - len(found):
            made.missing.append(f"{gone} of {kept['count']} messages in sight are gone.")
    summary = _message(tx, kept.get("summary"), "the summary", parts)
    window = Window(found, summary, lambda text: 0, images=images)
    window.turn = _message(tx, kept.get("turn"), "the message that was answered", parts)
    window.beside, beside = _beside(tx, step, run, found, parts)
    window.as_then(kept.get("most"), kept.get("cut", ()))
    made.window |= {name: kept.get(name) for name in ("first", "last", "count", "summary")}
    made.shortened = [
        {"message_id": one.id, "number": one.seq, "characters": len(one.content)}
        for one in (*window.head(), *found)
        if window.shown(one) is not one
    ]
    return window, beside


def _message(tx: Tx, message_id: str | None, what: str, parts: _Parts) -> Message | None:
    found = messages.get(tx, message_id) if message_id else None
    if message_id and found is None:
        parts.lacks(what)
    return found


def _thread(tx: Tx, run: Run, line: dict[str, Any] | None) -> messages.Thread:
    """Return the thread of *run* with what it inherited then."""
    known = line or {}
    inherits = [Inherited(**one) for one in known.get("inherits", ())]
    first = known.get("first", 0)
    if run.conversation_id is None:
        return OwnThread(run.agent_id, tuple(inherits), first)
    return Conversation(
        id=run.conversation_id, agent_id=run.agent_id, inherits=inherits, first_seq=first
    )


def _beside(
    tx: Tx, step: Step, run: Run, found: Sequence[Message], parts: _Parts
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what stayed beside earlier messages, and what stood beside the run's own."""
    began = {m.run_id: m.id for m in found if m.began_run}
    whose = {m.agent_id for m in found}
    placed = runs.beside_of(tx, whose, list(filter(None, began))) if began else {}
    staying = {
        began[one]: lasting(there) for one, there in placed.items() if one != run.id and there
    }
    own = [m for m in found if m.run_id == run.id and m.began_run]
    own = own or [m for m in (_turn(tx, step),) if m is not None]
    if not step.request.get("beside") or not own:
        return staying, {}
    first = next((one for one in runs.steps_of(tx, run.id) if one.number == 1), step)
    retrieved = describe_retrieved(first.retrieved) if first.retrieved else ""
    if gone := first.request.get("shown", 0) - len(first.retrieved):
        parts.made.missing.append(f"{gone} of the passages that were shown are forgotten for good.")
    parts.made.pieces += [
        Piece("notebook", "notebook beside the message", described(first.beside)),
        Piece("passages", "passages beside the message", retrieved),
    ]
    texts: dict[str, list[str]] = {own[0].id: [], own[-1].id: []}
    if note := parts.value("note"):
        parts.made.pieces.append(Piece("group", "about the group", note))
        texts[own[0].id].append(note)
    texts[own[-1].id] += [described(first.beside), retrieved]
    parts.made.pieces = [one for one in parts.made.pieces if one.text]
    return staying, {
        one: "\n\n".join(filter(None, said)) for one, said in texts.items() if any(said)
    }


def _turn(tx: Tx, step: Step) -> Message | None:
    turn = step.request.get("turn")
    return messages.get(tx, turn) if turn else None


def _of_messages(window: Window, beside: dict[str, str], run: Run) -> list[Piece]:
    """Return the pieces that messages in sight are, as they were shown."""
    pieces = []
    for one in window.head() + window.messages:
        seen = window.shown(one)
        text = "\n".join(_text(entry) for entry in to_chat([seen]) if entry["role"] != "tool")
        if one.role == "tool":
            kind, text = "result", seen.content
        elif one.role == "summary":
            kind = "summary"
        elif one.run_id == run.id:
            kind = "message" if one.step_id is None else "call" if one.tool_calls else "said"
        else:
            kind = "history"
        if one.id in window.beside and one.id not in beside:
            text = f"{window.beside[one.id]}\n\n{text}"
        tokens = sum(picture.tokens for picture in seen.pictures) if window.images else 0
        pieces.append(Piece(kind, one.name or one.role, text, message_id=one.id, images=tokens))
    return pieces


def _text(entry: dict[str, Any]) -> str:
    calls = [call["function"] for call in entry.get("tool_calls", ())]
    said = "".join(f" [calls {call['name']}({call['arguments']})]" for call in calls)
    content = entry.get("content") or ""
    if not isinstance(content, str):
        content = "\n".join(str(one.get("text") or "") for one in content)
    return f"{content}{said}"
