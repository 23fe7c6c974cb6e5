"""What the shell offers while somebody types: agents, block labels, tools, models.

Only the database is read; nothing is imported that makes the shell wait, and nothing is ever said.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def _names(context: typer.Context, read: Callable[[Any], list[str]], incomplete: str) -> list[str]:
    from letta_kernel.project import project_folder
    from letta_kernel.store.database import Database

    with contextlib.suppress(Exception):  # a shell in the middle of a line is told nothing
        home = project_folder(context.params.get("home"))
        if not (home / "letta.duckdb").exists():
            return []
        database = Database(Path(home), patience=1.0)
        try:
            found = database.run(read)
        finally:
            database.close()
        return [_as_typed(name) for name in found if name.startswith(incomplete)]
    return []


def _as_typed(name: str) -> str:
    """Return *name* as the shell has to insert it: bash alone leaves the quoting to us."""
    if os.environ.get("_LETTA_KERNEL_COMPLETE") != "complete_bash":
        return name
    last = os.environ.get("COMP_WORDS", "").split(" ")
    quote_is_open = any(word[:1] in ("'", '"') and word[:1] not in word[1:] for word in last)
    return name if quote_is_open else re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", name)


def agents(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return agents' names."""
    from letta_kernel.store import agents as room

    return _names(ctx, lambda tx: [state.name for state in room.list_all(tx)], incomplete)


def labels(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the labels of the memory blocks of the agent named before."""
    from letta_kernel.store import agents as room
    from letta_kernel.store import blocks

    def read(tx: Any) -> list[str]:
        named = room.named(tx, str(ctx.params.get("agent")))
        return [block.label for state in named for block in blocks.of_agent(tx, state.id)]

    return _names(ctx, read, incomplete)


def own_tools(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the tools of the agent named before."""
    from letta_kernel.store import agents as room
    from letta_kernel.store import tools

    def read(tx: Any) -> list[str]:
        named = room.named(tx, str(ctx.params.get("agent")))
        return [tool.name for state in named for tool in tools.of_agent(tx, state.id)]

    return _names(ctx, read, incomplete)


def all_tools(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return every tool of the project."""
    from letta_kernel.store import tools
    from letta_kernel.tools import builtin

    return _names(
        ctx, lambda tx: sorted({t.name for t in tools.list_all(tx)} | {*builtin.NAMES}), incomplete
    )


def models(incomplete: str) -> list[str]:
    """Return models worth naming, without asking any server."""
    from letta_kernel.models.plugins import providers
    from letta_kernel.models.providers import PROVIDERS

    brought = [name for one in providers().values() for name in one.names()]
    known = [*brought, *(p.model for p in PROVIDERS.values())]
    return [name for name in known if name.startswith(incomplete)]


def obtainable(incomplete: str) -> list[str]:
    """Return the models that can be downloaded."""
    from letta_kernel.models.plugins import offers

    return [one.name for one in offers().values() if one.name.startswith(incomplete)]


Agent = Annotated[
    str, typer.Argument(help="An agent's name or id.", autocompletion=agents, show_default=False)
]
OfAgent = Annotated[
    str | None, typer.Option("--agent", "-a", help="An agent's name or id.", autocompletion=agents)
]
Label = Annotated[
    str, typer.Argument(help="A memory block's label.", autocompletion=labels, show_default=False)
]
OwnTool = Annotated[
    str, typer.Argument(help="A tool's name or id.", autocompletion=own_tools, show_default=False)
]
AnyTool = Annotated[
    str, typer.Argument(help="A tool's name or id.", autocompletion=all_tools, show_default=False)
]
