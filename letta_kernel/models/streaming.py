"""One try of a model call: the request sent, the stream read, every failure turned into a `ProviderError`."""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx

from letta_kernel.ids import digest
from letta_kernel.models import transport
from letta_kernel.models.base import Cancel, ChatRequest, Piece, Reply, Sent
from letta_kernel.models.costs import usage_of
from letta_kernel.models.errors import ProviderError, cancelled, describe, retry_after
from letta_kernel.models.gemini import GeminiReader
from letta_kernel.models.library import litellm, our_settings
from letta_kernel.models.readers import (
    AnthropicReader,
    ChatReader,
    LitellmReader,
    Reader,
    Unreadable,
    payloads,
)
from letta_kernel.models.reasoning import reasoning_to_keep
from letta_kernel.models.retry import rate_limit_of
from letta_kernel.models.routes import Route, encoded
from letta_kernel.models.stream_accumulator import FINISHED, StreamAccumulator
from letta_kernel.models.transport import Line
from letta_kernel.models.wire import shape

_READERS: dict[str, type[Reader]] = {
    "chat": ChatReader,
    "anthropic": AnthropicReader,
    "gemini": GeminiReader,
}
_MOST = 1_000_000  # bytes read of an answer that is not a stream's beginning
_DRAIN = 0.5  # seconds to wait for the end of a stream after its last event


class Try:
    """A model call made once over *line*."""

    def __init__(
        self,
        route: Route,
        request: ChatRequest,
        params: dict[str, Any],
        line: Line,
        cancel: Cancel,
        *,
        native: bool = False,
    ) -> None:
        self.parameters: set[str] = set()  # names of what was sent beside messages and tools
        self.shaped = shape(
            route.provider,
            route.model,
            request,
            without=route.refused.tools,
            system=not route.refused.system,
            apart=route.refused.both,
            images=not route.refused.images,
        )
        self._on_send = request.on_send
        self._native = native  # the form of the answer is among the parameters
        self._route = route
        self._params = params
        self._line = line
        self._cancel = cancel
        self._accumulator = StreamAccumulator(self.shaped)
        self._begun_at = time.perf_counter()
        self._first_token: float | None = None

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces and at last the reply; closing ends the request at once.

        Raises
        ------
        ProviderError
            With what came so far as its ``partial``.
        """
        self._cancel.on_cancel(self._line.cut)
        try:
            if self._route.wire_format == "litellm":
                yield from self._through_litellm()
            else:
                yield from self._directly()
        except ProviderError as failure:
            if self._line.cut_off or self._cancel.cancelled:
                raise cancelled(self._route.name) from None
            failure.partial = failure.partial or self._reply()
            raise
        self._accumulator.end()
        yield from self._taken()
        reply = self._reply()
        if not reply.text.strip() and not reply.tool_calls and not reply.reasoning:
            finish = FINISHED.get((self._accumulator.finish or "stop").lower(), "stop")
            if finish in ("stop", "tool_calls"):
                raise ProviderError(
                    "empty", f"{self._route.name} gave an empty answer.", partial=reply
                )
        yield reply

    def _directly(self) -> Iterator[Piece]:
        route, line, endpoint = self._route, self._line, self._route.endpoint
        try:
            url, headers, body = route.send(self.shaped, self._params)
        except Exception as error:  # what litellm's transformation refuses
            raise self._of_litellm(error) from None
        self.parameters = {*body, *(body.get("generationConfig") or {})}
        try:
            client = transport.client()
            with line.held():
                content = encoded(body)
                self._tell(content)
                asked = client.build_request("POST", _parsed(url), headers=headers, content=content)
                response = client.send(asked, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise endpoint.network(error, begun=False) from None
        with contextlib.closing(response):
            rate_limit_of(route.provider).heed(response.headers)
            if response.status_code >= 300:
                raise endpoint.status(response.status_code, response.headers, self._rest(response))
            reader = _READERS[route.wire_format](self._accumulator, endpoint)
            content_type = response.headers.get("content-type", "")
            if "html" in content_type:
                raise _no_model_server(route)
            if "application/json" in content_type:
                yield from self._whole(reader, self._rest(response))
            else:
                yield from self._streamed(reader, response)

    def _tell(self, content: bytes) -> None:
        """Say what goes out, for a step to keep how it is made anew."""
        if self._on_send is None:
            return
        route = self._route
        self._on_send(
            Sent(
                digest(content) if content else "",
                route.name,
                route.provider,
                route.model,
                route.wire_format,
                {name: value for name, value in self._params.items() if name != "api_base"},
                route.refused.told(),
                self._native,
                images=self.shaped.has_images,
            )
        )

    def _streamed(self, reader: Reader, response: httpx.Response) -> Iterator[Piece]:
        line, endpoint = self._line, self._route.endpoint
        events = payloads(response.iter_bytes())
        try:
            while not reader.done:
                with line.held():
                    data = next(events, None)
                if data is None:
                    break
                reader.payload(data)
                if pieces := self._taken():
                    line.started()
                    yield from pieces
                self._check()
        except Unreadable as error:
            raise endpoint.garbage(error.sent) from None
        except httpx.HTTPError as error:
            if not reader.complete:
                raise endpoint.network(error, begun=line.begun) from None
        if not reader.complete:
            raise endpoint.truncated()
        self._drain(events)

    def _drain(self, events: Iterator[bytes]) -> None:
        """Read the stream's own end, so that the connection serves the next call."""
        self._line.timeout = _DRAIN
        with contextlib.suppress(httpx.HTTPError, Unreadable), self._line.held():
            next(events, None)

    def _whole(self, reader: Reader, body: bytes) -> Iterator[Piece]:
        try:
            answer = json.loads(body.decode("utf-8", "replace"))
            if not isinstance(answer, dict):
                raise Unreadable(body)
            reader.whole(answer)
        except (Unreadable, ValueError, RecursionError):
            raise self._route.endpoint.garbage(body) from None
        yield from self._taken()
        if not reader.complete:
            raise self._route.endpoint.garbage(body)

    def _rest(self, response: httpx.Response) -> bytes:
        """Return the body of an answer that is no stream."""
        parts, size = [], 0
        try:
            with self._line.held():
                for part in response.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > _MOST and response.status_code >= 300:
                        break
        except httpx.HTTPError as error:
            if response.status_code < 300:
                raise self._route.endpoint.network(error, begun=True) from None
        return b"".join(parts)

    def _through_litellm(self) -> Iterator[Piece]:
        route, line = self._route, self._line
        module = litellm()
        reader = LitellmReader(self._accumulator, route.endpoint)
        shaped, refused = self.shaped, route.refused
        asked = bool(self._params.get("reasoning_effort") or self._params.get("thinking"))
        params: dict[str, Any] = {"stream_options": {"include_usage": True}, **self._params}
        if shaped.tools and shaped.tool_choice:
            params["tool_choice"] = shaped.tool_choice
        params = {
            refused.renamed.get(name, name): value
            for name, value in params.items()
            if name not in refused.parameters
        }
        self.parameters = set(params)
        if route.base:
            params["api_base"] = route.base
        if route.key:
            params["api_key"] = route.key
        name = f"{route.provider}/{route.model}"
        stream: Any = None
        self._tell(b"")
        try:
            with line.held(), our_settings():
                stream = module.completion(
                    model=name,
                    messages=shaped.messages(asked=asked),
                    tools=copy.deepcopy(shaped.tools) or None,  # it may change them
                    stream=True,
                    timeout=httpx.Timeout(line.timeout, connect=line.connect),
                    max_retries=0,
                    num_retries=0,
                    **params,
                )
            chunks = iter(stream)
            while True:
                with line.held(), our_settings():
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                reader.chunk(chunk)
                if pieces := self._taken():
                    line.started()
                    yield from pieces
                self._check()
        except ProviderError:
            raise
        except Exception as error:  # litellm's own errors derive from the openai client's
            raise self._of_litellm(error) from None
        finally:
            _close(stream)
        if not reader.complete or _invented_its_end(stream):
            raise route.endpoint.truncated()

    def _of_litellm(self, error: Exception) -> ProviderError:
        """Return the error for what litellm raised; the cause tells networks from answers."""
        endpoint = self._route.endpoint
        begun = self._first_token is not None
        wait: float | None = None
        seen: BaseException | None = error
        while seen is not None:
            if isinstance(seen, httpx.TransportError):
                return endpoint.network(seen, begun=begun)
            headers = getattr(getattr(seen, "response", None), "headers", None)
            wait = retry_after(headers) if wait is None else wait
            seen = seen.__cause__ or seen.__context__
        name = type(error).__name__
        code, words = _unwrapped(str(getattr(error, "message", "") or error))
        status = getattr(error, "status_code", None)
        if _CUT_SHORT.search(words):  # since litellm 1.110 an error of its own
            return endpoint.truncated()
        if said := _LINE_OF_OLLAMA.search(words):  # an error within the stream, after status 200
            return endpoint.judge(None, *describe(_literal(said[1])))
        if name == "Timeout":
            return endpoint.network(httpx.ReadTimeout(words), begun=begun)
        if not isinstance(status, int) or status < 400:
            return ProviderError("other", f"{endpoint.model}: {name}: {words}", lasting=True)
        code += {
            "ContextWindowExceededError": " context_length_exceeded",
            "ContentPolicyViolationError": " content_filter",
        }.get(name, "")
        return endpoint.judge(status, code, words, wait)

    def _taken(self) -> list[Piece]:
        pieces = self._accumulator.take()
        if pieces and self._first_token is None:
            self._first_token = time.perf_counter() - self._begun_at
        return pieces

    def _check(self) -> None:
        if self._cancel.cancelled:
            raise cancelled(self._route.name)
        if time.monotonic() > self._line.ends_at:
            raise ProviderError(
                "timeout",
                f"{self._route.name}: the answer took too long as a whole (LETTA_MODEL_TOTAL).",
                lasting=True,
            )

    def _reply(self) -> Reply:
        route = self._route
        usage = usage_of(route.name, route.provider, route.model, self._accumulator.usage)
        reply = self._accumulator.reply(
            model=route.name,
            usage=usage,
            first_token=self._first_token,
        )
        reply.thinking = reasoning_to_keep(
            route.provider,
            reply.thinking,
            reply.reasoning,
            calls=bool(reply.tool_calls),
            asked=bool(self._params.get("reasoning_effort") or self._params.get("thinking")),
        )
        return reply


_parsed = functools.lru_cache(maxsize=64)(httpx.URL)


def _no_model_server(route: Route) -> ProviderError:
    mend = f"; check {route.endpoint.base_variable}" if route.endpoint.base_variable else ""
    return ProviderError(
        "unreachable",
        f"{route.name}: {route.endpoint.host} answered with a web page instead of a model{mend}.",
        lasting=True,
    )


def _invented_its_end(stream: Any) -> bool:
    """Whether litellm made up the finish reason, because the provider's stream ended without one."""
    names = ("received_finish_reason", "intermittent_finish_reason")
    return all(getattr(stream, name, "unknown") is None for name in names)


_CUT_SHORT = re.compile(r"stream ended before a finish_reason", re.IGNORECASE)
_LINE_OF_OLLAMA = re.compile(r"unexpected response from Ollama: (\{.*\})", re.IGNORECASE)
_WRAPPING = re.compile(r"^(litellm\.\w+: |\w+(Error|Exception)( - |: )|\w+Error (?=\S))+")


def _unwrapped(message: str) -> tuple[str, str]:
    """Return code and message of an error from the text litellm wraps it in."""
    message, _, _ = message.partition("Traceback (most recent call last)")
    text = _WRAPPING.sub("", " ".join(message.split()))
    begin = text.find("{")
    if begin >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text[begin:])
        except ValueError:
            return describe(text)
        code, words = describe(found)
        if words:
            return code, words
    return describe(text)


def _literal(text: str) -> Any:
    """Return the object that Python wrote as *text*, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _close(stream: Any) -> None:
    """Close whatever litellm reads from; its wrapper does not do so itself."""
    for holder in (stream, getattr(stream, "completion_stream", None)):
        if holder is None:
            continue
        for name in ("response", "streaming_response", "_response", "http_response"):
            inner = getattr(holder, name, None)
            if inner is not None and hasattr(inner, "close"):
                with contextlib.suppress(Exception):
                    inner.close()
        if hasattr(holder, "close"):
            with contextlib.suppress(Exception):
                holder.close()
