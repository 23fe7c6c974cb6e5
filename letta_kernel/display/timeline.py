"""The timeline of an agent as a notebook keeps it: runs, their steps, and the branches that hang on them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from letta_kernel.display import style, words
from letta_kernel.display.clean import esc, one_line
from letta_kernel.display.style import el, fold, heading, small
from letta_kernel.display.tables import Panel, when

Fields = Mapping[str, Any]
_SIGNS = {"completed": "✓", "failed": "✗", "cancelled": "■"}


def timeline_panel(past: Fields, name: str) -> Panel:
    """Return a page of the line of the agent *name*, newest run first; *past* is as `Timeline.data` has it."""
    title = one_line(f"Timeline of {name}", 120)
    origin = f"forked from {one_line(past['origin'], 80)}" if past["origin"] else ""
    html, text = [], [title + (f" ({origin})" if origin else "")]

    def hang(run: str) -> None:
        for one in past["branches"]:
            if one["after"] == run:
                html.append(el("div", f"↳ {esc(_named(one))}"))
                text.append(f"↳ {_named(one)}")

    for run in past["runs"]:
        hang(run["id"])
        html.append(_run(run))
        text.append(_line(run))
        text += [f"    {_step(one)} · {short(one['id'])}" for one in run["steps"]]
    hang("")
    if not past["runs"]:
        html.append(el("div", small("Nothing was said yet.")))
        text.append("Nothing was said yet.")
    if past["more"]:
        html.append(el("div", small("There are older runs.")))
        text.append("… and older runs")
    head = heading(title) + (el("div", small(esc(origin))) if origin else "")
    panel = Panel(head + "".join(html), "\n".join(text))
    panel.mime = {"version": 1, "kind": "timeline"}
    return panel


def short(ref: str) -> str:
    """Return as much of an id as names it: ``step-1f0a9c3d``."""
    kind, _, rest = ref.partition("-")
    return f"{kind}-{rest[:8]}"


def _run(run: Fields) -> str:
    asked = one_line(run["asked"] or "a run", 160)
    summary = f"{_sign(run)} {esc(asked)} {small(esc(' · '.join(_facts(run))))}"
    inside = [el("li", esc(_step(one)), " ", small(esc(short(one["id"])))) for one in run["steps"]]
    error = (
        el("div", esc(one_line(run["error"], 300)), look=style.alert(style.RED))
        if run["error"]
        else ""
    )
    return fold(summary, error, el("ul", *inside)) if inside or error else el("div", summary)


def _named(branch: Fields) -> str:
    at = when(datetime.fromisoformat(branch["created_at"]))
    if branch["agent"]:
        return f"Fork: {one_line(branch['agent'], 80)} · {at}"
    said = words.count(branch["messages"], "message")
    return f"An end that was left ({branch['reason']}) · {said} · {at} · {short(branch['id'])}"


def _line(run: Fields) -> str:
    return f"{_sign(run)} {one_line(run['asked'] or 'a run', 80)} · {' · '.join(_facts(run))}"


def _sign(run: Fields) -> str:
    return "◇" if run["waits"] else _SIGNS.get(run["status"], "◌")


def _facts(run: Fields) -> list[str]:
    state = "waits for approval" if run["waits"] else one_line(run["status"], 40)
    parts = [
        when(datetime.fromisoformat(run["created_at"])),
        f"said to {one_line(run['of'], 80)}" if run["of"] else "",
        "" if state == "completed" else state,
        words.count(len(run["steps"]), "step"),
        *_figures(run),
        short(run["id"]),
    ]
    return [part for part in parts if part]


def _step(step: Fields) -> str:
    tools = ", ".join(one_line(name, 60) for name in step["tools"])
    parts = [
        f"Step {step['number']}" + (f": {one_line(tools, 120)}" if tools else ""),
        "edited by a person" if step.get("edited") else "",
        *_figures(step),
        one_line(step["error"], 200) if step["error"] else "",
    ]
    return " · ".join(part for part in parts if part)


def _figures(one: Fields) -> list[str]:
    tokens = one["prompt_tokens"] + one["completion_tokens"]
    return [
        words.count(tokens, "token") if tokens else "",
        words.seconds(one["seconds"]),
        words.money(one["cost"] or None),
    ]
