"""What the scripted server puts on the wire: OpenAI chat completions, whole or streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any


@dataclass
class Call:
    id: str
    name: str
    arguments: str


@dataclass
class Answer:
    """One answer; what is not set is not said."""

    text: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None  # default: tool_calls if there are calls, else stop
    usage: dict[str, Any] | None = None
    pieces: int = 4  # how many deltas texts and arguments are split into
    interleave: bool = True  # deltas of parallel calls alternate
    delay: float | None = None  # seconds between pieces; None: the server's
    model: str | None = None  # name in the answer; None: as asked
    # faults
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/json"
    before: float = 0.0  # seconds before the headers
    hang: float = 0.0  # seconds in mid-stream
    cut: str | None = None  # clean, abort or line
    junk: bytes = b""  # put in the middle
    encoding: str = "utf-8"
    raw: list[Any] | None = None
    signature: str = "c2lnbmVk"  # of reasoning, in Anthropic's form

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


def _error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"} | fields}


OVERFLOWS: dict[str, tuple[int, Any]] = {
    "openai": (
        400,
        _error(
            "This model's maximum context length is 8192 tokens. However, your messages resulted "
            "in 9001 tokens. Please reduce the length of the messages.",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    "anthropic": (
        400,
        {"type": "error", **_error("prompt is too long: 210000 tokens > 200000 maximum")},
    ),
    "gemini": (
        400,
        _error(
            "The input token count (1100000) exceeds the maximum number of tokens allowed "
            "(1048576).",
            code=400,
            status="INVALID_ARGUMENT",
        ),
    ),
    "vllm": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you "
            "requested 5000 tokens (4000 in the messages, 1000 in the completion).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "llama.cpp": (
        400,
        _error(
            "the request exceeds the available context size. try increasing the context size or "
            "enable context shift",
            code=400,
            type="exceed_context_size_error",
            n_ctx=4096,
        ),
    ),
    "groq": (
        413,
        _error(
            "Request too large for model `m`: Please reduce the length of the messages or "
            "completion.",
            code="request_too_large",
        ),
    ),
    "mistral": (
        422,
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model "
            "with 32768 maximum context length",
            "type": "invalid_request_error",
        },
    ),
    "together": (
        422,
        _error(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: "
            "9000 `inputs` tokens and 512 `max_new_tokens`"
        ),
    ),
    "lm-studio": (
        400,
        {
            "error": "Trying to keep the first 5000 tokens when context the overflows. However, "
            "the model is loaded with context length of only 4096 tokens, which is not enough."
        },
    ),
    "cohere": (
        400,
        {
            "message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 "
            "- received 5000."
        },
    ),
    "bedrock": (400, {"message": "Input is too long for requested model."}),
    "openrouter": (
        400,
        _error(
            "This endpoint's maximum context length is 32768 tokens. However, you requested "
            "about 40000 tokens.",
            code=400,
        ),
    ),
}
"""Status and body with which providers say that the context is too long."""


def sse(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def usage_of(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    if answer.usage is not None:
        return answer.usage
    prompt = len(json.dumps(body.get("messages", ""))) // 4
    said = len(answer.text) + len(answer.reasoning) + sum(len(c.arguments) for c in answer.calls)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said // 4 + 1,
        "total_tokens": prompt + said // 4 + 1,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(answer.reasoning) // 4},
    }


def split(text: str, pieces: int) -> list[str]:
    """Cut *text* in at most *pieces* parts, none empty."""
    size = max(1, -(-len(text) // max(1, pieces)))
    return [text[i : i + size] for i in range(0, len(text), size)]


def plain(answer: Answer, body: dict[str, Any], path: str) -> str:
    """Return the answer as one JSON document."""
    if path.endswith("/messages"):
        return json.dumps(anthropic_plain(answer, body))
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in answer.calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    return json.dumps(
        {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 1,
            "model": answer.model or body.get("model", "scripted"),
            "choices": [choice],
            "usage": usage_of(answer, body),
        }
    )


def events(answer: Answer, body: dict[str, Any], path: str) -> Iterator[Any]:
    """Yield the stream of an answer: bytes to send, numbers of seconds to wait."""
    if answer.raw is not None:
        for given in answer.raw:
            if isinstance(given, dict):
                yield sse(given)
            elif isinstance(given, str):
                yield given.encode()
            else:
                yield given
        return
    form = anthropic_stream if path.endswith("/messages") else _chat_stream
    form = gemini_stream if path.endswith(GEMINI) else form
    deltas, ending = form(answer, body)
    middle = max(1, len(deltas) // 2) if answer.junk or answer.cut else len(deltas)
    yield from deltas[:middle]
    if answer.junk:
        yield answer.junk
    if answer.cut == "line":
        yield deltas[middle][:-20] if middle < len(deltas) else b'data: {"id": "chat'
    if answer.cut:
        return
    if answer.hang:
        yield answer.hang
    yield from deltas[middle:]
    yield from ending


def _chat_stream(answer: Answer, body: dict[str, Any]) -> tuple[list[bytes], list[bytes]]:
    base = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": answer.model or body.get("model", "scripted"),
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        data = {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        if answer.encoding == "utf-8":
            return sse(data)
        text = json.dumps(data, ensure_ascii=False)
        return b"data: " + text.encode(answer.encoding, "replace") + b"\n\n"

    deltas = [chunk({"role": "assistant", "content": ""})]
    deltas += [
        chunk({"reasoning_content": part}) for part in split(answer.reasoning, answer.pieces)
    ]
    deltas += [chunk({"content": part}) for part in split(answer.text, answer.pieces)]
    deltas += [chunk({"tool_calls": [delta]}) for delta in _call_deltas(answer)]
    ending = [chunk({}, answer.finish_reason)]
    if (body.get("stream_options") or {}).get("include_usage"):
        ending.append(sse({**base, "choices": [], "usage": usage_of(answer, body)}))
    ending.append(b"data: [DONE]\n\n")
    return deltas, ending


# Anthropic's Messages API, spoken on paths that end in /messages


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append(
            {"type": "thinking", "thinking": answer.reasoning, "signature": answer.signature}
        )
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    for call in answer.calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "raw": call.arguments})
    return blocks


def _stop_reason(answer: Answer) -> str:
    words = {"tool_calls": "tool_use", "stop": "end_turn", "length": "max_tokens"}
    return words.get(answer.finish_reason, answer.finish_reason)


def anthropic_plain(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    blocks = _blocks(answer)
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block.pop("raw"))
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": blocks,
        "stop_reason": _stop_reason(answer),
        "usage": answer.usage or {"input_tokens": 10, "output_tokens": 5},
    }


def anthropic_stream(answer: Answer, body: dict[str, Any]) -> tuple[list[bytes], list[bytes]]:
    usage = answer.usage or {"input_tokens": 10, "output_tokens": 5}

    def event(kind: str, **fields: Any) -> bytes:
        return b"event: " + kind.encode() + b"\n" + sse({"type": kind, **fields})

    start = {"id": "msg_scripted", "type": "message", "role": "assistant", "content": []}
    deltas = [event("message_start", message={**start, "usage": {**usage, "output_tokens": 1}})]
    for index, block in enumerate(_blocks(answer)):
        match block["type"]:
            case "thinking":
                head = {"type": "thinking", "thinking": "", "signature": ""}
                parts = [
                    {"type": "thinking_delta", "thinking": t}
                    for t in split(block["thinking"], answer.pieces)
                ]
                parts.append({"type": "signature_delta", "signature": block["signature"]})
            case "text":
                head = {"type": "text", "text": ""}
                parts = [
                    {"type": "text_delta", "text": t} for t in split(block["text"], answer.pieces)
                ]
            case _:
                head = {"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}
                parts = [
                    {"type": "input_json_delta", "partial_json": t}
                    for t in split(block["raw"], answer.pieces)
                ]
        deltas.append(event("content_block_start", index=index, content_block=head))
        deltas += [event("content_block_delta", index=index, delta=part) for part in parts]
        deltas.append(event("content_block_stop", index=index))
    delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    last = event("message_delta", delta=delta, usage={"output_tokens": usage["output_tokens"]})
    return deltas, [last, event("message_stop")]


# Gemini's streamGenerateContent

GEMINI = ":streamGenerateContent"


def gemini_stream(answer: Answer, body: dict[str, Any]) -> tuple[list[bytes], list[bytes]]:
    parts: list[dict[str, Any]] = [{"text": t} for t in split(answer.text, answer.pieces)]
    parts += [
        {"functionCall": {"name": c.name, "args": json.loads(c.arguments)}} for c in answer.calls
    ]

    def event(parts: list[dict[str, Any]], **fields: Any) -> bytes:
        content = {"role": "model", "parts": parts}
        counts = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
        candidate = {"content": content, "index": 0, **fields}
        return sse({"candidates": [candidate], "usageMetadata": counts})

    return [event([part]) for part in parts], [event([], finishReason="STOP")]


def _call_deltas(answer: Answer) -> list[dict[str, Any]]:
    heads = [
        {
            "index": index,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        for index, call in enumerate(answer.calls)
    ]
    bodies = [
        [
            {"index": index, "function": {"arguments": part}}
            for part in split(call.arguments, answer.pieces)
        ]
        for index, call in enumerate(answer.calls)
    ]
    if answer.interleave:
        rows = [part for row in zip_longest(*bodies) for part in row if part is not None]
        return heads + rows
    return [part for head, rest in zip(heads, bodies, strict=True) for part in [head, *rest]]
