"""Tools that programs bring as source: made, replaced, changed, found, tried; they run in the sandbox."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from letta_kernel.errors import ConflictError, InvalidInputError, ToolError
from letta_kernel.ids import new_id
from letta_kernel.memory import scoring
from letta_kernel.memory.corpus import Corpus
from letta_kernel.models.base import Cancel
from letta_kernel.models.embedding import OFFLINE, embedder
from letta_kernel.records import Tool, ToolRule
from letta_kernel.service.toolbox import Toolbox
from letta_kernel.store import agents, tools
from letta_kernel.store.database import Tx
from letta_kernel.store.search_rows import Line
from letta_kernel.tools import builtin, core
from letta_kernel.tools.arguments import ToolArgumentError, parse_arguments
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.mcp_schema import clean_schema
from letta_kernel.tools.options import options_from_ast
from letta_kernel.tools.outcome import Outcome
from letta_kernel.tools.schema import schema_from_source
from letta_kernel.tools.source import find_function, parse_source

LONGEST_SOURCE = 1_000_000
"""Characters of a tool's source."""
MAX_RETURN = 1_000_000
"""The largest return limit a tool may be given, in characters."""
_FREE = ("description", "requires_approval", "parallel_safe", "return_limit", "tags", "metadata")


class Sources(Toolbox):
    """The part of the service that deals with tools made from source."""

    def tool_from_source(
        self,
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
        fields : description, requires_approval, parallel_safe, return_limit, tags, metadata.

        Raises
        ------
        ToolError
            The source does not make a tool; one line that says how to mend it.
        """
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
        return _changed(tool, fields)

    def add_source_tool(self, tool: Tool, *, replace: bool = False) -> Tool:
        """Keep a tool made from source; with *replace* it takes the place and id of its namesake.

        Raises
        ------
        ConflictError
            There is a tool of that name made from source, and *replace* was not asked for.
        """

        def work(tx: Tx) -> Tool:
            known = _namesake(tx, tool.name)
            if known is None:
                return tools.save(tx, tool)
            if not replace:
                raise ConflictError(
                    f"There is a tool {tool.name!r} already: upsert or update it, or rename the function."
                )
            return tools.save(tx, tool.model_copy(update={"id": known.id}))

        return self.do(work)

    def tool(self, ref: str) -> Tool:
        """Return one tool, by id or name; `NotFoundError` names the nearest."""
        found = self.do(lambda tx: self._find_tool(tx, ref))
        return builtin.current(found)

    def tool_ids(self, **filters: Any) -> list[tuple[str, str, str]]:
        """Return id, kind and name of tools, the built-in ones among them; filters as the store's."""

        def work(tx: Tx) -> list[tuple[str, str, str]]:
            known = tools.ids(tx)
            there = {tool_id for tool_id, _, _ in known}
            taken = {name for _, _, name in known}
            for tool in map(builtin.record, builtin.NAMES):
                hidden = builtin.is_outside(tool.id) and tool.name in taken
                if tool.id not in there and not hidden:
                    tools.save(tx, tool)
            return tools.ids(tx, **filters)

        return self.do(work)

    def tools_by_id(self, tool_ids: Sequence[str]) -> list[Tool]:
        """Return the tools of these ids that exist, in this order."""
        found = self.do(lambda tx: tools.get_many(tx, tool_ids))
        return [builtin.current(tool) for tool in found]

    def change_tool(
        self,
        ref: str,
        *,
        source: str | None = None,
        schema: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Tool:
        """Change a tool in what is given; a new source is read as `tool_from_source` reads it.

        Raises
        ------
        InvalidInputError
            It is a built-in tool, or the source of one whose source is not ours to change.
        """
        known = self.tool(ref)
        _own(known, "changed")
        fields = {name: value for name, value in fields.items() if value is not None}
        if source is None and schema is None and parameters is None:
            changed = _changed(known, fields)
        elif known.kind != "source":
            where = "its notebook" if known.kind == "notebook" else "its MCP server"
            raise InvalidInputError(
                f"The source and schema of {known.name!r} come from {where}: change them there."
            )
        else:
            kept = {
                name: getattr(known, name) for name in ("requires_approval", "metadata", "tags")
            }
            kept |= {"parallel_safe": known.parallel_safe, "return_limit": known.return_limit}
            if source is None and schema is None:
                schema = {"name": known.name, "description": known.description}
            made = self.tool_from_source(
                known.source if source is None else source,
                schema=schema,
                parameters=parameters,
                **{**kept, **fields},
            )
            changed = made.model_copy(update={"id": known.id})

        def work(tx: Tx) -> Tool:
            other = _namesake(tx, changed.name) if changed.kind == "source" else None
            if other is not None and other.id != changed.id:
                raise ConflictError(f"There is another tool {changed.name!r}: rename the function.")
            return tools.save(tx, changed)

        return self.do(work)

    def delete_tool(self, ref: str) -> Tool:
        """Delete a tool, taking it from every agent."""
        found = self.tool(ref)
        _own(found, "deleted")
        self.do(lambda tx: tools.delete(tx, found.id))
        return found

    def search_tools(
        self, query: str, *, tags: Sequence[str] = (), limit: int = 50
    ) -> list[tuple[Tool, float]]:
        """Return the tools that fit *query* best, by words and meaning, each with a score from 0 to 1.

        Without a query: all of them, newest first.
        """
        ids = [tool_id for tool_id, _, _ in self.tool_ids(newest_first=True)]
        found = [tool for tool in self.tools_by_id(ids) if not tags or set(tags) & set(tool.tags)]
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

    def try_tool(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        *,
        environment: Mapping[str, str] | None = None,
        on_output: Callable[[str, str], None] = lambda stream, text: None,
    ) -> Outcome:
        """Run a tool that need not be kept, in the sandbox, for no agent."""
        executor = Executor(environment=environment or {})
        try:
            kwargs = parse_arguments(tool, json.dumps(arguments))
        except ToolArgumentError as error:
            return Outcome("error", str(error), error=str(error))
        return executor.run(
            tool, kwargs, call_id=new_id("call"), on_output=on_output, cancel=Cancel()
        )

    def require_approval(self, ref: str, name: str, required: bool) -> None:
        """Say whether a person must approve every call of a tool by this agent.

        Raises
        ------
        InvalidInputError
            The tool asks for it whoever calls it, so one agent cannot do without.
        """

        def work(tx: Tx) -> None:
            state = self._agent(tx, ref)
            tool = self._own_tool(tx, state, name)
            if tool.requires_approval and not required:
                raise InvalidInputError(
                    f"requires_approval: {tool.name!r} asks for approval whoever calls it; change the "
                    "tool itself (default_requires_approval)."
                )
            rules = [
                rule
                for rule in state.tool_rules
                if (rule.type, rule.tool_name) != ("requires_approval", tool.name)
            ]
            if required:
                rules.append(ToolRule(type="requires_approval", tool_name=tool.name))
            agents.save(tx, state.model_copy(update={"tool_rules": rules}))

        self.do(work)


def text_of(tool: Tool) -> str:
    """Return what a tool is found by: its name, description and the names of its parameters."""
    names = " ".join(str(name) for name in tool.parameters.get("properties") or {})
    words = f"{tool.name} {names}".replace("_", " ")
    return f"{tool.name}: {tool.description}\n{words} {' '.join(tool.tags)}"


def _namesake(tx: Tx, name: str) -> Tool | None:
    ids = [
        tool_id
        for tool_id, kind, _ in tools.ids(tx, names=[name])
        if kind == "source" and not builtin.is_outside(tool_id)
    ]
    return tools.get(tx, ids[0]) if ids else None


def _own(tool: Tool, what: str) -> None:
    if tool.kind == "core" or builtin.is_outside(tool.id):
        raise InvalidInputError(f"The built-in tool {tool.name!r} cannot be {what}: detach it.")


def _changed(tool: Tool, fields: Mapping[str, Any]) -> Tool:
    for name in fields:
        if name not in _FREE:
            raise InvalidInputError(
                f"A tool has no {name!r} to change; one of: {', '.join(_FREE)}."
            )
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
