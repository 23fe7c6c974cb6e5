"""Any provider's model as a `ChatModel`: tried again, within limits, stoppable at once."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from letta_kernel import lazy_import
from letta_kernel.models.base import (
    Cancel,
    ChatRequest,
    ModelError,
    Piece,
    Retrying,
)
from letta_kernel.models.errors import ProviderError, cancelled
from letta_kernel.models.facts import facts_of
from letta_kernel.models.refusals import MOST
from letta_kernel.models.retry import RateLimit, RetryPolicy, rate_limit_of, retried
from letta_kernel.models.routes import Route, needs_library, resolve
from letta_kernel.models.streaming import Try
from letta_kernel.models.structured import as_answer, as_parameter, is_native, with_tool
from letta_kernel.models.tokens import count
from letta_kernel.models.transport import Line
from letta_kernel.models.written_calls import PromptedTools


class Gateway:
    """A model of any provider that is known here or to litellm; see `base.ChatModel`.

    Sampling parameters it understands beside the provider's own: ``api_base`` (an address) and
    ``retry`` (a dict of `RetryPolicy`'s fields, in seconds).
    """

    takes_format = True

    def __init__(self, name: str) -> None:
        facts = facts_of(name)
        self.name = name
        self.label = ""
        self.context_window = facts.context_window
        self.supports_tools = facts.supports_tools
        self.supports_reasoning = facts.supports_reasoning
        self.supports_images = facts.supports_images
        self._extra = facts.params
        self._scale = facts.token_scale

    @property
    def loading(self) -> bool:
        """Whether the next call waits for the provider library to be imported."""
        return needs_library(self.name) and not lazy_import.ready("litellm")

    def count_tokens(self, text: str) -> int:
        """Return about how many tokens *text* takes."""
        return count(text, self._scale)

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Yield pieces and at last one `Reply`; see `base.ChatModel.stream`."""
        try:
            yield from self._persistently(request, cancel)
        except ModelError as error:
            if error.kind != "empty" or error.partial is None:
                raise
            yield error.partial  # the agent knows what to do about an answer that says nothing

    def _persistently(self, request: ChatRequest, cancel: Cancel) -> Iterator[Piece]:
        params = {**self._extra, **request.params}
        policy = RetryPolicy.of(params.pop("retry", None))
        ends_at = time.monotonic() + policy.total

        def attempt() -> Iterator[Piece]:
            if cancel.cancelled:
                raise cancelled(self.name)
            route = resolve(self.name, request, params)
            limit = rate_limit_of(route.provider)
            yield from self._turn(limit, policy, ends_at, cancel)
            line = Line(
                connect=policy.connect,
                first=policy.first,
                between=policy.between,
                total=ends_at - time.monotonic(),
            )
            try:
                yield from self._accepted(route, request, params, line, cancel)
            except ProviderError as failure:
                wait = failure.retry_after or 0.0
                if failure.kind == "rate_limit" and 0 < wait <= policy.longest_wait:
                    limit.close_for(wait)  # longer ones nobody waits for: each call is told anew
                raise

        yield from retried(attempt, policy, cancel, model=self.name, seconds_left=policy.total)

    def _accepted(
        self,
        route: Route,
        request: ChatRequest,
        params: dict[str, Any],
        line: Line,
        cancel: Cancel,
    ) -> Iterator[Piece]:
        """Make one call; what the model refuses but can do without is left out, and the call made again."""
        for again in range(MOST, -1, -1):
            sent, more, tool = self._formed(route, request)
            if sent.tools and route.refused.results:  # its template knows no calls: as text, then
                written = replace(sent, params={**request.params, **params})
                yield from as_answer(PromptedTools(self).stream(written, cancel), tool)
                return
            attempt = Try(route, sent, {**params, **more}, line, cancel, native=bool(more))
            try:
                yield from as_answer(attempt.pieces(), tool)
                return
            except ProviderError as failure:
                shaped = attempt.shaped
                told = route.refused.learn(
                    failure,
                    route.endpoint,
                    attempt.parameters,
                    list(shaped.names),
                    system=shaped.has_system,
                    images=shaped.has_images,
                )
                if told is None or not again:
                    raise
            if told:
                yield Retrying(told, 0.0, 0)

    def _formed(
        self, route: Route, request: ChatRequest
    ) -> tuple[ChatRequest, dict[str, Any], str]:
        """Return what to send for the form of the answer: request, parameters, the tool that gives it."""
        wanted, refused = request.response_format, route.refused
        if wanted is None:
            return request, {}, ""
        if not refused.results and is_native(
            self.name,
            route.provider,
            wanted,
            tools=bool(request.tools),
            refused=refused.parameters,
        ):
            return *as_parameter(request), ""
        sent, tool = with_tool(request)
        return sent, {}, tool

    def _turn(
        self, limit: RateLimit, policy: RetryPolicy, ends_at: float, cancel: Cancel
    ) -> Iterator[Piece]:
        """Wait until the provider's rate limit lets this call through."""
        while seconds := limit.ask():
            if time.monotonic() + seconds > ends_at:
                raise ProviderError(
                    "rate_limit",
                    f"{self.name}: the rate limit of {limit.provider} leaves no time for this call.",
                    lasting=True,
                )
            if seconds > 0.2:
                yield Retrying(
                    f"Waiting {seconds:.0f} s for the rate limit of {limit.provider}.", seconds, 0
                )
            if cancel.wait(seconds):
                raise cancelled(self.name)
