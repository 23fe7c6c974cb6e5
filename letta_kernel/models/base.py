"""What a language model is to this package: one request in, a stream of pieces out, a reply at the end."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from letta_kernel.errors import LettaError
from letta_kernel.messages import ToolCall, Usage
from letta_kernel.remedies import Remedy

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The form an answer must have: a JSON object of a schema.

    Parameters
    ----------
    name : what it is called: letters, digits, ``_`` and ``-``, 64 at most.
    schema : its JSON schema; without properties any object will do.
    strict : the schema is closed (all fields required, no others), so that a provider can hold a model to it.
    now : the answer is wanted at once, without another call of a tool before it.
    """

    name: str
    schema: dict[str, Any]
    strict: bool = False
    now: bool = False


BESIDE = re.compile(r"\A(?:<(?P<tag>notebook|mention) name=.*?</(?P=tag)>\s*)+", re.DOTALL)
"""What a notebook has placed before a message (`letta_kernel.agent.beside`)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it went out: all that its bytes depend on beside the `ChatRequest` (`models.rebuilt`).

    Parameters
    ----------
    digest : of the bytes (`letta_kernel.ids.digest`); empty where a library made them.
    name : the model that was asked, as a user says it: a fallback, perhaps.
    provider, model, wire_format : how it is reached, without address and key.
    params : parameters beside messages and tools.
    refused : what the model had refused before and was not sent (`models.refusals.Refused`).
    native : the form of the answer was a parameter, no tool.
    written : tools were described in the prompt, and calls written out.
    images : pictures were sent.
    """

    digest: str
    name: str
    provider: str
    model: str
    wire_format: str
    params: dict[str, Any]
    refused: dict[str, Any]
    native: bool = False
    written: bool = False
    images: bool = False


@dataclass(slots=True)
class ChatRequest:
    """A model call: messages and tools in OpenAI's chat form; ``params`` are sampling parameters.

    A content that holds pictures is a list of parts, ``text`` and ``image_url`` (a data URL); the latter have
    a ``text`` of their own, which describes the picture. Results of tools may hold some too. Only a model that
    says `ChatModel.supports_images` is sent any.

    ``response_format`` is the form of the answer where it is not free (`models.structured`). ``agent_id`` says
    for whom, to a model in this process that keeps something for each agent; it is empty where no step of an
    agent asks, as for a summary. No provider is sent it. ``on_send`` is told of each request that goes out, the
    one that was answered last.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    response_format: ResponseFormat | None = None
    agent_id: str = ""
    on_send: Callable[[Sent], object] | None = None


@dataclass(slots=True)
class TextPiece:
    """A piece of the answer."""

    text: str


@dataclass(slots=True)
class ReasoningPiece:
    """A piece of the model's own reasoning."""

    text: str


@dataclass(slots=True)
class CallPiece:
    """A piece of a tool call; empty fields say nothing new."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Retrying:
    """The call failed (``reason``, one line) and is tried again in ``seconds``; earlier pieces are void."""

    reason: str
    seconds: float
    attempt: int


@dataclass(slots=True)
class Reset:
    """Earlier pieces are void: they follow anew, what turned out to be reasoning told apart."""


@dataclass(slots=True)
class Reply:
    """The whole reply; always the last piece of a stream."""

    text: str = ""
    reasoning: str = ""
    thinking: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str = "stop"  # stop, tool_calls, length, content_filter
    usage: Usage = field(default_factory=Usage)
    model: str = ""  # the one that answered: a fallback, perhaps
    label: str = ""  # its label
    first_token: float | None = None  # seconds from request to the first piece


Piece = TextPiece | ReasoningPiece | CallPiece | Retrying | Reset | Reply

ErrorKind = Literal[
    "missing_key",
    "refused_key",
    "bad_request",
    "unknown_model",
    "rate_limit",
    "overloaded",
    "unreachable",
    "timeout",
    "broken_stream",
    "empty",
    "context_overflow",
    "content_filter",
    "replay_miss",
    "budget",
    "cancelled",
    "other",
]


PAGES: dict[ErrorKind, str] = {
    "missing_key": "no-key",
    "refused_key": "key-refused",
    "bad_request": "request-refused",
    "unknown_model": "unknown-model",
    "rate_limit": "provider-limit",
    "overloaded": "provider-down",
    "broken_stream": "provider-down",
    "unreachable": "unreachable",
    "timeout": "unreachable",
    "empty": "no-answer",
    "context_overflow": "context-full",
    "content_filter": "content-filter",
    "replay_miss": "recording-differs",
}
"""The page of `letta_kernel.troubles` that tells more of each kind; of the others, that of `ModelError`."""


class ModelError(LettaError):
    """A model call failed for good. The text is one line that says how to mend it."""

    page = "model-failed"

    def __init__(
        self,
        kind: ErrorKind,
        text: str,
        *remedies: Remedy,
        partial: Reply | None = None,
        page: str = "",
    ) -> None:
        super().__init__(text, *remedies, page=page or PAGES.get(kind, ""))
        self.kind = kind
        self.partial = partial


class Cancel:
    """A switch another thread may throw to end a model call or a tool at once.

    Attributes
    ----------
    why : what made it necessary, if it was no person's wish: then a run that is ended by it has failed.
    """

    def __init__(self) -> None:
        self.why = ""
        self._event = threading.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Whether the switch was thrown."""
        return self._event.is_set()

    def cancel(self, why: str = "") -> None:
        """Throw the switch; callbacks run in the calling thread, once. *why* as the attribute has it."""
        with self._lock:
            if self._event.is_set():
                return
            self.why = why
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call *callback* when the switch is thrown (at once if it already was)."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def wait(self, seconds: float) -> bool:
        """Wait at most *seconds*; True if the switch was thrown."""
        return self._event.wait(seconds)


class ChatModel(Protocol):
    """A language model behind a name such as ``openai/gpt-5-mini`` or ``demo``."""

    name: str
    label: str  # shown beside every answer, empty for an ordinary model
    context_window: int  # tokens
    supports_tools: bool
    supports_reasoning: bool
    supports_images: bool  # a model that does not say so is sent none

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Yield pieces and at last one `Reply`.

        Closing the iterator (or a KeyboardInterrupt in it) ends the HTTP request at once.

        Raises
        ------
        ModelError
            When the call failed for good, after retries and fallbacks.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens *text* takes in this model's own counting."""
        ...


EmbedderKind = Literal["static", "small", "remote"]
"""What embeds: means of words' vectors (quick), a model on this machine, or one of a provider's."""


class Embedder(Protocol):
    """Turns texts into unit vectors; safe to use from several threads at once.

    It may have more: ``kind`` (an `EmbedderKind`; "remote" if not said), ``unrelated`` (the cosine of texts
    that have nothing to do with each other; learnt from the lines there are if not said), and
    ``embed_questions``, as ``embed``, for models that embed questions otherwise than what answers them.
    """

    name: str

    @property
    def dimension(self) -> int:
        """Length of a vector; asking may load the model or make one request to its provider."""
        ...

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return float32 vectors of length 1, one row per text, shape (n, dimension).

        Raises
        ------
        ModelError
            When the embedding model cannot be reached or refuses.
        """
        ...
