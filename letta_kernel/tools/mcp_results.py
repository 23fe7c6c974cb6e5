"""What an MCP tool answered, as the outcome of a call: text for the model, pictures for the person."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from letta_kernel.tools.outcome import Outcome, shorten_line
from letta_kernel.tools.results import IMAGE_TYPES, checked_display, present, shorten

if TYPE_CHECKING:
    from mcp_types import CallToolResult


def outcome_of(result: CallToolResult, limit: int) -> Outcome:
    """Return the outcome of a call that was answered with *result*.

    Text beyond *limit* characters keeps head and tail. Of pictures one of each type is shown; the model is
    told of all. Structured content stands in where there is no text.
    """
    parts: list[str] = []
    pictures: dict[str, Any] = {}
    for block in result.content:
        if block.type == "text":
            parts.append(block.text)
        elif block.type == "image":
            parts.append(_picture(block.mime_type, block.data, pictures))
        elif block.type == "audio":
            parts.append(f"[{block.mime_type}, {_size(block.data)}; it cannot be played here]")
        elif block.type == "resource_link":
            about = f": {block.description}" if block.description else ""
            parts.append(f"[resource {block.name}, {block.uri}{about}]")
        else:
            parts.append(_resource(block.resource, pictures))
    if result.structured_content is not None and not any(b.type == "text" for b in result.content):
        parts.append(present(result.structured_content, limit).text)
    text = shorten("\n".join(parts), limit)
    display = {**pictures, "text/plain": text} if pictures else None
    if result.is_error:
        text = text or "The tool failed without saying why."
        return Outcome("error", text, display, error=shorten_line(text))
    return Outcome("ok", text or present(None).text, display)


def _picture(kind: str, data: str, pictures: dict[str, Any]) -> str:
    about = f"{kind}, {_size(data)}"
    if checked_display({kind: data}) is None:
        return f"[{about}; it cannot be shown]"
    if kind in pictures:
        return f"[{about}; one more, not shown]"
    pictures[kind] = data
    return f"[{about}; shown to the user]"


def _resource(resource: Any, pictures: dict[str, Any]) -> str:
    text = getattr(resource, "text", None)
    if text is not None:
        return f"[resource {resource.uri}]\n{text}"
    if resource.mime_type in IMAGE_TYPES:
        return f"[resource {resource.uri}] {_picture(resource.mime_type, resource.blob, pictures)}"
    kind = resource.mime_type or "unknown type"
    return f"[resource {resource.uri}: {kind}, {_size(resource.blob)}]"


def _size(data: str) -> str:
    try:
        return f"{len(base64.b64decode(data, validate=True)):,} bytes"
    except ValueError:
        return "not valid base64"
