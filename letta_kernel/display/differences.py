"""An agent as it was at a point in time, and how two such points differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import clean_text, esc, one_line
from letta_kernel.display.diff import diff_lines
from letta_kernel.display.html import diff_html
from letta_kernel.display.panels import history_table
from letta_kernel.display.style import block, el, fold, heading, lines, named, small
from letta_kernel.display.tables import Panel, stack, when
from letta_kernel.messages import Message
from letta_kernel.service.differences import Difference
from letta_kernel.service.timeline import AgentThen

_SHOWN = 20_000  # characters of one text
_MOST = 20  # messages and passages of one side that are shown
_COLUMNS = "display:flex;flex-wrap:wrap;gap:0 24px"
_COLUMN = "flex:1 1 240px;min-width:0"


def then_panel(then: AgentThen) -> Panel:
    """Return an agent as it was: what it knew, what it could do, what was last said."""
    title = f"{one_line(then.name, 80)} at {_short(then.at)}"
    facts = [when(then.moment), one_line(then.model or "chosen each run", 80)]
    notes = [one_line(then.note, 300)] if then.note else []
    if not then.known:
        notes.append("Tools and settings were not recorded then: these are those of now.")
    can = ", ".join(one_line(tool.name, 80) for tool in then.tools)
    settings = {name: value for name, value in then.settings.items() if value not in (None, [], {})}
    rest = {
        "rules": ", ".join(f"{rule.type} {rule.tool_name}" for rule in then.rules),
        "settings": _json(settings) if settings else "",
        "archives": ", ".join(then.archives),
        "folders": ", ".join(then.folders),
        "forgotten since": _gaps(then),
    }
    known = [one.content for one in then.passages[:_MOST]]
    told = [(name, one_line(value, 400)) for name, value in rest.items() if value]
    sources = [_source(tool.name, tool.source or tool.description) for tool in then.tools]
    html = [
        heading(title),
        el("div", small(esc(" · ".join(facts)))),
        *(el("div", esc(one), look=style.alert(style.AMBER)) for one in notes),
        *(
            el("div", el("b", esc(one_line(label, 80))), el("blockquote", lines(value, _SHOWN)))
            for label, value in then.blocks.items()
        ),
        fold(f"{el('b', 'Instructions')}", block(then.instructions, _SHOWN))
        if then.instructions
        else "",
        fold(f"{el('b', 'Tools')} {small(esc(one_line(can, 300)))}", *sources) if sources else "",
        fold(
            f"{el('b', 'Archival memory')} {small(esc(words.count(len(known), 'passage')))}",
            *(el("blockquote", lines(one, _SHOWN)) for one in known),
        )
        if known
        else "",
        named((esc(name), esc(value)) for name, value in told),
    ]
    text = [f"{title}: {' · '.join(facts)}", *(f"  ! {one}" for one in notes)]
    for label, value in then.blocks.items():
        text += [
            f"  {one_line(label, 80)}",
            *(f"    {line}" for line in clean_text(value, _SHOWN).split("\n")),
        ]
    text += [f"  tools: {one_line(can, 300)}"] if can else []
    text += [f"  knows: {one_line(one, 300)}" for one in known]
    text += [f"  {name}: {value}" for name, value in told]
    card = Panel("".join(html), "\n".join(text))
    made = stack(card, history_table(then.messages)) if then.messages else card
    made.mime = made.cells = None
    return made


def _gaps(then: AgentThen) -> str:
    """Return how many passages are forgotten that were there, and when they went."""
    days = sorted({f"{gap.forgotten_at.astimezone():%Y-%m-%d}" for gap in then.gaps})
    return f"{words.count(len(then.gaps), 'passage')} ({', '.join(days)})" if days else ""


def difference_panel(found: Difference) -> Panel:
    """Return what two points say, know and can do differently; the first stands left, what it lacks is new."""
    a, b = _short(found.a), _short(found.b)
    title = f"{a} and {b}"
    line = f"{words.count(found.shared, 'message')} shared"
    if found.nothing:
        line += "; they say, know and can do the same"
    html = [heading(title), el("div", small(esc(line)))]
    text = [f"{title}: {line}"]
    if any(found.said):
        html.append(
            _beside("What only one of them says", (a, b), [_said(one) for one in found.said])
        )
        text.append("What only one of them says")
        for name, said in zip((a, b), found.said, strict=True):
            text += [f"  {name}: {_line(message)}" for message in said[-_MOST:]]
    pairs: list[tuple[str, Mapping[str, tuple[Any, Any]]]] = [
        ("What they remember", found.blocks),
        ("What they can do", found.tools),
        ("What they are set to", found.fields),
    ]
    for head, changed in pairs:
        if changed:
            html.append(el("p", el("b", esc(head)), " ", small(esc(f"− {a} · + {b}"))))
            text.append(f"{head} ({a} to {b})")
        for name, (before, after) in changed.items():
            old, new = _text(before), _text(after)
            html.append(el("div", small(esc(one_line(name, 80)))) + diff_html(old, new))
            text.append(f"  {one_line(name, 80)}")
            text += [f"    {one.sign} {clean_text(one.text)}" for one in diff_lines(old, new)]
    if any(found.passages):
        cells = ["".join(_passages(one)) for one in found.passages]
        html.append(_beside("What only one of them has in its archive", (a, b), cells))
        text.append("What only one of them has in its archive")
        for name, kept in zip((a, b), found.passages, strict=True):
            text += [f"  {name}: {one_line(one, 200)}" for one in kept[:_MOST]]
    return Panel("".join(html), "\n".join(text))


def _beside(title: str, names: Sequence[str], cells: Sequence[str]) -> str:
    """Return two columns, which stand below each other where it is narrow."""
    columns = [
        el("div", small(el("b", esc(name))), cell or el("div", small("nothing")), look=_COLUMN)
        for name, cell in zip(names, cells, strict=True)
    ]
    return el("p", el("b", esc(title))) + el("div", *columns, look=_COLUMNS)


def _said(messages: Sequence[Message]) -> str:
    left = len(messages) - _MOST
    more = el("div", small(f"… and {words.count(left, 'earlier message')}")) if left > 0 else ""
    return more + "".join(el("div", esc(_line(one))) for one in messages[-_MOST:])


def _line(message: Message) -> str:
    calls = ", ".join(
        f"{one_line(one.name, 80)}({one_line(one.arguments, 80)})" for one in message.tool_calls
    )
    said = " → ".join(part for part in (one_line(message.said, 300), calls) if part)
    return f"{one_line(message.name or message.role, 60)}: {said}"


def _passages(kept: Sequence[str]) -> list[str]:
    left = len(kept) - _MOST
    more = [el("div", small(f"… and {words.count(left, 'more passage')}"))] if left > 0 else []
    return [el("div", esc(one_line(one, 300))) for one in kept[:_MOST]] + more


def _source(name: str, source: str) -> str:
    return fold(el("code", esc(one_line(name, 80))), block(source, _SHOWN))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain, indent=1)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _short(ref: str) -> str:
    """Return an id, or a name, as it is shown."""
    kind, dash, rest = ref.partition("-")
    known = dash and kind in ("step", "run", "branch")
    return f"{kind}-{rest[:8]}" if known else one_line(ref, 80)
