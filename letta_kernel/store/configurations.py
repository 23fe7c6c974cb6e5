"""What agents ran with, kept once for each content: configurations, and the tools in them as they were.

A point in time needs no copy of anything for it: a step names its configuration, a configuration its tools'
versions. Nothing here is ever changed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from letta_kernel.ids import digest, now
from letta_kernel.records import AgentState, Block, Configuration, Tool, ToolUse
from letta_kernel.store import archives, folders, tools
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import dump, load

_DIGITS = 40
_NO_CONTENT = {"id", "created_at", "updated_at", "created_by"}  # of a tool
_OF_AGENT = ("model", "embedding", "style", "instructions", "max_steps", "tool_rules")


def current(tx: Tx, state: AgentState, blocks: Sequence[Block]) -> tuple[Configuration, list[Tool]]:
    """Return what an agent would run with now, and its tools; *blocks* are the ones it has."""
    own = tools.attached(tx, state.id)
    shown = {name: value for name, value in state.settings.items() if name != "environment"}
    found = Configuration(
        **{name: getattr(state, name) for name in _OF_AGENT},
        settings=shown,
        tools=[
            ToolUse(id=tool.id, name=tool.name, version=version(tool), asks=asks)
            for tool, asks in own
        ],
        blocks=[[block.id, block.label] for block in blocks],
        archives=archives.of_agent(tx, state.id),
        folders=folders.of_agent(tx, state.id),
    )
    return found, [tool for tool, _ in own]


def version(tool: Tool) -> str:
    """Return the id of a tool's content: the same for the same source, schema and options."""
    return "version-" + digest(dump(tool.model_dump(mode="json", exclude=_NO_CONTENT)), _DIGITS)


def name_of(one: Configuration) -> str:
    """Return the id of a configuration, which is the same for the same content."""
    return "configuration-" + digest(dump(one.model_dump(mode="json")), _DIGITS)


def keep(tx: Tx, one: Configuration, own: Sequence[Tool]) -> str:
    """Keep a configuration with its tools, unless they are there; return its id."""
    name = name_of(one)
    if tx.one("SELECT 1 FROM configurations WHERE id = $1", (name,)) is None:
        moment = now()
        tools = {version(tool): dump(tool.model_dump(mode="json")) for tool in own}
        if tools:
            tx.execute(
                "INSERT INTO tool_versions (id, tool, created_at) SELECT id, CAST(tool AS json),"
                " $3::timestamptz FROM (SELECT unnest($1::text[]) AS id, unnest($2::text[]) AS tool)"
                " AS given ON CONFLICT (id) DO NOTHING",
                (list(tools), list(tools.values()), moment),
            )
        tx.execute(
            "INSERT INTO configurations VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
            (name, dump(one.model_dump(mode="json")), moment),
        )
    return name


def get(tx: Tx, name: str | None) -> Configuration | None:
    """Return the configuration of this id, or None."""
    row = tx.one("SELECT value FROM configurations WHERE id = $1", (name or "",))
    return None if row is None else Configuration.model_validate(load(row[0]))


def tools_of(tx: Tx, versions: Collection[str]) -> dict[str, Tool]:
    """Return tools as they were, by the id of their version; those that are not there are left out."""
    rows = tx.query(
        "SELECT id, tool FROM tool_versions WHERE id = ANY($1::text[])", (list(versions),)
    )
    return {str(row[0]): Tool.model_validate(load(row[1])) for row in rows}
