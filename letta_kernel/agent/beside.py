"""What a notebook places beside a message. The sender gives a `BesideSource`, asked when the turn begins.

The text is untrusted, for it comes from cells and files. It stands between tags that nothing in it can close.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from letta_kernel.agent.settings import AgentSettings
from letta_kernel.records import AgentState, Beside

SHARE = 4  # one part in so many of a model's window, at most, is for all of it

_CLOSING = re.compile(
    r"<(?=\s*/\s*(?:notebook|mention|cell|output|error|retrieved_memory|memory_blocks|block|value)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A turn that is about to begin.

    ``room`` is how many tokens may be placed beside its message, as ``count`` counts them; ``destinations``
    says to whom the message goes, empty where the model runs on this machine.
    """

    agent: AgentState
    settings: AgentSettings
    room: int
    count: Callable[[str], int]
    destinations: Sequence[str] = ()


class BesideSource(Protocol):
    """Gives what stands beside one message; called on the thread that sends it."""

    notes: list[str]
    """What the person is told once it has been gathered."""

    def gather(self, ahead: Ahead) -> list[Beside]:
        """Return what is placed beside the message."""

    def went(self) -> None:
        """Note that a step with it has been committed."""


def inert(text: str) -> str:
    """Return *text* as it may stand between our tags: it closes none of them."""
    return _CLOSING.sub("<\\\\", text)


def described(parts: Sequence[Beside]) -> str:
    """Return *parts* as the text that stands before a message."""
    return "\n\n".join(_described(one) for one in parts)


def lasting(parts: Sequence[Beside]) -> str:
    """Return as text those of *parts* that stay beside their message in later turns."""
    return described([one for one in parts if one.lasting])


def _described(one: Beside) -> str:
    tag = "notebook" if one.kind == "notebook" else "mention"
    kind = "" if tag == "notebook" else f' kind="{attribute(one.kind)}"'
    body = re.sub(rf"<(?=\s*/\s*{tag}\b)", r"<\\", one.text, flags=re.IGNORECASE)
    return f'<{tag} name="{attribute(one.name)}"{kind}>\n{body}\n</{tag}>'


def attribute(text: str) -> str:
    """Return *text* as an attribute's value in double quotes, on one line."""
    line = " ".join(text.split())[:200]
    return line.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
