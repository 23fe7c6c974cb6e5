"""What errors mean and the way out: the pages whose names errors end with, kept in ``troubles.md``.

``letta-kernel help NAME`` prints one without a network, and the documentation is made of the same text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("troubles.md")
_LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Page:
    """What one kind of error means.

    Attributes
    ----------
    seen : texts that lead here, ``…`` for what differs each time.
    body : the cause and the way out, in Markdown; links lead from ``docs/troubleshooting``.
    """

    name: str
    title: str
    seen: tuple[str, ...]
    body: str

    @property
    def text(self) -> str:
        """The page for a terminal or a cell."""
        seen = "\n".join(f"    {one}" for one in self.seen)
        body = _LINK.sub(r"\1 (docs/\2)", self.body)
        return "\n\n".join([f"{self.title} [{self.name}]", seen, body])

    @property
    def markdown(self) -> str:
        """The page for the documentation."""
        seen = "\n".join(self.seen)
        called = f"Errors that end with `{self.name}`, such as:"
        return f"# {self.title}\n\n{called}\n\n```text\n{seen}\n```\n\n{self.body}\n"

    def data(self) -> dict[str, object]:
        """Return the page as JSON holds it."""
        return {"name": self.name, "title": self.title, "seen": [*self.seen], "body": self.body}


@cache
def pages() -> dict[str, Page]:
    """Return all pages by name."""
    parts = re.split(r"^# ([a-z-]+): (.+)\n", SOURCE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for name, title, rest in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        lines = rest.strip().split("\n")
        seen = tuple(line[2:] for line in lines if line.startswith("> "))
        body = "\n".join(line for line in lines if not line.startswith("> ")).strip()
        found[name] = Page(name, title, seen, body)
    return found
