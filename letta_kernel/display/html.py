"""The transcript as static HTML: what saved notebooks, nbconvert and code hosts show.

Only allow-listed elements and attributes, every text escaped; `to_html` takes any snapshot, also one
read back from a file. `bundle` is what a notebook keeps of a run: a snapshot, which a page with the
extension draws, its HTML and its text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import (
    ROOT_CLASSES,
    attribute,
    clean_bundle,
    clean_thumbnail,
    esc,
    one_line,
)
from letta_kernel.display.diff import DiffLine, diff_lines
from letta_kernel.display.markdown import markdown_html
from letta_kernel.display.style import block, el, fold, lines, named, small
from letta_kernel.display.words import to_text
from letta_kernel.stop_reasons import meaning

_ASIDE = "margin-bottom:1em"  # of what stands before an answer


def to_html(snapshot: dict[str, Any]) -> str:
    """Return the saved HTML of a transcript *snapshot* (`letta_kernel.display.transcript`)."""
    cites = words.cites(snapshot)
    titles = {n: f"{text} ({where})" for n, text, where in cites}
    items = words.dicts(snapshot.get("items"))
    starts = [n for n, item in enumerate(items) if item.get("kind") == "speaker"]
    body = [_entries(items[: starts[0]] if starts else items, titles)]
    for start, end in zip(starts, [*starts[1:], len(items)], strict=False):
        body.append(_spoken(items[start], _entries(items[start + 1 : end], titles)))
    return el(
        "div",
        header_html(snapshot),
        *body,
        _sources(cites),
        footer_html(snapshot),
        look=style.ROOT,
        **{"class": f"letta-run {ROOT_CLASSES}"},
    )


def _entries(items: Sequence[dict[str, Any]], titles: Mapping[str, str]) -> str:
    return "".join(
        "".join(item_html(item, titles) for item in part)
        if answer
        else el("div", *map(item_html, part), look=_ASIDE)
        for answer, part in groupby(items, lambda i: i.get("kind") == "answer")
    )


def _spoken(speaker: dict[str, Any], inside: str) -> str:
    """Return what an agent of a group said and did, beside its colour, below its name."""
    place = speaker.get("place")
    colour, sign = style.SPEAKERS[(place if isinstance(place, int) else 0) % len(style.SPEAKERS)]
    name = el("b", esc(one_line(speaker.get("name") or "agent", 80)))
    said = [f"{sign} {name}"]
    if speaker.get("model"):
        said.append(small(esc(one_line(speaker["model"], 80))))
    if speaker.get("label"):
        said.append(el("i", esc(one_line(speaker["label"], 160))))
    look = f"border-left:4px solid {colour};padding-left:12px;margin-bottom:8px"
    return el("div", el("p", " · ".join(said)), inside, look=look)


def header_html(snapshot: dict[str, Any]) -> str:
    """Return the line that says who answers: agent, model, and the model's label."""
    parts = [el("b", esc(one_line(snapshot.get("agent") or "agent", 80)))]
    if snapshot.get("sender"):
        parts.append(small(esc(f"asked by {one_line(snapshot['sender'], 80)}")))
    if snapshot.get("model"):
        parts.append(small(esc(one_line(snapshot["model"], 80))))
    if snapshot.get("label"):
        parts.append(el("i", esc(one_line(snapshot["label"], 160))))
    if snapshot.get("state") == "running":
        parts.append(el("i", "running"))
    return el("p", " · ".join(parts))


def item_html(item: dict[str, Any], titles: Mapping[str, str] | None = None) -> str:
    """Return one entry; empty for kinds not known here. *titles* say what an answer's numbers cite."""
    if item.get("kind") == "answer":
        return _answer(item, titles)
    render = _RENDERERS.get(str(item.get("kind")))
    return render(item) if render else ""


def _answer(item: dict[str, Any], titles: Mapping[str, str] | None) -> str:
    mark = el("p", small("■ interrupted here")) if item.get("interrupted") else ""
    return markdown_html(str(item.get("text") or ""), titles) + mark


def _sources(cites: Sequence[tuple[str, str, str]]) -> str:
    """Return what the answer cites, folded: where nothing can be pointed at, a title is not read."""
    told = [
        el("blockquote", f"[{n}] {lines(text)}<br>\n{small(esc(where))}")
        for n, text, where in cites
    ]
    return fold(small(f"Sources: {len(told)}"), *told) if told else ""


def _reasoning(item: dict[str, Any]) -> str:
    text = str(item.get("text") or "").strip()
    summary = small(f"{el('i', 'Thought')} · {esc(one_line(text.replace('`', ''), 90))}")
    return fold(summary, el("blockquote", lines(text))) if text else ""


def _tool_call(item: dict[str, Any]) -> str:
    state = str(item.get("state") or "ok")
    display = clean_bundle(item.get("display"))
    picture = display is not None and any(mime.startswith("image/") for mime in display)
    inside = _details(item, state, None if picture else display)
    after = ""
    if state == "error" and item.get("error"):
        after = el("div", esc(one_line(item["error"], 300)), look=style.alert(style.RED))
    if display and picture:  # a figure is for looking at: not folded away
        after += display_html(display)
    after += "".join(map(_asked, words.dicts(item.get("asked"))))
    summary = _call_line(item, state)
    return (fold(summary, inside) if inside else el("div", summary)) + after


def _asked(run: dict[str, Any]) -> str:
    """Return the run of another agent that a call has asked, folded."""
    titles = {n: f"{text} ({where})" for n, text, where in words.cites(run)}
    inside = [item_html(item, titles) for item in words.dicts(run.get("items"))]
    summary = small(" · ".join(map(esc, words.asked_parts(run))))
    return fold(summary, el("blockquote", *inside, footer_html(run)))


def _call_line(item: dict[str, Any], state: str) -> str:
    name = el("b", esc(one_line(item.get("name") or "tool", 100)))
    call = el("code", f"{name}({esc(words.preview(item.get('arguments')))})")
    said = small(esc(words.spoken_call(item)))
    return " ".join(part for part in (words.GLYPHS.get(state, "·"), call, said) if part)


def _details(item: dict[str, Any], state: str, display: dict[str, str] | None) -> str:
    """What is folded away under a call: full arguments, prints, the result, the traceback."""
    inside: list[tuple[str, str]] = []
    if where := words.RUNS_IN.get(str(item.get("runs_in"))):
        inside.append(("ran", esc(where)))
    arguments = item.get("arguments")
    if words.preview(arguments) != words.preview(arguments, 10_000):
        given = arguments if isinstance(arguments, dict) else {"arguments": arguments}
        inside += [
            (el("code", esc(one_line(name, 80))), lines(words.pretty(value), 8_000))
            for name, value in given.items()
        ]
    result = words.worth_saying(item.get("result"))
    if item.get("output"):
        inside.append(("printed", block(item["output"])))
    if display:
        inside.append(("result", display_html(display)))
    elif result and state != "error":
        inside.append(("result", block(words.pretty_result(result))))
    if state == "error" and result and result != item.get("error"):
        inside.append(("what the model was told", block(result)))
    if item.get("traceback"):
        inside.append(("traceback", block(item["traceback"])))
    return named(inside)


def in_html(display: object) -> bool:
    """Return whether what a tool gave to be looked at stands in a ``figure`` of its own."""
    bundle = clean_bundle(display) or {}
    return any(mime == "text/html" or mime.startswith("image/") for mime in bundle)


_FIGURE = "margin:4px 0;overflow:auto"


def display_html(display: dict[str, str]) -> str:
    """Return what a cleaned MIME bundle of a tool shows: a picture, a table, Markdown or text."""
    for mime, data in display.items():
        if mime.startswith("image/"):
            if mime == "image/svg+xml":
                data = b64encode(data.encode("utf-8")).decode("ascii")
            name = attribute(one_line(display.get("text/plain") or "figure", 80))
            look = "max-width:100%;background:white"
            picture = f'<img alt="{name}" src="data:{mime};base64,{data}" style="{look}">'
            return el("figure", picture, look=_FIGURE)
    if "text/html" in display:
        return el("figure", display["text/html"], look=_FIGURE)
    if "text/markdown" in display:
        return markdown_html(display["text/markdown"])
    return block(display.get("text/plain", ""))


_DIFF_SHOWN = 12


def _memory(item: dict[str, Any]) -> str:
    what = "edited by hand:" if item.get("kind") == "edited" else "memory"
    label = el("b", esc(one_line(item.get("label") or "", 80)))
    version = small(esc(f"v{item['version']}" if item.get("version") else ""))
    diff = diff_html(str(item.get("before") or ""), str(item.get("after") or ""))
    return el("div", f"✎ {what} {label} {version}") + diff


def diff_html(before: str, after: str) -> str:
    """Return a small diff; what is more than a dozen lines long is folded."""
    shown = [_diff_line(line) for line in diff_lines(before, after)]
    if not shown:
        return ""
    first, more = shown[:_DIFF_SHOWN], shown[_DIFF_SHOWN:]
    rest = fold(small(words.count(len(more), "more line")), style.code("\n".join(more)))
    return style.code("\n".join(first)) + (rest if more else "")


def _diff_line(line: DiffLine) -> str:
    tag = {"-": "del", "+": "ins"}.get(line.sign)
    pieces = [
        el(tag, esc(text, 2_000)) if tag and changed else esc(text, 2_000)
        for text, changed in line.pieces
    ]
    return f"{'−' if line.sign == '-' else line.sign} {''.join(pieces)}"


def _notice(item: dict[str, Any]) -> str:
    level = str(item.get("level") or "info")
    colour = {"warning": style.AMBER, "error": style.RED}.get(level)
    text = f"{words.LEVELS.get(level, '·')} {esc(one_line(item.get('text') or '', 1_000))}"
    return el("div", small(text), look=style.alert(colour) if colour else "")


def _retrieved(item: dict[str, Any]) -> str:
    passages = words.dicts(item.get("passages"))
    found = f"{words.count(len(passages), 'passage')} from archival memory"
    rows = [el("blockquote", lines(p.get("text") or "", 1_000)) for p in passages]
    return fold(small(found), *rows)


def _pictures(item: dict[str, Any]) -> str:
    return thumbnails_html(item.get("pictures"))


def thumbnails_html(pictures: object) -> str:
    """Return small pictures of what went with a message, each with its description (``src``, ``alt``)."""
    shown = []
    for picture in words.dicts(pictures):
        alt, src = one_line(picture.get("alt") or "image", 100), clean_thumbnail(picture.get("src"))
        if src:
            look = "max-height:96px;margin:2px 4px 2px 0;background:white"
            name = attribute(alt)
            shown.append(f'<img alt="{name}" src="{src}" style="{look}">')
        else:
            shown.append(small(esc(alt)))
    return el("div", " ".join(shown))


def _beside(item: dict[str, Any]) -> str:
    parts = words.dicts(item.get("parts"))
    chips = small("beside the message: " + " · ".join(map(_chip, parts)))
    told = [
        el("div", small(el("b", esc(one_line(p.get("name") or "", 80)))))
        + el("blockquote", lines(p["text"], 1_000))
        for p in parts
        if p.get("text")
    ]
    return fold(chips, *told) if told else el("div", chips)


def _chip(part: dict[str, Any]) -> str:
    note = esc(one_line(part.get("note") or "", 80))
    name = el("b", esc(one_line(part.get("name") or "", 80)))
    return f"{name} {note}" if note else name


_RENDERERS = {
    "beside": _beside,
    "pictures": _pictures,
    "reasoning": _reasoning,
    "tool_call": _tool_call,
    "memory": _memory,
    "edited": _memory,
    "notice": _notice,
    "retrieved": _retrieved,
}


def footer_html(snapshot: dict[str, Any]) -> str:
    """Return the run's footer: an error line if any, then the figures and the stop reason."""
    footer = snapshot.get("footer")
    footer = footer if isinstance(footer, dict) else {}
    error = ""
    if footer.get("error"):
        error = el("div", esc(one_line(footer["error"], 1_000)), look=style.alert(style.RED))
    parts = [esc(part) for part in words.footer_parts(footer)]
    reason = one_line(footer.get("stop_reason") or "", 80)
    if snapshot.get("state") == "waiting":
        reason = "waits for approval"
    if reason:
        parts.append(esc(reason) if meaning(reason) == "well" else el("b", esc(reason)))
    return error + (el("p", small(" · ".join(parts))) if parts else "")


MIME = "application/vnd.letta.run.v1+json"
"""The MIME type of a transcript snapshot, for the JupyterLab extension."""

_UNSTABLE = ("id", "call_id")
_OFTEN_EMPTY = ("seconds", "display", "traceback", "output", "version")
_LONG = 1_200  # characters of an answer that is kept as its lines, for those who read a diff


def bundle(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return the saved form of a run: our own MIME type, HTML and text, and nothing else.

    Where a call's ``display`` is a number, it is that of a ``figure`` of the HTML, counted from 0 and not
    inside another. A long answer or thought is a list of its lines, as notebooks keep long texts.
    """
    return {MIME: _lean(snapshot), "text/html": to_html(snapshot), "text/plain": to_text(snapshot)}


def _lean(snapshot: dict[str, Any]) -> dict[str, Any]:
    displays = 0
    kept: dict[str, Any] = {**snapshot, "footer": _rounded(snapshot["footer"]), "items": []}
    for item in snapshot["items"]:
        lean = {name: value for name, value in _rounded(item).items() if name not in _UNSTABLE}
        lean = {n: value for n, value in lean.items() if value or n not in _OFTEN_EMPTY}
        if in_html(item.get("display")):
            lean["display"] = displays
            displays += 1
        if "passages" in lean:
            lean["passages"] = [{"text": passage["text"]} for passage in lean["passages"]]
        if len(text := lean.get("text", "")) > _LONG and "\n" in text:
            lean["text"] = text.splitlines(keepends=True)
        if "asked" in lean:
            lean["asked"] = [_lean(other) for other in lean["asked"]]
        kept["items"].append(lean)
    return kept


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        n: round(v, 3) if isinstance(v, float) and n != "cost" else v for n, v in values.items()
    }
