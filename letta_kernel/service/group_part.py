"""An agent's part in a group: what it is told of it beside its message, and the rules of its turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten

from letta_kernel.agent.beside import attribute
from letta_kernel.records import DONE, AgentState, Group, Tool, ToolRule

ASK_ALL = "send_message_to_all_agents_in_group"
"""The tool with which a supervisor asks the others (Letta's name)."""
_MOST_NAMED = 300  # characters of what is told of one agent


@dataclass(frozen=True, slots=True)
class GroupPart:
    """The turn of a group that a run is.

    Attributes
    ----------
    note : what the agent is told of the group.
    rules : tool rules for this turn alone, behind the agent's own.
    """

    group_id: str
    note: str = ""
    rules: Sequence[ToolRule] = ()


def of_member(group: Group, agent: AgentState, others: Sequence[AgentState]) -> GroupPart:
    """Return the part of a member that speaks with *others*."""
    said = [
        f"You are {agent.name}, one of {len(others) + 1} agents who talk in a group with the user.",
        *_about(group),
    ]
    if others:
        said.append(f"The others: {_named(others)}.")
    said.append(
        "Messages that begin with one of these names and a colon are theirs; the rest are the user's. "
        "Everybody reads what you answer. Speak for yourself alone, without your name in front; build on what "
        "was said, and leave room for the others."
    )
    if group.manager_type == "dynamic":
        said.append(f"When all is done, say {group.termination_token or DONE}")
    return GroupPart(group.id, _told(group, said))


def of_chooser(group: Group, agent: AgentState, members: Sequence[AgentState]) -> GroupPart:
    """Return the part of an agent that says who speaks next."""
    said = [
        f"You are {agent.name}. You lead a group of {len(members)} agents who talk with the user: you say who "
        "speaks next, and do not take part yourself.",
        *_about(group),
        f"The members: {_named(members)}.",
        "Messages that begin with one of these names and a colon are theirs; the rest are the user's.",
    ]
    return GroupPart(group.id, _told(group, said))


def of_supervisor(group: Group, agent: AgentState, members: Sequence[AgentState]) -> GroupPart:
    """Return the part of an agent that asks all the others and then answers."""
    said = [
        f"You are {agent.name}. You supervise {len(members)} agents: {_named(members)}.",
        *_about(group),
        f"Ask them all with {ASK_ALL}; they do not see the user's message, so say all they need. "
        "Then answer the user with what they said.",
    ]
    rules = [
        ToolRule(type="run_first", tool_name=ASK_ALL),
        ToolRule(type="max_count_per_step", tool_name=ASK_ALL, max_count_limit=1),
    ]
    if agent.style == "heartbeat":
        rules.append(ToolRule(type="continue_loop", tool_name=ASK_ALL))
    return GroupPart(group.id, _told(group, said), rules)


def of_asked(group: Group, agent: AgentState, supervisor: AgentState) -> GroupPart:
    """Return the part of a member that a supervisor asks."""
    said = [
        f"You are {agent.name}, in a group that {supervisor.name} supervises: it asks, and reads your answer.",
        *_about(group),
    ]
    return GroupPart(group.id, _told(group, said))


def question(group: Group, options: Sequence[AgentState]) -> str:
    """Return what asks who speaks next."""
    names = ", ".join(agent.name for agent in options)
    return (
        f"Who speaks next? Answer with one name and nothing else: {names}. "
        f"If nobody has to, answer {group.termination_token or DONE}"
    )


def chosen(text: str, options: Sequence[AgentState]) -> AgentState | None:
    """Return the agent whose name stands last in *text*, None if none does; of names in names the longer."""
    said = text.lower()
    found = [(said.rfind(one.name.lower()) + len(one.name), len(one.name), one) for one in options]
    there = [one for one in found if one[2].name.lower() in said]
    return max(there, key=lambda one: one[:2])[2] if there else None


def ask_all_tool() -> Tool:
    """Return the tool with which a supervisor asks the others."""
    return Tool(
        name=ASK_ALL,
        description="Send a message to all agents of the group, and return what each of them answers.",
        parameters={
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "What all of them are asked or told."}
            },
            "required": ["message"],
        },
        kind="turn",
    )


def _told(group: Group, said: Sequence[str]) -> str:
    """Return what an agent is told, between tags that nothing in it closes."""
    text = re.sub(r"<(?=\s*/\s*group\b)", r"<\\", "\n".join(said), flags=re.IGNORECASE)
    return f'<group name="{attribute(group.shown)}">\n{text}\n</group>'


def _about(group: Group) -> list[str]:
    return [f"What the group is for: {group.description.strip()}"] if group.description else []


def _named(agents: Sequence[AgentState]) -> str:
    return ", ".join(
        shorten(f"{one.name} ({one.description})", _MOST_NAMED, placeholder=" …)")
        if one.description
        else one.name
        for one in agents
    )
