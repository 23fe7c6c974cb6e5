"""Points in an agent's time in words: what it was, and how two points differ."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import Answer
from letta_kernel.display.clean import one_line
from letta_kernel.service.points import short

if TYPE_CHECKING:
    from letta_kernel.messages import Message
    from letta_kernel.service.differences import Difference
    from letta_kernel.service.timeline import AgentThen

_LONGEST = 160  # characters of a message
_MOST = 20  # messages, and passages


def then(found: AgentThen) -> Answer:
    """Return an agent as it was."""
    when = f"{found.moment.astimezone():%Y-%m-%d %H:%M:%S}"
    lines = [f"{found.name} at {short(found.at)}, {when}"]
    if not found.known:
        lines.append("What it ran with was not recorded then: settings and tools are those of now.")
    lines += filter(None, [found.note])
    lines.append(f"model: {found.model or 'chosen at each run'}")
    for label, text in found.blocks.items():
        lines += [f"── {one_line(label, 60)}", text]
    lines.append(f"── tools: {', '.join(tool.name for tool in found.tools) or 'none'}")
    for what, names in (("archives", found.archives), ("folders", found.folders)):
        if names:
            lines.append(f"── {what}: {', '.join(names)}")
    lines.append(f"── the last {len(found.messages)} messages")
    lines += map(_line, found.messages[-_MOST:])
    data = {
        "name": found.name,
        "at": found.at,
        "moment": found.moment,
        "blocks": found.blocks,
        "tools": [{"name": tool.name, "source": tool.source} for tool in found.tools],
        "rules": found.rules,
        "settings": found.settings,
        "model": found.model,
        "archives": found.archives,
        "folders": found.folders,
        "messages": found.messages,
        "known": found.known,
    }
    return Answer("\n".join(lines), data, plain=True)


def _line(message: Message) -> str:
    calls = ", ".join(call.name for call in message.tool_calls)
    return f"{message.role}: {one_line(message.content or f'calls {calls}', _LONGEST)}"


def differences(found: Difference) -> str:
    """Return a difference as text."""
    a, b = one_line(found.a, 80), one_line(found.b, 80)
    if found.nothing:
        return f"{a} and {b} say, know and can do the same ({found.shared} messages)."
    lines = [f"{a} and {b} share {found.shared} messages."]
    for name, said in ((a, found.said[0]), (b, found.said[1])):
        if said:
            lines.append(f"── only {name} has said or heard ({len(said)}):")
            lines += map(_line, said[-_MOST:])
    for label, pair in found.blocks.items():
        lines += [f"── block {one_line(label, 60)}", *_diff(pair, a, b)]
    for name, texts in ((a, found.passages[0]), (b, found.passages[1])):
        if texts:
            lines.append(f"── only {name} knows ({len(texts)}):")
            lines += [f"  {one_line(text, _LONGEST)}" for text in texts[:_MOST]]
    for tool, pair in found.tools.items():
        lines += [f"── tool {one_line(tool, 60)}", *_diff(pair, a, b)]
    for field, values in found.fields.items():
        lines.append(f"── {field}: {_value(values[0])} → {_value(values[1])}")
    return "\n".join(lines)


def _value(value: Any) -> str:
    return one_line(str(value), _LONGEST)


def _diff(pair: tuple[str | None, str | None], a: str, b: str) -> list[str]:
    if pair[0] is None or pair[1] is None:
        return [f"only {b if pair[0] is None else a} has it"]
    made = difflib.unified_diff(pair[0].splitlines(), pair[1].splitlines(), a, b, lineterm="", n=1)
    return [*made][2:]
