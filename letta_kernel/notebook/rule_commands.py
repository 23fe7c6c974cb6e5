"""``%agent rules``: constraints on which tools an agent may call when, with Letta's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from letta_kernel.display.tables import Panel, number, table
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.notebook.line import Argument, Arguments, Option, split
from letta_kernel.notebook.registry import AGENT, command
from letta_kernel.notebook.tool_commands import own_tool
from letta_kernel.records import AgentState, ToolRule
from letta_kernel.tools.rules import describe

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

TYPES: tuple[str, ...] = get_args(ToolRule.model_fields["type"].annotation)
_WITH_CHILDREN = ("constrain_child_tools", "parent_last_tool")


@command("rules", options=(AGENT,), summary="which tools it may, or must, call when")
def rules(session: Session, given: Arguments) -> Panel:
    """List the tool rules."""
    return _listed(session.agent(given.option("agent")))


@command(
    "rules add",
    Argument("type", values="rule"),
    Argument("tool", values="tool"),
    Argument("more", required=False, rest=True, values="tool"),
    options=(
        Option("--default", "word", "conditional: the tool for any other result", values="tool"),
        AGENT,
    ),
    summary="add a rule: TYPE TOOL, then child tools, a number, or result=tool",
)
def add(session: Session, given: Arguments) -> Panel:
    """Add a rule, checked against the tools the agent has."""
    agent = session.agent(given.option("agent"))
    kind = given["type"]
    if kind not in TYPES:
        hint = nearest(kind, list(TYPES)) or f" Types: {', '.join(TYPES)}."
        raise InvalidInputError(f"There is no rule {kind!r}.{hint}")
    name = own_tool(session, agent, given["tool"]).name
    more = [word.text for word in split(given.get("more") or "")]
    rule = ToolRule.model_validate(
        {"type": kind, "tool_name": name, **_fields(session, agent, kind, more, given)}
    )
    kept = [one for one in agent.tool_rules if one != rule and not _replaced(one, rule)]
    return _listed(session.service.agents.update(agent.id, tool_rules=[*kept, rule]))


@command(
    "rules remove",
    Argument("which"),
    options=(AGENT,),
    summary="remove a rule by its number, or all rules of a tool",
)
def remove(session: Session, given: Arguments) -> Panel:
    """Remove rules."""
    agent, which = session.agent(given.option("agent")), given["which"]
    if which.isdecimal() and 1 <= int(which) <= len(agent.tool_rules):
        left = [rule for at, rule in enumerate(agent.tool_rules, 1) if at != int(which)]
    else:
        left = [rule for rule in agent.tool_rules if which not in (rule.tool_name, rule.type)]
    if len(left) == len(agent.tool_rules):
        known = {*TYPES, *(tool.name for tool in session.service.tools.list(agent.id))}
        if which in known:
            return _listed(agent)  # gone already
        raise InvalidInputError(f"{agent.name} has no rule {which!r}; %agent rules numbers them.")
    return _listed(session.service.agents.update(agent.id, tool_rules=left))


def _replaced(old: ToolRule, new: ToolRule) -> bool:
    """Whether a limit takes the place of another, as when a cell was edited and run again."""
    return (
        (old.type, old.tool_name)
        == (new.type, new.tool_name)
        == ("max_count_per_step", new.tool_name)
    )


def _fields(
    session: Session, agent: AgentState, kind: str, more: list[str], given: Arguments
) -> dict[str, Any]:
    """Return what a rule of this *kind* says beyond its tool."""
    default = given.option("default")
    if default is not None and kind != "conditional":
        raise InvalidInputError("--default belongs to a conditional rule.")
    if kind in _WITH_CHILDREN:
        if not more:
            raise InvalidInputError(f"Name the tools: %agent rules add {kind} TOOL CHILD …")
        return {"children": [own_tool(session, agent, child).name for child in more]}
    if kind == "conditional":
        mapping = {}
        for word in more:
            result, equals, child = word.rpartition("=")
            if not equals or not result:
                raise InvalidInputError(
                    f"{word!r} does not say which tool follows which result: RESULT=TOOL"
                )
            mapping[result] = own_tool(session, agent, child).name
        if not mapping:
            raise InvalidInputError("A conditional rule needs RESULT=TOOL …")
        other = own_tool(session, agent, default).name if default else None
        return {
            "child_output_mapping": mapping,
            "children": list(dict.fromkeys([*mapping.values(), *([other] if other else [])])),
            "default_child": other,
        }
    if kind == "max_count_per_step":
        if len(more) != 1 or not more[0].isdecimal() or int(more[0]) < 1:
            raise InvalidInputError("How many times? %agent rules add max_count_per_step TOOL N")
        return {"max_count_limit": int(more[0])}
    if more:
        raise InvalidInputError(f"{kind} takes a tool and nothing else, not {more[0]!r}.")
    return {}


def _listed(agent: AgentState) -> Panel:
    rows = [
        [number(at), rule.type, rule.tool_name, describe(rule)]
        for at, rule in enumerate(agent.tool_rules, 1)
    ]
    return table(
        ["#", "rule", "tool", "what it says"],
        rows,
        title=f"Tool rules of {agent.name}",
        empty=f"No rules. %agent rules add TYPE TOOL; types: {', '.join(TYPES)}.",
    )
