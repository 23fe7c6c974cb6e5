"""Tool rules: a pure function from rules and the calls of this turn to what may be called next.

Names and meanings are Letta's. A *turn* is what happens from one user message or event until the agent ends
it; Letta calls it a step, hence ``max_count_per_step``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from letta_kernel.records import ToolRule


@dataclass(frozen=True, slots=True)
class Called:
    """A call of this turn: the tool, the result the model saw, and whether it went well."""

    name: str
    result: str = ""
    ok: bool = True


@dataclass(frozen=True, slots=True)
class _Limit:
    """What one rule leaves open, and how it says so."""

    names: frozenset[str]
    reason: str


def allowed(rules: Sequence[ToolRule], names: Sequence[str], calls: Sequence[Called]) -> list[str]:
    """Return which of *names* may be called next, in their order.

    While nothing was called, the ``run_first`` tools; then what every other rule leaves open. An empty list
    means that no tool may be called, only an answer be given.
    """
    open_names = frozenset(names)
    for limit in _limits(rules, open_names, calls):
        open_names &= limit.names
    return [name for name in names if name in open_names]


def explain(
    rules: Sequence[ToolRule], names: Sequence[str], calls: Sequence[Called], wanted: str
) -> str | None:
    """Return why *wanted* may not be called now and what may, for the model; None if it may."""
    every = frozenset(names)
    if wanted in allowed(rules, names, calls):
        return None
    reasons = [limit.reason for limit in _limits(rules, every, calls) if wanted not in limit.names]
    now = ", ".join(allowed(rules, names, calls))
    because = f": {'; '.join(dict.fromkeys(reasons))}" if reasons else ""
    return f"A tool rule does not allow {wanted} now{because}. You may call: {now or 'no tool'}."


def must_call(rules: Sequence[ToolRule], names: Sequence[str], calls: Sequence[Called]) -> bool:
    """Return whether the next thing has to be a tool call: a first tool, or a constrained child."""
    if not calls:
        return any(rule.type == "run_first" and rule.tool_name in names for rule in rules)
    last = calls[-1].name
    held = ("constrain_child_tools", "conditional", "parent_last_tool")
    return any(
        rule.type in held and rule.tool_name == last and allowed(rules, names, calls)
        for rule in rules
    )


def missing_before_exit(
    rules: Sequence[ToolRule], calls: Sequence[Called], names: Iterable[str] | None = None
) -> list[str]:
    """Return the tools that must still be called before the turn may end.

    With *names* given, tools the agent does not have are not waited for.
    """
    done = {call.name for call in calls}
    known = None if names is None else set(names)
    wanted = [rule.tool_name for rule in rules if rule.type == "required_before_exit"]
    return [
        name
        for name in dict.fromkeys(wanted)
        if name not in done and (known is None or name in known)
    ]


def ends_turn(rules: Sequence[ToolRule], name: str) -> bool:
    """Return whether a call of *name* ends the turn."""
    return any(rule.type == "exit_loop" and rule.tool_name == name for rule in rules)


def continues_turn(rules: Sequence[ToolRule], name: str) -> bool:
    """Return whether the turn goes on after a call of *name* whatever the model asked for."""
    return any(rule.type == "continue_loop" and rule.tool_name == name for rule in rules)


def needs_approval(rules: Sequence[ToolRule], name: str) -> bool:
    """Return whether a person must approve a call of *name*."""
    return any(rule.type == "requires_approval" and rule.tool_name == name for rule in rules)


def prefilled(rules: Sequence[ToolRule], name: str, calls: Sequence[Called] = ()) -> dict[str, Any]:
    """Return the arguments rules give for the next call of *name*; they win over the model's.

    A ``run_first`` rule's count while nothing was called. Those of a rule with children count right after
    its tool; they are given per child, or for all children alike. Any other rule's count always.
    """
    result: dict[str, Any] = {}
    for rule in rules:
        if not rule.args:
            continue
        if rule.children:
            if name not in rule.children or not calls or calls[-1].name != rule.tool_name:
                continue
            own = rule.args.get(name)
            per_child = all(
                key in rule.children and isinstance(value, dict) for key, value in rule.args.items()
            )
            result.update((own or {}) if per_child else rule.args)
        elif rule.tool_name == name and not (rule.type == "run_first" and calls):
            result.update(rule.args)
    return result


def describe(rule: ToolRule) -> str:
    """Return *rule* as a sentence for the system prompt."""
    name, children = rule.tool_name, ", ".join(rule.children)
    match rule.type:
        case "run_first":
            return f"{name} must be called first."
        case "exit_loop":
            return f"A call of {name} ends your turn."
        case "continue_loop":
            return f"After {name} your turn goes on."
        case "conditional":
            ways = "; ".join(f"{key} → {child}" for key, child in rule.child_output_mapping.items())
            rest = f"; anything else → {rule.default_child}" if rule.default_child else ""
            return f"What {name} returns decides what you must call next: {ways}{rest}."
        case "constrain_child_tools":
            return f"Right after {name} you may only call: {children}."
        case "parent_last_tool":
            return (
                f"{children} may only be called right after {name}, and then nothing else may be."
            )
        case "max_count_per_step":
            return f"{name} may be called at most {rule.max_count_limit} times in a turn."
        case "required_before_exit":
            return f"{name} must be called before your turn ends."
        case "requires_approval":
            return f"A person must approve each call of {name}."


def _limits(
    rules: Sequence[ToolRule], names: frozenset[str], calls: Sequence[Called]
) -> list[_Limit]:
    """Return what each rule that has a say now leaves open of *names*."""
    # One case a kind of rule; the reasons go to the model, so each is said in words of its own.
    first = [
        rule.tool_name for rule in rules if rule.type == "run_first" and rule.tool_name in names
    ]
    if first and not calls:
        return [_Limit(frozenset(first), f"{' or '.join(first)} must be called first")]
    last = calls[-1] if calls else None
    limits: list[_Limit] = []
    for rule in rules:
        if rule.type == "constrain_child_tools" and last and last.name == rule.tool_name:
            reason = f"right after {rule.tool_name} only {', '.join(rule.children)} may follow"
            limits.append(_Limit(frozenset(rule.children), reason))
        elif rule.type == "parent_last_tool":
            children = frozenset(rule.children)
            if last and last.name == rule.tool_name:
                reason = f"right after {rule.tool_name} only {', '.join(rule.children)} may follow"
                limits.append(_Limit(children, reason))
            else:
                reason = f"{rule.tool_name} must be called right before it"
                limits.append(_Limit(names - children, reason))
        elif rule.type == "conditional" and last and last.name == rule.tool_name:
            child = _chosen(rule, last.result)
            if child is not None:
                reason = f"what {rule.tool_name} returned asks for {child}"
                limits.append(_Limit(frozenset({child}), reason))
            elif rule.require_output_mapping:
                reason = f"what {rule.tool_name} returned allows no tool"
                limits.append(_Limit(frozenset(), reason))
        elif rule.type == "max_count_per_step" and rule.max_count_limit is not None:
            count = sum(call.name == rule.tool_name for call in calls)
            if count >= rule.max_count_limit:
                reason = f"{rule.tool_name} was called {count} times, which is the most in a turn"
                limits.append(_Limit(names - {rule.tool_name}, reason))
    return limits


def _chosen(rule: ToolRule, result: str) -> str | None:
    """Return the child a conditional rule picks for *result*, if it picks one."""
    for key, child in rule.child_output_mapping.items():
        if _same(result, key):
            return child
    return None if rule.require_output_mapping else rule.default_child


def _same(result: str, key: str) -> bool:
    """Compare a result with a mapping's key: as text, and as the number or truth value it writes."""
    result = result.strip()
    if result == key:
        return True
    try:
        value = json.loads(result)
    except (ValueError, RecursionError):
        value = result
    if isinstance(value, str):  # a result that is a JSON string, or Python's True and False
        if value == key:
            return True
        value = {"True": True, "False": False}.get(value, value)
    if isinstance(value, bool):
        return key.strip().lower() == str(value).lower()
    if isinstance(value, int | float):
        try:
            return float(key) == value
        except ValueError:
            return False
    return False
