"""Rules about which tools may be called, in the API's shapes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from letta_kernel.records import RuleType, ToolRule
from letta_kernel.server.schemas.base import Asked, Shape


class ChildArguments(Shape):
    """Arguments a child tool gets when it is called next."""

    name: str
    args: dict[str, Any] | None = None


class ToolRuleShape(Shape):
    """A rule; the fields that mean something depend on its type."""

    type: RuleType
    tool_name: str
    children: list[str] | None = None
    child_arg_nodes: list[ChildArguments] | None = None
    child_output_mapping: dict[str, str] | None = None
    default_child: str | None = None
    require_output_mapping: bool | None = None
    max_count_limit: int | None = None
    args: dict[str, Any] | None = None
    prompt_template: str | None = None


class ChildArgumentsIn(Asked):
    """Arguments a child tool gets when it is called next."""

    name: str
    args: dict[str, Any] | None = None


class ToolRuleIn(Asked):
    """A rule to follow."""

    type: RuleType
    tool_name: str = Field(min_length=1, max_length=200)
    children: list[str] | None = None
    child_arg_nodes: list[ChildArgumentsIn] | None = None
    child_output_mapping: dict[str, str] | None = None
    default_child: str | None = None
    require_output_mapping: bool | None = None
    max_count_limit: int | None = Field(None, ge=0, le=1_000_000)
    args: dict[str, Any] | None = None


def to_rule(rule: ToolRule) -> ToolRuleShape:
    """Return *rule* in the API's shape."""
    shape = ToolRuleShape(type=rule.type, tool_name=rule.tool_name)
    if rule.type in ("constrain_child_tools", "parent_last_tool"):
        shape.children = rule.children
    if rule.type == "constrain_child_tools" and rule.args:
        shape.child_arg_nodes = [
            ChildArguments(name=name, args=rule.args.get(name))
            for name in rule.children
            if isinstance(rule.args.get(name), dict)
        ]
    elif rule.args:
        shape.args = rule.args
    if rule.type == "conditional":
        shape.child_output_mapping = rule.child_output_mapping
        shape.default_child = rule.default_child
        shape.require_output_mapping = rule.require_output_mapping
    if rule.type == "max_count_per_step":
        shape.max_count_limit = rule.max_count_limit
    return shape


def from_rule(asked: ToolRuleIn) -> ToolRule:
    """Return the rule that was asked for."""
    args = asked.args
    if asked.child_arg_nodes:
        args = {node.name: node.args for node in asked.child_arg_nodes if node.args}
    return ToolRule(
        type=asked.type,
        tool_name=asked.tool_name,
        children=asked.children or [],
        max_count_limit=asked.max_count_limit,
        default_child=asked.default_child,
        child_output_mapping=asked.child_output_mapping or {},
        require_output_mapping=bool(asked.require_output_mapping),
        args=args or None,
    )
