"""What ``%agent list``, ``show``, ``memory``, ``tools``, ``history``, ``runs``, … show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.block_panels import SHOWN, memory_panel
from letta_kernel.display.clean import esc, one_line
from letta_kernel.display.html import thumbnails_html
from letta_kernel.display.style import code, el, fold, heading, lines, named, small
from letta_kernel.display.tables import Cell, Panel, marked, number, stack, table, when
from letta_kernel.messages import ANSWER_TOOL, Message
from letta_kernel.pictures.picture import Thumbnail
from letta_kernel.records import AgentState, Block, BlockStanding, Tool, WholeRun
from letta_kernel.stop_reasons import meaning

_PREVIEW = 160  # characters of a text shown in a table; the rest on demand


def agents_table(agents: Sequence[AgentState], current: str | None = None) -> Panel:
    """Return the agents; *current* is the id or name of the one that cells talk to.

    Ids are shown where names alone do not tell agents apart.
    """
    names = Counter(agent.name for agent in agents if not agent.set_aside)
    rows = [
        [
            marked(agent.name, current is not None and current in (agent.id, agent.name)),
            agent.model or "chosen each run",
            agent.description,
            ", ".join(agent.tags),
            agent.updated_at,
            "set aside" if agent.set_aside else "",
            *(
                (agent.id, agent.created_at)
                if agent.set_aside or names[agent.name] > 1
                else ("", "")
            ),
        ]
        for agent in agents
    ]
    columns = ["agent", "model", "description", "tags", "last change", "", "id", "made"]
    return table(columns, rows, empty="No agents yet.")


def agent_card(
    agent: AgentState,
    blocks: Sequence[Block] = (),
    facts: Mapping[str, object] | None = None,
    tokens: Mapping[str, int] | None = None,
    standing: Mapping[str, BlockStanding] | None = None,
) -> Panel:
    """Return one agent: its settings, more *facts* (label: value), its blocks as `memory_panel` shows them."""
    settings: dict[str, object] = {
        "model": agent.model or "chosen each run",
        "description": agent.description,
        "style": "" if agent.style == "native" else agent.style,
        "embedding": agent.embedding,
        "tags": ", ".join(agent.tags),
        "made": when(agent.created_at),
        **(facts or {}),
        "id": agent.id,
    }
    shown = {one_line(k, 60): one_line(v, 300) for k, v in settings.items() if v not in (None, "")}
    name = one_line(agent.name, 80)
    html = heading(name) + named((esc(label), esc(value)) for label, value in shown.items())
    text = name + "".join(f"\n  {label}: {value}" for label, value in shown.items())
    card = Panel(html, text)
    return stack(card, memory_panel(blocks, tokens, standing)) if blocks else card


def tools_table(
    tools: Sequence[Tool], stats: Mapping[str, Mapping[str, Any]] | None = None
) -> Panel:
    """Return the tools.

    Parameters
    ----------
    tools
        The agent's tools.
    stats
        For a tool's name its ``calls``, ``failures``, ``seconds`` (of all), ``last_error`` and the
        ``place`` where it would run now.
    """
    rows = []
    for tool in tools:
        used = (stats or {}).get(tool.name, {})
        calls, spent = used.get("calls") or 0, used.get("seconds")
        name, signature = one_line(tool.name, 80), f"({one_line(_signature(tool), 120)})"
        shown = el("code", el("b", esc(name)) + esc(signature))
        kind = "" if tool.kind == "notebook" else tool.kind
        asks = "asks first" if tool.requires_approval else ""
        rows.append(
            [
                Cell(name + signature, shown),
                one_line(tool.description.strip().split("\n")[0], 200),
                " ".join(part for part in (kind, asks) if part),
                "" if used.get("place") == "core" else used.get("place") or "",
                _cell_of(tool),
                number(calls or None),
                number(used.get("failures") or None),
                _seconds(spent / calls if spent and calls else None),
                used.get("last_error") or "",
            ]
        )
    return table(
        [
            "tool",
            "what it does",
            "kind",
            "runs in",
            "cell",
            "calls",
            "failed",
            "each",
            "last error",
        ],
        rows,
        empty="No tools yet: run a cell that defines a function with a docstring.",
    )


_TYPES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}


def _signature(tool: Tool) -> str:
    """Return the parameters with their types; those that may be left out end in ``=…``."""
    properties, required = tool.parameters.get("properties"), tool.parameters.get("required") or ()
    if not isinstance(properties, Mapping):
        return ""
    parts = []
    for name, schema in properties.items():
        kind = schema.get("type") if isinstance(schema, Mapping) else None
        typed = f"{name}: {_TYPES[kind]}" if isinstance(kind, str) and kind in _TYPES else name
        parts.append(typed if name in required else f"{typed} = …")
    return ", ".join(parts)


def _cell_of(tool: Tool) -> str:
    """Return where a tool was defined: its notebook, and the beginning of the cell's id."""
    parts = (one_line(tool.notebook or "", 60), (tool.cell_id or "")[:8])
    return " · ".join(part for part in parts if part)


def history_table(
    messages: Sequence[Message], shown: Mapping[str, Sequence[Thumbnail]] | None = None
) -> Panel:
    """Return messages, oldest first; *shown* are small pictures of theirs, by the message's id."""

    def said(message: Message) -> Cell:
        cell = _foldable(_said(message))
        small = [one.model_dump() for one in (shown or {}).get(message.id, ()) if one.src]
        return Cell(cell.text, cell.html + thumbnails_html(small)) if small else cell

    rows = [[number(m.seq), m.created_at, _speaker(m), said(m)] for m in messages]
    return table(["#", "when", "who", "what"], rows, empty="Nothing was said yet.")


def _speaker(message: Message) -> str:
    """Return who spoke: a role, or the name of another agent or of a guest."""
    return one_line(message.speaker, 60) or message.role


def _said(message: Message) -> str:
    text = (message.bare if message.sender_id else message.said).strip()
    others = [call for call in message.tool_calls if call.name != ANSWER_TOOL]
    if others or (message.tool_calls and not text):
        shown = others or message.tool_calls
        calls = "; ".join(f"{c.name}({one_line(c.arguments, 80)})" for c in shown)
        text = f"{text} → {calls}" if text else f"→ {calls}"
    if message.role == "tool":
        text = f"{message.name or 'tool'}: {text}"
        if message.status and message.status != "ok":
            text = f"[{message.status}] {text}"
    return f"{text} ■ interrupted" if message.interrupted else text


def runs_table(runs: Sequence[WholeRun]) -> Panel:
    """Return runs with what was asked and their figures, and what went wrong if anything did."""
    rows = []
    for run in runs:
        good = run.stop_reason is None or meaning(run.stop_reason) == "well"
        ending = words.ending(run)
        if run.edits:
            ending = f"{ending}, edited by hand ({run.edits})"
        rows.append(
            [
                run.created_at,
                one_line(run.asked, 80),
                Cell(ending, None if good else el("b", esc(ending))),
                one_line(run.model, 60),
                number(run.steps or None),
                _seconds(run.seconds),
                _seconds(run.first_token),
                number(run.prompt_tokens or None),
                number(run.completion_tokens or None),
                number(run.cost, words.money(run.cost)),
                run.error or "",
            ]
        )
    figures = ["steps", "time", "first token", "tokens in", "tokens out", "cost"]
    return table(
        ["when", "asked", "ended by", "model", *figures, "error"], rows, empty="No runs yet."
    )


def subagents_table(found: Sequence[tuple[AgentState, WholeRun | None]]) -> Panel:
    """Return copies of an agent that did tasks for it, each with its task and figures."""
    rows = []
    for copy, run in found:
        tokens = run.prompt_tokens + run.completion_tokens if run is not None else None
        rows.append(
            [
                copy.created_at,
                copy.name,
                one_line(run.asked, 80) if run is not None else "",
                words.ending(run) if run is not None else "not begun",
                number((run.steps if run is not None else None) or None),
                _seconds(run.seconds if run is not None else None),
                number(tokens or None),
                number(run.cost, words.money(run.cost)) if run is not None else "",
                copy.id,
            ]
        )
    columns = ["when", "subagent", "task", "ended by", "steps", "time", "tokens", "cost", "id"]
    return table(columns, rows, title="Subagents")


def models_table(models: Sequence[Any], current: str | None = None) -> Panel:
    """Return models.

    Parameters
    ----------
    models
        Mappings or objects with ``name`` and any of ``provider``, ``context_window`` (tokens),
        ``note``.
    current
        The name of the model that would answer now.
    """
    rows = []
    for model in models:
        name = str(_field(model, "name") or "")
        window = number(_field(model, "context_window") or None)
        said = _field(model, "note") or _field(model, "description")
        rows.append([marked(name, name == current), _field(model, "provider"), window, said])
    return table(["model", "provider", "window", "about"], rows, empty="No models found.")


def passages_table(hits: Sequence[Any], origins: Sequence[object] = ()) -> Panel:
    """Return archival passages, and where each comes from; each is a passage, or a hit with ``score``."""
    rows = []
    for hit, origin in zip_longest(hits, origins):
        passage = _field(hit, "passage") or hit
        rows.append(
            [
                _score(hit),
                _struck(passage),
                ", ".join(_field(passage, "tags") or ()),
                _foldable(str(origin or "")),
                _field(passage, "created_at"),
                _field(passage, "id"),
            ]
        )
    columns = ["score", "passage", "tags", "origin", "when", "id"]
    return table(columns, rows, empty="No passages found.")


def origins_panel(label: str, sentences: Sequence[Any]) -> Panel:
    """Return the sentences of a block's text, each with where it comes from (``text``, ``origin``)."""
    rows = []
    for one in sentences:
        if one.text.strip():
            at, version = one.origin.at, one.origin.version
            written = f"v{version}" if version else ""
            step = one.origin.asked.step_id if one.origin.asked else None
            cells = [_foldable(one.text.strip()), written, at, _foldable(str(one.origin))]
            rows.append([*cells, Cell(style.short(step), style.step_link(step)) if step else ""])
    columns = [one_line(label, 80), "version", "when", "origin", "step"]
    return table(columns, rows, empty="The block is empty.")


def messages_found(hits: Sequence[Any]) -> Panel:
    """Return what a search found; each is a message, or a hit with ``message`` and ``score``."""
    rows = []
    for hit in hits:
        message = _field(hit, "message") or hit
        content = _foldable(str(_field(message, "said") or _field(message, "content") or ""))
        rows.append([_score(hit), _field(message, "created_at"), _field(message, "role"), content])
    return table(["score", "when", "who", "what"], rows, empty="No messages found.")


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
    segments, rows, text = [], [], []
    for place, part in enumerate(parts):
        name, tokens = one_line(_field(part, "name"), 80), int(_field(part, "tokens") or 0)
        colour = style.PARTS[place % len(style.PARTS)]
        segments.append((tokens / whole, colour, f"{name}: {tokens:,} tokens"))
        rows.append(_share(name, tokens, whole, colour, esc(_field(part, "text") or "", SHOWN)))
        text.append(f"  {name:<24} {tokens:>9,} tokens  {tokens / whole:6.1%}")
    if window > used:
        free = window - used
        rows.append(_share("free", free, whole, "", ""))
        text.append(f"  {'free':<24} {free:>9,} tokens  {free / whole:6.1%}")
    head = f"{used:,} tokens" + (f" of {window:,} ({used / whole:.0%})" if window else "")
    head += f" · {one_line(model, 80)}" if model else ""
    html = el("p", el("b", "Context"), " ", esc(head))
    return Panel(
        html + style.bar(segments, 14) + "".join(rows), "\n".join([f"Context: {head}", *text])
    )


def _share(name: str, tokens: int, whole: int, colour: str, text: str) -> str:
    """A part of the context: a line of its colour in the bar, and its *text*, which is HTML, on demand."""
    line = f"{el('b', esc(name))} {tokens:,} tokens · {tokens / whole:.1%}"
    inside = fold(line, code(text)) if text else line
    return el("div", inside, look=style.alert(colour) if colour else "")


def _score(hit: Any) -> Cell:
    score = _field(hit, "score")
    return number(score, f"{score:.2f}") if isinstance(score, float) else number(None)


def _seconds(value: float | None) -> Cell:
    return number(value, words.seconds(value))


def _foldable(text: str) -> Cell:
    """A long text is shown by its beginning, the rest on demand."""
    line = one_line(text, _PREVIEW)
    if len(text) <= _PREVIEW and "\n" not in text:
        return Cell(line)
    return Cell(line, fold(esc(line), el("blockquote", lines(text, SHOWN))))


def _struck(passage: Any) -> Cell:
    """A passage's text, struck through where another has replaced it."""
    text = _foldable(str(_field(passage, "content") or ""))
    if by := _field(passage, "superseded_by"):
        said = f"superseded by {by}"
        return Cell(f"({said}) {text.text}", el("s", text.html) + " " + small(esc(said)))
    return text


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
