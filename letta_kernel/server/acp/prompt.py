"""What a client sends as a prompt, as one message: what is linked is named, and nothing is fetched or read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acp import schema

from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError

_NAME = 1000  # characters of a name or an address


def text_of(blocks: Sequence[Any]) -> str:
    """Return the message that a prompt's *blocks* make: a resource the client sent along stands at its end.

    Raises
    ------
    InvalidInputError
        There is something in it that is no text.
    """
    said: list[str] = []
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
            case _:
                kind = getattr(block, "type", "this")
                raise InvalidInputError(f"Only text can be sent here, and no {kind} block.")
    return "\n\n".join(["".join(said), *beside])


def _link(name: str, uri: str) -> str:
    return f"[{one_line(name, _NAME)}]({one_line(uri, _NAME)})"
