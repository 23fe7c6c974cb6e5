"""What an MCP tool answered, as the outcome of a call: text for the model, pictures for the person."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from letta_kernel.tools.outcome import Outcome, shorten_line
from letta_kernel.tools.results import (
    IMAGE_TYPES,
    checked_display,
    checked_pictures,
    present,
    shorten,
)

if TYPE_CHECKING:
    from mcp_types import CallToolResult

_LONG = 2_000  # characters of one string in a block of an unknown kind; longer ones are data


@cache
def lenient() -> Any:
    """Return the class of what carries requests, as the SDK's but for answers made readable first.

    A session checks an answer before anybody else sees it, and one odd field would lose all of it.
    """
    from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher

    class Lenient(JSONRPCDispatcher[Any]):
        async def send_raw_request(self, method: str, *given: Any, **more: Any) -> dict[str, Any]:
            answer = await super().send_raw_request(method, *given, **more)
            if method == "tools/list":
                return readable_tools(answer)
            return readable(answer) if method == "tools/call" else answer

    return Lenient


def readable(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's answer, as it came over the wire, in a form that every version of MCP takes.

    The SDK refuses an answer whole for one block it does not know, or one field of the wrong type. Here
    what cannot be used is described in a text of its own in the same place, and the rest stays.
    """
    if answer.get("resultType") not in (None, "complete"):
        return dict(answer)
    content = answer.get("content")
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    made: dict[str, Any] = {"content": [_block(one) for one in blocks], "resultType": "complete"}
    if answer.get("isError"):
        made["isError"] = True
    structured = answer.get("structuredContent")
    if isinstance(structured, dict):
        made["structuredContent"] = structured
    elif structured is not None and not any(one["type"] == "text" for one in made["content"]):
        # Only the newest version takes a list or a plain value there.
        made["content"].append(_text(present(structured).text))
    return made


def readable_tools(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the list of a server's tools, as it came over the wire, in a form that the SDK takes.

    It refuses the list whole for one tool with an odd field. Here each tool keeps what we use of it; what is
    no schema stands for no arguments, and a tool without a name is left to be named as skipped.
    """
    tools = answer.get("tools")
    if not isinstance(tools, list):
        return dict(answer)
    kept = {key: value for key, value in answer.items() if key not in ("tools", "nextCursor")}
    if isinstance(answer.get("nextCursor"), str):
        kept["nextCursor"] = answer["nextCursor"]
    return {**kept, "tools": [_tool(one) for one in tools if isinstance(one, dict)]}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    schema = tool.get("inputSchema")
    schema = schema if isinstance(schema, dict) else {}
    made: dict[str, Any] = {
        "name": "",
        **_strings(tool, (), ("name", "title", "description")),
        "inputSchema": {**schema, "type": "object"},
    }
    hints = tool.get("annotations")
    if isinstance(hints, dict):
        made["annotations"] = _strings(hints, (), ("title",))
        if isinstance(hints.get("readOnlyHint"), bool):
            made["annotations"]["readOnlyHint"] = hints["readOnlyHint"]
    return made


def _block(block: Any) -> dict[str, Any]:
    """Return one block with what we use of it, or a text that describes it."""
    if not isinstance(block, dict):
        return _text(block if isinstance(block, str) else present(block).text)
    kind = block.get("type")
    if kind in ("image", "audio") and (made := _strings(block, ("data", "mimeType"))):
        return {"type": kind, **made}
    if kind == "resource_link" and (made := _strings(block, ("name", "uri"), ("description",))):
        return {"type": kind, **made}
    inner = block.get("resource")
    if kind == "resource" and isinstance(inner, dict):
        resource = _strings(inner, ("uri", "text"), ("mimeType",)) or _strings(
            inner, ("uri", "blob"), ("mimeType",)
        )
        if resource:
            return {"type": kind, "resource": resource}
    if isinstance(block.get("text"), str):
        return _text(block["text"])
    rest = _without_data({name: value for name, value in block.items() if name != "type"})
    rest = json.dumps(rest, ensure_ascii=False)
    return _text(f"[{kind or 'something'} that cannot be shown here: {rest}]")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _strings(
    block: Mapping[str, Any], needed: tuple[str, ...], more: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return these fields of *block*; nothing where a needed one is no string."""
    found = {name: block[name] for name in (*needed, *more) if isinstance(block.get(name), str)}
    return found if all(name in found for name in needed) else {}


def _without_data(value: Any) -> Any:
    """Return *value* with long strings, which are pictures, films and the like, cut."""
    if isinstance(value, dict):
        return {name: _without_data(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_data(one) for one in value]
    if isinstance(value, str) and len(value) > _LONG:
        return f"{value[:40]}… ({len(value):,} characters)"
    return value


def outcome_of(result: CallToolResult, limit: int) -> Outcome:
    """Return the outcome of a call that was answered with *result*.

    Text beyond *limit* characters keeps head and tail. Of pictures one of each type is shown; the model gets
    all. Structured content stands in where there is no text.
    """
    # One case a kind of block; the model reads all of them, a person is shown the first picture of each type.
    parts: list[str] = []
    pictures: dict[str, list[str]] = {}
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
    display: dict[str, Any] = {kind: found[0] for kind, found in pictures.items()}
    shown = {**display, "text/plain": text} if display else None
    files = checked_pictures([data for found in pictures.values() for data in found])
    if result.is_error:
        text = text or "The tool failed without saying why."
        return Outcome("error", text, shown, error=shorten_line(text), pictures=files)
    return Outcome("ok", text or present(None).text, shown, pictures=files)


def _picture(kind: str, data: str, pictures: dict[str, list[str]]) -> str:
    about = f"{kind}, {_size(data)}"
    if checked_display({kind: data}) is None:
        return f"[{about}; it cannot be shown]"
    found = pictures.setdefault(kind, [])
    found.append(data)
    return f"[{about}; {'one more, not shown' if len(found) > 1 else 'shown to the user'}]"


def _resource(resource: Any, pictures: dict[str, list[str]]) -> str:
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
