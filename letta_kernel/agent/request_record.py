"""What a step keeps of its request, so that it can be made anew: names, numbers and ids of parts, no history.

What is the same in many requests (a compiled prompt, the schemas of tools, parameters) is a `Part`: kept once
for each agent under an id made of its content, and written only where this process has not written it before.
The rest is in ``Step.request``, in these words, each left out where it says nothing:

prompt, tools, frame, route, note, line : ids of parts, which the functions here make.
first, last, count : numbers of the messages in sight, and how many they are.
summary, turn : ids of the messages before these.
most, cut : tokens one message could take, and of each that was shortened its number, size and that of what
    stayed beside it.
beside : what the step's run began with stood beside its message.
choice : what was to be called; now : the answer was wanted at once.
sent : the digest of the bytes that went out.
text, calls : what the model wrote, where it was read as something else: calls in a text, arguments by place.
considered, shown : of passages that were looked at, an id, the relevance and the score of each part
    (`letta_kernel.memory.scoring.PARTS`), in a run's first step; and how many hits were shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from letta_kernel.agent.window import Window
from letta_kernel.ids import digest
from letta_kernel.messages import ToolCall
from letta_kernel.models.base import ResponseFormat, Sent
from letta_kernel.records import Block, Conversation, OwnThread
from letta_kernel.store.request_parts import Part

FORM = 1
"""Of a prompt's part; it goes up when `agent.context` compiles blocks otherwise."""
_ROUTE = tuple(one.name for one in fields(Sent) if one.name != "digest")
MOST_RAW = 20_000
"""Characters that are kept of what a model wrote and was read otherwise."""


def part_id(text: str) -> str:
    """Return the id of a part by its *text*."""
    return digest(text)


def text_part(text: str) -> Part:
    """Return a text as a part."""
    made = part_id(text)
    return Part(made, lambda: {made: json.dumps(text, ensure_ascii=False)})


def value_part(value: Any) -> Part:
    """Return JSON values as a part."""
    text = json.dumps(value, ensure_ascii=False)
    made = part_id(text)
    return Part(made, lambda: {made: text})


def prompt_part(prompt: str, pieces: Sequence[tuple[str, str]], blocks: Sequence[Block]) -> Part:
    """Return a compiled *prompt* as a part: of its *pieces* the texts, of blocks the versions."""
    made = part_id(prompt)
    heads = [_head(block) for block in blocks]

    def rows() -> dict[str, str]:
        found: dict[str, str] = {}
        entries: list[dict[str, Any]] = []
        for name, text in pieces:
            if name == "memory":
                entries.append({"name": name, "blocks": heads})
            elif name == "metadata":  # differs each time
                entries.append({"name": name, "is": text})
            else:
                entries.append({"name": name, "text": part_id(text)})
                found[part_id(text)] = json.dumps(text, ensure_ascii=False)
        found[made] = json.dumps({"form": FORM, "pieces": entries}, ensure_ascii=False)
        return found

    return Part(made, rows)


def _head(block: Block) -> dict[str, Any]:
    return block.model_dump(include={"id", "label", "version", "limit", "description", "read_only"})


def tools_part(text: str, schemas: Sequence[Mapping[str, Any]]) -> Part:
    """Return the *schemas* that are offered, whose JSON is *text*, as a part: the list of their ids."""
    made = part_id(text)

    def rows() -> dict[str, str]:
        each = [json.dumps(one) for one in schemas]
        found = {part_id(one): one for one in each}
        return {**found, made: json.dumps([part_id(one) for one in each])}

    return Part(made, rows)


def frame_part(
    model: str, window: int, images: bool, params: Mapping[str, Any], form: ResponseFormat | None
) -> Part:
    """Return what all requests of a run share: model, its window, sampling parameters, form of the answer."""
    wanted = (
        None if form is None else {"name": form.name, "schema": form.schema, "strict": form.strict}
    )
    return value_part(
        {"model": model, "window": window, "images": images, "params": dict(params), "form": wanted}
    )


def line_part(thread: Conversation | OwnThread) -> Part | None:
    """Return the parts of other threads that a *thread* inherits as a part; None if it inherits none."""
    if not thread.inherits:
        return None
    first = thread.first if isinstance(thread, OwnThread) else thread.first_seq
    return value_part({"first": first, "inherits": [one.model_dump() for one in thread.inherits]})


def route_part(sent: Sent) -> Part:
    """Return how a request went out as a part."""
    return _route_part(
        json.dumps({name: getattr(sent, name) for name in _ROUTE}, ensure_ascii=False)
    )


@lru_cache(maxsize=64)
def _route_part(text: str) -> Part:
    made = part_id(text)
    return Part(made, lambda: {made: text})


def of_window(window: Window) -> dict[str, Any]:
    """Return what a step keeps of the *window* that it has just shown."""
    kept: dict[str, Any] = {}
    if found := window.messages:
        kept |= {"first": found[0].seq, "last": found[-1].seq, "count": len(found)}
    if window.summary is not None:
        kept["summary"] = window.summary.id
    if any(one is window.turn for one in window.head()) and window.turn is not None:
        kept["turn"] = window.turn.id
    if window.cut_down:
        kept |= {"most": window.most, "cut": window.cut_sizes()}
    return kept


def written_otherwise(sent: Sequence[ToolCall], taken: Sequence[ToolCall]) -> list[list[Any]]:
    """Return the arguments that were no JSON object as the model wrote them, each behind its call's place."""
    return [
        [place, one.arguments[:MOST_RAW]]
        for place, (one, read) in enumerate(zip(sent, taken, strict=True))
        if one.arguments != read.arguments
    ]
