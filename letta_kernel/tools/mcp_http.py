"""An MCP server behind a URL (streamable HTTP or SSE): the SDK's transport, bounded; failures in words."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from letta_kernel import certificates
from letta_kernel.tools.mcp_stdio import LARGEST, Streams

_CONNECT = 15.0  # seconds until a server that does not even take the connection is given up
_TOKEN_HINT = " (is its token right?)"


class HttpServer:
    """One server behind a URL.

    Parameters
    ----------
    url
        Where it is.
    headers
        Sent with each request, secrets in place.
    sse
        It speaks as servers did before there was streamable HTTP: answers come on a stream of their own.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, sse: bool = False) -> None:
        self._url = url
        self._sse = sse
        self._headers = dict(headers)
        self._failure: BaseException | None = None
        self.status = 0  # of the last answer

    @property
    def alive(self) -> bool:
        """Whether its session may still be there; only the next request can tell."""
        return self.status != HTTPStatus.NOT_FOUND

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams, None]:
        """Give the streams to it; its session is ended afterwards."""
        import httpx2
        from mcp.client.sse import sse_client
        from mcp.client.streamable_http import streamable_http_client

        async def look(response: httpx2.Response) -> None:
            if self._sse or response.request.method == "POST":
                self.status = response.status_code
            if "event-stream" not in response.headers.get("content-type", ""):
                response.stream = _bounded()(response.stream)

        try:
            trusted = certificates.context()
        except OSError as error:
            self._failure = error
            raise

        def client(
            headers: dict[str, str] | None = None,
            timeout: httpx2.Timeout | None = None,
            auth: httpx2.Auth | None = None,
        ) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                headers=self._headers,
                # How long an answer may take is the call's affair.
                timeout=httpx2.Timeout(_CONNECT, read=None),
                event_hooks={"response": [look]},
                verify=trusted,
            )

        try:
            async with contextlib.AsyncExitStack() as stack:
                if self._sse:
                    opened = sse_client(self._url, httpx_client_factory=client)
                else:
                    used = await stack.enter_async_context(client())
                    opened = streamable_http_client(
                        self._url, http_client=used, max_sse_event_size=LARGEST
                    )
                yield await stack.enter_async_context(opened)
        except BaseException as error:
            self._failure = error
            raise

    def started(self) -> None:
        """Nothing to note: failures are looked at one by one."""

    async def settle(self) -> None:
        """Nothing to wait for: whatever went wrong is known at once."""

    def why(self) -> str:
        """Return what went wrong, in words that follow its name."""
        if self.status >= 400:
            phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else ""
            hint = _TOKEN_HINT if self.status in (401, 403) else ""
            return f"answered {self.status} {phrase}".rstrip() + hint
        failure = innermost(self._failure)
        if failure is not None:
            if "CERTIFICATE_VERIFY_FAILED" in str(failure):
                return f"has a certificate that is not trusted: {certificates.advice()}"
            return f"cannot be reached: {str(failure) or type(failure).__name__}"
        return "closed its connection"

    def kill(self) -> None:
        """Nothing runs here that could be ended."""


@cache
def _bounded() -> Any:
    """Return the class of a stream of bytes that ends with an error beyond the largest that is taken."""
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            size = 0
            async for chunk in self._stream:
                size += len(chunk)
                if size > LARGEST:
                    raise httpx2.StreamError(f"it is longer than {LARGEST // 1024**2} MB")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Bounded


def innermost(error: BaseException | None) -> BaseException | None:
    """Return the first error inside groups of errors; cancellations are none."""
    import asyncio

    if isinstance(error, BaseExceptionGroup):
        found = (innermost(one) for one in error.exceptions)
        return next((one for one in found if one is not None), None)
    return None if isinstance(error, asyncio.CancelledError | GeneratorExit) else error
