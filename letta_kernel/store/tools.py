"""Tools and which agents have them."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.errors import NotFoundError
from letta_kernel.ids import now
from letta_kernel.records import Tool
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Links, Table, Where

_TOOLS = Table("tools", Tool, json=("parameters", "metadata"))
_OF_AGENTS = Links("agent_tools", "tool_id")

get, get_many = _TOOLS.get, _TOOLS.get_many
detach, agents_with = _OF_AGENTS.detach, _OF_AGENTS.agents_with


def save(tx: Tx, tool: Tool) -> Tool:
    """Insert a tool, or write it over the one of the same id; agents that have it keep it."""
    old = _TOOLS.get(tx, tool.id)
    if old is None:
        _TOOLS.insert(tx, [tool])
        return tool
    tool.updated_at = now()
    _TOOLS.update(tx, tool, keep=("created_at", "created_by"))
    if tool.name != old.name:
        for agent_id in agents_with(tx, tool.id):
            _detach_namesakes(tx, agent_id, tool)
    return tool.model_copy(update={"created_at": old.created_at, "created_by": old.created_by})


def find(tx: Tx, name: str, notebook: str | None = None) -> Tool | None:
    """Return the tool of this name, of one notebook if given, else the one changed last; or None."""
    found = _TOOLS.select(
        tx,
        "WHERE name = $1 AND ($2::text IS NULL OR notebook = $2)"
        " ORDER BY updated_at DESC, id LIMIT 1",
        (name, notebook),
    )
    return found[0] if found else None


def list_all(tx: Tx) -> list[Tool]:
    """Return all tools in the order of their names."""
    return _TOOLS.select(tx, "ORDER BY name, id")


def ids(
    tx: Tx,
    *,
    names: Sequence[str] | None = None,
    among: Sequence[str] | None = None,
    text: str | None = None,
    newest_first: bool = False,
) -> list[tuple[str, str, str]]:
    """Return the id, kind and name of tools in the order in which they were made.

    Parameters
    ----------
    names, among
        Only tools with one of these names, or one of these ids.
    text
        Only tools in whose name this occurs, in any case.
    newest_first
        The other way round.
    """
    where = Where()
    if names is not None:
        where.add("name = ANY({}::text[])", list(names))
    if among is not None:
        where.add("id = ANY({}::text[])", list(among))
    if text:
        where.add("position({} IN lower(name)) > 0", text.lower())
    way = "DESC" if newest_first else "ASC"
    sql = f"SELECT id, kind, name FROM tools {where} ORDER BY created_at {way}, id {way}"
    return [(str(row[0]), str(row[1]), str(row[2])) for row in tx.query(sql, where.params)]


def of_agent(tx: Tx, agent_id: str) -> list[Tool]:
    """Return an agent's tools in the order in which they were attached, asking as this agent's do."""
    return [
        tool if asks is None else tool.model_copy(update={"requires_approval": asks})
        for tool, asks in attached(tx, agent_id)
    ]


def attached(tx: Tx, agent_id: str) -> list[tuple[Tool, bool | None]]:
    """Return an agent's tools as they are kept, each with whether this agent's calls ask (None: as it says)."""
    found = _TOOLS.select(
        tx,
        "JOIN agent_tools a ON a.tool_id = tools.id WHERE a.agent_id = $1 ORDER BY a.position",
        (agent_id,),
    )
    sql = "SELECT tool_id, asks FROM agent_tools WHERE agent_id = $1 AND asks IS NOT NULL"
    own = dict(tx.query(sql, (agent_id,)))
    return [(tool, own.get(tool.id)) for tool in found]


def set_asking(tx: Tx, agent_id: str, tool_id: str, asks: bool | None) -> None:
    """Set whether a person must approve an agent's calls of a tool; None: as the tool says."""
    sql = "UPDATE agent_tools SET asks = $3 WHERE agent_id = $1 AND tool_id = $2"
    tx.execute(sql, (agent_id, tool_id, asks))


def attach(tx: Tx, agent_id: str, tool_id: str) -> None:
    """Give an agent a tool; one of the same name that it has is replaced.

    Raises
    ------
    NotFoundError
        There is no such tool or agent.
    """
    tool = _TOOLS.get(tx, tool_id)
    if tool is None:
        raise NotFoundError(f"There is no tool {tool_id}.")
    _detach_namesakes(tx, agent_id, tool)
    _OF_AGENTS.attach(tx, agent_id, tool_id)


def give(tx: Tx, agent_id: str, tool: Tool) -> None:
    """Give an agent a tool that may not be stored yet, as built-in ones are not until somebody has them."""
    if get(tx, tool.id) is None:
        save(tx, tool)
    attach(tx, agent_id, tool.id)


def give_first(tx: Tx, agent_id: str, tools: Sequence[Tool]) -> None:
    """Give tools of different names to an agent that was made in this transaction and has none yet.

    Those that are not stored yet are.
    """
    sql = "SELECT id FROM tools WHERE id = ANY($1::text[])"
    known = {row[0] for row in tx.query(sql, ([tool.id for tool in tools],))}
    _TOOLS.insert(tx, [tool for tool in tools if tool.id not in known])
    _OF_AGENTS.attach_first(tx, agent_id, [tool.id for tool in tools])


def replace(tx: Tx, agent_id: str, wanted: Sequence[tuple[Tool, bool | None]]) -> None:
    """Let an agent have exactly these tools, of different names, each with whether its calls ask.

    Those that are not stored yet are; those that are stay as they stand there.
    """
    sql = "SELECT id FROM tools WHERE id = ANY($1::text[])"
    known = {row[0] for row in tx.query(sql, ([tool.id for tool, _ in wanted],))}
    _TOOLS.insert(tx, [tool for tool, _ in wanted if tool.id not in known])
    tx.execute("DELETE FROM agent_tools WHERE agent_id = $1", (agent_id,))
    tx.execute(
        "INSERT INTO agent_tools (agent_id, tool_id, position, asks) SELECT $1, unnest($2::text[]),"
        " unnest($3::bigint[]), unnest($4::boolean[])",
        (
            agent_id,
            [tool.id for tool, _ in wanted],
            list(range(1, len(wanted) + 1)),
            [asks for _, asks in wanted],
        ),
    )


def delete(tx: Tx, tool_id: str) -> bool:
    """Delete a tool, taking it from every agent; False if there is none."""
    tx.execute("DELETE FROM agent_tools WHERE tool_id = $1", (tool_id,))
    return tx.one("DELETE FROM tools WHERE id = $1 RETURNING id", (tool_id,)) is not None


def _detach_namesakes(tx: Tx, agent_id: str, tool: Tool) -> None:
    tx.execute(
        "DELETE FROM agent_tools WHERE agent_id = $1 AND tool_id <> $2"
        " AND tool_id IN (SELECT id FROM tools WHERE name = $3)",
        (agent_id, tool.id, tool.name),
    )
