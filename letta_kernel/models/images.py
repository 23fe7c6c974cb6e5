"""Pictures in requests: for whom they are left as they are, moved, or described."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from letta_kernel.models.base import ChatModel

Chat = list[dict[str, Any]]

RETURNED = "Images that the calls above returned:"
"""What stands before pictures of results, where results can hold none."""


def takes_images(model: ChatModel) -> bool:
    """Return whether *model* says that it takes pictures."""
    return bool(getattr(model, "supports_images", False))  # older models of others say nothing


def part(url: str, text: str) -> dict[str, Any]:
    """Return a picture as a part of a content; *text* describes it."""
    return {"type": "image_url", "image_url": {"url": url}, "text": text}


def has_images(messages: Iterable[dict[str, Any]]) -> bool:
    """Return whether any of *messages* holds a picture."""
    return any(
        _is_image(one)
        for message in messages
        if isinstance(message.get("content"), list)
        for one in message["content"]
    )


def described(messages: Iterable[dict[str, Any]]) -> Chat:
    """Return *messages* with texts in the place of pictures."""
    return [
        {**message, "content": _text(message["content"])}
        if isinstance(message.get("content"), list) and any(map(_is_image, message["content"]))
        else message
        for message in messages
    ]


def split(content: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of a content, its pictures described, and the pictures."""
    if not isinstance(content, list):
        return content or "", []
    return _text(content), [one for one in content if _is_image(one)]


def joined(text: str, images: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return *text* and pictures as one content."""
    return [{"type": "text", "text": text}, *images] if images else text


def as_sent(messages: Iterable[dict[str, Any]], *, in_results: bool) -> Chat:
    """Return *messages* as providers take them, each picture without its text.

    Parameters
    ----------
    in_results : results may hold pictures; else these stand in a user message behind the results.
    """
    every = list(messages)
    if not any(isinstance(message.get("content"), list) for message in every):
        return every
    chat: Chat = []
    waiting: list[dict[str, Any]] = []
    for message in every:
        content = message.get("content")
        if waiting and message.get("role") != "tool":
            chat.append(_returned(waiting))
            waiting = []
        if not isinstance(content, list):
            chat.append(message)
        elif message.get("role") == "tool" and not in_results:
            text, images = split(content)
            waiting += map(_without_text, images)
            chat.append({**message, "content": text})
        else:
            made = [_without_text(one) if _is_image(one) else one for one in content]
            chat.append({**message, "content": made})
    return [*chat, _returned(waiting)] if waiting else chat


def _returned(images: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": joined(RETURNED, images)}


def _is_image(one: Any) -> bool:
    return isinstance(one, dict) and one.get("type") == "image_url"


def _without_text(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != "text"}


def _text(content: list[Any]) -> str:
    texts = (str(one.get("text") or "") for one in content if isinstance(one, dict))
    return "\n".join(filter(None, texts))
