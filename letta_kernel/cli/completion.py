"""What the shell offers while somebody types: agents, block labels, tools, models.

Only the database is read; nothing is imported that makes the shell wait, and nothing is ever said.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable

import typer

from letta_kernel.cli.door import TerminalDoor
from letta_kernel.commands.values import soon, values


def offering(kind: str) -> Callable[[typer.Context, str], list[str]]:
    """Return what completes a parameter by words of a *kind*."""

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        session = TerminalDoor(ctx.params.get("home"), json=False)
        agent = ctx.params.get("agent")
        with contextlib.suppress(Exception):  # a shell in the middle of a line is told nothing
            try:
                known = str(agent) if agent else None
                found = soon(session, lambda: values(kind, session, known, incomplete))
            finally:
                session.close()
            return [_as_typed(name) for name in found if name.startswith(incomplete)]
        return []

    return offer


def _as_typed(name: str) -> str:
    """Return *name* as the shell has to insert it: bash alone leaves the quoting to us."""
    if os.environ.get("_LETTA_KERNEL_COMPLETE") != "complete_bash":
        return name
    last = os.environ.get("COMP_WORDS", "").split(" ")
    quote_is_open = any(word[:1] in ("'", '"') and word[:1] not in word[1:] for word in last)
    return name if quote_is_open else re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", name)
