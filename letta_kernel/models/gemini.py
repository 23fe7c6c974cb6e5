"""Gemini's own protocol, called directly: litellm's stream of it cannot tell a cut answer from a whole one."""

from __future__ import annotations

import json
import uuid
from typing import Any

from letta_kernel import lazy_import
from letta_kernel.models.errors import ProviderError
from letta_kernel.models.readers import Reader

HOME = "https://generativelanguage.googleapis.com"
_TRANSFORMATION = "litellm.llms.vertex_ai.gemini.transformation"
_URLS = "litellm.llms.vertex_ai.common_utils"
# Not finished, but failed: another try may do better.
_FAILED = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"})


def request_of(
    model: str, base: str, messages: list[dict[str, Any]], optional: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the URL and body of a streamed call, as litellm makes them."""
    body = lazy_import.load(_TRANSFORMATION)._transform_request_body(
        messages=messages,
        model=model,
        optional_params={
            k: v for k, v in optional.items() if k not in ("stream", "stream_options")
        },
        custom_llm_provider="gemini",
        litellm_params={},
        cached_content=None,
    )
    if base == HOME:
        url, _ = lazy_import.load(_URLS)._get_gemini_url("chat", model, True)
    else:
        url = f"{base}/models/{model}:streamGenerateContent?alt=sse"
    return url, dict(body)


class GeminiReader(Reader):
    """The events of ``streamGenerateContent``; each is a whole answer of its own, cut in pieces."""

    @property
    def complete(self) -> bool:
        """Whether a reason for the end was given."""
        return self.accumulator.finish is not None

    def feed(self, event: dict[str, Any]) -> None:
        """Read one event."""
        if event.get("error"):
            self._fail(event["error"])
        if isinstance(usage := event.get("usageMetadata"), dict):
            self.accumulator.usage = _usage(usage)
        blocked = (event.get("promptFeedback") or {}).get("blockReason")
        if blocked:
            raise self.endpoint.judge(400, "content_filter", f"the prompt was blocked ({blocked})")
        for candidate in event.get("candidates") or ():
            if candidate.get("index"):
                continue
            for part in (candidate.get("content") or {}).get("parts") or ():
                self._part(part)
            reason = candidate.get("finishReason")
            if reason in _FAILED:
                raise ProviderError(
                    "broken_stream", f"{self.endpoint.model}: wrote an unusable call ({reason})."
                )
            if reason:
                self.accumulator.finish = str(reason)

    def whole(self, answer: dict[str, Any]) -> None:
        """Read an answer that was not streamed."""
        self.feed(answer)

    def _part(self, part: dict[str, Any]) -> None:
        signature = part.get("thoughtSignature")
        if isinstance(call := part.get("functionCall"), dict):
            call_id = str(call.get("id") or f"call_{uuid.uuid4().hex[:24]}")
            arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
            self.accumulator.call(call_id, call_id, str(call.get("name") or ""), arguments)
            if signature:
                fields = {"thought_signature": signature}
                self.accumulator.thinking.append(
                    {"type": "call_fields", "id": call_id, "fields": fields}
                )
            return
        text = part.get("text")
        if isinstance(text, str) and text:
            (self.accumulator.reasoning if part.get("thought") else self.accumulator.text)(text)
        if signature and not part.get("thought"):
            fields = {"thought_signatures": [signature]}
            self.accumulator.thinking.append({"type": "message_fields", "fields": fields})


def _usage(given: dict[str, Any]) -> dict[str, Any]:
    """Return Gemini's usage in OpenAI's words."""
    thoughts = given.get("thoughtsTokenCount") or 0
    prompt = (given.get("promptTokenCount") or 0) + (given.get("toolUsePromptTokenCount") or 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": (given.get("candidatesTokenCount") or 0) + thoughts,
        "prompt_tokens_details": {"cached_tokens": given.get("cachedContentTokenCount") or 0},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
