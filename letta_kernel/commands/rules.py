"""Constraints on which tools an agent may call when, with Letta's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from letta_kernel.commands.door import AGENT, Answer, Door, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.commands.tools import GROUP, OWN_TOOL, own_tool
from letta_kernel.errors import InvalidInputError, nearest

if TYPE_CHECKING:
    from letta_kernel.records import AgentState

_WITH_CHILDREN = ("constrain_child_tools", "parent_last_tool")


def _types() -> tuple[str, ...]:
    from letta_kernel.records import ToolRule

    return get_args(ToolRule.model_fields["type"].annotation)


@command("rules", "rule list", group=GROUP, lists=True)
def list_rules(door: Door, agent: AgentState = AGENT) -> Answer:
    """Show which tools it may, or must, call when."""
    from letta_kernel.display.tables import number, table
    from letta_kernel.tools.rules import describe

    rules = agent.tool_rules
    empty = f"No rules. {how(door, 'rules add', 'TYPE', 'TOOL', agent=agent)}; types: {', '.join(_types())}."
    return Answer(
        data=rules,
        panel=lambda: table(
            ["#", "rule", "tool", "what it says"],
            [
                [number(at), one.type, one.tool_name, describe(one)]
                for at, one in enumerate(rules, 1)
            ],
            title=f"Tool rules of {agent.name}",
            empty=empty,
        ),
    )


@command("rules add", "rule add", group=GROUP)
def add(
    door: Door,
    agent: AgentState = AGENT,
    type: str = argument("What the rule constrains", values="rule"),
    tool: str = OWN_TOOL,
    more: list[str] | None = argument(
        "Child tools, a number, or result=tool", None, free=True, values="tool"
    ),
    default: str | None = option("conditional: the tool for any other result", values="tool"),
) -> Answer:
    """Add a rule: its type and a tool, then child tools, a number, or result=tool."""
    from letta_kernel.records import ToolRule

    if type not in _types():
        hint = nearest(type, list(_types())) or f" Types: {', '.join(_types())}."
        raise InvalidInputError(f"There is no rule {type!r}.{hint}")
    name = _name(door, agent, tool)
    rule = ToolRule.model_validate(
        {"type": type, "tool_name": name, **_fields(door, agent, type, more or [], default)}
    )
    kept = [one for one in agent.tool_rules if one != rule and not _replaced(one, rule)]
    return list_rules(door, door.service.agents.update(agent.id, tool_rules=[*kept, rule]))


@command("rules remove", "rule remove", group=GROUP)
def remove(
    door: Door,
    agent: AgentState = AGENT,
    which: str = argument("The number of a rule, a type, or a tool for all its rules"),
) -> Answer:
    """Remove a rule by its number, or all rules of a tool."""
    if which.isdecimal() and 1 <= int(which) <= len(agent.tool_rules):
        left = [rule for at, rule in enumerate(agent.tool_rules, 1) if at != int(which)]
    else:
        left = [rule for rule in agent.tool_rules if which not in (rule.tool_name, rule.type)]
    if len(left) == len(agent.tool_rules):
        known = {*_types(), *(tool.name for tool in door.service.tools.list(agent.id))}
        if which in known:
            return list_rules(door, agent)  # gone already
        lists = how(door, "rules", agent=agent)
        raise InvalidInputError(f"{agent.name} has no rule {which!r}; {lists} numbers them.")
    return list_rules(door, door.service.agents.update(agent.id, tool_rules=left))


def _name(door: Door, agent: AgentState, tool: str) -> str:
    """Return the name of one of the agent's tools, or of those every notebook lends it."""
    from letta_kernel.tools.notebook import NAMES

    return tool if tool in NAMES else own_tool(door, agent, tool).name


def _replaced(old: Any, new: Any) -> bool:
    """Whether a limit takes the place of another, as when a cell was edited and run again."""
    limit = ("max_count_per_step", new.tool_name)
    return (old.type, old.tool_name) == (new.type, new.tool_name) == limit


def _fields(
    door: Door, agent: AgentState, kind: str, more: list[str], default: str | None
) -> dict[str, Any]:
    """Return what a rule of this *kind* says beyond its tool."""

    # Each kind takes other words behind its tool, and each has its own way to be wrong.
    def adds(*words: str) -> str:
        return how(door, "rules add", kind, "TOOL", *words, agent=agent)

    if default is not None and kind != "conditional":
        raise InvalidInputError("--default belongs to a conditional rule.")
    if kind in _WITH_CHILDREN:
        if not more:
            raise InvalidInputError(f"Name the tools: {adds('CHILD', '…')}")
        return {"children": [_name(door, agent, child) for child in more]}
    if kind == "conditional":
        mapping = {}
        for word in more:
            result, equals, child = word.rpartition("=")
            if not equals or not result:
                raise InvalidInputError(
                    f"{word!r} does not say which tool follows which result: RESULT=TOOL"
                )
            mapping[result] = _name(door, agent, child)
        if not mapping:
            raise InvalidInputError("A conditional rule needs RESULT=TOOL …")
        other = _name(door, agent, default) if default else None
        return {
            "child_output_mapping": mapping,
            "children": list(dict.fromkeys([*mapping.values(), *([other] if other else [])])),
            "default_child": other,
        }
    if kind == "max_count_per_step":
        if len(more) != 1 or not more[0].isdecimal() or int(more[0]) < 1:
            raise InvalidInputError(f"How many times? {adds('N')}")
        return {"max_count_limit": int(more[0])}
    if more:
        raise InvalidInputError(f"{kind} takes a tool and nothing else, not {more[0]!r}.")
    return {}
