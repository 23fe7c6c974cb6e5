"""The context window: how an agent's memory and history become what the model reads.

`prompt_pieces` makes the prefix, which stays byte-identical for all steps of a turn (providers cache it);
`to_chat` turns messages into OpenAI's chat form: each call has exactly one result, arguments are JSON objects.
`models.wire` does what providers want beyond that.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.agent import prompts
from letta_kernel.agent.images import with_images
from letta_kernel.ids import now
from letta_kernel.messages import ANSWER_TOOL, Message
from letta_kernel.models.wire import paired
from letta_kernel.records import AgentState, Block, Tool
from letta_kernel.tools import rules
from letta_kernel.tools.arguments import ToolArgumentError, as_object

THINKING = "thinking"
"""The argument in which a model without reasoning of its own writes its inner thoughts."""
HEARTBEAT = "request_heartbeat"
SEND = ANSWER_TOOL
FINISH_EDITS = "memory_finish_edits"

_CLOSING = re.compile(r"</(?=(?:value|block|memory_blocks|description)>)")


def prompt_pieces(
    state: AgentState,
    blocks: Sequence[Block],
    *,
    messages: int,
    passages: int,
    files: str = "",
    skills: str = "",
    tags: Sequence[str] = (),
    notebook: str = "",
) -> list[tuple[str, str]]:
    """Return the system prompt in pieces: instructions, memory blocks, files, skills, rules, metadata.

    *notebook* names the one that the messages come from, if they do. `joined` makes the prompt of them.
    """
    instructions = state.instructions or prompts.INSTRUCTIONS[state.style]
    pieces = [("instructions", instructions), ("memory", compile_blocks(blocks))]
    if files:
        pieces.append(("files", files))
    if skills:
        pieces.append(("skills", skills))
    if state.tool_rules:
        lines = "\n".join(f"- {rules.describe(rule)}" for rule in state.tool_rules)
        pieces.append(("rules", f"<tool_usage_rules>\n{lines}\n</tool_usage_rules>"))
    moment = now().isoformat(timespec="seconds")
    facts = [
        # Letta's words: published instructions speak of them.
        f"- AGENT_ID: {state.id}",
        f"- CONVERSATION_ID: {'default' if state.thread == 'own' else state.thread_id}",
        f"- System prompt last recompiled: {moment}",
        f"- messages in the conversation so far: {messages}",
        f"- passages in archival memory: {passages}",
    ]
    if tags:
        named = ", ".join(" ".join(tag.split())[:100] for tag in tags)
        facts.append(f"- tags in archival memory: {named.replace('</', '')}")
    if notebook:
        named = " ".join(notebook.split())[:300].replace("</", "")
        facts.append(f"- notebook you are talked to from: {named}")
    metadata = "<memory_metadata>\n" + "\n".join(facts) + "\n</memory_metadata>"
    return [*pieces, ("metadata", metadata)]


def joined(pieces: Sequence[tuple[str, str]]) -> str:
    """Return the system prompt of its pieces."""
    return "\n\n".join(text for _, text in pieces)


def compile_blocks(blocks: Sequence[Block]) -> str:
    """Return core memory as tagged sections; a value cannot close its own section."""
    return "<memory_blocks>\n" + "\n".join(map(compile_block, blocks)) + "\n</memory_blocks>"


def compile_block(block: Block) -> str:
    """Return the section of one block."""
    description = block.description or prompts.BLOCK_DESCRIPTIONS.get(block.label, "")
    return (
        f'<block label="{_attribute(block.label)}" read_only="{str(block.read_only).lower()}" '
        f'chars_current="{len(block.value)}" chars_limit="{block.limit}">\n'
        f"<description>{_inert(description)}</description>\n"
        f"<value>\n{_inert(block.value)}\n</value>\n</block>"
    )


def _attribute(text: str) -> str:
    return html.escape(text, quote=False).replace('"', "&quot;")


def _inert(text: str) -> str:
    return _CLOSING.sub("<\\/", text)


def package_result(message: Message) -> str:
    """Return a tool result as the model reads it: status, message, time."""
    return json.dumps(
        {
            "status": "OK" if message.status == "ok" else "Failed",
            "message": message.content,
            "time": message.created_at.isoformat(timespec="seconds"),
        },
        ensure_ascii=False,
    )


def package_event(message: Message) -> str:
    """Return a system event as the model reads it."""
    return json.dumps(
        {
            "type": message.name or "system_event",
            "message": message.content,
            "time": message.created_at.isoformat(timespec="seconds"),
        },
        ensure_ascii=False,
    )


def describe_retrieved(passages: Sequence[dict[str, Any]]) -> str:
    """Return retrieved passages as the text placed beside the incoming message."""
    lines = [f"- [{p['n']}] [{p['timestamp']}] {_inert_tag(p['content'])}" for p in passages]
    return (
        "<retrieved_memory>\nFrom your archival memory; use it if it helps.\n"
        + "\n".join(lines)
        + "\n</retrieved_memory>"
    )


def _inert_tag(text: str) -> str:
    return text.replace("</retrieved_memory>", "<\\/retrieved_memory>")


def to_chat(
    messages: Sequence[Message],
    *,
    beside: dict[str, str] | None = None,
    images: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return *messages* in OpenAI's chat form, repaired where history was cut short.

    Parameters
    ----------
    messages : the history in order, without the system prompt.
    beside : texts to place before the content of the message with that id (passages, a notebook's part).
    images : data URLs of the pictures to show, by their ids; of others the description stays.
    """
    urls = images or {}
    chat: list[dict[str, Any]] = []
    for message in messages:
        role = message.role
        if role == "tool":
            given = {"role": "tool", "tool_call_id": message.tool_call_id or ""}
            chat.append({**given, "content": with_images(message, package_result(message), urls)})
        elif role == "assistant":
            chat.append(_assistant(message))
        elif role == "user" and not message.pictures and not (beside and message.id in beside):
            chat.append({"role": "user", "content": message.content})
        else:
            content = _content(message)
            if beside and message.id in beside:
                content = f"{beside[message.id]}\n\n{content}"
            sent = "system" if role == "system" else "user"
            chat.append({"role": sent, "content": with_images(message, content, urls)})
    return paired(chat)


def _content(message: Message) -> str:
    match message.role:
        case "event":
            return package_event(message)
        case "summary":
            return prompts.SUMMARY_PREFIX + message.content
        case _:
            return message.content


def _assistant(message: Message) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": "assistant", "content": message.content or None}
    if message.thinking:
        entry["thinking_blocks"] = message.thinking
    if message.tool_calls:
        entry["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": _object_text(call.arguments),
                },
            }
            for call in message.tool_calls
        ]
    elif not message.content:
        entry["content"] = prompts.NOTHING_SAID
    return entry


def _object_text(arguments: str) -> str:
    try:
        return as_object(arguments)
    except ToolArgumentError:
        return json.dumps({"malformed_arguments": arguments[:2000]}, ensure_ascii=False)


def tool_schema(tool: Tool, *, heartbeat: bool, thinking: bool) -> dict[str, Any]:
    """Return the schema of *tool* in OpenAI's form.

    Parameters
    ----------
    heartbeat : whether the model must say in a call if it wants to go on after it.
    thinking : whether it must write its inner thoughts into the call, first of all.
    """
    parameters = tool.parameters
    if heartbeat or thinking:
        properties = dict(parameters.get("properties", {}))
        required = list(parameters.get("required", []))
        if thinking:
            thought = "Your inner thoughts, which only you see; think before you call."
            properties = {THINKING: {"type": "string", "description": thought}, **properties}
            required.insert(0, THINKING)
        if heartbeat:
            more = "True if you want to go on after this call, false to end your turn with it."
            properties[HEARTBEAT] = {"type": "boolean", "description": more}
            required.append(HEARTBEAT)
        parameters = {**parameters, "properties": properties, "required": required}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ContextPart:
    """One part of the context window: what it is, its tokens, its exact text."""

    name: str
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class ContextReport:
    """What a model would see now, part by part; ``window`` is its size in tokens."""

    model: str
    window: int
    parts: list[ContextPart] = field(default_factory=list)

    @property
    def used(self) -> int:
        """Tokens in use."""
        return sum(part.tokens for part in self.parts)
