"""Agents with all they have, as a list or a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import AgentState, Block, Folder, Group, Identity, Run, Tool
from letta_kernel.service.core import Core
from letta_kernel.service.tools import Tools
from letta_kernel.store import blocks, folders, groups, identities, messages, runs
from letta_kernel.store.database import Tx


@dataclass(slots=True)
class AgentView:
    """An agent with what it has; ``in_context`` are the ids of the messages it has in sight."""

    state: AgentState
    blocks: list[Block] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    identities: list[tuple[Identity, list[str], list[str]]] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    pending: list[ToolCall] = field(default_factory=list)
    asked_in: str | None = None  # the message whose calls are pending
    last_run: Run | None = None
    in_context: list[str] | None = None
    manages: Group | None = None  # the newest of the groups that it manages


def view_of(tx: Tx, core: Core, own: Tools, state: AgentState, *, sight: bool = False) -> AgentView:
    """Return an agent with all it has; *sight*: the messages it has in sight too."""
    last = runs.page(tx, state.id, limit=1)
    view = AgentView(
        state,
        blocks=blocks.of_agent(tx, state.id),
        tools=own.of(tx, state),
        folders=folders.list_all(tx, agent_id=state.id),
        identities=[
            (
                identity,
                identities.owned(tx, "agent", identity.id),
                identities.owned(tx, "block", identity.id),
            )
            for identity in identities.list_all(tx, owned=("agent", state.id))
        ],
        last_run=last[0] if last else None,
        manages=next(reversed(groups.list_all(tx, manager_agent_id=state.id, hidden=True)), None),
    )
    view.pending = core.waiting_calls(tx, state)
    if view.pending and (asking := _asking(tx, view.pending, state)) is not None:
        view.asked_in = asking.id
        asked = [call for call in view.pending if call.id in asking.asked]
        view.pending = asked or view.pending
    if sight:
        seen = messages.window(tx, state.thread, state.window_start)
        summary = [state.summary_id] if state.summary_id else []
        view.in_context = [*summary, *(message.id for message in seen)]
    return view


def _asking(tx: Tx, pending: Sequence[ToolCall], state: AgentState) -> Message | None:
    wanted = {call.id for call in pending}
    for message in messages.page(tx, state.id, roles=["assistant"], limit=5, thread=state.thread):
        if wanted & {call.id for call in message.tool_calls}:
            return message
    return None
