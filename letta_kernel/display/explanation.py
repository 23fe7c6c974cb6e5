"""A step explained: what was sent and what of it cost what, what was looked at, what came of it.

As a cell shows it and as it is saved: sections that fold, and anchors, so that a block's version leads to the
step that wrote it where that is explained in the same notebook, without a kernel.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import clean_text, esc, one_line
from letta_kernel.display.diff import diff_lines
from letta_kernel.display.html import diff_html
from letta_kernel.display.style import (
    alert,
    anchored,
    block,
    code,
    el,
    fold,
    lines,
    short,
    small,
    step_link,
)
from letta_kernel.display.tables import Cell, Panel, number, stack, table, when

SHOWN = 20_000
"""Characters of one text that are shown."""
_PREVIEW = 160
_OUTCOMES = {
    "shown": "shown",
    "budget": "no room for it",
    "weak": "did not match well enough",
}
_EXACT = "What follows is, byte for byte, what was sent."
_GIVEN = "What follows is what a model in this process was given: nothing went over a wire."
_IN_PART = "What follows is as much of it as can be made anew."


def explanation_panel(told: Any) -> Panel:
    """Return an explained step (`letta_kernel.service.Explanation`)."""
    made = stack(
        *filter(
            None,
            (
                _head(told),
                _parts(told),
                _retrieval(told),
                _answer(told),
                _edits(told),
                _memory(told),
                _request(told),
            ),
        )
    )
    made.inner = anchored(told.step_id, made.inner)
    made.cells = made.mime = None
    return made


def _head(told: Any) -> Panel:
    facts = [
        when(told.created_at),
        one_line(told.model, 80),
        f"{told.prompt_tokens:,} + {told.completion_tokens:,} tokens" if told.prompt_tokens else "",
        f"{told.cached_tokens:,} of them cached" if told.cached_tokens else "",
        words.money(told.cost) if told.cost is not None else "",
        words.seconds(told.seconds) if told.seconds is not None else "",
        one_line(told.stop_reason or "", 60),
    ]
    title = f"{short(told.step_id)}: step {told.number} of {short(told.run_id)}, {one_line(told.agent, 80)}"
    line = " · ".join(filter(None, facts))
    html = [el("div", el("b", esc(title)), " ", small(esc(line)))]
    text = [title, f"  {line}"]
    notes = [one_line(one, 400) for one in told.missing]
    if told.error:
        notes.append(one_line(told.error, 400))
    for one in notes:
        html.append(el("div", esc(one), look=alert(style.AMBER)))
        text.append(f"  ! {one}")
    return Panel("".join(html), "\n".join(text))


def _parts(told: Any) -> Panel | None:
    """Return what each part of the request took, as a bar and in numbers."""
    if not told.parts:
        return None
    every = max(1, sum(part.tokens for part in told.parts))
    segments, rows, text = [], [], ["What it was made of"]
    for place, part in enumerate(told.parts):
        colour = style.PARTS[place % len(style.PARTS)]
        name, version = _name(part), f" v{part.version}" if part.version else ""
        figures = f"{part.tokens:,} tokens · {part.tokens / every:.1%}"
        if part.real is not None and part.real != part.tokens:
            figures += f" · {part.real:,} as counted"
        if part.cost is not None:
            figures += f" · {words.money(part.cost)}"
        segments.append((part.tokens / every, colour, f"{name}{version}: {figures}"))
        wrote = f" · {step_link(part.step_id)}" if part.step_id else ""
        line = f"{el('b', esc(name))}{version} {small(esc(figures) + wrote)}"
        rows.append(el("div", fold(line, block(part.text, SHOWN)), look=alert(colour)))
        filled = "█" * max(1, round(part.tokens / every * 20))
        text.append(f"  {f'{name}{version}':<32.32} {filled:<20} {figures}")
    html = el("p", el("b", "What it was made of")) + style.bar(segments, 14) + "".join(rows)
    if told.shortened:
        said = f"{words.count(len(told.shortened), 'message')} shown shortened, to fit into the window."
        html, text = html + small(esc(said)), [*text, f"  {said}"]
    return Panel(html, "\n".join(text))


def _name(part: Any) -> str:
    name = one_line(part.name, 80)
    return f"block {name}" if part.kind == "block" else name


def _retrieval(told: Any) -> Panel | None:
    """Return the passages that were looked at, with the score of each part."""
    if not told.considered:
        return None
    names = list(dict.fromkeys(name for one in told.considered for name in one.scores))
    rows = [
        [
            number(one.n),
            _OUTCOMES.get(one.outcome, one.outcome),
            number(one.relevance, f"{one.relevance:.2f}"),
            *(_score(one.scores.get(name)) for name in names),
            Cell("no longer in memory") if one.text is None else _folded(one.text),
            Cell(short(one.id)),
        ]
        for one in told.considered
    ]
    columns = ["", "", "relevance", *names, "passage", "id"]
    return table(columns, rows, title="Passages that were looked at")


def _score(value: float | None) -> Cell:
    return number(None) if not value else number(value, f"{value:+.2f}")


def _folded(text: str) -> Cell:
    line = one_line(text, _PREVIEW)
    if len(text) <= _PREVIEW and "\n" not in text:
        return Cell(line)
    return Cell(line, fold(esc(line), el("blockquote", lines(text, SHOWN))))


def _answer(told: Any) -> Panel | None:
    """Return what the model said, how that was read, and what came of its calls."""
    html, text = [el("p", el("b", "What it answered"))], ["What it answered"]
    for name, said in (
        ("thought", told.reasoning),
        ("as it wrote it, before calls were read out of it", told.raw),
        ("said", told.said),
    ):
        if said:
            html.append(fold(f"{esc(name)}: {esc(one_line(said, _PREVIEW))}", block(said, SHOWN)))
            text += [f"  {name}: {one_line(said, 400)}"]
    for call in told.calls:
        state = call.status or "no result"
        line = f"{one_line(call.name, 80)}({one_line(call.arguments, _PREVIEW)})"
        took = f" · {words.seconds(call.seconds)}" if call.seconds is not None else ""
        inside = [small("taken as"), block(call.arguments, SHOWN)]
        text.append(f"  {line} → {state}{took}")
        if call.raw is not None:
            inside = [
                small("as the model wrote it, which is no JSON object"),
                block(call.raw, SHOWN),
                *inside,
            ]
            text.append(f"    written as: {one_line(call.raw, 300)}")
        inside += [small("result"), block(call.result, SHOWN)] if call.result else []
        if call.status not in ("ok", None):
            text.append(f"    {one_line(call.result, 300)}")
        bad = call.status in ("error", "denied", "interrupted")
        mended = " · mended" if call.raw is not None else ""
        summary = f"{code_in_line(line)} {small(esc(f'→ {state}{took}{mended}'))}"
        html.append(el("div", fold(summary, *inside), look=alert(style.RED) if bad else ""))
    return Panel("".join(html), "\n".join(text)) if len(text) > 1 else None


def code_in_line(text: str) -> str:
    """Return *text* as a word of a program."""
    return el("code", esc(text))


def _edits(told: Any) -> Panel | None:
    """Return what a person changed of the step by hand."""
    html = [el("p", el("b", "What a person changed by hand"))]
    text = ["What a person changed by hand"]
    for one in told.edits:
        head = f"{one['what']} {one_line(one['name'], 80)}".strip()
        html.append(el("div", small(esc(head))) + diff_html(one["before"], one["after"]))
        text.append(f"  {head}")
        text += [
            f"    {d.sign} {clean_text(d.text)}" for d in diff_lines(one["before"], one["after"])
        ]
    return Panel("".join(html), "\n".join(text)) if told.edits else None


def _memory(told: Any) -> Panel | None:
    """Return what the step changed in memory."""
    html, text = [el("p", el("b", "What it changed in memory"))], ["What it changed in memory"]
    for one in told.changes:
        head = f"{one_line(one.label, 80)} v{one.version}, {one_line(one.how, 80)}"
        html.append(el("div", small(esc(head))) + diff_html(one.before, one.after))
        text.append(f"  {head}")
        text += [f"    {d.sign} {clean_text(d.text)}" for d in diff_lines(one.before, one.after)]
    for one in told.kept:
        html.append(
            el("div", small(esc(f"kept {short(one.id)}")), " ", esc(one_line(one.text, 400)))
        )
        text.append(f"  kept {short(one.id)}: {one_line(one.text, 300)}")
    return Panel("".join(html), "\n".join(text)) if len(text) > 1 else None


def _request(told: Any) -> Panel | None:
    """Return the request itself, folded."""
    if not told.messages:
        return None
    said = _EXACT if told.exact else _IN_PART if told.missing else _GIVEN
    settings = {
        "parameters": told.params,
        "must call": told.tool_choice,
        "form of the answer": told.response_format,
        "left out, since the model refuses it": told.refused,
    }
    inside = [_message(one) for one in told.messages]
    if told.tools:
        names = ", ".join(one_line(_tool_name(one), 60) for one in told.tools)
        inside.append(
            fold(f"{el('b', 'tools')} {esc(one_line(names, 400))}", block(_json(told.tools), SHOWN))
        )
    for name, value in settings.items():
        if value:
            inside.append(
                el("div", el("b", esc(name)), " ", code_in_line(one_line(_json(value), 2_000)))
            )
    sight = _sight(told.window)
    if sight:
        inside.append(el("div", el("b", "in sight"), " ", esc(sight)))
    if told.body:
        size = f"{len(told.body.encode()):,} bytes"
        inside.append(
            fold(f"{el('b', 'as it went out')} {small(size)}", code(esc(told.body, SHOWN)))
        )
    count = words.count(len(told.messages), "message")
    line = f"{count}, {words.count(len(told.tools), 'tool')}"
    html = el("p", el("b", "The request"), " ", small(esc(f"{line}. {said}"))) + "".join(inside)
    text = [f"The request: {line}. {said}"]
    text += [
        f"  {name}: {one_line(_json(value), 300)}" for name, value in settings.items() if value
    ]
    text += [f"  in sight: {sight}"] if sight else []
    return Panel(html, "\n".join(text))


def _sight(window: dict[str, Any]) -> str:
    """Return what of the history was in the context window, in words."""
    if not window.get("count"):
        return ""
    said = f"{words.count(window['count'], 'message')} of the history"
    if window.get("first") is not None and window.get("last") is not None:
        said += f", {window['first']:,} to {window['last']:,}"
    if window.get("summary"):
        said += ", and a summary of what went before"
    if window.get("tokens"):
        said += f"; the model takes {window['tokens']:,} tokens"
    return said


def _message(entry: dict[str, Any]) -> str:
    content = entry.get("content")
    said = content if isinstance(content, str) else _json(_without_pictures(content))
    calls = [one.get("function", {}) for one in entry.get("tool_calls") or ()]
    asked = "".join(f"{one.get('name')}({one.get('arguments')})" for one in calls)
    text = "\n".join(filter(None, (said if content else "", asked)))
    return fold(
        f"{el('b', esc(one_line(entry.get('role'), 20)))} {esc(one_line(text, _PREVIEW))}",
        block(text, SHOWN),
    )


def _without_pictures(content: Any) -> Any:
    """Return the parts of a content with a few characters of each picture's data."""
    if not isinstance(content, list):
        return content
    return [
        {**one, "image_url": {"url": str((one.get("image_url") or {}).get("url"))[:60] + "…"}}
        if isinstance(one, dict) and "image_url" in one
        else one
        for one in content
    ]


def _tool_name(tool: dict[str, Any]) -> str:
    return str((tool.get("function") or {}).get("name"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def reasons_panel(found: Sequence[Any], how: Callable[[str], str]) -> Panel:
    """Return why words stand in a block (`letta_kernel.service.explanation.Reason`), each with its step.

    *how* returns what a person types to have a step explained.
    """
    rows = [
        [
            _folded(one.text),
            f"v{one.version}" if one.version else "",
            one.at,
            _folded(one.origin),
            Cell(one.step_id or "", step_link(one.step_id)),
        ]
        for one in found
    ]
    made = table(["sentence", "version", "when", "origin", "step"], rows, title=_why(found))
    steps = list(dict.fromkeys(one.step_id for one in found if one.step_id))
    hints = [f"{how(short(one))} tells of that step." for one in steps]
    made.inner += el("div", small(esc(" ".join(hints)))) if hints else ""
    made.text = "\n".join([made.text, *hints])
    return made


def _why(found: Sequence[Any]) -> str:
    return f"Why this stands in {one_line(found[0].label, 80)}" if found else ""
