"""Tools: by themselves, and as an agent has them. What comes as source runs in the sandbox."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from letta_kernel.errors import ConflictError, LettaError, NotFoundError
from letta_kernel.ids import new_id, now
from letta_kernel.records import Tool
from letta_kernel.server.authorization import visible
from letta_kernel.server.deps import Page, PageOldestFirst, Service
from letta_kernel.server.errors import FieldError, LeftOutError
from letta_kernel.server.paging import page, page_of
from letta_kernel.server.schemas.agents import AgentShape, to_agent
from letta_kernel.server.schemas.base import Asked
from letta_kernel.server.schemas.messages import ToolReturnMessage
from letta_kernel.server.schemas.tools import (
    APART,
    TOOL_TYPES,
    ToolCreate,
    ToolExecutionResult,
    ToolFound,
    ToolRun,
    ToolSearch,
    ToolShape,
    ToolTrial,
    ToolUpdate,
    to_result,
    to_tool,
    type_of,
)
from letta_kernel.service import AgentService
from letta_kernel.service.tool_sources import text_of

router = APIRouter(tags=["tools"])

By = Literal["created_at"]
Names = Annotated[list[str] | None, Query(max_length=1000)]
LETTA = "letta_"
"""How the types of built-in tools begin."""


class ApprovalIn(Asked):
    """Whether a person must approve."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"requires_approval": True}]})

    requires_approval: bool


@router.get("/tools", operation_id="list_tools")
def list_tools(
    service: Service,
    cursor: Page,
    name: Annotated[str | None, Query(max_length=1000)] = None,
    names: Names = None,
    tool_ids: Names = None,
    search: Annotated[str | None, Query(max_length=1000)] = None,
    tool_types: Names = None,
    exclude_tool_types: Names = None,
    return_only_letta_tools: bool | None = None,
    order_by: By | None = None,
) -> list[ToolShape]:
    """List the tools of the project, the built-in ones among them."""
    wanted = _types(tool_types, "tool_types")
    unwanted = _types(exclude_tool_types, "exclude_tool_types") or set()
    found = service.tools.ids(
        names=[name] if name is not None else names,
        among=tool_ids,
        text=search,
        newest_first=cursor.newest_first,
    )
    mine = _visible(service, [one[0] for one in found])
    typed = [(one[0], type_of(*one)) for one in found if one[0] in mine]
    ids = [
        tool_id
        for tool_id, its_type in typed
        if (wanted is None or its_type in wanted)
        and its_type not in unwanted
        and (not return_only_letta_tools or its_type.startswith(LETTA))
    ]
    return [to_tool(tool) for tool in service.tools.list(ids=page(ids, cursor, key=str))]


@router.post("/tools", operation_id="create_tool")
def create_tool(service: Service, asked: ToolCreate) -> ToolShape:
    """Make a tool from source; the schema comes from its annotations and docstring unless given."""
    return upsert_tool(service, asked)


@router.put("/tools", operation_id="upsert_tool")
def upsert_tool(service: Service, asked: ToolCreate) -> ToolShape:
    """Make a tool from source, in place of the one of its name that was made from source, if any."""
    return to_tool(service.tools.create(_made(service, asked), replace=True))


@router.get("/tools/count", operation_id="count_tools")
def count_tools(service: Service, include_base_tools: bool | None = False) -> int:
    """Count the tools."""
    found = service.tools.ids()
    mine = _visible(service, [one[0] for one in found])
    found = [one for one in found if one[0] in mine]
    return sum(1 for one in found if include_base_tools or not type_of(*one).startswith(LETTA))


@router.post("/tools/add-base-tools", operation_id="add_base_tools")
def add_base_tools(service: Service) -> list[ToolShape]:
    """Return the built-in tools, which are there without being added."""
    ids = [one[0] for one in service.tools.ids() if type_of(*one).startswith(LETTA)]
    return [to_tool(tool) for tool in service.tools.list(ids=ids)]


@router.post("/tools/search", operation_id="search_tools")
def search_tools(service: Service, asked: ToolSearch) -> list[ToolFound]:
    """Find tools by words and meaning together, whichever ``search_mode`` is asked for."""
    wanted = _types(asked.tool_types, "tool_types")
    every = service.tools.search(asked.query or "", tags=asked.tags or (), limit=10_000)
    mine = _visible(service, [tool.id for tool, _ in every])
    found = [
        (tool, score)
        for tool, score in every
        if tool.id in mine and (wanted is None or type_of(tool.id, tool.kind, tool.name) in wanted)
    ]
    return [
        ToolFound(tool=to_tool(tool), combined_score=round(score, 6), embedded_text=text_of(tool))
        for tool, score in found[: asked.limit]
    ]


@router.post("/tools/run", operation_id="run_tool_from_source")
def run_from_source(service: Service, asked: ToolTrial) -> ToolReturnMessage:
    """Make a tool from source and run it once in the sandbox, without keeping it."""
    _check_language(asked.source_type)
    tool = service.tools.from_source(
        asked.source_code,
        schema=asked.json_schema or ({"name": asked.name} if asked.name else None),
        parameters=asked.args_json_schema,
    )
    outcome = service.tools.run(tool, asked.args, environment=asked.env_vars)
    result = to_result(outcome)
    return ToolReturnMessage(
        id=new_id("message"),
        date=now(),
        name=tool.name,
        tool_return=outcome.text,
        status=result.status,
        tool_call_id=new_id("call"),
        stdout=result.stdout,
        stderr=result.stderr,
    )


@router.get("/tools/{tool_id}", operation_id="retrieve_tool")
def retrieve_tool(service: Service, tool_id: str) -> ToolShape:
    """Return one tool."""
    return to_tool(service.tools.retrieve(tool_id))


@router.patch("/tools/{tool_id}", operation_id="update_tool")
def update_tool(service: Service, tool_id: str, asked: ToolUpdate) -> ToolShape:
    """Change a tool in what is given; a new source gives a new schema."""
    _check_language(asked.source_type)
    known = service.tools.retrieve(tool_id)
    metadata = asked.metadata
    apart = {name: known.metadata[name] for name in APART if name in known.metadata}
    if wanted := _requirements(asked):
        apart["pip_requirements"] = wanted
    if apart:
        metadata = {**(known.metadata if metadata is None else metadata), **apart}
    changed = service.tools.update(
        tool_id, source=asked.source_code, metadata=metadata, **asked.given()
    )
    return to_tool(changed)


@router.delete("/tools/{tool_id}", operation_id="delete_tool")
def delete_tool(service: Service, tool_id: str) -> None:
    """Delete a tool, taking it from every agent."""
    service.tools.delete(tool_id)


@router.get("/agents/{agent_id}/tools", operation_id="list_tools_for_agent")
def list_of_agent(
    service: Service, agent_id: str, cursor: PageOldestFirst, order_by: By | None = None
) -> list[ToolShape]:
    """List the tools of an agent."""
    own = service.tools.list(agent_id)
    return [to_tool(one) for one in page_of(own, cursor)]


@router.patch("/agents/{agent_id}/tools/attach/{tool_id}", operation_id="attach_tool_to_agent")
def attach(service: Service, agent_id: str, tool_id: str) -> AgentShape:
    """Give an agent a tool; it takes the place of one of the same name."""
    service.tools.attach(tool_id, agent=agent_id)
    return to_agent(service.agents.view(agent_id))


@router.patch("/agents/{agent_id}/tools/detach/{tool_id}", operation_id="detach_tool_from_agent")
def detach(service: Service, agent_id: str, tool_id: str) -> AgentShape:
    """Take a tool from an agent; the tool stays."""
    service.tools.detach(tool_id, agent=agent_id)
    return to_agent(service.agents.view(agent_id))


@router.patch("/agents/{agent_id}/tools/approval/{tool_name}", operation_id="modify_tool_approval")
def approval(
    service: Service,
    agent_id: str,
    tool_name: str,
    asked: ApprovalIn,
    requires_approval: Annotated[bool | None, Query(description="The body's word wins.")] = None,
) -> AgentShape:
    """Say whether a person must approve this agent's calls of a tool."""
    service.tools.require_approval(tool_name, asked.requires_approval, agent=agent_id)
    return to_agent(service.agents.view(agent_id))


@router.post("/agents/{agent_id}/tools/{tool_name}/run", operation_id="run_tool_for_agent")
def run_for_agent(
    service: Service, agent_id: str, tool_name: str, asked: ToolRun
) -> ToolExecutionResult:
    """Call one of an agent's tools by hand, checked just as a model's call is."""
    return to_result(service.tools.run(tool_name, asked.args, agent=agent_id))


def _visible(service: AgentService, ids: list[str]) -> set[str]:
    return set(visible(ids, lambda own: [one.id for one in service.tools.list(own)]))


def _made(service: AgentService, asked: ToolCreate) -> Tool:
    _check_language(asked.source_type)
    if asked.npm_requirements:
        raise LeftOutError("Tools in TypeScript are not run here, so npm packages are of no use.")
    wanted = _requirements(asked)
    try:
        return service.tools.from_source(
            asked.source_code,
            metadata={"pip_requirements": wanted} if wanted else None,
            **asked.given(),
        )
    except (ConflictError, NotFoundError, FieldError):
        raise
    except LettaError as error:
        raise FieldError("source_code", error.text, *error.remedies) from None


def _requirements(asked: ToolCreate | ToolUpdate) -> list[dict[str, Any]] | None:
    if not asked.pip_requirements:
        return None
    return [one.model_dump() for one in asked.pip_requirements]


def _check_language(source_type: str | None) -> None:
    if source_type not in (None, "python"):
        raise LeftOutError(f"Tools are written in Python here, not in {source_type[:40]!r}.")


def _types(given: list[str] | None, field: str) -> set[str] | None:
    for one in given or ():
        if one not in TOOL_TYPES:
            raise FieldError(field, f"{one[:40]!r} is none of: {', '.join(TOOL_TYPES)}.")
    return set(given) if given is not None else None
