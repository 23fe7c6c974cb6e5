"""What ``%agent list``, ``show``, ``memory``, ``tools``, ``history``, ``runs``, ``search``, ``context`` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import clean_text, esc, one_line
from letta_kernel.display.html import diff_html
from letta_kernel.display.tables import Cell, Panel, number, stack, table, when
from letta_kernel.messages import Message
from letta_kernel.records import AgentState, Block, BlockVersion, Run, Tool

_PREVIEW = 160


def agents_table(agents: Sequence[AgentState], current: str | None = None) -> Panel:
    """Return the agents; *current* is the id or name of the one that cells talk to."""
    rows = []
    for agent in agents:
        name = one_line(agent.name, 80)
        if current is not None and current in (agent.id, agent.name):
            cell = Cell(
                f"* {name}", f'<span style="color:{style.GREEN}">●</span> <b>{esc(name)}</b>'
            )
        else:
            cell = Cell(name)
        model = agent.model or "chosen each run"
        rows.append([cell, model, agent.description, ", ".join(agent.tags), agent.updated_at])
    return table(
        ["agent", "model", "description", "tags", "last change"],
        rows,
        empty="No agents yet: %agent new NAME makes one.",
    )


def agent_card(
    agent: AgentState, blocks: Sequence[Block] = (), facts: Mapping[str, object] | None = None
) -> Panel:
    """Return one agent: its settings, more *facts* (label: value), and its memory."""
    lines: dict[str, object] = {
        "model": agent.model or "chosen each run",
        "description": agent.description,
        "style": "" if agent.style == "native" else agent.style,
        "embedding": agent.embedding or "",
        "tags": ", ".join(agent.tags),
        "made": when(agent.created_at),
        **(facts or {}),
        "id": agent.id,
    }
    shown = {k: one_line(v, 300) for k, v in lines.items() if v not in (None, "")}
    rows = "".join(
        f'<tr><td style="{_FACT};{style.MUTED}">{esc(k)}</td><td dir="auto" style="{_FACT}">{esc(v)}</td></tr>'
        for k, v in shown.items()
    )
    name = one_line(agent.name, 80)
    html = (
        f'<div dir="auto" style="font-size:16px;font-weight:600">{esc(name)}</div>'
        f'<table style="border-collapse:collapse;margin:4px 0 10px 0;font-size:13px"><tbody>{rows}</tbody></table>'
    )
    text = name + "".join(f"\n  {k}: {v}" for k, v in shown.items())
    head = Panel(html, text)
    return stack(head, memory_panel(blocks)) if blocks else head


_FACT = "padding:1px 16px 1px 0;text-align:left;vertical-align:top"


def tools_table(
    tools: Sequence[Tool], stats: Mapping[str, Mapping[str, Any]] | None = None
) -> Panel:
    """Return the tools; *stats* maps a name to its ``calls``, ``failures``, ``seconds``, ``last_error``."""
    rows = []
    for tool in tools:
        used = (stats or {}).get(tool.name, {})
        calls, failures = used.get("calls") or 0, used.get("failures") or 0
        properties = tool.parameters.get("properties")
        names = ", ".join(properties) if isinstance(properties, dict) else ""
        label = f"{one_line(tool.name, 80)}({one_line(names, 100)})"
        marks: list[str] = [tool.kind if tool.kind != "notebook" else ""]
        marks += ["asks first"] if tool.requires_approval else []
        seconds = used.get("seconds")
        rows.append(
            [
                Cell(label, f'<span style="{style.MONO};font-size:12px">{esc(label)}</span>'),
                _first_line(tool.description),
                " ".join(mark for mark in marks if mark),
                number(calls or None),
                number(failures or None),
                number(None, words.seconds(seconds / calls) if seconds and calls else ""),
                used.get("last_error") or "",
            ]
        )
    return table(
        ["tool", "what it does", "kind", "calls", "failed", "each", "last error"],
        rows,
        empty="No tools yet: run a cell that defines a function with a docstring.",
    )


_WHO = {"user": style.BLUE, "assistant": style.VIOLET, "tool": style.GREEN}


def history_table(messages: Sequence[Message]) -> Panel:
    """Return messages, oldest first."""
    rows = []
    for message in messages:
        text = message.content.strip()
        if message.tool_calls:
            calls = "; ".join(
                f"{call.name}({one_line(call.arguments, 80)})" for call in message.tool_calls
            )
            text = f"{text} → {calls}" if text else f"→ {calls}"
        if message.role == "tool":
            text = f"{message.name or 'tool'}: {text}"
            if message.status and message.status != "ok":
                text = f"[{message.status}] {text}"
        if message.interrupted:
            text += " ■ interrupted"
        colour = _WHO.get(message.role)
        role = Cell(
            message.role,
            f'<span style="color:{colour}">{message.role}</span>' if colour else message.role,
        )
        rows.append([number(message.seq), message.created_at, role, _foldable(text)])
    return table(["#", "when", "who", "what"], rows, empty="Nothing was said yet.")


def runs_table(runs: Sequence[Run]) -> Panel:
    """Return runs with their figures, and what went wrong if anything did."""
    rows = []
    for run in runs:
        reason = run.stop_reason or run.status
        bad = reason not in ("end_turn", "tool_rule", "running", "completed", "created")
        rows.append(
            [
                run.created_at,
                Cell(reason, f'<span style="color:{style.AMBER}">{esc(reason)}</span>')
                if bad
                else reason,
                one_line(run.model, 60),
                number(run.steps or None),
                number(None, words.seconds(run.seconds)),
                number(None, words.seconds(run.first_token)),
                number(run.prompt_tokens or None),
                number(run.completion_tokens or None),
                number(None, words.money(run.cost)),
                run.error or "",
            ]
        )
    return table(
        ["when", "ended by", "model", "steps", "time", "first token", "in", "out", "cost", "error"],
        rows,
        empty="No runs yet.",
    )


def models_table(models: Sequence[Any], current: str | None = None) -> Panel:
    """Return models; each is a mapping or an object with ``name`` and any of ``provider``, ``context_window``, ``note``."""
    rows = []
    for model in models:
        name = one_line(_field(model, "name"), 100)
        cell = Cell(name)
        if current == name:
            cell = Cell(
                f"* {name}", f'<span style="color:{style.GREEN}">●</span> <b>{esc(name)}</b>'
            )
        window = _field(model, "context_window")
        said = _field(model, "note") or _field(model, "description")
        rows.append([cell, _field(model, "provider"), number(window or None), said])
    return table(["model", "provider", "window", ""], rows, empty="No models found.")


def passages_table(hits: Sequence[Any]) -> Panel:
    """Return archival passages; each is a passage, or a hit with ``passage`` and ``score``."""
    rows = []
    for hit in hits:
        passage = _field(hit, "passage") or hit
        score = _field(hit, "score")
        rows.append(
            [
                number(None, f"{score:.2f}" if isinstance(score, float) else ""),
                _foldable(str(_field(passage, "content") or "")),
                ", ".join(_field(passage, "tags") or ()),
                _field(passage, "created_at"),
                _field(passage, "id") or "",
            ]
        )
    return table(["score", "passage", "tags", "when", "id"], rows, empty="No passages found.")


def messages_found(hits: Sequence[Any]) -> Panel:
    """Return messages a search found; each is a message, or a hit with ``message`` and ``score``."""
    rows = []
    for hit in hits:
        message = _field(hit, "message") or hit
        score = _field(hit, "score")
        rows.append(
            [
                number(None, f"{score:.2f}" if isinstance(score, float) else ""),
                _field(message, "created_at"),
                _field(message, "role") or "",
                _foldable(str(_field(message, "content") or "")),
            ]
        )
    return table(["score", "when", "who", "what"], rows, empty="No messages found.")


def memory_panel(blocks: Sequence[Block]) -> Panel:
    """Return memory blocks with their fill bars."""
    if not blocks:
        return table([], [], empty="No memory blocks.")
    return stack(*(block_panel(block) for block in blocks))


def block_panel(block: Block, versions: Sequence[BlockVersion] = ()) -> Panel:
    """Return one block: label, fill bar, value, and the diffs of its newest *versions* (oldest first)."""
    used, limit = len(block.value), max(block.limit, 1)
    share = min(used / limit, 1.0)
    colour = style.RED if share > 0.95 else style.AMBER if share > 0.8 else style.VIOLET
    label = one_line(block.label, 80)
    marks = ["read only"] if block.read_only else []
    figures = f"{used:,} of {block.limit:,} characters"
    more = " · ".join([figures, f"v{block.version}", *marks])
    description = one_line(block.description, 300)
    html = (
        '<div style="margin:0 0 10px 0">'
        f'<div style="display:flex;flex-wrap:wrap;gap:0 10px;align-items:baseline"><b dir="auto">{esc(label)}</b>'
        f'<span style="{style.SMALL};{style.MUTED}">{esc(more)}</span></div>'
        + (
            f'<div dir="auto" style="{style.SMALL};{style.MUTED}">{esc(description)}</div>'
            if description
            else ""
        )
        + bar([(share, colour, figures)])
        + (
            f'<div dir="auto" style="{style.WRAP};font-size:13px;max-height:320px;overflow:auto;padding:6px 10px;'
            f'border-radius:6px;background:{style.SHADE}">{esc(block.value, 20_000)}</div>'
            if block.value
            else f'<div style="{style.SMALL};{style.MUTED}">empty</div>'
        )
        + _versions_html(versions)
        + "</div>"
    )
    filled = round(share * 20)
    text = f"{label}  [{'█' * filled}{'·' * (20 - filled)}]  {more}"
    value = clean_text(block.value, 20_000)
    text += "".join(f"\n  {line}" for line in value.split("\n")) if value else "\n  (empty)"
    for version in versions:
        text += f"\n  v{version.version} {when(version.created_at)} {one_line(version.actor, 60)} {one_line(version.reason, 100)}".rstrip()
    return Panel(html, text)


def _versions_html(versions: Sequence[BlockVersion]) -> str:
    if not versions:
        return ""
    parts = []
    before = ""
    for version in versions:
        who = " · ".join(
            one_line(part, 120)
            for part in (when(version.created_at), version.actor, version.reason)
            if part
        )
        parts.append(
            f'<div style="margin:6px 0"><span style="{style.SMALL}"><b>v{version.version}</b> '
            f'<span style="{style.MUTED}">{esc(who)}</span></span>{diff_html(before, version.value)}</div>'
        )
        before = version.value
    parts.reverse()
    return (
        f'<details><summary style="cursor:pointer;{style.SMALL};{style.MUTED}">'
        f"{words.count(len(versions), 'version')}</summary>{''.join(parts)}</details>"
    )


def bar(parts: Sequence[tuple[float, str, str]], height: int = 6) -> str:
    """Return a stacked bar; each part is its share of the whole (0 to 1), its colour and its title."""
    inside = "".join(
        f'<div title="{esc(title)}" style="width:{100 * share:.2f}%;height:{height}px;background:{colour}"></div>'
        for share, colour, title in parts
        if share > 0
    )
    return (
        f'<div style="display:flex;height:{height}px;border-radius:{height // 2}px;overflow:hidden;'
        f'margin:3px 0 5px 0;background:rgba(127,127,127,.2)">{inside}</div>'
    )


_PART_COLOURS = (style.VIOLET, style.BLUE, style.GREEN, style.AMBER, style.RED, style.GREY)


def context_panel(parts: Sequence[Any], window: int, model: str = "") -> Panel:
    """Return the context window as a stacked bar, the text of each part on demand.

    Parameters
    ----------
    parts
        Objects with ``name``, ``tokens`` and ``text``.
    window
        The model's context window in tokens; 0 if unknown.
    model
        The model's name.
    """
    used = sum(max(int(_field(part, "tokens") or 0), 0) for part in parts)
    whole = max(window, used, 1)
    segments, rows, lines = [], [], []
    for number_, part in enumerate(parts):
        name, tokens = one_line(_field(part, "name"), 80), int(_field(part, "tokens") or 0)
        colour = _PART_COLOURS[number_ % len(_PART_COLOURS)]
        segments.append((tokens / whole, colour, f"{name}: {tokens:,} tokens"))
        text = str(_field(part, "text") or "")
        figures = f"{tokens:,} tokens · {tokens / whole:.1%}"
        summary = (
            f'<span style="color:{colour}">■</span> <b dir="auto">{esc(name)}</b> '
            f'<span style="{style.MUTED}">{figures}</span>'
        )
        rows.append(
            f'<details style="font-size:13px"><summary style="cursor:pointer">{summary}</summary>'
            f'<pre dir="auto" style="{style.PRE}">{esc(text, 20_000)}</pre></details>'
            if text
            else f'<div style="font-size:13px;padding-left:16px">{summary}</div>'
        )
        lines.append(f"  {name:<24} {tokens:>9,} tokens  {tokens / whole:6.1%}")
    head = f"{used:,} tokens" + (f" of {window:,} ({used / whole:.0%})" if window else "")
    if model:
        head += f" · {one_line(model, 80)}"
    html = f'<div style="font-size:13px"><b>Context</b> {esc(head)}</div>{bar(segments, 14)}{"".join(rows)}'
    return Panel(html, "\n".join([f"Context: {head}", *lines]))


def _foldable(text: str) -> Cell:
    """A long text is shown by its beginning, the rest on demand."""
    line = one_line(text, _PREVIEW)
    if len(text) <= _PREVIEW and "\n" not in text:
        return Cell(line)
    inside = f'<div dir="auto" style="{style.WRAP};max-height:320px;overflow:auto;font-size:12px">{esc(text, 20_000)}</div>'
    return Cell(
        line,
        f'<details><summary style="cursor:pointer">{esc(line)}</summary>{inside}</details>',
    )


def _first_line(text: str) -> str:
    return one_line(text.strip().split("\n")[0], 200)


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
