"""What agents say to each other, and what the tools by which they do it return: the words of both.

The tools' names and the line before a message are Letta's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

WAIT = "send_message_to_agent_and_wait_for_reply"
NOTIFY = "send_message_to_agent_async"
BROADCAST = "send_message_to_agents_matching_tags"
TOOLS = (WAIT, NOTIFY, BROADCAST)
SPAWN = "spawn"
"""The tool with which an agent lets a copy of itself do one task."""
ANSWERED = (WAIT, BROADCAST, SPAWN)
"""The tools whose calls wait for the runs of others."""

SENT = "Successfully sent message"
NO_ANSWER = "<no response>"

_ANSWERED = "your response will be delivered to the sender"
_ONE_WAY = (
    "this is a one-way notification; if you need to respond, use an agent-to-agent messaging tool if"
    " available"
)
_NO_BRACKETS = str.maketrans("[]()", "    ")
_LINE = re.compile(
    r"\[Incoming message from agent with ID '[^']*'(?: \([^)\]]*\))? - "
    rf"(?:{re.escape(_ANSWERED)}|{re.escape(_ONE_WAY)})\] "
)


def from_agent(agent_id: str, name: str, text: str, *, answered: bool) -> str:
    """Return what an agent is told that another one has sent *text*; *answered*: the other gets its answer.

    A name is anybody's text and cannot close the line that says who speaks.
    """
    named = " ".join(name.translate(_NO_BRACKETS).split())[:100]
    follows = _ANSWERED if answered else _ONE_WAY
    return f"[Incoming message from agent with ID '{agent_id}' ({named}) - {follows}] {text}"


def bare(text: str) -> str:
    """Return a message without the line that says which agent it is from."""
    found = _LINE.match(text)
    return text[found.end() :] if found else text


def reply(agent_id: str, name: str, said: Sequence[str], problem: str = "") -> dict[str, Any]:
    """Return what the asking agent reads of another's answer, or of why there is none."""
    found: dict[str, Any] = {"agent_id": agent_id, "agent_name": name}
    if said or not problem:
        found["response"] = [*said] or [NO_ANSWER]
    if problem:
        found["error"] = problem
    return found


def as_text(replies: Any) -> str:
    """Return one reply, or a list of them, as the tool's result."""
    return json.dumps(replies, ensure_ascii=False)


def waits_for_approval(name: str, calls: Sequence[str]) -> str:
    """Return what is said of an agent that cannot answer before a person has decided about *calls*."""
    names = ", ".join(dict.fromkeys(calls))
    return (
        f"{name} waits for a person's approval of {names}, and answers nobody until then: tell the person,"
        " and ask again when it is decided."
    )
