"""What guests may do, operation by operation, written down once more: a new one has to be decided on here."""

from __future__ import annotations

from letta_kernel.server import rights

LOOKS = """
retrieve_agent list_messages list_conversations retrieve_conversation list_conversation_messages
resume_conversation_stream search_all_messages retrieve_message list_runs list_active_runs retrieve_run
retrieve_run_usage list_run_messages list_run_steps stream_run retrieve_step list_step_messages
retrieve_step_metrics openai_model
"""
"""With whatever is granted; with `talk` alone in one's own conversations."""

TALKS = """
create_message create_message_stream create_message_async cancel_messages create_conversation
cancel_conversation create_conversation_message chat_completions rate_step
"""
"""With `talk` or `write`."""

READS = """
recompile_agent retrieve_context recompile_conversation list_all_messages list_archives retrieve_archive
list_archive_passages list_passages search_archival_memory search_passages list_blocks count_blocks
retrieve_block list_block_origins retrieve_passage_origin list_core_memory_blocks retrieve_core_memory_block
list_folders count_folders retrieve_folder retrieve_folder_by_name list_files_of_folder
retrieve_file_of_folder list_folders_of_agent list_files_of_agent retrieve_run_trace list_steps
retrieve_step_trace explain_step retrieve_timeline retrieve_point list_tags
"""
"""With `read` or `write`."""

WRITES = """
create_passage delete_passage update_block update_core_memory_block update_conversation delete_conversation
compact_conversation
"""
"""With `write`."""

ANYBODY = "list_agents count_agents openai_models retrieve_me health_ready"
"""Naming no agent."""

OWNERS = """
add_base_tools attach_archive_to_agent attach_block_id attach_core_memory_block attach_folder_to_agent
attach_identity_to_agent attach_tool_to_agent cancel_group close_all_files_of_agent close_file_of_agent
count_groups count_identities count_tools create_agent create_archive create_block create_folder
create_grant create_group create_identity create_mcp_server create_passage_in_archive
create_passages_in_archive create_tool delete_agent delete_archive delete_block delete_file_of_folder
delete_folder delete_grant delete_group delete_identity delete_mcp_server delete_passage_from_archive
delete_tool detach_archive_from_agent detach_block_id detach_core_memory_block detach_folder_from_agent
detach_identity_from_agent detach_tool_from_agent export_agent fork_agent fork_conversation generate
import_agent list_agents_for_block list_agents_for_identity list_agents_of_folder
list_blocks_for_identity list_embedding_models list_grants list_group_messages list_groups
list_groups_for_agent list_identities list_mcp_server_tools list_mcp_servers list_models list_providers
list_tools list_tools_for_agent list_usage modify_group modify_tool_approval open_file_of_agent redo_run
refresh_mcp_server reset_group_messages reset_messages retrieve_differences retrieve_group
retrieve_identity retrieve_mcp_server retrieve_mcp_server_tool retrieve_tool rewind_agent
run_mcp_server_tool run_tool_for_agent run_tool_from_source search_tools send_group_message
send_group_message_streaming summarize_agent total_storage_size undo_run update_agent update_archive
update_archive_passage update_folder update_identity update_mcp_server update_tool upload_file_to_folder
upsert_identity upsert_identity_properties upsert_tool
"""
"""Never as a guest."""

MAY: dict[str, frozenset[str]] = {
    **dict.fromkeys(LOOKS.split(), frozenset({"talk", "read", "write"})),
    **dict.fromkeys(TALKS.split(), frozenset({"talk", "write"})),
    **dict.fromkeys(READS.split(), frozenset({"read", "write"})),
    **dict.fromkeys(WRITES.split(), frozenset({"write"})),
    **dict.fromkeys(OWNERS.split(), frozenset[str]()),
}
"""By the id of an operation: the rights of which one is needed."""


def undecided(operations: set[str]) -> set[str]:
    """Return the operations that are in one of the two, this table and the server's, but not in the other."""
    anybody = {*ANYBODY.split(), "health"}
    guests = {one for one, may in MAY.items() if may} | anybody | {"agent_socket"}
    return (
        ((operations | anybody) ^ {*MAY, *anybody})
        | (rights.OF_GUEST - guests)
        | (guests - anybody - rights.OF_GUEST)
    )
