"""What a front end is told of a run: numbered changes, small ones, and the whole when it asks.

Settled parts (finished calls, diffs, whole paragraphs of the answer) are rendered here and sent once as
harmless HTML; what still grows (thoughts, arguments, the answer's last paragraph) is sent as text.
Inline styles, which are most of that HTML, are sent once each: ``style="@3"`` stands for ``looks[3]``.
"""

from __future__ import annotations

import re
from typing import Any

from letta_kernel.display import words
from letta_kernel.display.html import footer_html, header_html, item_html
from letta_kernel.display.markdown import markdown_html, parser
from letta_kernel.display.mathml import with_mathml

_LIVE_CALLS = ("writing", "running", "waiting")
_STYLE = re.compile(r' style="([^"@]*)"')
_LIVE_OUTPUT = 4_000  # characters of a running tool's output on screen


class Deltas:
    """Compares a run with what front ends have been told of it.

    `changes` returns what is new since it was last called, `whole` everything at the same number.
    """

    def __init__(self) -> None:
        self.number = 0
        self._told: dict[str, Any] = {"head": "", "foot": "", "state": "", "said": "", "ask": None}
        self._items: dict[int, dict[str, Any]] = {}
        self._answers: dict[int, _Answer] = {}
        self._rendered: dict[int, tuple[dict[str, Any], str]] = {}
        self._looks: dict[str, int] = {}

    def whole(self) -> dict[str, Any]:
        """Return all that was told so far, for a front end that has just come or missed something."""
        items = list(self._items.values())
        return {
            "n": self.number,
            "whole": True,
            "looks": list(self._looks),
            "items": items,
            **self._told,
        }

    def changes(
        self, snapshot: dict[str, Any], keys: list[int], ask: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Return what to send, or None if nothing changed.

        Parameters
        ----------
        snapshot, keys
            From `Transcript.follow`.
        ask
            What the person is asked just now.
        """
        entries = list(zip(keys, snapshot["items"], strict=True))
        looks = len(self._looks)
        told: dict[str, Any] = {
            "head": self._pack(header_html({**snapshot, "state": ""})),
            "foot": self._pack(footer_html(snapshot)),
            "state": snapshot["state"],
            "said": _said(entries, snapshot),
            "ask": ask,
        }
        message = {name: value for name, value in told.items() if value != self._told[name]}
        running = snapshot["state"] == "running"
        views = {
            key: self._view(key, item, growing=running and place == len(entries) - 1)
            for place, (key, item) in enumerate(entries)
        }
        items = [c for key, view in views.items() if (c := _change(self._items.get(key), view))]
        if items:
            message["items"] = items
        appended = [*self._items, *(key for key in views if key not in self._items)]
        if list(views) != appended:  # something went away or found its place further up
            message["order"] = list(views)
        self._told, self._items = told, views
        if not message:
            return None
        if len(self._looks) > looks:
            message["looks"] = list(self._looks)[looks:]
        self.number += 1
        return {"n": self.number, **message}

    def _pack(self, html: str) -> str:
        def short(match: re.Match[str]) -> str:
            return f' style="@{self._looks.setdefault(match[1], len(self._looks))}"'

        return _STYLE.sub(short, html)

    def _view(self, key: int, item: dict[str, Any], growing: bool) -> dict[str, Any]:
        kind = item["kind"]
        if kind == "reasoning":
            return {"k": key, "t": "thought", "text": item["text"]}
        if kind == "answer":
            answer = self._answers.setdefault(key, _Answer())
            answer.update(item["text"], growing)
            return {"k": key, "t": "answer", "html": self._pack(answer.html), "tail": answer.tail}
        if kind == "tool_call" and item["state"] in _LIVE_CALLS:
            arguments = item["arguments"]
            text = arguments if isinstance(arguments, str) else words.preview(arguments, 2_000)
            return {
                "k": key,
                "t": "call",
                "name": item["name"],
                "state": item["state"],
                "args": text,
                "output": item["output"][-_LIVE_OUTPUT:],
                "progress": item.get("progress", ""),
            }
        known, html = self._rendered.get(key, (None, ""))
        if known != item:
            html = self._pack(item_html(item))
            self._rendered[key] = (item, html)
        return {"k": key, "t": "html", "html": html}


class _Answer:
    """An answer in two parts: the paragraphs that are over, as HTML, and the rest as it is."""

    def __init__(self) -> None:
        self.html = ""
        self.tail = ""
        self._settled = ""

    def update(self, text: str, growing: bool) -> None:
        if not text.startswith(self._settled):  # cleaning changed what came before
            self.html = self._settled = ""
        rest = text[len(self._settled) :]
        if "\n" in rest or not growing:
            end = _last_block(rest) if growing else len(rest)
            if end:
                self.html += with_mathml(markdown_html(rest[:end]))
                self._settled += rest[:end]
                rest = rest[end:]
        self.tail = rest


def _last_block(text: str) -> int:
    """Where the last block of Markdown begins: all before it is over."""
    starts = [t.map[0] for t in parser().parse(text) if t.level == 0 and t.map and t.nesting != -1]
    if len(starts) < 2:
        return 0
    return sum(len(line) for line in text.splitlines(keepends=True)[: starts[-1]])


def _change(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of *new* that differ; ``+name`` is what a text has grown by."""
    if old is None or old["t"] != new["t"]:
        return new
    change: dict[str, Any] = {}
    for name, value in new.items():
        before = old.get(name)
        if value == before:
            continue
        if (
            isinstance(value, str)
            and isinstance(before, str)
            and before
            and value.startswith(before)
        ):
            change[f"+{name}"] = value[len(before) :]
        else:
            change[name] = value
    return {"k": new["k"], **change} if change else None


def _said(entries: list[tuple[int, dict[str, Any]]], snapshot: dict[str, Any]) -> str:
    """One sentence for those who listen instead of looking."""
    agent = snapshot["agent"] or "The agent"
    if snapshot["state"] == "waiting":
        return f"{agent} waits for your approval."
    if snapshot["state"] != "running":
        return f"{agent} has ended."
    if not entries:
        return f"{agent} is starting."
    last = entries[-1][1]
    if last["kind"] == "answer":
        return f"{agent} is answering."
    if last["kind"] == "reasoning":
        return f"{agent} is thinking."
    if last["kind"] == "tool_call":
        return f"{last['name']}: {words.STATE_WORDS.get(last['state'], 'done')}."
    if last["kind"] == "memory":
        return f"The memory block {last['label']} was changed."
    return f"{agent} is working."
