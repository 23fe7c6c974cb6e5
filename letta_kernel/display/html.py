"""The transcript as static HTML: what saved notebooks, nbconvert and code hosts show.

Only allow-listed elements and attributes, inline styles that survive an untrusted notebook's
sanitiser, every text escaped. `to_html` takes any snapshot, also one read back from a file.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import ROOT_CLASSES, clean_bundle, esc, one_line
from letta_kernel.display.diff import DiffLine, diff_lines
from letta_kernel.display.markdown import markdown_html
from letta_kernel.display.style import el, fold
from letta_kernel.stop_reasons import meaning

_STATE_COLOURS = {
    "ok": style.GREEN,
    "error": style.RED,
    "interrupted": style.AMBER,
    "denied": style.AMBER,
    "waiting": style.AMBER,
}
_NOTICE_COLOURS = {"warning": style.AMBER, "error": style.RED}
_RAIL = f"margin:4px 0 6px 2px;padding:0 0 0 12px;border-left:2px solid {style.LINE}"
_HEAD = "display:flex;flex-wrap:wrap;gap:2px 10px;align-items:baseline;margin:0 0 4px 0"


def to_html(snapshot: dict[str, Any]) -> str:
    """Return the saved HTML of a transcript *snapshot* (`letta_kernel.display.transcript`)."""
    body: list[str] = []
    aside: list[str] = []
    for item in _dicts(snapshot.get("items")):
        if item.get("kind") == "answer":
            body.extend(_rail(aside))
            aside = []
            body.append(answer_html(item))
        else:
            aside.append(item_html(item))
    body.extend(_rail(aside))
    return el(
        "div",
        header_html(snapshot),
        *body,
        footer_html(snapshot),
        look=style.ROOT,
        **{"class": f"letta-run {ROOT_CLASSES}"},
    )


def _rail(entries: list[str]) -> list[str]:
    return [el("div", *entries, look=_RAIL)] if any(entries) else []


def header_html(snapshot: dict[str, Any]) -> str:
    """Return the line that says who answers: agent, model, and the model's label."""
    parts = [el("b", esc(one_line(snapshot.get("agent") or "agent", 80)), dir="auto")]
    if snapshot.get("model"):
        parts.append(el("span", esc(one_line(snapshot["model"], 80)), look=style.QUIET))
    if snapshot.get("label"):
        label = esc(one_line(snapshot["label"], 160))
        parts.append(el("span", label, look=style.chip(style.AMBER)))
    if snapshot.get("state") == "running":
        parts.append(el("span", "running", look=style.chip(style.BLUE)))
    return el("div", *parts, look=_HEAD)


def item_html(item: dict[str, Any]) -> str:
    """Return one entry that is not an answer; empty for kinds not known here."""
    render = _RENDERERS.get(str(item.get("kind")))
    return render(item) if render else ""


def answer_html(item: dict[str, Any]) -> str:
    """Return an answer, rendered from Markdown."""
    mark = ""
    if item.get("interrupted"):
        mark = el("div", "■ interrupted here", look=f"{style.SMALL};color:{style.AMBER}")
    text = markdown_html(str(item.get("text") or ""))
    return el("div", text, mark, look="margin:6px 0", dir="auto")


def _reasoning(item: dict[str, Any]) -> str:
    text = str(item.get("text") or "").strip()
    if not text:
        return ""
    summary = el("span", el("i", "Thought"), f" · {esc(one_line(text, 90))}", look=style.QUIET)
    look = f"{style.WRAP};font-size:13px;{style.MUTED}"
    return fold(summary, el("div", esc(text), look=look, dir="auto"))


def _tool_call(item: dict[str, Any]) -> str:
    state = str(item.get("state") or "ok")
    display = clean_bundle(item.get("display"))
    picture = display is not None and any(mime.startswith("image/") for mime in display)
    inside = _details(item, state, None if picture else display)
    after = ""
    if state == "error" and item.get("error"):
        look = f"{style.MONO};{style.WRAP};color:{style.RED};margin:0 0 4px 16px"
        after = el("div", esc(one_line(item["error"], 300)), look=look, dir="auto")
    if display and picture:  # a figure is for looking at: not folded away
        after += display_html(display)
    summary = _call_line(item, state)
    if not inside:
        return el("div", summary, look="padding:1px 0") + after
    return fold(summary, *inside) + after


def _call_line(item: dict[str, Any], state: str) -> str:
    colour = _STATE_COLOURS.get(state, style.GREY)
    name = esc(one_line(item.get("name") or "tool", 100))
    said = words.spoken_call(item)
    parts = [
        el("span", words.GLYPHS.get(state, "·"), look=f"color:{colour}"),
        " ",
        el("b", name, look=style.MONO),
        el(
            "span",
            f"({esc(words.preview(item.get('arguments')))})",
            look=f"{style.MONO};{style.MUTED}",
        ),
    ]
    if said:
        parts += [" ", el("span", esc(said), look=f"{style.QUIET};white-space:nowrap")]
    return "".join(parts)


def _details(item: dict[str, Any], state: str, display: dict[str, str] | None) -> list[str]:
    """What is folded away under a call: full arguments, prints, the result, the traceback."""
    inside: list[str] = []
    where = words.RUNS_IN.get(str(item.get("runs_in")))
    if where:
        inside.append(el("div", esc(f"ran {where}"), look=style.QUIET))
    arguments = item.get("arguments")
    if len(words.preview(arguments)) > 50:
        if isinstance(arguments, dict):
            inside.append(_arguments(arguments))
        else:
            inside.append(_labelled("arguments", arguments))
    if item.get("output"):
        inside.append(_labelled("printed", item["output"]))
    if display:
        inside.append(display_html(display))
    elif item.get("result") not in (None, "", "None") and state != "error":
        inside.append(_labelled("result", words.pretty_result(str(item["result"]))))
    if state == "error" and item.get("result") and item["result"] != item.get("error"):
        inside.append(_labelled("what the model was told", item["result"]))
    if item.get("traceback"):
        inside.append(_labelled("traceback", item["traceback"]))
    return inside


def _arguments(arguments: dict[str, Any]) -> str:
    rows = []
    for name, value in arguments.items():
        text = esc(words.pretty(value), 8_000)
        scroll = f"{style.WRAP};max-height:240px;overflow:auto"
        rows.append(
            el(
                "tr",
                el("td", esc(one_line(name, 80)), look=f"{style.CELL};{style.MONO};{style.MUTED}"),
                el(
                    "td",
                    el("div", text, look=scroll, dir="auto"),
                    look=f"{style.CELL};{style.MONO}",
                ),
            )
        )
    return el("table", el("tbody", *rows), look=style.TABLE)


def _labelled(label: str, text: object) -> str:
    head = el("div", label, look=f"font-size:11px;{style.MUTED};margin:4px 0 0 0")
    return head + el("pre", esc(text, 40_000), look=style.PRE, dir="auto")


def display_html(display: dict[str, str]) -> str:
    """Return what a cleaned MIME bundle of a tool shows: a picture, a table, Markdown or text."""
    for mime, data in display.items():
        if mime.startswith("image/"):
            if mime == "image/svg+xml":
                data = b64encode(data.encode("utf-8")).decode("ascii")
            name = esc(one_line(display.get("text/plain") or "figure", 80))
            look = "max-width:100%;border-radius:6px;background:white"
            picture = f'<img alt="{name}" src="data:{mime};base64,{data}" style="{look}">'
            return el("div", picture, look="margin:6px 0")
    if "text/html" in display:
        look = "overflow:auto;max-height:360px;margin:4px 0"
        return el("div", display["text/html"], look=look)
    if "text/markdown" in display:
        return el("div", markdown_html(display["text/markdown"]), dir="auto")
    return el("pre", esc(display.get("text/plain", "")), look=style.PRE, dir="auto")


_DIFF_SHOWN = 12
_DIFF = f"{style.MONO};line-height:1.5;margin:3px 0;border-radius:6px;overflow:hidden"
_DIFF_COLOURS = {"+": style.GREEN, "-": style.RED}


def _memory(item: dict[str, Any]) -> str:
    label = el("b", esc(one_line(item.get("label") or "", 80)), dir="auto")
    version = item.get("version")
    return el(
        "div",
        el("span", "✎", look=f"color:{style.VIOLET}"),
        " ",
        el("span", "memory ", label, look=style.SMALL),
        " ",
        el("span", esc(f"v{version}" if version else ""), look=style.QUIET),
        diff_html(str(item.get("before") or ""), str(item.get("after") or "")),
        look="margin:3px 0",
    )


def diff_html(before: str, after: str) -> str:
    """Return a small diff; what is more than a dozen lines long is folded."""
    lines = [_diff_line(line) for line in diff_lines(before, after)]
    if not lines:
        return ""
    shown = el("div", *lines[:_DIFF_SHOWN], look=_DIFF)
    more = lines[_DIFF_SHOWN:]
    if not more:
        return shown
    label = el("span", words.count(len(more), "more line"), look=style.QUIET)
    rest = el("div", *more, look=f"{_DIFF.removesuffix('hidden')}auto;max-height:320px")
    return shown + fold(label, rest)


def _diff_line(line: DiffLine) -> str:
    colour = _DIFF_COLOURS.get(line.sign)
    if colour is None:
        look = f"{style.WRAP};padding:0 8px;{style.MUTED}"
        return el("div", f"  {esc(line.text, 2_000)}", look=look, dir="auto")
    strong = f"background:{style.tint(colour, 0.3)};border-radius:3px"
    pieces = [
        el("span", esc(text, 2_000), look=strong) if changed else esc(text, 2_000)
        for text, changed in line.pieces
    ]
    sign = el("span", "−" if line.sign == "-" else "+", look=f"color:{colour}")
    look = f"{style.WRAP};padding:0 8px;background:{style.tint(colour, 0.12)}"
    return el("div", sign, " ", *pieces, look=look, dir="auto")


def _notice(item: dict[str, Any]) -> str:
    level = str(item.get("level") or "info")
    colour = _NOTICE_COLOURS.get(level)
    look = f"color:{colour}" if colour else style.MUTED
    text = f"{words.LEVELS.get(level, '·')} {esc(one_line(item.get('text') or '', 1_000))}"
    return el("div", text, look=f"{style.SMALL};{look};{style.WRAP};padding:1px 0", dir="auto")


def _retrieved(item: dict[str, Any]) -> str:
    passages = _dicts(item.get("passages"))
    found = f"{words.count(len(passages), 'passage')} from archival memory"
    rows = [
        el(
            "div",
            esc(passage.get("text") or "", 1_000),
            look=f"{style.BOX};{style.SMALL};margin:3px 0",
            dir="auto",
        )
        for passage in passages
    ]
    return fold(el("span", found, look=style.QUIET), *rows)


_RENDERERS = {
    "reasoning": _reasoning,
    "tool_call": _tool_call,
    "memory": _memory,
    "notice": _notice,
    "retrieved": _retrieved,
}


def footer_html(snapshot: dict[str, Any]) -> str:
    """Return the run's footer: an error line if any, then the figures and the stop reason."""
    footer = snapshot.get("footer")
    footer = footer if isinstance(footer, dict) else {}
    error = ""
    if footer.get("error"):
        look = (
            f"{style.WRAP};margin:6px 0;padding:5px 10px;border-radius:6px;"
            f"border-left:3px solid {style.RED};background:{style.tint(style.RED, 0.08)}"
        )
        error = el("div", esc(one_line(footer["error"], 1_000)), look=look, dir="auto")
    figures = " · ".join(words.footer_parts(footer))
    reason = one_line(footer.get("stop_reason") or "", 80)
    if snapshot.get("state") == "waiting":
        reason = "waits for approval"
    parts = [el("span", esc(figures), look=style.MUTED)] if figures else []
    if reason:
        look = style.MUTED if meaning(reason) == "well" else f"color:{style.AMBER}"
        parts.append(el("span", esc(reason), look=look))
    if not parts:
        return error
    dot = el("span", " · ", look=style.MUTED)
    return error + el("div", dot.join(parts), look=f"{style.SMALL};margin:6px 0 0 0")


def _dicts(items: object) -> list[dict[str, Any]]:
    return [i for i in items if isinstance(i, dict)] if isinstance(items, list | tuple) else []
