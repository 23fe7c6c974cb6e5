"""The transcript as plain text: terminals, ``text/plain`` in saved notebooks, screen readers."""

from __future__ import annotations

import textwrap
from typing import Any

from letta_kernel.display import words
from letta_kernel.display.clean import clean_text, one_line
from letta_kernel.display.diff import diff_lines

WIDTH = 96
_LONGEST_RESULT = 400


def to_text(snapshot: dict[str, Any]) -> str:
    """Return a transcript *snapshot* as plain text; all but answers is wrapped at `WIDTH`."""
    blocks = [header_text(snapshot)]
    aside: list[str] = []
    for item in snapshot.get("items") or ():
        if item.get("kind") == "answer":
            if aside:
                blocks.append("\n".join(aside))
                aside = []
            blocks.append(clean_text(item.get("text") or "").strip())
            if item.get("interrupted"):
                aside.append("  ■ interrupted here")
        else:
            aside.extend(item_lines(item))
    if aside:
        blocks.append("\n".join(aside))
    blocks.append(footer_text(snapshot))
    return "\n\n".join(block for block in blocks if block)


def header_text(snapshot: dict[str, Any]) -> str:
    """Return the first line: who answers, with which model."""
    parts = [snapshot.get("agent") or "agent", snapshot.get("model"), snapshot.get("label")]
    return " · ".join(one_line(part, 160) for part in parts if part)


def footer_text(snapshot: dict[str, Any]) -> str:
    """Return the last lines: the error if there was one, and the figures."""
    footer = snapshot.get("footer") or {}
    lines = []
    if footer.get("error"):
        lines.append(f"✗ {one_line(footer['error'], 1_000)}")
    parts = words.footer_parts(footer)
    if snapshot.get("state") == "waiting":
        parts.append("waits for approval")
    elif footer.get("stop_reason"):
        parts.append(one_line(footer["stop_reason"], 80))
    if parts:
        lines.append(f"[{' · '.join(parts)}]")
    return "\n".join(lines)


def item_lines(item: dict[str, Any]) -> list[str]:
    """Return an entry that is no answer, as lines."""
    kind = item.get("kind")
    if kind == "reasoning":
        return _wrapped(clean_text(item.get("text") or "").strip(), "  ~ ")
    if kind == "tool_call":
        return _call(item)
    if kind == "memory":
        head = f"  ✎ memory {one_line(item.get('label') or '', 80)}"
        version = item.get("version")
        diff = diff_lines(clean_text(item.get("before") or ""), clean_text(item.get("after") or ""))
        lines = [f"      {line.sign} {one_line(line.text, WIDTH - 8)}" for line in diff[:12]]
        if len(diff) > 12:
            lines.append(f"      … {words.count(len(diff) - 12, 'more line')}")
        return [head + (f" (v{version})" if version else ""), *lines]
    if kind == "notice":
        sign = words.LEVELS.get(str(item.get("level")), "·")
        return _wrapped(one_line(item.get("text") or "", 1_000), f"  {sign} ")
    if kind == "retrieved":
        found = words.count(len(item.get("passages") or ()), "passage")
        return [f"  · {found} from archival memory"]
    return []


def _call(item: dict[str, Any]) -> list[str]:
    state = str(item.get("state") or "ok")
    name = one_line(item.get("name") or "tool", 100)
    said = words.spoken_call(item)
    peek = words.preview(item.get("arguments"), WIDTH - 14)
    lines = [
        f"  {words.GLYPHS.get(state, '·')} {name}({peek})" + (f"  {said}" if said else ""),
    ]
    if item.get("output"):
        lines.extend(_indented(str(item["output"]), "      | "))
    if state == "error" and item.get("error"):
        lines.append(f"      {one_line(item['error'], 300)}")
    elif item.get("result"):
        lines.extend(_indented(str(item["result"]), "      "))
    return lines


def _indented(text: str, prefix: str) -> list[str]:
    text = clean_text(text, _LONGEST_RESULT).strip("\n")
    return [
        prefix + part
        for line in text.split("\n")
        for part in (textwrap.wrap(line, WIDTH - len(prefix), drop_whitespace=False) or [""])
    ]


def _wrapped(text: str, prefix: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.extend(textwrap.wrap(paragraph, WIDTH - len(prefix)) or [""])
    blank = " " * len(prefix)
    return [(blank if n else prefix) + line for n, line in enumerate(lines)]
