"""Tools that programs bring as source: how they are read and checked, and which fit a query."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from letta_kernel.errors import InvalidInputError, ToolError
from letta_kernel.memory import scoring
from letta_kernel.memory.corpus import Corpus
from letta_kernel.models.embedding import OFFLINE, embedder
from letta_kernel.records import Tool
from letta_kernel.store import tools
from letta_kernel.store.database import Tx
from letta_kernel.store.indexes import Line
from letta_kernel.tools import builtin, core
from letta_kernel.tools.mcp_schema import clean_schema
from letta_kernel.tools.options import options_from_ast
from letta_kernel.tools.schema import schema_from_source
from letta_kernel.tools.schema_models import KEPT_AS
from letta_kernel.tools.source import find_function, parse_source

LONGEST_SOURCE = 1_000_000
"""Characters of a tool's source."""
MAX_RETURN = 1_000_000
"""The largest return limit a tool may be given, in characters."""
FREE = (
    *("description", "requires_approval", "parallel_safe", "return_limit", "network"),
    *("tags", "metadata"),
)
"""What of a tool can be changed whatever its source says."""


def from_source(
    source: str,
    *,
    schema: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Tool:
    """Return the tool that *source* makes, not kept yet; the source is read, not run, here.

    Parameters
    ----------
    source : its last top-level function is the tool, or the one that *schema* names.
    schema : ``name``, ``description``, ``parameters`` as a model is shown them, instead of those that
        the source's docstring and annotations give.
    parameters : the same for the parameters alone.
    fields : those of `FREE`.

    Raises
    ------
    ToolError
        The source does not make a tool; one line that says how to mend it.
    """
    # Each of name, description and parameters may come from the schema, the decorator or the source, in this
    # order.
    if len(source) > LONGEST_SOURCE:
        raise ToolError(f"the source has more than {LONGEST_SOURCE:,} characters")
    given = dict(schema or {})
    for field in ("name", "description"):
        if not isinstance(given.get(field, ""), str | None):
            raise ToolError(f"the schema's {field} is a text, not {given[field]!r:.40}")
    wanted = given.get("name") or None
    node = find_function(parse_source(source), wanted)
    options = options_from_ast(node)
    told = given.get("parameters") if parameters is None else parameters
    if told is None:
        about = given.get("description") or options.description or fields.get("description")
        if not (about or (ast.get_docstring(node) or "").strip()):
            raise ToolError(
                f"{node.name}: there is no docstring; say in one what the function does"
            )
        made = schema_from_source(source, wanted, options=options)
    else:
        made = {
            "name": wanted or options.name or node.name,
            "description": ast.get_docstring(node) or "",
            "parameters": _checked_parameters(told),
        }
    name = str(made["name"])
    if name in core.FUNCTIONS:
        raise ToolError(f"{name!r} is the name of a built-in tool: rename the function")
    tool = Tool(
        name=name,
        description=str(given.get("description") or made["description"]),
        parameters=made["parameters"],
        source=source,
        kind="source",
        **{**options.record_fields(), "runs_in": "sandbox"},
    )
    changed = changed_tool(tool, fields)
    # What was kept with another source, or beside another schema, does not fit this one.
    metadata = {name: value for name, value in changed.metadata.items() if name != KEPT_AS}
    if parameters is not None and parameters.get("$defs"):
        metadata[KEPT_AS] = dict(parameters)
    return changed.model_copy(update={"metadata": metadata})


def best_of(found: Sequence[Tool], query: str, limit: int) -> list[tuple[Tool, float]]:
    """Return those of *found* that fit *query* best, each with a score from 0 to 1; blank: as they are."""
    if not query.strip() or not found:
        return [(tool, 0.0) for tool in found[:limit]]
    chosen = embedder(OFFLINE)
    texts = [text_of(tool) for tool in found]
    corpus = Corpus()
    lines = [
        Line(tool.id, number, text, tool.created_at, (), None, number, "")
        for number, (tool, text) in enumerate(zip(found, texts, strict=True), 1)
    ]
    corpus.add(lines, chosen.embed(texts))
    asked = scoring.query(query, chosen.embed([query])[0])
    scores = scoring.score(asked, corpus, np.ones(len(found), dtype=bool))
    best = np.argsort(-scores.rank, kind="stable")[:limit]
    by_id = {tool.id: tool for tool in found}
    return [(by_id[corpus.ids[row]], float(scores.relevance[row])) for row in best]


def text_of(tool: Tool) -> str:
    """Return what a tool is found by: its name, description and the names of its parameters."""
    names = " ".join(str(name) for name in tool.parameters.get("properties") or {})
    words = f"{tool.name} {names}".replace("_", " ")
    return f"{tool.name}: {tool.description}\n{words} {' '.join(tool.tags)}"


def namesake(tx: Tx, name: str) -> Tool | None:
    """Return the tool of that name that was made from source, None if there is none."""
    ids = [
        tool_id
        for tool_id, kind, _ in tools.ids(tx, names=[name])
        if kind == "source" and not builtin.is_outside(tool_id)
    ]
    return tools.get(tx, ids[0]) if ids else None


def check_ours(tool: Tool, what: str) -> None:
    """Refuse a built-in tool, which cannot be *what* says."""
    if tool.kind == "core" or builtin.is_outside(tool.id):
        raise InvalidInputError(f"The built-in tool {tool.name!r} cannot be {what}: detach it.")


def changed_tool(tool: Tool, fields: Mapping[str, Any]) -> Tool:
    """Return *tool* with the fields a person may change at any time."""
    for name in fields:
        if name not in FREE:
            raise InvalidInputError(f"A tool has no {name!r} to change; one of: {', '.join(FREE)}.")
    changed = tool.model_copy(update={k: v for k, v in fields.items() if v is not None})
    if not 1 <= changed.return_limit <= MAX_RETURN:
        raise InvalidInputError(
            f"return_char_limit: a whole number of characters from 1 to {MAX_RETURN:,}."
        )
    return changed


def _checked_parameters(told: Any) -> dict[str, Any]:
    """Return a schema from elsewhere as models and our own check of arguments can use it."""
    properties = told.get("properties", {}) if isinstance(told, Mapping) else None
    required = told.get("required", []) if isinstance(told, Mapping) else None
    if (
        not isinstance(properties, Mapping)
        or told.get("type", "object") != "object"
        or not all(isinstance(one, Mapping) for one in properties.values())
        or not isinstance(required, list)
        or not all(isinstance(one, str) and one in properties for one in required)
    ):
        raise ToolError(
            "the parameters must be a JSON schema of type object, with properties and a list of the "
            "required ones"
        )
    return clean_schema(told)
