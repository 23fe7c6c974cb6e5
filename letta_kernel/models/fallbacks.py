"""Models asked in order: where one fails for good, or cannot even be opened, the next one answers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace

from letta_kernel.models import structured
from letta_kernel.models.base import (
    Cancel,
    ChatModel,
    ChatRequest,
    ErrorKind,
    ModelError,
    Piece,
    Reply,
    Retrying,
)
from letta_kernel.models.images import described, takes_images
from letta_kernel.models.written_calls import PromptedTools
from letta_kernel.remedies import sentence

# What another model would not mend, or must not be asked instead for.
_FINAL: frozenset[ErrorKind] = frozenset(
    {"bad_request", "context_overflow", "content_filter", "budget", "cancelled", "replay_miss"}
)


class WithFallbacks:
    """A model, and those that are asked in its place; see `base.ChatModel`.

    It is what the first of them is (or, if that cannot be opened, the next): name, window, counting. Who
    answered is said by ``Reply.model``.

    Parameters
    ----------
    names : the models, the one to ask first before its fallbacks.
    open_one : opens one of them by its name.

    Raises
    ------
    ModelError
        If none of them can be opened: the first one's.
    """

    takes_format = True
    supports_tools = True  # asked for by a prompt, of those that have no tool calling

    def __init__(self, names: Sequence[str], open_one: Callable[[str], ChatModel]) -> None:
        self._names = tuple(names)
        self._open_one = open_one
        self._opened: dict[str, ChatModel] = {}
        self._like = self._first_there_is()
        self.name = self._names[0]
        self.label = self._like.label if self.name in self._opened else ""
        self.context_window = self._like.context_window
        self.supports_reasoning = self._like.supports_reasoning
        self.supports_images = takes_images(self._like)

    @property
    def loading(self) -> bool:
        """Whether the next call waits for the provider library to be imported."""
        return bool(getattr(self._like, "loading", False))

    def count_tokens(self, text: str) -> int:
        """Return the tokens of *text* in the first model's counting."""
        return self._like.count_tokens(text)

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Yield pieces and at last one `Reply`; see `base.ChatModel.stream`."""
        error: ModelError | None = None
        for number, name in enumerate(self._names):
            if error is not None:
                if error.kind in _FINAL or cancel.cancelled:
                    break
                yield Retrying(f"{sentence(error.text)} Asking {name} instead.", 0.0, number)
            last = number == len(self._names) - 1
            error = yield from self._ask(name, request, cancel, silence_is_fine=last)
            if error is None:
                return
        assert error is not None
        raise error

    def _ask(
        self, name: str, request: ChatRequest, cancel: Cancel, *, silence_is_fine: bool
    ) -> Generator[Piece, None, ModelError | None]:
        """Yield what *name* answers; return the error it ended with."""
        try:
            model = self._open(name)
            if not takes_images(model):
                request = replace(request, messages=described(request.messages))
            with closing(structured.ask(model, request, cancel)) as pieces:
                for piece in pieces:
                    if isinstance(piece, Reply) and not silence_is_fine and _says_nothing(piece):
                        return ModelError("empty", f"{name} gave an empty answer.", partial=piece)
                    yield piece
        except ModelError as error:
            return error
        return None

    def _open(self, name: str) -> ChatModel:
        if name not in self._opened:
            model = self._open_one(name)
            self._opened[name] = model if model.supports_tools else PromptedTools(model)
        return self._opened[name]

    def _first_there_is(self) -> ChatModel:
        first: ModelError | None = None
        for name in self._names:
            try:
                return self._open(name)
            except ModelError as error:
                first = first or error
        assert first is not None
        raise first


def _says_nothing(reply: Reply) -> bool:
    said = reply.text.strip() or reply.tool_calls or reply.reasoning
    return not said and reply.finish_reason in ("stop", "tool_calls")
