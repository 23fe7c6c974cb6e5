"""A person's word on calls that need it: yes, no, why not, or other arguments."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from letta_kernel.agent.decisions import Decision
from letta_kernel.cli import lines, output
from letta_kernel.commands.approvals import answered, by_policy, described
from letta_kernel.commands.arguments import json_object
from letta_kernel.commands.spec import Policy
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import ToolCall


def decide(calls: Sequence[ToolCall], policy: Policy | None) -> list[Decision] | None:
    """Return what was decided on each call; None leaves them waiting.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C; the calls go on waiting.
    """
    if policy is None and sys.stdin.isatty() and sys.stderr.isatty():
        policy = Policy.ask
    if policy is not Policy.ask:
        return by_policy(calls, policy)
    if not sys.stdin.isatty():
        raise InvalidInputError("Nobody is here to ask: --approval approve, deny or wait.")
    return _ask_all(calls)


def _ask_all(calls: Sequence[ToolCall]) -> list[Decision] | None:
    try:
        return [_ask(call) for call in calls]
    except EOFError:
        output.put("", stderr=True)
        return None


def _ask(call: ToolCall) -> Decision:
    output.put(f"Allow {described(call)}?", style="bold", stderr=True)
    answer = lines.ask("[y]es, [n]o, [e]dit, or why not: ").strip()
    if answer.lower() not in ("e", "edit"):
        return answered(call, answer)
    given = call.arguments
    while True:
        given = lines.ask("arguments (empty: not at all): ", given).strip()
        if not given:
            return Decision(call.id, approve=False)
        try:
            arguments = json_object(given, "The arguments are")
        except InvalidInputError as error:
            output.put(str(error), style="red", stderr=True)
            continue
        return Decision(call.id, approve=True, arguments=arguments)
