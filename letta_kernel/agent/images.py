"""Which pictures of a history a model sees; it reads descriptions of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letta_kernel.messages import Message
from letta_kernel.models import images
from letta_kernel.pictures.picture import LARGEST_TOGETHER, MOST, parts

_AT_ONCE = (
    5  # pictures that go out of sight together, so that what providers cache is seldom broken
)


def in_sight(messages: Sequence[Message]) -> list[Message]:
    """Return *messages* with their newest pictures, as many as one request may hold; others are described."""
    found = [picture for message in messages for picture in message.pictures]
    gone = 0
    while len(found) - gone > MOST or sum(one.size for one in found[gone:]) > LARGEST_TOGETHER:
        gone += _AT_ONCE
    shown = []
    for message in messages:
        left = message.pictures[gone:]
        gone = max(0, gone - len(message.pictures))
        cut = len(left) < len(message.pictures)
        shown.append(message.model_copy(update={"pictures": left}) if cut else message)
    return shown


def with_images(message: Message, text: str, urls: Mapping[str, str]) -> str | list[dict[str, Any]]:
    """Return the content of *message*, *text* being what it says, with those pictures that have a URL.

    In what a person said they stand where their descriptions do, else behind the text.
    """
    shown = [picture for picture in message.pictures if picture.id in urls]
    if not shown:
        return text
    if message.role != "user":
        return images.joined(text, [images.part(urls[one.id], "") for one in shown])
    return [
        {"type": "text", "text": piece}
        if isinstance(piece, str)
        else images.part(urls[piece.id], piece.described)
        for piece in parts(text, shown)
    ]
