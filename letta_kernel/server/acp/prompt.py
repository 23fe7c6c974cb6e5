"""What a client sends as a prompt, as one message: what is linked is named, and nothing is fetched or read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acp import schema

from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError
from letta_kernel.pictures.picture import Picture, from_base64

_NAME = 1000  # characters of a name or an address


def message_of(blocks: Sequence[Any]) -> tuple[str, list[Picture]]:
    """Return the message that a prompt's *blocks* make: its text, then its pictures.

    A resource that the client sent along stands at the end of the text.

    Raises
    ------
    InvalidInputError
        There is something in it that is neither text nor picture, or one that cannot be used.
    """
    said: list[str] = []
    pictures: list[Picture] = []
    beside: list[str] = []
    for block in blocks:
        match block:
            case schema.TextContentBlock():
                said.append(block.text)
            case schema.ResourceContentBlock():
                said.append(_link(block.name, block.uri))
            case schema.EmbeddedResourceContentBlock(resource=schema.TextResourceContents() as one):
                name = one_line(one.uri, _NAME)
                said.append(_link(name.rstrip("/").rpartition("/")[2] or name, one.uri))
                beside.append(f'<resource uri="{name}">\n{one.text}\n</resource>')
            case schema.ImageContentBlock():
                pictures.append(from_base64(block.data))
                said.append(pictures[-1].described)
            case _:
                kind = getattr(block, "type", "this")
                raise InvalidInputError(
                    f"Only text and pictures can be sent here, and no {kind} block."
                )
    return "\n\n".join(["".join(said), *beside]), pictures


def _link(name: str, uri: str) -> str:
    return f"[{one_line(name, _NAME)}]({one_line(uri, _NAME)})"
