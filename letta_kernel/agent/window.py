"""The sliding part of the context window: the history still in sight, its size, and what to evict.

What no longer fits becomes a summary (`Compactor`); recall keeps it all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from letta_kernel.agent import prompts
from letta_kernel.agent.context import to_chat
from letta_kernel.agent.images import in_sight
from letta_kernel.messages import ANSWER_TOOL, Message, ToolCall, Usage
from letta_kernel.models.base import Cancel, ChatModel, ChatRequest, ModelError, Reply

EVICT_FIRST = 0.4  # the share of the history that is evicted first
EVICT_MORE = 0.1
TRIGGER = 0.9  # of the model's window
TARGET = 0.7
OVERHEAD = 6  # tokens a provider adds around each message, about
SHORTEST = 100  # tokens a message may take however full the window is


class Window:
    """The messages of an agent that are in sight, oldest first, with a summary of what is not.

    Parameters
    ----------
    messages : the history from the agent's ``window_start`` on, summaries excluded.
    summary : the message that stands for what went before, if anything did.
    count : returns the number of tokens of a text; each message is counted once.
    images : the model is shown pictures; else it reads their descriptions.

    Attributes
    ----------
    turn : what is being answered, which stays in sight however much of what followed it goes.
    beside : what stays beside messages in sight, by their ids (`letta_kernel.agent.beside`).
    partial : what is in sight goes further back than *messages*, which are too many already.
    cut_down : the messages that `chat` has just shown without a part of them.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        summary: Message | None,
        count: Callable[[str], int],
        *,
        images: bool = False,
    ) -> None:
        self.messages = list(messages)
        self.summary = summary
        self.turn: Message | None = None
        self.newest = max(
            (m.seq for m in messages), default=0
        )  # number of the newest, in sight or not
        self.most: int | None = None  # tokens one message may take; longer ones are shown shortened
        self.images = images
        self.beside: dict[str, str] = {}
        self.partial = False
        self.cut_down: list[Message] = []
        self._count = count
        self._sizes: dict[str, int] = {}

    def add(self, messages: Sequence[Message]) -> None:
        """Append *messages*, which are in the store already."""
        self.messages.extend(m for m in messages if m.role != "summary")
        self.newest = max(self.newest, *(m.seq for m in messages)) if messages else self.newest

    def chat(
        self,
        beside: dict[str, str] | None = None,
        urls: Callable[[Sequence[str]], Mapping[str, str]] | None = None,
    ) -> list[dict[str, Any]]:
        """Return what the model reads after the system prompt.

        *beside* wins over what stays beside messages; *urls* gives the pictures of these ids.
        """
        every = [*self.head(), *self.messages]
        placed: dict[str, str] = {}
        if self.beside:
            placed = {m.id: self._beside_shown(m) for m in every if m.id in self.beside}
            shown = [self.shown(m) for m in every]
        else:
            known, most = self._sizes, self.most or 0  # a long history has thousands
            shown = [m if known.get(m.id, most) < most else self.shown(m) for m in every]
        self.cut_down = [m for m, seen in zip(every, shown, strict=True) if seen is not m]
        images: Mapping[str, str] = {}
        if self.images and urls and any(m.pictures for m in shown):
            shown = in_sight(shown)
            images = urls(list({one.id: None for m in shown for one in m.pictures}))
        return to_chat(shown, beside={**placed, **(beside or {})}, images=images)

    def head(self) -> list[Message]:
        """Return what stands before the messages in sight: the summary, and what is being answered."""
        head = [self.summary] if self.summary else []
        begins = self.messages[0].seq if self.messages else self.newest + 1
        return [*head, self.turn] if self.turn is not None and self.turn.seq < begins else head

    def shown(self, message: Message) -> Message:
        """Return *message*, or a copy without what of it is too much if it alone would fill the window.

        Its pictures go first, then the middle of its text.
        """
        if self.most is None:
            return message
        full = self._full_size(message)
        if full <= self.most:
            return message
        full -= self._picture_tokens(message)
        if full <= self.most:
            return message.model_copy(update={"pictures": []})
        share = self.most / full
        return message.model_copy(
            update={
                "pictures": [],
                "content": _shortened(message.content, share),
                "tool_calls": [_shortened_call(call, share) for call in message.tool_calls],
            }
        )

    def _beside_shown(self, message: Message) -> str:
        text = self.beside[message.id]
        full = self._full_size(message) - self._picture_tokens(message)
        if self.most is None or full <= self.most:
            return text
        return _shortened(text, self.most / full)

    def cut_sizes(self) -> list[list[int]]:
        """Return of each message that was shown shortened its number, its tokens, and those beside it."""
        return [
            [m.seq, self._full_size(m) - self.beside_size(m), self.beside_size(m)]
            for m in self.cut_down
        ]

    def as_then(self, most: int | None, cut: Sequence[Sequence[int]]) -> None:
        """Show messages as `cut_sizes` says that they were; the rest of them whole."""
        self.most = most
        sizes = {seq: (own, beside) for seq, own, beside in cut}
        for message in (*self.head(), *self.messages):
            own, beside = sizes.get(message.seq, (0, 0))
            self._sizes |= {message.id: own, f"{message.id} beside": beside}

    def beside_size(self, message: Message) -> int:
        """Return the tokens of what stays beside *message*, about."""
        text = self.beside.get(message.id)
        if not text:
            return 0
        key = f"{message.id} beside"
        if key not in self._sizes:
            self._sizes[key] = self._count(text)
        return self._sizes[key]

    def squeeze(self, room: int, *, last_step: bool = False) -> None:
        """Shorten the longest messages until all take *room* tokens, as far as possible.

        With *last_step* it is enough that what can never go out of sight takes no more.
        """
        some = self.messages[max(self._starts(), default=0) :] if last_step else self.messages
        most = self.most or room
        while most > SHORTEST and self.tokens(some) > room:
            self.most = most = max(SHORTEST, most * 2 // 3)

    def size(self, message: Message) -> int:
        """Return the tokens *message* takes as it is shown, about."""
        full = self._full_size(message)
        return full if self.most is None else min(full, self.most)

    def _full_size(self, message: Message) -> int:
        size = self._sizes.get(message.id)
        if size is None:
            calls = "".join(call.name + call.arguments for call in message.tool_calls)
            size = self._count(message.content + calls) + self._picture_tokens(message) + OVERHEAD
            self._sizes[message.id] = size
        return size + self.beside_size(message) if message.id in self.beside else size

    def _picture_tokens(self, message: Message) -> int:
        return sum(picture.tokens for picture in message.pictures) if self.images else 0

    def tokens(self, messages: Sequence[Message] | None = None) -> int:
        """Return the tokens of *messages* (all in sight, if not given) and what stands before them, about."""
        every = (*self.head(), *(self.messages if messages is None else messages))
        if self.beside:
            return sum(map(self.size, every))
        known, most = self._sizes, self.most
        sizes = [
            known.get(m.id) or self._full_size(m) for m in every
        ]  # a long history has thousands
        return sum(sizes) if most is None else sum([min(size, most) for size in sizes])

    def cut(self, room: int) -> int:
        """Return how many messages to evict so that the rest takes at most *room* tokens.

        The cut is never between a call and its result, and the last message stays. Returns 0 where
        nothing can go.
        """
        # The message being answered stays in any case: to evict it alone gains nothing.
        answered = self.turn is not None and self.messages[:1] == [self.turn]
        starts = [i for i in self._starts() if answered < i <= len(self.messages) - 1]
        if not starts:
            return 0
        sizes = [self.size(m) for m in self.messages]
        if self.turn is not None:
            answered_id = self.turn.id
            sizes = [
                0 if m.id == answered_id else s for m, s in zip(self.messages, sizes, strict=True)
            ]
            room -= self.size(self.turn)
        left = sum(sizes)
        share, best = EVICT_FIRST, 0
        while share <= 1.0:
            wanted = int(len(self.messages) * share)
            best = next((i for i in starts if i >= wanted), starts[-1])
            if left - sum(sizes[:best]) <= room or best == starts[-1]:
                return best
            share += EVICT_MORE
        return best

    def cut_all(self) -> int:
        """Return how many messages to evict to keep only the newest user message and what follows."""
        for index in range(len(self.messages) - 1, 0, -1):
            if self.messages[index].role in ("user", "event"):
                return index
        return 0

    def evict(self, count: int, summary: Message) -> list[Message]:
        """Drop the oldest *count* messages, put *summary* in their place, and return them."""
        gone, self.messages = self.messages[:count], self.messages[count:]
        self.summary, self.partial = summary, False
        return gone

    def _starts(self) -> list[int]:
        # A window must not begin with a result: its call would be missing.
        return [i for i in range(1, len(self.messages)) if self.messages[i].role != "tool"]


def _shortened(text: str, share: float) -> str:
    """Return *text* with its middle left out, so that about *share* of it is left."""
    keep = max(50, int(len(text) * share) // 2 - 50)
    left_out = len(text) - 2 * keep
    if left_out <= 0:
        return text
    return (
        f"{text[:keep]}\n[… {left_out:,} characters left out: too long for the context window …]"
        f"\n{text[-keep:]}"
    )


def _shortened_call(call: ToolCall, share: float) -> ToolCall:
    """Return *call* with its long arguments shortened, each by itself: the whole stays JSON."""
    try:
        given = json.loads(call.arguments)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):  # malformed: little of it is shown anyway
        return call
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if (short := _shortened(text, share)) != text:
            given[name] = short
    return call.model_copy(update={"arguments": json.dumps(given, ensure_ascii=False)})


Mode = Literal["sliding_window", "all", "self"]

SUMMARY_WORDS = 300
_CLIP = 2_000  # characters of one message shown to the summariser
_NOTICE = "are out of sight; find them with conversation_search."


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of the evicted part: a summary message, not yet stored, and what it took.

    ``failure`` says why the summary is a mere notice, if it is one.
    """

    summary: Message
    failure: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Compactor:
    """Evicts and summarises in one of Letta's modes.

    ``sliding_window`` evicts the oldest part, ``all`` everything before the newest message; in ``self`` the
    agent itself, with its own prompt before its eyes, says what of the oldest part it wants to keep.
    """

    model: ChatModel
    mode: Mode = "sliding_window"
    system: str = ""  # the agent's prompt, for ``self``

    def cut(self, window: Window, room: int) -> int:
        """Return how many messages to evict so that *room* tokens suffice; 0 where nothing can go.

        A call is never parted from its result.
        """
        newest = window.cut_all() if self.mode == "all" else 0
        return newest or window.cut(room)  # a turn may outgrow the window by itself

    def compact(
        self, window: Window, count: int, cancel: Cancel, *, agent_id: str, run_id: str | None
    ) -> Compacted:
        """Evict the oldest *count* messages of *window* and put a summary in their place."""
        evicted, earlier = window.messages[:count], window.summary
        reply, failure = self._reply(evicted, earlier, cancel)
        text = reply.text.strip() if reply is not None else ""
        summary = Message(
            agent_id=agent_id,
            run_id=run_id,
            role="summary",
            content=text or fallback(evicted, earlier),
        )
        window.evict(count, summary)
        return Compacted(summary, "" if text else failure, reply.usage if reply else Usage())

    def _reply(
        self, evicted: Sequence[Message], earlier: Message | None, cancel: Cancel
    ) -> tuple[Reply | None, str]:
        """Return the summariser's reply, and what is wrong if it holds no summary."""
        ask = self._ask_agent if self.mode == "self" else self._ask_summariser
        try:
            with closing(self.model.stream(ask(evicted, earlier), cancel)) as pieces:
                reply = next((piece for piece in pieces if isinstance(piece, Reply)), None)
                return reply, f"{self.model.name} wrote none"
        except ModelError as error:
            if error.kind == "cancelled":
                raise
            return None, str(error).rstrip(".")  # the agent must stay usable without a summariser

    def _ask_summariser(self, evicted: Sequence[Message], earlier: Message | None) -> ChatRequest:
        transcript = _transcript(evicted, earlier, self.model.context_window // 2, self.model)
        system = prompts.SUMMARY_REQUEST.format(words=SUMMARY_WORDS)
        return ChatRequest(
            messages=[
                {"role": "system", "content": system},
                {"role": "user", "content": transcript},
            ]
        )

    def _ask_agent(self, evicted: Sequence[Message], earlier: Message | None) -> ChatRequest:
        transcript = _transcript(evicted, earlier, self.model.context_window // 2, self.model)
        wish = prompts.SELF_SUMMARY_REQUEST.format(words=SUMMARY_WORDS)
        return ChatRequest(
            messages=[
                {"role": "system", "content": self.system},
                {"role": "user", "content": f"{wish}\n\n{transcript}"},
            ]
        )


def fallback(evicted: Sequence[Message], earlier: Message | None) -> str:
    """Return a summary that needs no model: what is out of sight and how to find it again.

    It comes after what an earlier summary said, in the place of an earlier notice.
    """
    said = earlier.content.splitlines() if earlier else []
    kept = [line for line in said if not line.endswith(_NOTICE)]
    until = f"{evicted[-1].created_at:%Y-%m-%d %H:%M} UTC"
    return "\n".join([*kept, f"Messages up to {until} {_NOTICE}"])


def _transcript(
    evicted: Sequence[Message], earlier: Message | None, budget: int, model: ChatModel
) -> str:
    lines: list[str] = []
    used = 0
    clip = min(_CLIP, budget // 2)  # a character may well be a token
    for message in reversed(evicted):
        others = (call for call in message.tool_calls if call.name != ANSWER_TOOL)
        calls = "".join(f" [calls {call.name}({call.arguments})]" for call in others)
        line = f"{message.role}: {(message.said + calls)[:clip]}"
        used += model.count_tokens(line)
        if used > budget:
            break
        lines.append(line)
    if earlier:
        lines.append(f"summary of what went before: {earlier.content[:clip]}")
    return "\n".join(reversed(lines))
