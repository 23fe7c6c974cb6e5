"""A conversation as one HTML page: no script, nothing from outside, for light, dark and paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import esc, one_line
from letta_kernel.display.html import diff_html, to_html
from letta_kernel.display.markdown import markdown_html
from letta_kernel.display.page import page
from letta_kernel.display.style import el, fold, heading, lines, small
from letta_kernel.display.tables import number, table
from letta_kernel.display.transcript import Transcript
from letta_kernel.records import Step
from letta_kernel.service.reporting import BlockChange, Part, Report

Clean = Callable[[str], str]
GENERATOR = "letta-kernel report of"
"""Stands with the agent's id in the head of every page, by which one is known again."""


def report_page(report: Report, clean: Clean) -> str:
    """Return the page.

    Parameters
    ----------
    clean
        Takes keys and passwords out of a text.
    """
    name = one_line(clean(report.agent.name), 120)
    title = f"Conversation with {name}"
    moments = (
        f"{one.at.astimezone():%Y-%m-%d %H:%M}" for one in (report.parts[0], report.parts[-1])
    )
    when = " to ".join(dict.fromkeys(moments))
    models = ", ".join(dict.fromkeys(one.model for one in report.steps)) or "no model"
    about = f"{when} · {models} · {words.count(len(report.parts), 'turn')}"
    body = [el("h1", esc(title)), el("p", small(esc(about)))]
    if report.left:
        body.append(el("p", small("Older messages are left out.")))
    body += [
        el("h2", "What was said"),
        *(_part(part, n, clean) for n, part in enumerate(report.parts, 1)),
    ]
    body += [el("h2", "Memory"), *(_block(one, clean) for one in report.memory)]
    if report.kept:
        kept = [el("li", lines(clean(one), 5_000)) for one in report.kept]
        body += [el("p", el("b", "Kept in the archive")), el("ul", *kept)]
    if report.steps:
        body += [el("h2", "What it took"), _figures(report.steps), tokens_svg(report.steps)]
    return page(title, "".join(body), f"{GENERATOR} {report.agent.id}")


def _part(part: Part, place: int, clean: Clean) -> str:
    when = small(f"{place} · {part.at.astimezone():%Y-%m-%d %H:%M}")
    if part.said is not None:
        who = {"assistant": "the agent", "summary": "summary"}.get(part.said.role, part.said.role)
        who = one_line(part.said.speaker, 80) or who
        told = (
            markdown_html(clean(part.said.said))
            if part.said.role == "assistant"
            else lines(clean(part.said.content))
        )
        return el(
            "section", el("p", when, " · ", el("b", esc(who))), el("div", told), **{"class": "run"}
        )
    transcript = Transcript()
    for event in part.events:
        transcript.handle(event)
    transcript.close()
    snapshot = _cleaned(transcript.snapshot(), clean)
    asked = el("blockquote", el("div", esc(clean(part.asked), 60_000), **{"class": "asked"}))
    return el("section", el("p", when), asked, to_html(snapshot), **{"class": "run"})


def _cleaned(value: Any, clean: Clean, key: str = "") -> Any:
    """Return a snapshot whose texts are cleaned; pictures stay as they are."""
    if isinstance(value, str):
        return (
            value if key.startswith("image/") or value.startswith("data:image/") else clean(value)
        )
    if isinstance(value, dict):
        return {name: _cleaned(one, clean, str(name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one, clean, key) for one in value]
    return value


def _block(change: BlockChange, clean: Clean) -> str:
    before, after = clean(change.before), clean(change.after)
    edits = small(words.count(change.edits, "edit")) if change.edits else ""
    head = f"{el('b', esc(one_line(change.label, 100)))} {edits}"
    if before == after:
        return el("div", el("p", head), el("blockquote", lines(after) or small("(empty)")))
    whole = fold(small("before"), el("blockquote", lines(before) or small("(empty)")))
    whole += fold(small("after"), el("blockquote", lines(after) or small("(empty)")))
    return el("div", el("p", head), diff_html(before, after), whole)


def _figures(steps: Sequence[Step]) -> str:
    models: dict[str, list[Step]] = {}
    for one in steps:
        models.setdefault(one.model, []).append(one)
    rows = [_row(name, own) for name, own in models.items()]
    if len(rows) > 1:
        rows.append(_row("together", steps))
    columns = ("model", "calls", "tokens in", "of them cached", "tokens out", "cost", "time")
    return table(columns, rows).html


def _row(name: str, steps: Sequence[Step]) -> list[object]:
    costs = [one.cost for one in steps if one.cost is not None]
    seconds = sum(one.seconds or 0.0 for one in steps)
    return [
        name,
        number(len(steps)),
        number(sum(one.prompt_tokens for one in steps)),
        number(sum(one.cached_tokens for one in steps)),
        number(sum(one.completion_tokens for one in steps)),
        number(sum(costs), words.money(sum(costs))) if costs else "unknown",
        number(seconds, words.seconds(seconds)),
    ]


def tokens_svg(steps: Sequence[Step], width: int = 820, height: int = 190) -> str:
    """Return the tokens of each step as an SVG of bars: read from the cache, read, written."""
    tallest = max((one.prompt_tokens + one.completion_tokens for one in steps), default=0)
    if not tallest:
        return ""
    left, bottom, top = 64, 24, 8
    wide = min((width - left) / len(steps), 60.0)
    scale = (height - bottom - top) / tallest
    drawn = []
    for place, one in enumerate(steps):
        cached = min(one.cached_tokens, one.prompt_tokens)
        parts = (
            (cached, style.GREY),
            (one.prompt_tokens - cached, style.BLUE),
            (one.completion_tokens, style.VIOLET),
        )
        base = float(height - bottom)
        title = f"<title>{one.prompt_tokens:,} in, {one.completion_tokens:,} out</title>"
        for tokens, colour in parts:
            tall = tokens * scale
            if tall <= 0:
                continue
            base -= tall
            drawn.append(
                f'<rect x="{left + place * wide:.1f}" y="{base:.1f}" width="{max(wide * 0.85, 0.5):.1f}"'
                f' height="{tall:.1f}" fill="{colour}">{title}</rect>'
            )
    axis = (
        f'<text x="{left - 6}" y="{top + 10}" text-anchor="end">{tallest:,}</text>'
        f'<text x="{left - 6}" y="{height - bottom}" text-anchor="end">0</text>'
        f'<text x="{left}" y="{height - 6}">{len(steps)} steps</text>'
    )
    names = (("read from the cache", style.GREY), ("read", style.BLUE), ("written", style.VIOLET))
    legend = " ".join(f'<span style="color:{colour}">■</span> {name}' for name, colour in names)
    picture = (
        f'<svg role="img" aria-label="Tokens of each step" viewBox="0 0 {width} {height}" width="{width}">'
        f"{''.join(drawn)}{axis}</svg>"
    )
    return heading("Tokens of each step") + picture + el("p", small(legend))
