"""A person's word on calls that need it: yes, no, why not, or other arguments."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from letta_kernel import settings
from letta_kernel.agent.decisions import Decision
from letta_kernel.cli import lines, output
from letta_kernel.cli.asking import Policy
from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import ToolCall

_LONGEST = 500  # characters of a call's arguments in the question


def decide(calls: Sequence[ToolCall], policy: Policy | None) -> list[Decision] | None:
    """Return what was decided on each call; None leaves them waiting.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C; the calls go on waiting.
    """
    if policy is None:
        policy = (
            Policy.ask
            if sys.stdin.isatty() and sys.stderr.isatty()
            else Policy(settings.APPROVAL())
        )
    if policy is Policy.ask:
        if not sys.stdin.isatty():
            raise InvalidInputError("Nobody is here to ask: --approval approve, deny or wait.")
        return _ask_all(calls)
    if policy is Policy.wait:
        return None
    approve = policy is Policy.approve
    reason = "" if approve else "nobody was there to approve it"
    return [Decision(call.id, approve=approve, reason=reason) for call in calls]


def _ask_all(calls: Sequence[ToolCall]) -> list[Decision] | None:
    try:
        return [_ask(call) for call in calls]
    except EOFError:
        output.put("", stderr=True)
        return None


def _ask(call: ToolCall) -> Decision:
    output.put(f"Allow {_described(call)}?", style="bold", stderr=True)
    answer = lines.ask("[y]es, [n]o, [e]dit, or why not: ").strip()
    if answer.lower() in ("y", "yes"):
        return Decision(call.id, approve=True)
    if answer.lower() not in ("e", "edit"):
        return Decision(
            call.id, approve=False, reason="" if answer.lower() in ("", "n", "no") else answer
        )
    given = call.arguments
    while True:
        given = lines.ask("arguments (empty: not at all): ", given).strip()
        if not given:
            return Decision(call.id, approve=False)
        try:
            arguments = json.loads(given)
        except ValueError as error:
            output.put(f"That is no JSON ({error}).", style="red", stderr=True)
            continue
        if isinstance(arguments, dict):
            return Decision(call.id, approve=True, arguments=arguments)
        output.put('Arguments are a JSON object: {"name": value}.', style="red", stderr=True)


def _described(call: ToolCall) -> str:
    try:
        given = json.loads(call.arguments)
        text = ", ".join(f"{name}={value!r}" for name, value in given.items())
    except (ValueError, AttributeError):
        text = call.arguments
    return f"{one_line(call.name, 100)}({one_line(text, _LONGEST)})"
