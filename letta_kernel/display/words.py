"""A run in words: footers, durations, previews of arguments, and the whole transcript as plain text."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from letta_kernel.display.clean import clean_text, one_line
from letta_kernel.display.diff import diff_lines

if TYPE_CHECKING:
    from letta_kernel.records import WholeRun

GLYPHS = {
    "writing": "✎",
    "running": "◌",
    "waiting": "◇",
    "ok": "✓",
    "error": "✗",
    "interrupted": "■",
    "denied": "⊘",
}
"""A sign for each state of a tool call; the state's word always stands beside or behind it."""

NEARLY_FULL = 0.9
"""Above this share of what it may hold, something is nearly full; the page's own copy is generated."""

LEVELS = {"info": "·", "warning": "!", "error": "✗"}

STATE_WORDS = {
    "writing": "being written",
    "running": "running",
    "waiting": "waits for approval",
    "interrupted": "interrupted",
    "denied": "denied",
    "error": "failed",
}

RUNS_IN = {
    "sandbox": "in its own process, from its stored source",
    "mcp": "on an MCP server",
}


def seconds(value: Any) -> str:
    """Return a duration as people read it: ``40 ms``, ``1.8 s``, ``2 min 05 s``."""
    if not isinstance(value, int | float):
        return ""
    if value < 0.0995:
        return f"{max(value, 0) * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    return f"{whole // 60} min {whole % 60:02d} s"


def money(value: Any) -> str:
    """Return US dollars with as many digits as it takes to see something."""
    if not isinstance(value, int | float):
        return ""
    if value == 0:
        return "$0"
    return f"${value:,.2f}" if value >= 0.1 else f"${value:.2g}" if value >= 1e-4 else "<$0.0001"


def ending(run: WholeRun) -> str:
    """Return how a run stands or ended, in a word or two."""
    if run.stop_reason == "requires_approval":
        return "waits for approval" if run.waits else "not decided"
    return run.stop_reason or run.status


def count(number: Any, one: str, many: str = "") -> str:
    """Return ``1 step``, ``2 steps``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def footer_parts(footer: dict[str, Any]) -> list[str]:
    """Return what the footer says, in order, without the stop reason."""
    figures = {name: value for name, value in footer.items() if isinstance(value, int | float)}
    parts = [count(figures["steps"], "step")] if figures.get("steps") else []
    parts.append(seconds(figures.get("seconds")))
    if "first_token" in figures:
        parts.append(f"first token {seconds(figures['first_token'])}")
    prompt, completion = figures.get("prompt_tokens", 0), figures.get("completion_tokens", 0)
    if prompt or completion:
        extras = [
            f"{figures[name]:,} {word}"
            for name, word in (("cached_tokens", "cached"), ("reasoning_tokens", "thinking"))
            if figures.get(name)
        ]
        tokens = f"{prompt:,} + {completion:,} tokens"
        parts.append(tokens + (f" ({', '.join(extras)})" if extras else ""))
    parts.append(money(figures.get("cost") or None))  # models that cost nothing do not say so
    return [part for part in parts if part]


def preview(arguments: Any, limit: int = 64) -> str:
    """Return arguments as one short line, ``city="Paris", days=3``."""
    if isinstance(arguments, dict):
        return one_line(", ".join(f"{k}={compact(v)}" for k, v in arguments.items()), limit)
    return one_line(arguments or "", limit)


def compact(value: Any) -> str:
    """Return a JSON value on one line."""
    text = value if isinstance(value, str) else None
    if text is not None and len(text) > 400:
        value = text[:400] + "…"
    return json.dumps(value, ensure_ascii=False, default=str)


def pretty(value: Any) -> str:
    """Return an argument's value for reading: text as it is, anything else as indented JSON."""
    if isinstance(value, str):
        return value
    line = json.dumps(value, ensure_ascii=False, default=str)
    return line if len(line) <= 80 else json.dumps(value, ensure_ascii=False, default=str, indent=2)


def worth_saying(result: Any) -> str:
    """Return a tool's result, or nothing if it gave none."""
    return "" if result in (None, "None") else str(result)


def pretty_result(text: str) -> str:
    """Return a tool's result; JSON on one long line is indented for people."""
    stripped = text.strip()
    if len(stripped) > 80 and "\n" not in stripped and stripped[:1] in "{[":
        try:
            return json.dumps(json.loads(stripped), ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            return text
    return text


def spoken_call(item: dict[str, Any]) -> str:
    """Return what a tool call's state is in words, with its time: ``failed, 0.2 s``."""
    parts = [STATE_WORDS.get(str(item.get("state")), ""), seconds(item.get("seconds"))]
    return " · ".join(part for part in parts if part)


WIDTH = 96
_LONGEST_RESULT = 400


def to_text(snapshot: dict[str, Any]) -> str:
    """Return a transcript *snapshot* as plain text; all but answers is wrapped at `WIDTH`."""
    blocks = [header_text(snapshot)]
    aside: list[str] = []
    for item in snapshot.get("items") or ():
        if item.get("kind") in ("answer", "speaker"):
            if aside:
                blocks.append("\n".join(aside))
                aside = []
            if item.get("kind") == "speaker":
                aside.extend(item_lines(item))
                continue
            blocks.append(clean_text(item.get("text") or "").strip())
            if item.get("interrupted"):
                aside.append("  ■ interrupted here")
        else:
            aside.extend(item_lines(item))
    if aside:
        blocks.append("\n".join(aside))
    blocks += [cites_text(snapshot), footer_text(snapshot)]
    return "\n\n".join(block for block in blocks if block)


def cites(snapshot: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what the answers of a snapshot cite: its number, its text, and when and where it came from."""
    told = []
    for one in dicts(snapshot.get("cites")):
        parts = (str(one.get("at") or "")[:10], one.get("origin"))
        where = " · ".join(one_line(part, 300) for part in parts if part)
        told.append((one_line(one.get("n"), 4), clean_text(one.get("text") or "", 300), where))
    return told


def cites_text(snapshot: dict[str, Any]) -> str:
    """Return what the answers cite, a line each."""
    said = (f"[{n}] {one_line(text, 160)} · {where}" for n, text, where in cites(snapshot))
    return "\n".join(line for one in said for line in _wrapped(one, "  "))


def header_text(snapshot: dict[str, Any]) -> str:
    """Return the first line: who answers, with which model."""
    sender = snapshot.get("sender")
    asked = f"asked by {sender}" if sender else ""
    parts = [snapshot.get("agent") or "agent", asked, snapshot.get("model"), snapshot.get("label")]
    return " · ".join(one_line(part, 160) for part in parts if part)


def footer_text(snapshot: dict[str, Any]) -> str:
    """Return the last lines: the error if there was one, and the figures."""
    footer = snapshot.get("footer") or {}
    lines = []
    if footer.get("error"):
        lines.append(f"✗ {one_line(footer['error'], 1_000)}")
    parts = footer_parts(footer)
    if snapshot.get("state") == "waiting":
        parts.append("waits for approval")
    elif footer.get("stop_reason"):
        parts.append(one_line(footer["stop_reason"], 80))
    if parts:
        lines.append(f"[{' · '.join(parts)}]")
    return "\n".join(lines)


def item_lines(item: dict[str, Any]) -> list[str]:
    """Return an entry that is no answer, as lines."""
    # One case a kind of entry, in the order in which a run has them.
    kind = item.get("kind")
    if kind == "reasoning":
        return _wrapped(clean_text(item.get("text") or "").strip(), "  ~ ")
    if kind == "tool_call":
        return _call(item)
    if kind in ("memory", "edited"):
        what = "memory" if kind == "memory" else "edited by hand:"
        head = f"  ✎ {what} {one_line(item.get('label') or '', 80)}"
        version = item.get("version")
        diff = diff_lines(clean_text(item.get("before") or ""), clean_text(item.get("after") or ""))
        lines = [f"      {line.sign} {one_line(line.text, WIDTH - 8)}" for line in diff[:12]]
        if len(diff) > 12:
            lines.append(f"      … {count(len(diff) - 12, 'more line')}")
        return [head + (f" (v{version})" if version else ""), *lines]
    if kind == "notice":
        sign = LEVELS.get(str(item.get("level")), "·")
        return _wrapped(one_line(item.get("text") or "", 1_000), f"  {sign} ")
    if kind == "beside":
        parts = [one for one in item.get("parts") or () if isinstance(one, dict)]
        said = [f"{one.get('name') or ''} {one.get('note') or ''}".strip() for one in parts]
        return _wrapped(one_line(f"beside the message: {' · '.join(said)}", 500), "  · ")
    if kind == "retrieved":
        found = count(len(item.get("passages") or ()), "passage")
        return [f"  · {found} from archival memory"]
    if kind == "speaker":
        said = [one_line(item[part], 160) for part in ("name", "model", "label") if item.get(part)]
        return [f"── {' · '.join(said)} ──"]
    if kind == "pictures":
        return [
            f"  ▣ {one_line(one.get('alt') or 'image', 100)}" for one in dicts(item.get("pictures"))
        ]
    return []


def _call(item: dict[str, Any]) -> list[str]:
    state = str(item.get("state") or "ok")
    name = one_line(item.get("name") or "tool", 100)
    said = spoken_call(item)
    peek = preview(item.get("arguments"), WIDTH - 14)
    lines = [
        f"  {GLYPHS.get(state, '·')} {name}({peek})" + (f"  {said}" if said else ""),
    ]
    if item.get("output"):
        lines.extend(_indented(str(item["output"]), "      | "))
    if state == "error" and item.get("error"):
        lines.append(f"      {one_line(item['error'], 300)}")
    elif item.get("result"):
        lines.extend(_indented(str(item["result"]), "      "))
    for run in dicts(item.get("asked")):
        lines.append(f"      {' · '.join(asked_parts(run))}")
        for inner in dicts(run.get("items")):
            if inner.get("kind") == "answer":
                lines.extend(_indented(str(inner.get("text") or ""), "        "))
            else:
                lines.extend(f"      {line}" for line in item_lines(inner))
    return lines


def asked_parts(run: dict[str, Any]) -> list[str]:
    """Return what stands above the run of another agent: who it is, and how its run stands."""
    footer = run.get("footer")
    figures = footer_parts(footer) if isinstance(footer, dict) else []
    state = {"running": "running", "waiting": "waits for approval", "interrupted": "interrupted"}
    parts = [one_line(run.get("agent") or "agent", 80), state.get(str(run.get("state")), "")]
    return [part for part in (*parts, *figures[:2]) if part]


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


def dicts(items: object) -> list[dict[str, Any]]:
    """Return those of *items*, which come from a file, that are objects."""
    return [i for i in items if isinstance(i, dict)] if isinstance(items, list | tuple) else []
