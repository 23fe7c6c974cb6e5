"""A request as it goes over the wire: one form that every provider takes, whatever happened before.

The history tells what happened: a person interrupted a tool and then said something, a request failed and the
next message follows it, a turn ended at its most steps. Templates of Mistral and Gemma refuse such orders, and
every turn after them. What is sent is shaped here, for all providers alike, and nothing of it is stored:

- one system message, first; a later one is told where it stands, as a user message;
- user and assistant take turns: neighbours of one role are joined, an assistant message stands between a result
  and what a person says next, the conversation begins and ends with the user or a result;
- each call has its result right after it, and no result is without its call;
- pictures of results stand behind these, but for Anthropic; a model that refused them reads what they are;
- ids of calls are nine letters and digits (Mistral takes no others), in pairs, each once;
- names and schemas of tools are such as all take; `Shaped` leads back to our own.

The same history gives the same bytes, and a longer one begins with them: providers cache what they know.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.messages import MAY_HAVE_HAPPENED
from letta_kernel.models.base import ChatRequest
from letta_kernel.models.images import as_sent, described, has_images, split
from letta_kernel.models.reasoning import messages_for
from letta_kernel.models.sendable_schemas import sendable_schema

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")  # OpenAI, Anthropic, Mistral and Gemini alike
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_TOKEN = re.compile(
    r"<\|[^|<>]*\|?>?"
)  # a control token of a chat format that came through as text
_PREFIX = re.compile(r"^(functions?|default_api|tools?|api)[._:/-]+", re.IGNORECASE)


def sendable(name: str, taken: Collection[str] = ()) -> str:
    """Return *name*, or a name like it that every provider takes and that is not in *taken*."""
    if NAME.fullmatch(name) and name not in taken:
        return name
    plain = _NOT_IN_NAME.sub("_", name).strip("_-") or "unnamed"
    plain = plain if plain[0].isalpha() else f"_{plain}"
    made = plain[:64]
    if made in taken:
        made = f"{plain[:55]}_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return made


def meant(name: str, offered: Collection[str]) -> str:
    """Return the offered tool that *name* stands for, or *name* itself where that is not certain.

    Models write the marks of their training format into names: ``functions.find``, ``functions.find:0``,
    ``find<|channel|>commentary``, ``default_api.find``. Where exactly one tool remains, it is meant.
    """
    if not name or name in offered:
        return name
    for part in _TOKEN.split(name):  # what stands before a token comes first
        if found := _within(part.strip(), offered):
            return found
    return name


def _within(text: str, offered: Collection[str]) -> str:
    if text in offered:
        return text
    words = re.split(r"[^\w-]+", text)
    for candidates in (
        {word for word in words if word in offered},
        {rest for rest in (_PREFIX.sub("", word) for word in words) if rest in offered},
        {one for one in offered if text and _folded(one) == _folded(_PREFIX.sub("", text))},
    ):
        if len(candidates) == 1:
            return candidates.pop()
        if candidates:
            return ""
    return ""


def _folded(name: str) -> str:
    return _NOT_IN_NAME.sub("_", name).replace("-", "_").strip("_").casefold()


Chat = list[dict[str, Any]]

NOTED = "Noted."
"""What stands between a result and the user message after it, where nothing was said."""
BROKEN_OFF = "(interrupted)"
"""What stands there where the call did not come to its end."""
GO_ON = "(go on)"
"""The user's part where a conversation has none at its beginning or end."""
NOTHING = "(nothing)"
"""The content of a message that has none."""
_INTERRUPTED = "interrupted before it "  # in the results of interrupted calls

_ID = re.compile(r"[A-Za-z0-9]{9}")
_KIMI_ID = re.compile(r"functions\.[\w-]+:\d+")  # Kimi was trained to find its calls by these
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Shaped:
    """A request ready to be sent, and the way back from the names it uses."""

    provider: str
    model: str
    history: Chat
    system: bool = True  # the model takes a system role
    apart: bool = False  # it takes either text or calls in one message
    images: bool = True  # it takes pictures
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    names: dict[str, str] = field(default_factory=dict)  # of the tools offered, as sent, to our own
    keys: dict[str, dict[str, str]] = field(default_factory=dict)  # of arguments, by our tool name

    @property
    def has_system(self) -> bool:
        """Whether a system message is sent."""
        return self.system and any(m.get("role") == "system" for m in self.history)

    @property
    def has_images(self) -> bool:
        """Whether pictures are sent."""
        return self.images and has_images(self.history)

    def messages(self, *, asked: bool) -> Chat:
        """Return the messages to send; *asked*: reasoning is asked for, so signed thoughts go back."""
        if self.images:
            history = as_sent(self.history, in_results=self.provider == "anthropic")
        else:
            history = described(self.history)
        messages = messages_for(self.provider, history, asked=asked)
        if not self.system:
            messages = [{**m, "role": "user"} if m["role"] == "system" else m for m in messages]
        own = {name: sent for sent, name in self.names.items()}
        if self.apart:
            messages = [part for message in messages for part in _apart(message)]
        chat = turns(messages, kimi="kimi" in self.model.lower())
        return [
            _with_names(message, own, self.keys) if "tool_calls" in message else message
            for message in chat
        ]

    def name(self, sent: str) -> str:
        """Return our name of the tool that a model calls *sent*."""
        found = meant(sent, self.names)
        return self.names.get(found, found)

    def arguments(self, name: str, text: str) -> str:
        """Return the arguments of a call of our tool *name* with their own names."""
        keys = self.keys.get(name)
        return _renamed(text, keys) if keys else text


def shape(
    provider: str,
    model: str,
    request: ChatRequest,
    *,
    without: Collection[str] = (),
    system: bool = True,
    apart: bool = False,
    images: bool = True,
) -> Shaped:
    """Return *request* as it is sent to *model* of *provider*.

    Parameters
    ----------
    without : names (as sent) of tools the model has refused.
    system : whether it takes a system message; else that is the beginning of the first user message.
    apart : text beside calls stands in a message of its own.
    images : whether it takes pictures; else they are described.
    """
    choice = request.tool_choice
    shaped = Shaped(provider, model, request.messages, system, apart, images, tool_choice=choice)
    gemini = provider in ("gemini", "vertex_ai", "vertex_ai_beta")
    for tool in request.tools:
        own = str(tool["function"]["name"])
        sent = sendable(own, shaped.names)
        if sent in without:
            continue
        shaped.names[sent] = own
        shaped.tools.append(_tool(tool, sent, shaped, gemini=gemini))
    if isinstance(choice, dict):
        function = dict(choice.get("function") or {})
        wanted = [sent for sent, own in shaped.names.items() if own == function.get("name")]
        named = {**choice, "function": {**function, "name": wanted[0]}} if wanted else None
        shaped.tool_choice = named
    return shaped


def turns(messages: Iterable[dict[str, Any]], *, kimi: bool = False) -> Chat:
    """Return *messages* in the order and form every provider and chat template takes; see the module."""
    chat: Chat = []
    before: Any = ""  # who spoke last in plain words
    for message in paired(messages):
        role = message.get("role")
        content = message.get("content")
        words = type(content) is str and content and not content.isspace()
        if words and _OTHER.get(before, "") == role and "tool_calls" not in message:
            chat.append(dict(message))  # most of a history is this
            before = role
            continue
        before = ""
        message = _plain(message)
        if role == "system":
            if not chat or chat[-1]["role"] == "system":
                _add(chat, message)
                continue
            message = {"role": "user", "content": _told(message.get("content"))}
        elif role not in ("user", "assistant", "tool"):  # developer, function and the like
            message["role"] = "user"
        _take_turn(chat, message)
        if words and message is chat[-1] and "tool_calls" not in message:
            before = role
    if not chat or chat[-1]["role"] not in ("user", "tool"):
        chat.append({"role": "user", "content": GO_ON})
    for message in chat:
        content = message.get("content")
        if isinstance(content, str) and content and not content.isspace():
            continue  # most of a history is this
        if not message.get("tool_calls") and _is_empty(content):
            message["content"] = NOTHING
    return _with_ids(chat, kimi)


_OTHER = {"user": "assistant", "assistant": "user"}


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of *message* without the empty lists and parts that providers refuse."""
    made = dict(message)
    if "tool_calls" in made and not made["tool_calls"]:
        del made["tool_calls"]
    if isinstance(content := made.get("content"), list):
        made["content"] = [part for part in content if not _is_empty([part])]
    return made


def _take_turn(chat: Chat, message: dict[str, Any]) -> None:
    """Append *message*, which is no system message, with what must stand before it."""
    before = chat[-1]["role"] if chat else "system"
    role = message["role"]
    if role == "user" and before == "tool":
        broken = _INTERRUPTED in split(chat[-1].get("content"))[0]
        chat.append({"role": "assistant", "content": BROKEN_OFF if broken else NOTED})
    elif role == "assistant" and before == "system":
        chat.append({"role": "user", "content": GO_ON})
    _add(chat, message)


def _add(chat: Chat, message: dict[str, Any]) -> None:
    """Append *message*, or join it to the last one where that is of the same role."""
    last = chat[-1] if chat else {}
    if message["role"] == "tool" or last.get("role") != message["role"] or last.get("tool_calls"):
        chat.append(message)
        return
    content = _joined(last.get("content"), message.get("content"))
    # The thoughts of what is joined to a later message were of another turn.
    chat[-1] = {**message, "content": content}


def _joined(one: Any, other: Any) -> Any:
    if _is_empty(one) or _is_empty(other):
        return one if _is_empty(other) else other
    if isinstance(one, str) and isinstance(other, str):
        return f"{one}\n\n{other}"
    return [*_parts(one), *_parts(other)]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _apart(message: dict[str, Any]) -> Chat:
    """Return *message*, or its text and its calls with a user message between them."""
    if not message.get("tool_calls") or _is_empty(message.get("content")):
        return [message]
    text = {"role": "assistant", "content": message["content"]}
    return [text, {"role": "user", "content": GO_ON}, {**message, "content": None}]


def _is_empty(content: Any) -> bool:
    if isinstance(content, str):
        return not content or content.isspace()
    if isinstance(content, list):
        return all(
            isinstance(part, dict)
            and part.get("type") == "text"
            and not str(part.get("text") or "").strip()
            for part in content
        )
    return not str(content or "").strip()


def _told(content: Any) -> Any:
    if isinstance(content, str):
        return f"<system_message>\n{content}\n</system_message>"
    return content


def paired(messages: Iterable[dict[str, Any]]) -> Chat:
    """Return *messages* in which each call has exactly one result, right after it, in order."""
    chat: Chat = []
    waiting: list[dict[str, Any]] = []  # calls of the last assistant message
    results: list[dict[str, Any]] = []

    def close() -> None:
        left = list(results)
        for call in waiting:
            result = next((r for r in left if r.get("tool_call_id") == call.get("id")), None)
            if result is None:
                failed = json.dumps({"status": "Failed", "message": MAY_HAVE_HAPPENED})
                chat.append({"role": "tool", "tool_call_id": call.get("id"), "content": failed})
            else:
                left.remove(result)  # two calls with one id have each their own
                chat.append(result)
        waiting.clear()
        results.clear()

    for message in messages:
        if message.get("role") == "tool":
            if waiting:
                results.append(message)
            continue
        if waiting:
            close()
        chat.append(message)
        if "tool_calls" in message and message.get("role") == "assistant":
            waiting.extend(message["tool_calls"] or ())
    close()
    return chat


def _with_ids(chat: Chat, kimi: bool) -> Chat:
    """Return *chat*, whose calls are paired with their results, with ids that every provider takes."""
    used: set[str] = set()
    fresh: list[str] = []
    shaped: Chat = []
    for message in chat:
        if calls := message.get("tool_calls"):
            fresh = [_new_id(str(call.get("id") or ""), used, kimi) for call in calls]
            named = [{**call, "id": new} for call, new in zip(calls, fresh, strict=True)]
            message = {**message, "tool_calls": named}
        elif message["role"] == "tool":
            message = {**message, "tool_call_id": fresh.pop(0)}
        shaped.append(message)
    return shaped


def _new_id(given: str, used: set[str], kimi: bool) -> str:
    """Return *given* if it will do, else an id made from it: the same one each time."""
    kept = _ID.fullmatch(given) or (kimi and _KIMI_ID.fullmatch(given))
    made = given if kept else _id_from(given, 0)
    number = 0
    while made in used:
        number += 1
        made = _id_from(given, number)
    used.add(made)
    return made


@functools.lru_cache(maxsize=4096)
def _id_from(given: str, number: int) -> str:
    digest = hashlib.sha256(f"{given} {number}".encode("utf-8", "replace")).digest()
    value = int.from_bytes(digest[:8], "big")
    return "".join(_LETTERS[value // 62**place % 62] for place in range(9))


# Tools ----------------------------------------------------------------------------------------------


def _tool(tool: dict[str, Any], sent: str, shaped: Shaped, *, gemini: bool) -> dict[str, Any]:
    function = dict(tool["function"])
    schema, keys = sendable_schema(function.get("parameters"), gemini=gemini)
    if keys:
        shaped.keys[str(function["name"])] = keys
    description = function.get("description")
    function |= {
        "name": sent,
        "description": description if isinstance(description, str) else "",
        "parameters": schema,
    }
    return {**tool, "function": function}


def _with_names(
    message: dict[str, Any], own: dict[str, str], keys: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """Return *message* whose calls name tools and arguments as they are sent now."""
    calls = message.get("tool_calls")
    if not calls:
        return message
    named = []
    for call in calls:
        function = dict(call["function"])
        name = str(function.get("name") or "")
        if back := keys.get(name):
            sent = {value: key for key, value in back.items()}
            function["arguments"] = _renamed(str(function.get("arguments") or "{}"), sent)
        function["name"] = own.get(name) or sendable(name)
        named.append({**call, "function": function})
    return {**message, "tool_calls": named}


def _renamed(text: str, keys: dict[str, str]) -> str:
    """Return a JSON text with the keys of its objects renamed; what is no JSON stays as it is."""

    def write(value: Any) -> Any:
        if isinstance(value, dict):
            return {keys.get(key, key): write(one) for key, one in value.items()}
        return [write(one) for one in value] if isinstance(value, list) else value

    try:
        return json.dumps(write(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
