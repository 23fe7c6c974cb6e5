"""What every route needs of a token: the one table, and the check that comes before every handler.

A route that is not in it needs ``write``, in the whole project. With a token of one agent only what is in
`OF_AGENT` can be done, and what a path names must be that agent's; what a handler lists, or is told by a query
or a body, it narrows itself (`authorization.whose`, `authorization.visible`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import anyio.to_thread
from starlette.requests import HTTPConnection, Request

from letta_kernel import users
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.records import Grant, Rights
from letta_kernel.server import authorization
from letta_kernel.server.deps import PROJECT, has_project, project_of
from letta_kernel.server.directory import Reach, refs_in
from letta_kernel.server.errors import ForbiddenError
from letta_kernel.server.threads import DEFAULT, thread_with
from letta_kernel.server.token_use import TokenUse
from letta_kernel.service import AgentService
from letta_kernel.service.tokens import RIGHTS

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
list_tags list_models list_embedding_models list_providers openai_models openai_model retrieve_me
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

_GUEST_TALKS = """
agent_socket list_agents count_agents retrieve_agent list_messages list_conversations retrieve_conversation
list_conversation_messages resume_conversation_stream search_all_messages retrieve_message list_runs
list_active_runs retrieve_run retrieve_run_usage list_run_messages list_run_steps stream_run retrieve_step
list_step_messages retrieve_step_metrics openai_models openai_model create_message create_message_stream
create_message_async cancel_messages create_conversation cancel_conversation create_conversation_message
chat_completions rate_step
"""
_GUEST_READS = """
recompile_agent retrieve_context recompile_conversation list_all_messages list_archives retrieve_archive
list_archive_passages list_passages search_archival_memory search_passages list_blocks count_blocks
retrieve_block list_block_origins retrieve_passage_origin list_core_memory_blocks retrieve_core_memory_block
list_folders count_folders retrieve_folder retrieve_folder_by_name list_files_of_folder
retrieve_file_of_folder list_folders_of_agent list_files_of_agent retrieve_run_trace list_steps
retrieve_step_trace explain_step retrieve_timeline retrieve_point list_tags
"""
_GUEST_WRITES = """
create_passage delete_passage update_block update_core_memory_block update_conversation delete_conversation
compact_conversation
"""

OF_GUEST = frozenset([*_GUEST_TALKS.split(), *_GUEST_READS.split(), *_GUEST_WRITES.split()])
"""What can be done with an agent that another person has granted; the rest of `OF_AGENT` is its owner's."""

OF_READING_GUEST = frozenset([*_GUEST_READS.split(), *_GUEST_WRITES.split()])
"""Of these, what needs that everything of the agent may be read."""

_OWN_THREADS = frozenset(["update_conversation", "delete_conversation", "compact_conversation"])
"""What a guest does with conversations of their own alone, whatever is granted."""

OF_TEACHER = frozenset({"list_usage"})
"""What needs a token that may teach."""

OF_NOBODY = frozenset(
    {
        "health",
        "metrics",
        "retrieve_me",
        "list_usage",
        "list_agents",
        "count_agents",
        "openai_models",
    }
)
"""What a guest can do without naming an agent."""

OF_OWNER = frozenset({"list_grants", "create_grant", "delete_grant"})
"""What only a project's owner does, with the server's own token or a token of that person's."""

OF_MCP_TOOLS: dict[str, Rights] = {
    "list_agents": "read",
    "read_memory": "read",
    "search_archive": "read",
    "send_message": "talk",
    "write_memory": "write",
    "insert_archive": "write",
}
"""What the tools for MCP clients need; all of them can be had with a token of one agent."""

_AS_OVER_REST = {
    "list_agents": "list_agents",
    "read_memory": "list_core_memory_blocks",
    "search_archive": "search_archival_memory",
    "send_message": "create_message",
    "write_memory": "update_core_memory_block",
    "insert_archive": "create_passage",
}
"""What a tool for MCP clients does, as the operations over REST are called: a guest may as much."""


def of_mcp_call(use: TokenUse, tool: str, agent: str | None) -> TokenUse:
    """Return the use of the agent that a call of an MCP client's is about.

    Raises
    ------
    NotFoundError
        It is not there, or not for whoever asks.
    ForbiddenError
        It is not granted.
    """
    reach = use.directory.reach(use.token.user, [agent] if agent is not None else [], None)
    if reach is None:
        if agent is not None:
            raise NotFoundError(f"There is no agent {agent!r:.200}.")
    elif reach.grant is not None:
        use = use.narrowed(reach)
        allow(use, _AS_OVER_REST[tool])
    return use


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

    What the request is about is found here, too: from here on it is of that project, and if it is another
    person's agent, as with a token of that agent.

    Raises
    ------
    ForbiddenError
        It lacks the right.
    TokenBusyError
        As much goes on with it as may.
    NotFoundError
        What is named is not there, or not for whoever asks.
    """
    route = connection.scope["route"]
    operation = getattr(route, "operation_id", None) or route.name
    use = authorization.current_use()
    if use is None:
        nobody = connection.scope.get(PROJECT) is None and not has_project(connection)
        if nobody and operation not in OF_NOBODY:
            raise ForbiddenError("The server's own token is no person's here: use a person's.")
        return
    if connection.scope["type"] == "http":  # a WebSocket's route closes it with a code
        use = await enter(connection, use, operation)
    allow(use, operation)
    if operation in OF_OWNER and (use.actor.name != use.actor.owner or use.token.user is None):
        raise ForbiddenError("This is the owner's to do, with the owner's own token.")
    if operation in STREAMS:
        use.take("streams")
    own = use.token.agent_id
    if own is None:
        return
    if operation not in OF_AGENT and operation not in OF_NOBODY:
        raise ForbiddenError("This token is for one agent: this is about the whole project.")
    if connection.scope["type"] == "http":
        service, given = project_of(connection).service, connection.path_params
        await anyio.to_thread.run_sync(_check_path, service, own, operation, given)


def allow(use: TokenUse, operation: str) -> None:
    """Refuse, with `ForbiddenError`, an operation that *use* has no right to, whatever it is about."""
    needed = NEEDS.get(operation, "write")
    teaches = operation in OF_TEACHER and use.token.teach
    if not teaches and RIGHTS.index(use.token.rights) < RIGHTS.index(needed):
        raise ForbiddenError(f"This token may {use.token.rights}, not {needed}.")
    guest = use.actor.guest
    if guest is None:
        return
    if operation not in OF_GUEST:
        raise ForbiddenError(f"This is {use.actor.owner}'s to do: you are a guest of {use.alias}.")
    if operation in OF_READING_GUEST and not guest.reads:
        raise ForbiddenError(
            f"You may talk with {use.alias}, not read it: that is granted with `read`."
        )


async def enter(connection: HTTPConnection, use: TokenUse, operation: str) -> TokenUse:
    """Return the use of the agent that a request is about, and go on with it.

    Raises
    ------
    NotFoundError
        It names an agent that is not there, or not for whoever asks.
    ForbiddenError
        It names none, and there is no project of whoever asks.
    """
    body: Any = None
    if isinstance(connection, Request) and "json" in connection.headers.get("content-type", ""):
        with suppress(ValueError, RecursionError):  # the handler says what is wrong
            body = await connection.json()
    path, query = connection.path_params, connection.query_params.multi_items()
    refs = refs_in(path, query, body)
    if operation == "chat_completions" and isinstance(body, dict):
        model = body.get("model")
        refs += [model] if isinstance(model, str) else []
    reach = await anyio.to_thread.run_sync(_reach, use, refs, path)
    if reach is None:
        if operation not in OF_NOBODY:
            raise ForbiddenError(
                "Name an agent that is granted to you, as owner/name: there is no project of yours here."
            )
        return use
    connection.scope[PROJECT] = reach.project
    use.keep(reach.project)
    if reach.grant is not None:
        use = use.narrowed(reach)
        authorization.become(use)
    elif (ref := path.get("agent_id")) and "/" in ref:  # one's own, as others call it
        path["agent_id"] = await anyio.to_thread.run_sync(_own, reach.project.service, ref)
    return use


def _own(service: AgentService, ref: str) -> str:
    return service.agents.retrieve(authorization.whose(service, ref) or ref).id


def _reach(use: TokenUse, refs: list[str], path: dict[str, Any]) -> Reach | None:
    others = {
        name: ref for name, ref in path.items() if PATH.get(name) is not None and ref != DEFAULT
    }
    user, directory = use.token.user, use.directory
    home = directory.home(user)
    if user is None or refs or not others or (home is not None and _in(home.service, others)):
        return directory.reach(user, refs, None)

    def owned(service: AgentService, grant: Grant) -> bool:
        checks = [(PATH[name], ref) for name, ref in others.items()]
        return all(
            check is not None and check(service, grant.agent_id, ref) for check, ref in checks
        )

    return directory.reach(user, refs, owned)


_GET: dict[str, Callable[[AgentService, str], Any]] = {
    "conversation_id": lambda service, ref: service.conversations.retrieve(ref),
    "run_id": lambda service, ref: service.runs.retrieve(ref),
    "step_id": lambda service, ref: service.steps.retrieve(ref),
    "message_id": thread_with,
    "archive_id": lambda service, ref: service.archives.retrieve(ref),
    "folder_id": lambda service, ref: service.folders.retrieve(ref),
    "block_id": lambda service, ref: service.blocks.retrieve(ref),
    "tool_id": lambda service, ref: service.tools.retrieve(ref),
}


def _in(service: AgentService, others: dict[str, Any]) -> bool:
    """Whether what a path names is in a project."""
    with suppress(NotFoundError, InvalidInputError):
        return all(_GET[name](service, ref) for name, ref in others.items())
    return False


def _check_path(service: AgentService, own: str, operation: str, given: dict[str, Any]) -> None:
    person = authorization.only_own()
    if operation in _OWN_THREADS and authorization.guest() is not None:
        person = users.current_user()
    for name, ref in given.items():
        if name == "agent_id":
            given[name] = authorization.whose(service, ref)
        elif (owned := PATH[name]) is not None:
            noun = name.removesuffix("_id")
            try:
                found = owned(service, own, ref) and (
                    person is None or _of(service, name, ref, person)
                )
            except (NotFoundError, InvalidInputError):  # whose text may name others
                found = False
            if not found:
                raise NotFoundError(f"There is no {noun} {ref!r:.200}.")


def _of(service: AgentService, name: str, ref: str, person: str) -> bool:
    """Whether a thread, run, step or message is of *person*'s conversations; nothing else is anybody's."""
    if name == "run_id":
        return service.runs.retrieve(ref).created_by == person
    if name == "step_id":
        return service.runs.retrieve(service.steps.retrieve(ref)[0].run_id).created_by == person
    if name == "message_id":
        ref = thread_with(service, ref).conversation or ""
    elif name != "conversation_id" or ref == DEFAULT or ref.startswith("agent-"):
        return name == "conversation_id"  # a guest's own thread stands for it: `threads.place_of`
    return bool(ref) and service.conversations.retrieve(ref).created_by == person
