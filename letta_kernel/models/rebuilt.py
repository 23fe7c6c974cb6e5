"""The bytes of a request once more, from the `ChatRequest` and what was noted when it went out.

All goes the way that requests go, with what the model had refused by then in the place of what it has refused
since. Neither address nor key is needed: they are no part of the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from letta_kernel.ids import digest
from letta_kernel.models.base import ChatRequest, Sent
from letta_kernel.models.errors import Endpoint
from letta_kernel.models.refusals import Refused
from letta_kernel.models.routes import Route, encoded
from letta_kernel.models.structured import as_parameter, with_tool
from letta_kernel.models.wire import shape
from letta_kernel.models.written_calls import with_written


@dataclass(frozen=True, slots=True)
class _Known(Route):
    """A route whose model has refused what it had refused when the request was sent."""

    known: Refused = field(default_factory=Refused)

    @property
    def refused(self) -> Refused:
        """What had been refused."""
        return self.known


def body_of(request: ChatRequest, sent: Sent) -> bytes | None:
    """Return the bytes that went out; None where a provider's library made them, or a part of it is missing."""
    if sent.wire_format == "litellm" or not sent.digest:
        return None
    refused = Refused.of(sent.refused)
    if request.response_format is not None:
        request = as_parameter(request)[0] if sent.native else with_tool(request)[0]
    if sent.written and request.tools:
        request = with_written(request)
    shaped = shape(
        sent.provider,
        sent.model,
        request,
        without=refused.tools,
        system=not refused.system,
        apart=refused.both,
        images=sent.images and not refused.images,
    )
    route = _Known(
        sent.name,
        sent.provider,
        sent.model,
        sent.wire_format,  # type: ignore[arg-type]
        Endpoint(sent.name, sent.provider, "", "", ""),
        elsewhere=True,
        known=refused,
    )
    try:
        return encoded(route.send(shaped, sent.params)[2])
    except Exception:  # the provider's library makes this one, and is not there or wants its key
        return None


def is_same(body: bytes | None, sent: Sent) -> bool:
    """Return whether these are the bytes that went out."""
    return body is not None and digest(body) == sent.digest
