"""Where memory comes from, in the API's shapes; an extension of ours, Letta has no such thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from letta_kernel.memory.origins import Origin, Sentence
from letta_kernel.server.schemas.base import Shape


class OriginShape(Shape):
    """Who brought something in, by which tool or door (``how``), in which step, after which message."""

    who: str | None = None
    how: str | None = None
    at: datetime
    version: int | None = None
    step_id: str | None = None
    run_id: str | None = None
    message_id: str | None = None
    message: str | None = None
    file: str | None = None
    page: int | None = None
    part: int | None = None
    parts: int | None = None


class SentenceShape(OriginShape):
    """A sentence of a block, and where it comes from."""

    text: str


def to_origin(origin: Origin, own: str | None) -> OriginShape:
    """Return *origin*; to a token for one agent, *own*, no other agent and nothing said to it is told."""
    if own is not None and origin.actor.startswith("agent-") and origin.actor != own:
        origin = replace(origin, who="another agent", asked=None)
    asked = origin.asked
    step = {name: getattr(asked, name, None) for name in ("step_id", "run_id", "message_id")}
    names = ("who", "how", "message", "file")
    texts = {name: getattr(origin, name, None) or None for name in names}
    return OriginShape.of(origin, **{**texts, **step, "message": asked.message if asked else None})


def to_sentence(sentence: Sentence, own: str | None) -> SentenceShape:
    """Return *sentence* as `to_origin` tells of it."""
    return SentenceShape(text=sentence.text, **dict(to_origin(sentence.origin, own)))
