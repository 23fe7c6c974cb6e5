"""Streams of providers read into an `StreamAccumulator`: server-sent events, OpenAI's and Anthropic's forms.

What litellm streams for the other providers has OpenAI's form too, as objects instead of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from letta_kernel.models.errors import Endpoint, describe
from letta_kernel.models.stream_accumulator import StreamAccumulator

LONGEST_LINE = 64_000_000  # bytes; a server that sends more without a line's end is broken


class Unreadable(Exception):
    """The stream holds something that is no event; ``sent`` is what."""

    def __init__(self, sent: bytes) -> None:
        super().__init__("unreadable")
        self.sent = sent


def payloads(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the data of each server-sent event, one line each.

    A last line without its end is left out: it was cut off.

    Raises
    ------
    Unreadable
        For a line that is neither an event's field nor a comment nor blank.
    """
    rest, begun = b"", False
    for part in parts:
        if not begun:
            part, begun = part.removeprefix(b"\xef\xbb\xbf"), True
        lines = (rest + part).split(b"\n") if rest else part.split(b"\n")
        rest = lines.pop()
        if len(rest) > LONGEST_LINE:
            raise Unreadable(rest)
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
            elif line.startswith(b"{"):  # an error object without the event around it
                yield line
            elif line.strip() and not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise Unreadable(line)
    # Some servers leave out the very last line's end; what was cut off is no JSON.
    last = rest.removeprefix(b"data:").strip()
    if last == b"[DONE]" or (last.endswith(b"}") and _is_json(last)):
        yield last


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class Reader:
    """Reads the JSON objects of one stream; ``done`` once the provider said so itself."""

    def __init__(self, accumulator: StreamAccumulator, endpoint: Endpoint) -> None:
        self.accumulator = accumulator
        self.endpoint = endpoint
        self.done = False

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        return self.done or self.accumulator.finish is not None

    def payload(self, data: bytes) -> None:
        """Read one event's data."""
        if data == b"[DONE]":
            self.done = True
            return
        if not data:
            return
        try:
            found = json.loads(data)
        except UnicodeDecodeError:
            found = self._loads_anyway(data)
        except (ValueError, RecursionError):
            raise Unreadable(data) from None
        if not isinstance(found, dict):
            raise Unreadable(data)
        self.feed(found)

    def _loads_anyway(self, data: bytes) -> Any:
        """Text that is not UTF-8 keeps its place, each bad byte shown as U+FFFD."""
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise Unreadable(data) from None

    def feed(self, event: dict[str, Any]) -> None:
        """Read one event."""
        raise NotImplementedError

    def whole(self, answer: dict[str, Any]) -> None:
        """Read an answer that was not streamed though a stream was asked for."""
        raise Unreadable(json.dumps(answer).encode())

    def _fail(self, error: Any) -> None:
        code, words = describe(error)
        status = error.get("code") if isinstance(error, dict) else None
        known = (
            status if isinstance(status, int) and status in (400, 401, 402, 403, 404, 429) else None
        )
        raise self.endpoint.judge(known, code, words)


class ChatReader(Reader):
    """OpenAI's chat completion chunks, and what other servers make of them."""

    def feed(self, event: dict[str, Any]) -> None:
        """Read one chunk."""
        if event.get("error"):
            self._fail(event["error"])
        if "error" in (event.get("object"), event.get("type"), event.get("status")):
            self._fail(event)  # vLLM and others
        if event.get("message") and event.get("code") and "choices" not in event:
            self._fail(event)
        if isinstance(usage := event.get("usage"), dict):
            self.accumulator.usage = usage
        elif isinstance(groq := event.get("x_groq"), dict) and groq.get("usage"):
            self.accumulator.usage = groq["usage"]
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue  # only the first of several answers
            self._delta(choice.get("delta") or choice.get("message") or {})
            if choice.get("finish_reason"):
                self.accumulator.finish = str(choice["finish_reason"])
                if self.accumulator.finish == "error":  # OpenRouter
                    self._fail(choice.get("error") or "the provider broke off")

    def whole(self, answer: dict[str, Any]) -> None:
        """Read a plain chat completion."""
        self.feed(answer)
        self.done = bool(answer.get("choices"))

    def _delta(self, delta: dict[str, Any]) -> None:
        accumulator = self.accumulator
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str):
            accumulator.reasoning(reasoning)
        if details := delta.get("reasoning_details"):
            self._details(details)
        content = delta.get("content")
        if isinstance(content, str):
            if content:
                accumulator.text(content)
        elif isinstance(content, list):
            self._parts(content)
        if isinstance(refusal := delta.get("refusal"), str):
            accumulator.text(refusal)
        calls = delta.get("tool_calls") or ()
        if isinstance(old := delta.get("function_call"), dict):  # before there were several
            calls = [{"index": 0, "function": old}]
        for call in [calls] if isinstance(calls, dict) else calls:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                continue
            arguments = function.get("arguments")
            if arguments and not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False)
            accumulator.call(
                call.get("index"),
                str(call.get("id") or ""),
                str(function.get("name") or ""),
                arguments or "",
            )

    def _parts(self, parts: list[Any]) -> None:
        """Content in parts, as Mistral's reasoning models send it."""
        for part in parts:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                inner = part.get("thinking")
                texts = (
                    [inner] if isinstance(inner, str) else [t.get("text", "") for t in inner or ()]
                )
                self.accumulator.reasoning("".join(texts))
            elif isinstance(part.get("text"), str):
                self.accumulator.text(part["text"])

    def _details(self, details: Any) -> None:
        """OpenRouter's reasoning blocks, which must go back as they came."""
        for detail in details if isinstance(details, list) else ():
            blocks = self.accumulator.thinking
            last = blocks[-1] if blocks else {}
            same = ("type", "index", "id")
            if last and all(last.get(key) == detail.get(key) for key in same):
                for key in ("text", "summary", "data"):
                    if detail.get(key):
                        last[key] = (last.get(key) or "") + detail[key]
                if detail.get("signature"):
                    last["signature"] = detail["signature"]
            else:
                blocks.append(dict(detail))


class AnthropicReader(Reader):
    """The events of Anthropic's Messages API."""

    def __init__(self, accumulator: StreamAccumulator, endpoint: Endpoint) -> None:
        super().__init__(accumulator, endpoint)
        self._blocks: dict[int, dict[str, Any]] = {}

    def feed(self, event: dict[str, Any]) -> None:
        """Read one event."""
        match event.get("type"):
            case "message_start":
                self._usage(event.get("message", {}).get("usage"))
            case "content_block_start":
                self._begin(event.get("index", 0), event.get("content_block") or {})
            case "content_block_delta":
                self._delta(event.get("index", 0), event.get("delta") or {})
            case "message_delta":
                self._usage(event.get("usage"))
                if reason := (event.get("delta") or {}).get("stop_reason"):
                    self.accumulator.finish = str(reason)
            case "message_stop":
                self.done = True
            case "error":
                error = event.get("error") or {}
                status = {"rate_limit_error": 429, "authentication_error": 401}
                code, words = describe(error)
                raise self.endpoint.judge(status.get(error.get("type", "")), code, words)

    def whole(self, answer: dict[str, Any]) -> None:
        """Read a message that was not streamed."""
        if answer.get("error"):
            self.feed({"type": "error", "error": answer["error"]})
        for index, block in enumerate(answer.get("content") or ()):
            self._begin(index, block)
            if block.get("type") == "tool_use":
                text = json.dumps(block.get("input") or {}, ensure_ascii=False)
                self.accumulator.call(index, arguments=text)
        self._usage(answer.get("usage"))
        self.accumulator.finish = answer.get("stop_reason")
        self.done = bool(answer.get("content"))

    def _begin(self, index: int, block: dict[str, Any]) -> None:
        match block.get("type"):
            case "text":
                if block.get("text"):
                    self.accumulator.text(block["text"])
            case "tool_use":
                self.accumulator.call(index, block.get("id") or "", block.get("name") or "")
            case "thinking" | "redacted_thinking":
                self._blocks[index] = kept = dict(block)
                self.accumulator.thinking.append(kept)
                if block.get("thinking"):
                    self.accumulator.reasoning(block["thinking"])

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        match delta.get("type"):
            case "text_delta":
                self.accumulator.text(delta.get("text") or "")
            case "input_json_delta":
                self.accumulator.call(index, arguments=delta.get("partial_json") or "")
            case "thinking_delta":
                text = delta.get("thinking") or ""
                block = self._blocks.get(index)
                if block is not None:
                    block["thinking"] = block.get("thinking", "") + text
                self.accumulator.reasoning(text)
            case "signature_delta":
                block = self._blocks.get(index)
                if block is not None:
                    block["signature"] = block.get("signature", "") + (delta.get("signature") or "")

    def _usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            known = {key: value for key, value in usage.items() if value is not None}
            self.accumulator.usage = {**(self.accumulator.usage or {}), **known}


class LitellmReader(ChatReader):
    """The chunks litellm makes of any other provider's stream."""

    def __init__(self, accumulator: StreamAccumulator, endpoint: Endpoint) -> None:
        super().__init__(accumulator, endpoint)
        self._open: dict[str, Any] | None = None

    def chunk(self, chunk: Any) -> None:
        """Read one of litellm's objects."""
        data = chunk.model_dump(exclude_none=True)
        self.feed(data)
        for choice in data.get("choices") or ():
            delta = choice.get("delta") or {}
            for block in delta.get("thinking_blocks") or ():
                self._thinking(block)
            for call in delta.get("tool_calls") or ():
                function = call.get("function") or {}
                kept = call.get("provider_specific_fields") or function.get(
                    "provider_specific_fields"
                )
                if kept and call.get("id"):  # Gemini's signature of a thought that led to a call
                    self.accumulator.thinking.append(
                        {"type": "call_fields", "id": call["id"], "fields": kept}
                    )

    def _thinking(self, block: dict[str, Any]) -> None:
        """Blocks come in pieces; the signature ends one."""
        if block.get("type") == "redacted_thinking":
            self.accumulator.thinking.append(block)
            self._open = None
            return
        if self._open is None:
            self._open = {"type": "thinking", "thinking": ""}
            self.accumulator.thinking.append(self._open)
        self._open["thinking"] += block.get("thinking") or ""
        if block.get("signature"):
            self._open["signature"] = block["signature"]
            self._open = None
