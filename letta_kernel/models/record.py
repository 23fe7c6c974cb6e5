"""Record what a model answers, and replay it without the model: a notebook runs again offline.

A recording is a file of JSON lines, one per call. A call is found again by its model, messages, tools,
tool choice and sampling, in which ids, dates and times, ages ("5 minutes ago") and memory addresses count
as equal; what a notebook places beside a message does not count. Identical calls are answered in the order
recorded. Recordings hold no keys: what looks like one, or is the value of a secret in the environment, is
left out; of the messages only a digest and their beginnings are kept.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from letta_kernel import private
from letta_kernel.ids import digest
from letta_kernel.models import plugins
from letta_kernel.models.base import (
    BESIDE,
    CallPiece,
    Cancel,
    ChatModel,
    ChatRequest,
    ErrorKind,
    ModelError,
    Piece,
    ReasoningPiece,
    Reply,
    Reset,
    Retrying,
    TextPiece,
)
from letta_kernel.models.images import takes_images
from letta_kernel.models.masking import scrub

_SHOWN = 60  # characters of a message that are kept, to say what changed
_NOT_SAMPLING = frozenset({"api_base", "retry"})
_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (TextPiece, ReasoningPiece, CallPiece, Retrying, Reset, Reply)
}

_NOTEBOOK = re.compile(r"\n- notebook you are talked to from: [^\n]*")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?[AP]M)?( ?(Z|UTC)?([+-]\d\d:?\d\d)?)?)?"
)
_AGE = re.compile(r"\b(\d+|an?) (second|minute|hour|day|week|month|year)s? ago\b|\bjust now\b")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a call is found by, in a form that is equal for equal calls."""

    model: str
    sampling: dict[str, Any]
    choice: Any
    tools: dict[str, str]  # digest by name
    messages: list[list[str]]  # role, digest, beginning

    @property
    def key(self) -> str:
        digests = [message[:2] for message in self.messages]
        return _digest([self.model, self.sampling, self.choice, list(self.tools.items()), digests])


def _asked(model: str, request: ChatRequest) -> _Asked:
    names = _Names()
    messages = []
    for message in request.messages:
        same = names.settle(message)
        messages.append([str(message.get("role", "")), _digest(same), _beginning(same)])
    tools = {}
    for tool in request.tools:
        function = tool.get("function") or tool
        tools[str(function.get("name", ""))] = _digest(names.settle(tool))
    sampling = {k: v for k, v in sorted(request.params.items()) if k not in _NOT_SAMPLING}
    return _Asked(model, names.settle(sampling), request.tool_choice, tools, messages)


class _Names:
    """Gives what differs from run to run the same name in each: ids are numbered as they appear."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def settle(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: self.settle(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.settle(item) for item in value]
        if not isinstance(value, str):
            return value
        if key in ("id", "tool_call_id"):
            return self._number(value)
        if key == "url" and value.startswith("data:"):
            return _digest(value)
        # What cells did is told anew each time: how long it took, where an object lay, which cell it was.
        value = _NOTEBOOK.sub("", BESIDE.sub("", value))
        text = _UUID.sub(lambda match: self._number(match[0]), scrub(value))
        text = _MOMENT.sub("<time>", text)
        return _ADDRESS.sub("<address>", _AGE.sub("<ago>", text))

    def _number(self, found: str) -> str:
        return self._ids.setdefault(found.lower(), f"<id {len(self._ids) + 1}>")


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return digest(text, 20)


def _beginning(message: dict[str, Any]) -> str:
    content = message.get("content")
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    calls = [c["function"]["name"] for c in message.get("tool_calls") or () if c.get("function")]
    text = " ".join((f"calls {', '.join(calls)}" if calls and not content else text).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


# Recording ----------------------------------------------------------------------------------------


class RecordingModel:
    """A model that writes down what it was asked and what it answered; calls broken off are left out."""

    def __init__(self, inner: ChatModel, file: str | os.PathLike[str]) -> None:
        self._inner = inner
        self._path = Path(file)
        self._lock = threading.Lock()
        self.name = inner.name
        self.label = inner.label
        self.context_window = inner.context_window
        self.supports_tools = inner.supports_tools
        self.supports_reasoning = inner.supports_reasoning
        self.supports_images = takes_images(inner)

    def count_tokens(self, text: str) -> int:
        """Return what the recorded model counts."""
        return self._inner.count_tokens(text)

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Stream the recorded model's answer and write it down once it is whole, or has failed.

        Raises
        ------
        ModelError
            As the recorded model does, or if the file cannot be written.
        """
        asked = _asked(self.name, request)
        pieces: list[Piece] = []
        try:
            with closing(self._inner.stream(request, cancel)) as stream:
                for piece in stream:
                    if isinstance(piece, Reply):
                        pieces.append(piece)
                        self._write(asked, pieces, None)
                    else:
                        pieces.append(piece)
                    yield piece
        except ModelError as error:
            if error.kind != "cancelled":
                self._write(asked, pieces, error)
            raise

    def _write(self, asked: _Asked, pieces: list[Piece], error: ModelError | None) -> None:
        entry = {
            "version": 1,
            "key": asked.key,
            "asked": asdict(asked),
            "model": {
                "label": self.label,
                "context_window": self.context_window,
                "supports_tools": self.supports_tools,
                "supports_reasoning": self.supports_reasoning,
                "supports_images": self.supports_images,
            },
            "pieces": [_to_json(piece) for piece in _without_split_secrets(pieces)],
            "error": {"kind": error.kind, "text": scrub(str(error))} if error else None,
        }
        line = json.dumps(_scrubbed(entry), ensure_ascii=False) + "\n"
        try:
            with self._lock:
                private.folder(self._path.parent)
                with open(self._path, "ab", opener=private.opener) as file:
                    file.write(line.encode("utf-8", "replace"))
        except OSError as problem:
            raise ModelError(
                "other", f"The recording {self._path} cannot be written: {problem.strerror}."
            ) from None


def _without_split_secrets(pieces: list[Piece]) -> list[Piece]:
    """Return *pieces*; recut where a secret lies across several, so that it can be found and hidden."""
    spoken: dict[Any, str] = {}
    for piece in pieces:
        if isinstance(piece, TextPiece | ReasoningPiece):
            spoken[type(piece)] = spoken.get(type(piece), "") + piece.text
        elif isinstance(piece, CallPiece):
            spoken[piece.index] = spoken.get(piece.index, "") + piece.arguments
    if all(scrub(text) == text for text in spoken.values()):
        return pieces
    recut: list[Piece] = [piece for piece in pieces if isinstance(piece, Retrying)]
    reply = pieces[-1]
    if not isinstance(reply, Reply):
        return recut
    if reply.reasoning:
        recut.append(ReasoningPiece(reply.reasoning))
    if reply.text:
        recut.append(TextPiece(reply.text))
    for number, call in enumerate(reply.tool_calls):
        recut.append(CallPiece(number, call.id, call.name, call.arguments))
    return [*recut, reply]


def _scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _scrubbed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    return scrub(value) if isinstance(value, str) else value


def _to_json(piece: Piece) -> dict[str, Any]:
    from pydantic import TypeAdapter

    name = type(piece).__name__
    return {"piece": name, **TypeAdapter(_KINDS[name]).dump_python(piece, mode="json")}


def _from_json(data: dict[str, Any]) -> Piece:
    from pydantic import TypeAdapter

    given = {name: value for name, value in data.items() if name != "piece"}
    piece: Piece = TypeAdapter(_KINDS[data["piece"]]).validate_python(given)
    return piece


# Replaying ----------------------------------------------------------------------------------------


class _Entry:
    def __init__(self, data: dict[str, Any]) -> None:
        self.key: str = data["key"]
        self.asked = _Asked(**data["asked"])
        self.model: dict[str, Any] = data["model"]
        self.pieces = [_from_json(piece) for piece in data["pieces"]]
        self.error: dict[str, str] | None = data.get("error")
        self.served = False


class Recording:
    """A recording, and how far it has been replayed; shared by the models that replay it."""

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self.path = Path(file)
        self.entries = list(self._read())
        self._lock = threading.Lock()
        if not self.entries:
            raise ModelError("replay_miss", f"The recording {self.path} is empty.")

    def _read(self) -> Iterator[_Entry]:
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as problem:
            raise ModelError(
                "replay_miss", f"The recording {self.path} cannot be read: {problem.strerror}."
            ) from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _Entry(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise ModelError(
                    "replay_miss", f"Line {number} of {self.path} is no recorded call."
                ) from None

    def next_model(self) -> str:
        """Return the model that answered the first call that has not been replayed yet."""
        with self._lock:
            waiting = (entry for entry in self.entries if not entry.served)
            return next(waiting, self.entries[-1]).asked.model

    def find(self, asked: _Asked) -> _Entry:
        """Return the next recorded answer to this call.

        Raises
        ------
        ModelError
            Of kind ``replay_miss``, naming what differs from the nearest recorded call.
        """
        key = asked.key
        with self._lock:
            for entry in self.entries:
                if entry.key == key and not entry.served:
                    entry.served = True
                    return entry
            why = self._difference(asked)
        raise ModelError(
            "replay_miss", f"{self.path.name} holds no answer: {why}. Record it again."
        )

    def _difference(self, asked: _Asked) -> str:
        same = sum(entry.key == asked.key for entry in self.entries)
        if same:
            times = "once" if same == 1 else f"{same} times"
            return f"this call was recorded {times} and has been replayed as often"
        waiting = [entry for entry in self.entries if not entry.served] or self.entries
        nearest = max(waiting, key=lambda entry: _likeness(entry.asked, asked))
        return _what_changed(nearest.asked, asked)


def _likeness(recorded: _Asked, asked: _Asked) -> tuple[int, ...]:
    equal = 0
    for one, other in zip(recorded.messages, asked.messages, strict=False):
        equal += one[:2] == other[:2]
    return (
        equal - abs(len(recorded.messages) - len(asked.messages)),
        recorded.model == asked.model,
        recorded.tools == asked.tools,
        recorded.sampling == asked.sampling,
    )


def _what_changed(recorded: _Asked, asked: _Asked) -> str:
    for number, (old, new) in enumerate(zip(recorded.messages, asked.messages, strict=False), 1):
        if old[:2] != new[:2]:
            if old[0] != new[0]:
                return f"message {number} is from {new[0]}, recorded was one from {old[0]}"
            if old[2] == new[2]:
                return f"message {number} ({new[0]}) differs after {new[2]!r}"
            return f"message {number} ({new[0]}) is {new[2]!r}, recorded was {old[2]!r}"
    if len(recorded.messages) != len(asked.messages):
        return f"there are {len(asked.messages)} messages, recorded were {len(recorded.messages)}"
    for name in {**recorded.tools, **asked.tools}:
        if name not in asked.tools:
            return f"the tool {name} is missing"
        if name not in recorded.tools:
            return f"the tool {name} is new"
        if recorded.tools[name] != asked.tools[name]:
            return f"the tool {name} has changed"
    if list(recorded.tools) != list(asked.tools):
        return "the tools are in another order"
    if recorded.model != asked.model:
        return f"the model is {asked.model}, recorded was {recorded.model}"
    if recorded.choice != asked.choice:
        return f"tool_choice is {asked.choice!r}, recorded was {recorded.choice!r}"
    return f"sampling is {asked.sampling}, recorded was {recorded.sampling}"


class ReplayModel:
    """A model that says again what a recording holds.

    Parameters
    ----------
    recording : the recording, or its file; models that share a `Recording` share its progress.
    name : the model to stand in for; by default the first one recorded.

    Raises
    ------
    ModelError
        If the file cannot be read or is no recording.
    """

    def __init__(
        self, recording: Recording | str | os.PathLike[str], name: str | None = None
    ) -> None:
        self._recording = recording if isinstance(recording, Recording) else Recording(recording)
        entries = self._recording.entries
        first = next((e for e in entries if e.asked.model == name), entries[0])
        self.name = name or first.asked.model
        self.label: str = first.model["label"]
        self.context_window: int = first.model["context_window"]
        self.supports_tools: bool = first.model["supports_tools"]
        self.supports_reasoning: bool = first.model["supports_reasoning"]
        self.supports_images: bool = first.model.get("supports_images", False)

    def count_tokens(self, text: str) -> int:
        """Return what the recorded model would count."""
        if provider := plugins.provider_of(self.name):
            return provider.count_tokens(text)
        from letta_kernel.models.facts import token_scale
        from letta_kernel.models.tokens import count

        return count(text, token_scale(self.name))

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Yield the recorded pieces of this call.

        Raises
        ------
        ModelError
            The recorded one, or ``replay_miss`` if this call was not recorded.
        """
        entry = self._recording.find(_asked(self.name, request))
        for piece in entry.pieces:
            if cancel.cancelled:
                raise ModelError("cancelled", f"{self.name}: the call was stopped.")
            yield piece
        if entry.error:
            kind: ErrorKind = entry.error["kind"]  # type: ignore[assignment]
            raise ModelError(kind, entry.error["text"])
