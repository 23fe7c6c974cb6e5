"""A person's word on calls that need it: how a call is described, and what holds where nobody can be asked."""

from __future__ import annotations

import json
from collections.abc import Sequence

from letta_kernel import settings
from letta_kernel.agent.decisions import Decision, Scope
from letta_kernel.commands.spec import Policy
from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import ToolCall
from letta_kernel.tools.notebook import NAMES

NOBODY = "nobody was there to approve it"
SCOPES: dict[str, Scope] = {"run": "run", "notebook": "notebook", "always": "agent"}
_LONGEST = 500  # characters of a call's arguments in the question


def described(call: ToolCall) -> str:
    """Return a call as it would be written in Python, in one line."""
    try:
        given = json.loads(call.arguments)
        text = ", ".join(f"{name}={value!r}" for name, value in given.items())
    except (ValueError, AttributeError, RecursionError):
        text = call.arguments
    return f"{one_line(call.name, 100)}({one_line(text, _LONGEST)})"


def ways(call: ToolCall) -> str:
    """Return which answers there are to a question about a call."""
    if call.name in NAMES:
        return "[y]es, yes for this [run] or [notebook], [always], [n]o, or why not"
    return "[y]es, [n]o, or why not"


def scope_of(word: str | None) -> Scope:
    """Return what a person's word for how long means.

    Raises
    ------
    InvalidInputError
        It is none of them.
    """
    if word is None:
        return ""
    if word not in SCOPES:
        raise InvalidInputError(f"Say --for {', '.join(SCOPES)}, not {word!r}.")
    return SCOPES[word]


def answered(call: ToolCall, answer: str) -> Decision:
    """Return what a person's line says: yes, no, or why not; of a notebook tool also for how long."""
    answer = answer.strip()
    if call.name in NAMES and (scope := SCOPES.get(answer.lower())) is not None:
        return Decision(call.id, approve=True, scope=scope)
    if answer.lower() in ("y", "yes"):
        return Decision(call.id, approve=True)
    reason = "" if answer.lower() in ("", "n", "no") else answer
    return Decision(call.id, approve=False, reason=reason)


def by_policy(
    calls: Sequence[ToolCall],
    policy: str | None = None,
    why_not: str = NOBODY,
) -> list[Decision] | None:
    """Return what a policy decides on each call, that of the environment if None is named; None to wait.

    Raises
    ------
    InvalidInputError
        The environment names none (``LETTA_APPROVAL``).
    """
    policy = policy or settings.APPROVAL()
    if policy == Policy.wait:
        return None
    approve = policy == Policy.approve
    return [Decision(call.id, approve=approve, reason="" if approve else why_not) for call in calls]
