"""What every route needs of a token: the one table, and the check that comes before every handler.

A route that is not in it needs ``write``, in the whole project. With a token of one agent only what is in
`OF_AGENT` can be done, and what a path names must be that agent's; what a handler lists, or is told by a query
or a body, it narrows itself (`authorization.whose`, `authorization.visible`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anyio.to_thread
from starlette.requests import HTTPConnection

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.records import Rights
from letta_kernel.server import authorization
from letta_kernel.server.deps import project_of
from letta_kernel.server.errors import ForbiddenError
from letta_kernel.server.threads import DEFAULT, thread_with
from letta_kernel.service import AgentService

_READ_AGENT = """
agent_socket list_agents count_agents retrieve_agent recompile_agent retrieve_context export_agent
list_messages list_conversations retrieve_conversation recompile_conversation list_conversation_messages
resume_conversation_stream list_archives retrieve_archive list_archive_passages list_passages
search_archival_memory search_passages list_blocks count_blocks retrieve_block list_agents_for_block
list_block_origins retrieve_passage_origin list_core_memory_blocks retrieve_core_memory_block
list_folders count_folders retrieve_folder retrieve_folder_by_name list_files_of_folder
retrieve_file_of_folder list_folders_of_agent list_files_of_agent list_all_messages search_all_messages
retrieve_message list_runs list_active_runs retrieve_run retrieve_run_usage list_run_messages list_run_steps
retrieve_run_trace stream_run list_steps retrieve_step list_step_messages retrieve_step_metrics
retrieve_step_trace explain_step retrieve_timeline retrieve_point
list_tools count_tools search_tools retrieve_tool list_tools_for_agent
list_tags list_models list_embedding_models list_providers openai_models openai_model
"""
_TALK_AGENT = """
create_message create_message_stream create_message_async cancel_messages create_conversation
fork_conversation cancel_conversation create_conversation_message chat_completions rate_step generate
"""
_WRITE_AGENT = """
update_agent delete_agent reset_messages summarize_agent update_conversation delete_conversation
rewind_agent undo_run redo_run
compact_conversation create_passage delete_passage create_passage_in_archive create_passages_in_archive
update_archive_passage delete_passage_from_archive detach_archive_from_agent update_block
update_core_memory_block detach_core_memory_block upload_file_to_folder delete_file_of_folder
detach_folder_from_agent close_all_files_of_agent open_file_of_agent close_file_of_agent
detach_tool_from_agent modify_tool_approval run_tool_for_agent
"""
_READ_PROJECT = """
health health_ready
list_agents_of_folder list_identities count_identities retrieve_identity list_agents_for_identity
list_blocks_for_identity add_base_tools total_storage_size
retrieve_differences list_groups count_groups retrieve_group list_group_messages list_groups_for_agent
"""
_TALK_PROJECT = """
send_group_message send_group_message_streaming cancel_group
"""

NEEDS: dict[str, Rights] = {
    **dict.fromkeys([*_READ_AGENT.split(), *_READ_PROJECT.split()], "read"),
    **dict.fromkeys([*_TALK_AGENT.split(), *_TALK_PROJECT.split()], "talk"),
    **dict.fromkeys(_WRITE_AGENT.split(), "write"),
}
"""By the id of an operation, a WebSocket's by the name of its function."""

OF_AGENT = frozenset([*_READ_AGENT.split(), *_TALK_AGENT.split(), *_WRITE_AGENT.split()])
"""What can be done with a token of one agent."""

STREAMS = frozenset(
    {
        "create_message",
        "create_message_stream",
        "create_conversation_message",
        "send_group_message",
        "send_group_message_streaming",
        "chat_completions",
        "resume_conversation_stream",
        "stream_run",
    }
)
"""What goes on for as long as a run."""

OF_MCP_TOOLS: dict[str, Rights] = {
    "list_agents": "read",
    "read_memory": "read",
    "search_archive": "read",
    "send_message": "talk",
    "write_memory": "write",
    "insert_archive": "write",
}
"""What the tools for MCP clients need; all of them can be had with a token of one agent."""

Owned = Callable[[AgentService, str, str], bool]


def _ids(found: Iterable[Any]) -> set[str]:
    return {one.id for one in found}


def _has_thread(service: AgentService, own: str, ref: str) -> bool:
    if ref == DEFAULT:  # whose, the query or the body says: `threads.place_of` looks
        return True
    return ref == own or service.conversations.retrieve(ref).agent_id == own


PATH: dict[str, Owned | None] = {
    "conversation_id": _has_thread,
    "run_id": lambda service, own, ref: service.runs.retrieve(ref).agent_id == own,
    "step_id": lambda service, own, ref: service.steps.retrieve(ref)[0].agent_id == own,
    "message_id": lambda service, own, ref: thread_with(service, ref).agent_id == own,
    "archive_id": lambda service, own, ref: ref in _ids(service.archives.list(agent=own)),
    "folder_id": lambda service, own, ref: ref in _ids(service.folders.list(agent=own)),
    "block_id": lambda service, own, ref: ref in _ids(service.blocks.list(own)),
    "tool_id": lambda service, own, ref: ref in _ids(service.tools.list(own)),
    # What comes behind one of the others is looked for in it alone.
    **dict.fromkeys(("block_label", "file_id", "memory_id", "passage_id", "tool_name")),
    "folder_name": None,
    "model": None,  # an agent's name: `authorization.whose`
}
"""By parameters of paths beside ``agent_id``: whether what they name is the agent's; None: the handler sees."""


async def check(connection: HTTPConnection) -> None:
    """Refuse what the token that came along does not allow; a dependency that comes before all handlers.

    Raises
    ------
    ForbiddenError
        It lacks the right.
    TokenBusyError
        As much goes on with it as may.
    NotFoundError
        The path names what is not of the token's agent.
    """
    use = authorization.current_use()
    if use is None:
        return
    route = connection.scope["route"]
    operation = getattr(route, "operation_id", None) or route.name
    authorization.need(NEEDS.get(operation, "write"))
    if operation in STREAMS:
        use.take("streams")
    own = use.token.agent_id
    if own is None:
        return
    if operation not in OF_AGENT:
        raise ForbiddenError("This token is for one agent: this is about the whole project.")
    if connection.scope["type"] == "http":  # a WebSocket's route closes it with a code
        await anyio.to_thread.run_sync(
            _check_path, project_of(connection).service, own, connection.path_params
        )


def _check_path(service: AgentService, own: str, given: dict[str, Any]) -> None:
    for name, ref in given.items():
        if name == "agent_id":
            given[name] = authorization.whose(service, ref)
        elif (owned := PATH[name]) is not None:
            noun = name.removesuffix("_id")
            try:
                found = owned(service, own, ref)
            except (NotFoundError, InvalidInputError):  # whose text may name others
                found = False
            if not found:
                raise NotFoundError(f"There is no {noun} {ref!r:.200}.")
