"""The transcript as static HTML: what saved notebooks, nbconvert and code hosts show.

Only allow-listed elements and attributes, inline styles that survive an untrusted notebook's sanitiser,
every text escaped. `to_html` takes any snapshot, also one that was read back from a file.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import ROOT_CLASSES, clean_bundle, esc, one_line
from letta_kernel.display.diff import diff_lines
from letta_kernel.display.markdown import markdown_html

_SUMMARY = "cursor:pointer;padding:1px 0"
_RAIL = f"margin:4px 0 6px 2px;padding:0 0 0 12px;border-left:2px solid {style.LINE}"
_STATE_COLOURS = {
    "ok": style.GREEN,
    "error": style.RED,
    "interrupted": style.AMBER,
    "denied": style.AMBER,
    "waiting": style.AMBER,
}
_NOTICE_COLOURS = {"warning": style.AMBER, "error": style.RED}


def to_html(snapshot: dict[str, Any]) -> str:
    """Return the saved HTML of a transcript *snapshot* (see `letta_kernel.display.transcript`)."""
    body: list[str] = []
    aside: list[str] = []

    def flush() -> None:
        if aside:
            body.append(f'<div style="{_RAIL}">{"".join(aside)}</div>')
            aside.clear()

    for item in _dicts(snapshot.get("items")):
        if item.get("kind") == "answer":
            flush()
            body.append(answer_html(item))
        else:
            aside.append(item_html(item))
    flush()
    return (
        f'<div class="letta-run {ROOT_CLASSES}" style="{style.ROOT}">'
        f"{header_html(snapshot)}{''.join(body)}{footer_html(snapshot)}</div>"
    )


def header_html(snapshot: dict[str, Any]) -> str:
    """Return the line that says who answers: agent, model, and the model's label."""
    parts = [f'<b dir="auto">{esc(one_line(snapshot.get("agent") or "agent", 80))}</b>']
    model, label = snapshot.get("model"), snapshot.get("label")
    if model:
        parts.append(f'<span style="{style.SMALL};{style.MUTED}">{esc(one_line(model, 80))}</span>')
    if label:
        parts.append(f'<span style="{style.chip(style.AMBER)}">{esc(one_line(label, 160))}</span>')
    state = snapshot.get("state")
    if state == "running":
        parts.append(f'<span style="{style.chip(style.BLUE)}">running</span>')
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:2px 10px;align-items:baseline;margin:0 0 4px 0">'
        + "".join(parts)
        + "</div>"
    )


def item_html(item: dict[str, Any]) -> str:
    """Return one entry that is not an answer."""
    render = {
        "reasoning": _reasoning,
        "tool_call": _tool_call,
        "memory": _memory,
        "notice": _notice,
        "retrieved": _retrieved,
    }.get(str(item.get("kind")))
    return render(item) if render else ""


def answer_html(item: dict[str, Any]) -> str:
    """Return an answer, rendered from Markdown."""
    text = str(item.get("text") or "")
    mark = ""
    if item.get("interrupted"):
        mark = f'<div style="{style.SMALL};color:{style.AMBER}">■ interrupted here</div>'
    return f'<div dir="auto" style="margin:6px 0">{markdown_html(text)}{mark}</div>'


def _reasoning(item: dict[str, Any]) -> str:
    text = str(item.get("text") or "").strip()
    if not text:
        return ""
    peek = one_line(text, 90)
    summary = f'<span style="{style.SMALL};{style.MUTED}"><i>Thought</i> · {esc(peek)}</span>'
    inside = (
        f'<div dir="auto" style="{style.WRAP};font-size:13px;{style.MUTED};margin:2px 0 6px 0">'
    )
    return _fold(summary, f"{inside}{esc(text)}</div>")


def _tool_call(item: dict[str, Any]) -> str:
    state = str(item.get("state") or "ok")
    colour = _STATE_COLOURS.get(state, style.GREY)
    name, arguments = one_line(item.get("name") or "tool", 100), item.get("arguments")
    peek = words.preview(arguments)
    said = words.spoken_call(item)
    summary = (
        f'<span style="color:{colour}">{words.GLYPHS.get(state, "·")}</span> '
        f'<code style="{style.MONO};font-size:12.5px;font-weight:600;background:transparent">{esc(name)}</code>'
        f'<span style="{style.MONO};font-size:12px;{style.MUTED}">({esc(peek)})</span>'
        + (f' <span style="{style.SMALL};{style.MUTED}">{esc(said)}</span>' if said else "")
    )
    inside: list[str] = []
    where = words.RUNS_IN.get(str(item.get("runs_in")))
    if where:
        inside.append(f'<div style="{style.SMALL};{style.MUTED}">runs {esc(where)}</div>')
    if isinstance(arguments, dict) and arguments and len(peek) > 60:
        inside.append(_arguments(arguments))
    elif isinstance(arguments, str) and len(arguments) > 60:
        inside.append(_labelled("arguments", arguments))
    if item.get("output"):
        inside.append(_labelled("printed", item["output"]))
    display = clean_bundle(item.get("display"))
    shown = display_html(display) if display and not _picture(display) else ""
    if shown:
        inside.append(shown)
    elif item.get("result") and state != "error":
        inside.append(_labelled("result", words.pretty_result(str(item["result"]))))
    if state == "error" and item.get("result") and item["result"] != item.get("error"):
        inside.append(_labelled("what the model was told", item["result"]))
    if item.get("traceback"):
        inside.append(_labelled("traceback", item["traceback"]))
    after = ""
    if state == "error" and item.get("error"):
        after = (
            f'<div style="{style.MONO};font-size:12px;{style.WRAP};color:{style.RED};margin:0 0 4px 16px">'
            f"{esc(one_line(item['error'], 300))}</div>"
        )
    if display and _picture(display):  # a figure is for looking at: not folded away
        after += display_html(display)
    if not inside:
        return f'<div style="padding:1px 0">{summary}</div>{after}'
    return _fold(summary, "".join(inside)) + after


def _arguments(arguments: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><td style="{style.CELL};{style.MUTED};{style.MONO};font-size:12px">{esc(one_line(name, 80))}</td>'
        f'<td style="{style.CELL};{style.MONO};font-size:12px"><div dir="auto" style="{style.WRAP};'
        f'max-height:240px;overflow:auto">{esc(words.pretty(value), 8_000)}</div></td></tr>'
        for name, value in arguments.items()
    )
    return f'<table style="border-collapse:collapse;margin:4px 0"><tbody>{rows}</tbody></table>'


def _labelled(label: str, text: object) -> str:
    return (
        f'<div style="font-size:11px;{style.MUTED};margin:4px 0 0 0">{label}</div>'
        f'<pre dir="auto" style="{style.PRE}">{esc(text, 40_000)}</pre>'
    )


def _picture(display: dict[str, str]) -> bool:
    return any(mime.startswith("image/") for mime in display)


def display_html(display: dict[str, str]) -> str:
    """Return what a cleaned MIME bundle of a tool shows: a picture, a table, Markdown or text."""
    for mime, data in display.items():
        if mime.startswith("image/"):
            if mime == "image/svg+xml":
                data = b64encode(data.encode("utf-8")).decode("ascii")
            return (
                f'<div style="margin:6px 0"><img alt="{esc(one_line(display.get("text/plain", "figure"), 80))}" '
                f'src="data:{mime};base64,{data}" style="max-width:100%;border-radius:6px;background:white"></div>'
            )
    if "text/html" in display:
        return (
            f'<div style="overflow:auto;max-height:360px;margin:4px 0">{display["text/html"]}</div>'
        )
    if "text/markdown" in display:
        return f"<div>{markdown_html(display['text/markdown'])}</div>"
    return f'<pre dir="auto" style="{style.PRE}">{esc(display.get("text/plain", ""))}</pre>'


_DIFF_SHOWN = 12


def _memory(item: dict[str, Any]) -> str:
    version = item.get("version")
    return (
        f'<div style="margin:3px 0"><span style="color:{style.VIOLET}">✎</span> '
        f'<span style="{style.SMALL}">memory <b dir="auto">{esc(one_line(item.get("label") or "", 80))}</b></span>'
        f' <span style="{style.SMALL};{style.MUTED}">{esc(f"v{version}" if version else "")}</span>'
        f"{diff_html(str(item.get('before') or ''), str(item.get('after') or ''))}</div>"
    )


def diff_html(before: str, after: str) -> str:
    """Return a small diff; what is more than a dozen lines long is folded."""
    lines = [_diff_line(line) for line in diff_lines(before, after)]
    box = f"{style.MONO};font-size:12px;line-height:1.5;margin:3px 0;border-radius:6px;overflow:hidden"
    shown, more = lines[:_DIFF_SHOWN], lines[_DIFF_SHOWN:]
    rest = ""
    if more:
        label = f'<span style="{style.SMALL};{style.MUTED}">{words.count(len(more), "more line")}</span>'
        rest = _fold(
            label, f'<div style="{box};max-height:320px;overflow:auto">{"".join(more)}</div>'
        )
    return f'<div style="{box}">{"".join(shown)}</div>{rest}' if shown else ""


_DIFF_COLOURS = {"+": style.GREEN, "-": style.RED}


def _diff_line(line: Any) -> str:
    colour = _DIFF_COLOURS.get(line.sign)
    if colour is None:
        return f'<div dir="auto" style="{style.WRAP};padding:0 8px;{style.MUTED}">  {esc(line.text, 2_000)}</div>'
    strong = style.tint(colour, 0.3)
    pieces = "".join(
        f'<span style="background:{strong};border-radius:3px">{esc(text, 2_000)}</span>'
        if changed
        else esc(text, 2_000)
        for text, changed in line.pieces
    )
    sign = "−" if line.sign == "-" else "+"
    return (
        f'<div dir="auto" style="{style.WRAP};padding:0 8px;background:{style.tint(colour, 0.12)}">'
        f'<span style="color:{colour}">{sign}</span> {pieces}</div>'
    )


def _notice(item: dict[str, Any]) -> str:
    level = str(item.get("level") or "info")
    colour = _NOTICE_COLOURS.get(level)
    look = f"color:{colour}" if colour else style.MUTED
    return (
        f'<div dir="auto" style="{style.SMALL};{look};{style.WRAP};padding:1px 0">{words.LEVELS.get(level, "·")} '
        f"{esc(one_line(item.get('text') or '', 1_000))}</div>"
    )


def _retrieved(item: dict[str, Any]) -> str:
    passages = _dicts(item.get("passages"))
    label = (
        f'<span style="{style.SMALL};{style.MUTED}">{words.count(len(passages), "passage")} from archival '
        "memory</span>"
    )
    rows = "".join(
        f'<div dir="auto" style="{style.WRAP};font-size:12px;margin:3px 0;padding:3px 10px;border-radius:6px;'
        f'background:{style.SHADE}">{esc(p.get("text") or "", 1_000)}</div>'
        for p in passages
    )
    return _fold(label, rows)


def _fold(summary: str, inside: str) -> str:
    return (
        f'<details style="margin:0"><summary style="{_SUMMARY}">{summary}</summary>'
        f'<div style="margin:2px 0 6px 16px">{inside}</div></details>'
    )


def footer_html(snapshot: dict[str, Any]) -> str:
    """Return the run's footer: an error line if there is one, then the figures and the stop reason."""
    footer = snapshot.get("footer")
    footer = footer if isinstance(footer, dict) else {}
    error = ""
    if footer.get("error"):
        error = (
            f'<div dir="auto" style="{style.WRAP};margin:6px 0;padding:5px 10px;border-radius:6px;'
            f'border-left:3px solid {style.RED};background:{style.tint(style.RED, 0.08)}">'
            f"{esc(one_line(footer['error'], 1_000))}</div>"
        )
    parts = [esc(part) for part in words.footer_parts(footer)]
    reason = one_line(footer.get("stop_reason") or "", 80)
    if snapshot.get("state") == "waiting":
        parts.append(f'<span style="color:{style.AMBER}">waits for approval</span>')
    elif reason:
        colour = "" if reason in ("end_turn", "tool_rule") else f' style="color:{style.AMBER}"'
        parts.append(f"<span{colour}>{esc(reason)}</span>")
    if not parts:
        return error
    return f'{error}<div style="{style.SMALL};{style.MUTED};margin:6px 0 0 0">{" · ".join(parts)}</div>'


def _dicts(items: object) -> list[dict[str, Any]]:
    return [i for i in items if isinstance(i, dict)] if isinstance(items, Iterable) else []
