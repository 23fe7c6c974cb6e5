"""A language model in this process: any GGUF file, with its own chat template and only valid tool calls."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from letta_kernel import settings
from letta_kernel.errors import nearest
from letta_kernel.messages import Usage
from letta_kernel.models.base import Cancel, ChatRequest, ModelError, Piece, Reply
from letta_kernel.models.local import files
from letta_kernel.models.local import format as tool_format
from letta_kernel.models.local.engine import Engine, engine
from letta_kernel.models.local.format import ToolFormat
from letta_kernel.models.local.gguf import read_facts
from letta_kernel.models.local.probe import holdable
from letta_kernel.models.local.reading import ReplyReader
from letta_kernel.models.wire import turns
from letta_kernel.project import located
from letta_kernel.remedies import Do, remedy

PREFIX = "local/"
_REPLY_TOKENS = 1_024  # unless the request says otherwise
_SAME_CALL = 2  # after as many equal calls in a row a model without tool training may only answer
_PASSED_ON = (
    "temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty", "frequency_penalty",
    "repeat_penalty",
)  # fmt: skip


def open_local(name: str) -> LocalModel:
    """Return the local model *name*; it is loaded at its first call.

    Parameters
    ----------
    name : ``local/`` and then a path to a GGUF file (``local//path/model.gguf``, ``local/models/x.gguf``) or
        the short name of a downloaded model (``local/qwen3-1.7b``).

    Raises
    ------
    ModelError
        ``unknown_model`` when there is no such file, with the way to get it.
    """
    wanted = name.removeprefix(PREFIX).strip()
    if wanted.lower().endswith(".gguf") or "/" in wanted or "\\" in wanted:
        path = located(wanted)
        if not path.is_file():
            raise ModelError("unknown_model", f"There is no file {wanted!r}, which {name!r} names.")
        return LocalModel(name, path.resolve())
    found = files.find(wanted)
    if found is not None:
        return LocalModel(name, found)
    if offer := files.CATALOGUE.get(wanted):
        raise ModelError(
            "unknown_model",
            f"{wanted} is not downloaded yet ({offer.size}, {offer.licence}).",
            remedy(Do.GET_MODEL, wanted),
        )
    known = [*files.CATALOGUE, *(file.name for file in files.downloaded())]
    raise ModelError(
        "unknown_model",
        f"There is no local model {wanted!r}.{nearest(wanted, known)} Any GGUF file works as "
        "local//path/model.gguf.",
        remedy(Do.LIST_MODELS),
    )


class LocalModel:
    """A GGUF file behind the interface of every other model.

    Parameters
    ----------
    name : what it was opened as.
    path : the file.
    template : a Jinja chat template to use instead of the file's own; empty for its own.
    """

    label = ""
    supports_tools = True

    def __init__(self, name: str, path: Path, template: str = "") -> None:
        self.name = name
        self.path = path
        facts = read_facts(path)
        self.context_window = min(facts.context, settings.LOCAL_CONTEXT())
        self._template = template
        self._form: ToolFormat | None = None
        self.supports_reasoning = tool_format.thinks(template or facts.template)
        self.supports_images = False

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Yield pieces and at last one `Reply`; see `ChatModel.stream`."""
        started = time.perf_counter()
        loaded = engine(self.path, self.context_window, self._template)
        loaded.load(cancel)
        self.context_window = loaded.context
        form = self._form = self._form or tool_format.learn(loaded)
        reply = Reply(model=self.name)
        tools = _offered(request)
        prompt = _prompt(loaded, form, request, tools)
        body: dict[str, Any] = {"prompt": prompt, "cache_prompt": True, **_sampling(request.params)}
        known: int | None = None
        if tools:
            held, known = holdable(loaded, form, tools, prompt, cancel)
            body["grammar"] = _grammar(form, request, held)
        reader = ReplyReader(form if tools else None, form.thinks, form.thinking_opened, reply)
        for piece in _generate(loaded, body, reader, reply, cancel):
            if reply.first_token is None:
                reply.first_token = time.perf_counter() - started
            yield piece
        if known is not None:  # the probe has read the prompt just before
            reply.usage = reply.usage.model_copy(update={"cached_tokens": known})
        yield reply

    def count_tokens(self, text: str) -> int:
        """Return the tokens *text* takes: exactly once the model is loaded, about before that."""
        loaded = engine(self.path, self.context_window, self._template)
        return loaded.tokens(text) if loaded.is_loaded else -(-len(text) // 4)


def _generate(
    loaded: Engine, body: dict[str, Any], reader: ReplyReader, reply: Reply, cancel: Cancel
) -> Iterator[Piece]:
    reason = ""
    for chunk in loaded.complete(body, cancel):
        choice = (chunk.get("choices") or [{}])[0]
        if text := choice.get("text"):
            yield from reader.take(text)
        reason = choice.get("finish_reason") or reason
        if usage := chunk.get("usage"):
            details = usage.get("prompt_tokens_details") or {}
            reply.usage = Usage(
                prompt_tokens=usage.get("prompt_tokens", 0),
                completion_tokens=usage.get("completion_tokens", 0),
                cached_tokens=details.get("cached_tokens", 0),
                cost=0.0,
            )
    reader.finish(reason)
    if not reason:
        raise ModelError(
            "broken_stream", f"{loaded.path.name}: the reply broke off.", partial=reply
        )


def _offered(request: ChatRequest) -> list[dict[str, Any]]:
    """Return the tools of which one may be called now."""
    choice = request.tool_choice
    if choice == "none":
        return []
    if isinstance(choice, dict):
        wanted = (choice.get("function") or choice).get("name")
        return [
            tool for tool in request.tools if tool["function"]["name"] == wanted
        ] or request.tools
    return request.tools


def _grammar(form: ToolFormat, request: ChatRequest, tools: list[dict[str, Any]]) -> str:
    must = request.tool_choice == "required" or isinstance(request.tool_choice, dict)
    stuck = not form.native and not must and _repeats(request.messages) >= _SAME_CALL
    budget = _sampling(request.params)["max_tokens"]
    return tool_format.grammar(form, tools, must_call=must, may_call=not stuck, budget=budget)


def _repeats(messages: list[dict[str, Any]]) -> int:
    """Return how many of the last calls since the user spoke are the same."""
    made: list[str] = []
    for message in messages:
        if message.get("role") == "user":
            made.clear()
        for call in message.get("tool_calls") or ():
            made.append(json.dumps(call.get("function"), sort_keys=True))
    count = 0
    while count < len(made) and made[-1 - count] == made[-1]:
        count += 1
    return count


def _sampling(params: dict[str, Any]) -> dict[str, Any]:
    kept = {key: params[key] for key in _PASSED_ON if params.get(key) is not None}
    most = params.get("max_completion_tokens") or params.get("max_tokens") or _REPLY_TOKENS
    return {"max_tokens": most, **kept}


# -- the prompt ----------------------------------------------------------------------------------------


def _prompt(
    loaded: Engine, form: ToolFormat, request: ChatRequest, tools: list[dict[str, Any]]
) -> str:
    as_objects = bool(
        (loaded.properties.get("chat_template_caps") or {}).get("supports_object_arguments")
    )
    options: dict[str, Any] = {}
    if kwargs := request.params.get("chat_template_kwargs"):
        options["chat_template_kwargs"] = kwargs
    if form.native:
        messages = [_native(message, as_objects) for message in turns(request.messages)]
        return loaded.apply_template(messages, request.tools, **options)
    messages = [_plain(message, form, bool(request.tools)) for message in request.messages]
    if tools:
        told = {"role": "system", "content": tool_format.describe(form, tools)}
        first = int(bool(messages) and messages[0]["role"] == "system")
        messages.insert(first, told)
    return loaded.apply_template(turns(messages), [], **options)


def _native(message: dict[str, Any], as_objects: bool) -> dict[str, Any]:
    made = {
        key: value
        for key, value in message.items()
        if key in ("role", "content", "name", "tool_call_id")
    }
    made["content"] = _text(message.get("content"))
    if calls := message.get("tool_calls"):
        made["tool_calls"] = [
            {
                "id": call.get("id", ""),
                "type": "function",
                "function": {
                    "name": call["function"]["name"],
                    "arguments": _object(call["function"].get("arguments"))
                    if as_objects
                    else call["function"].get("arguments") or "{}",
                },
            }
            for call in calls
        ]
    return made


def _plain(message: dict[str, Any], form: ToolFormat, with_tools: bool) -> dict[str, Any]:
    """Return a message for a template that knows only system, user and assistant."""
    role, text = message.get("role"), _text(message.get("content"))
    if role == "tool":
        return {"role": "user", "content": f"Result of the call: {text}"}
    if role == "assistant" and with_tools:
        calls = [
            form.write(call["function"]["name"], _object(call["function"].get("arguments")))
            for call in message.get("tool_calls") or ()
        ]
        answer = json.dumps({tool_format.ANSWER: text}, ensure_ascii=False)
        return {"role": "assistant", "content": "\n".join(calls) or answer}
    return {"role": role or "user", "content": text}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _object(arguments: Any) -> dict[str, Any]:
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
