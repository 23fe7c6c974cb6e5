"""Agents as files in Letta's format: out without secrets, in without trust."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Header, Query, Response, UploadFile
from pydantic import ConfigDict

from letta_kernel.server.deps import Service
from letta_kernel.server.errors import FieldError, LeftOutError
from letta_kernel.server.handles import embedding_name, model_name
from letta_kernel.server.schemas.base import Shape
from letta_kernel.server.threads import DEFAULT
from letta_kernel.service.agent_file.parse import MAX_BYTES

router = APIRouter(tags=["agents"])


class DetachedTool(Shape):
    """A tool that came with a file and no agent has yet."""

    id: str
    name: str


class ImportedShape(Shape):
    """What a file gave."""

    model_config = ConfigDict(
        title="ImportedAgents",
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "agent_ids": ["agent-0c5c3a0e-54c5-4e0f-a6a5-8b1a2d3c4e5f"],
                    "detached_tools": [],
                    "notes": [],
                }
            ]
        },
    )

    agent_ids: list[str]
    detached_tools: list[DetachedTool]
    notes: list[str]


@router.get(
    "/agents/{agent_id}/export",
    operation_id="export_agent",
    response_class=Response,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
def export_agent(
    agent_id: str,
    service: Service,
    use_legacy_format: Annotated[
        bool, Query(description="Letta's older form: one flat agent.")
    ] = False,
    scrub_messages: Annotated[bool, Query(description="Without messages and archive.")] = False,
    conversation_id: Annotated[
        str | None, Query(description="With the messages of this conversation.")
    ] = None,
    max_steps: Annotated[int | None, Query(description="Not offered.")] = None,
) -> Response:
    """Return the agent as a file; environment variables keep their names only."""
    if max_steps is not None:
        raise LeftOutError("An export has the whole history or, with scrub_messages, none of it.")
    data = service.agent_files.export(
        agent_id,
        form="legacy" if use_legacy_format else "new",
        history=not scrub_messages,
        conversation=None if conversation_id in (None, DEFAULT) else conversation_id,
    )
    return Response(json.dumps(data, indent=2), media_type="application/json")


@router.post("/agents/import", operation_id="import_agent")
def import_agent(
    service: Service,
    file: Annotated[UploadFile, File(description="The agent file, in either of Letta's forms.")],
    name: Annotated[str | None, Form()] = None,
    override_name: Annotated[str | None, Form()] = None,
    append_copy_suffix: Annotated[bool, Form()] = False,
    model: Annotated[str | None, Form()] = None,
    override_model_handle: Annotated[str | None, Form()] = None,
    embedding: Annotated[str | None, Form()] = None,
    override_embedding_handle: Annotated[str | None, Form()] = None,
    secrets: Annotated[str | None, Form(description="Environment variables, as JSON.")] = None,
    env_vars_json: Annotated[str | None, Form()] = None,
    strip_messages: Annotated[bool, Form()] = False,
    override_existing_tools: Annotated[
        bool,
        Form(description="Tools of the same names here get the file's source, without a network."),
    ] = False,
    x_override_embedding_model: Annotated[str | None, Header()] = None,
) -> ImportedShape:
    """Make the agents of a file. Its own tools stay detached: look at their source, then attach them."""
    chosen = embedding or override_embedding_handle or x_override_embedding_model
    came = service.agent_files.import_data(
        file.file.read(MAX_BYTES + 1),
        name=name or override_name or None,
        copy=append_copy_suffix,
        namesakes="keep",
        model=model_name(model or override_model_handle or None),
        embedding=embedding_name(chosen or None),
        environment=_environment(secrets or env_vars_json),
        history=not strip_messages,
        replace_tools=override_existing_tools,
    )
    return ImportedShape(
        agent_ids=[agent.id for agent in came.agents],
        detached_tools=[DetachedTool(id=tool.id, name=tool.name) for tool in came.detached],
        notes=came.notes,
    )


def _environment(text: str | None) -> dict[str, str] | None:
    if not text:
        return None
    try:
        read: Any = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise FieldError("secrets", 'Variables are a JSON object of texts: {"NAME": "value"}.')
    return read
