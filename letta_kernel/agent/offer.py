"""The tools that a run offers the model, as the agent's rules allow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.agent.context import FINISH_EDITS, SEND, tool_schema
from letta_kernel.agent.request_record import tools_part
from letta_kernel.messages import ToolCall
from letta_kernel.models.base import ChatModel
from letta_kernel.records import Tool, ToolRule
from letta_kernel.store.request_parts import Part
from letta_kernel.tools import guests, rules


@dataclass(slots=True, kw_only=True)
class Offer:
    """The tools of one run, and which of them the model may call next.

    Parameters
    ----------
    agent_id : whose tools they are; a guest of another agent's runs none of them.
    tools : the agent's tools by name.
    tool_rules, style : the agent's.
    thinks : the model has reasoning of its own (else heartbeat style asks for ``thinking``).
    speaks : an answer of heartbeat style is a call of ``send_message``; one of a given form is not.
    done : the calls that were made so far.
    due : tools of which one has to be called next, as the model was told.
    """

    agent_id: str
    tools: dict[str, Tool]
    tool_rules: Sequence[ToolRule]
    style: str
    thinks: bool
    speaks: bool = True
    done: list[rules.Called] = field(default_factory=list)
    due: Sequence[str] = ()
    _schemas: dict[str, dict[str, Any]] = field(default_factory=dict)
    _texts: dict[tuple[str, ...], tuple[str, Part]] = field(default_factory=dict)

    def offered(self) -> list[dict[str, Any]]:
        """Return the schemas of the tools that may be called next, in OpenAI's form."""
        return [self._schema(name) for name in self._allowed()]

    def renew(self, kind: str, now: Sequence[Tool]) -> None:
        """Replace the tools of a *kind* by those there are now."""
        self._texts.clear()
        for name in [name for name, tool in self.tools.items() if tool.kind == kind]:
            del self.tools[name]
            self._schemas.pop(name, None)
        self.tools |= {tool.name: tool for tool in now if tool.kind == kind}

    def tool_choice(self) -> str | None:
        """Return ``required`` where plain text cannot be the right next thing, as by run_first rules."""
        must = bool(self._due()) or rules.must_call(self.tool_rules, list(self.tools), self.done)
        return "required" if must and self._allowed() else None

    def schema_tokens(self, model: ChatModel) -> int:
        """Return the tokens the tool schemas take, about."""
        return model.count_tokens(self._written()[0]) if self.tools else 0

    def part(self) -> Part | None:
        """Return what a step keeps of the schemas that are offered; None if none are."""
        return self._written()[1] if self._allowed() else None

    def _written(self) -> tuple[str, Part]:
        names = tuple(self._allowed())
        known = self._texts.get(names)
        if known is None:
            offered = self.offered()
            text = json.dumps(offered)
            known = self._texts[names] = (text, tools_part(text, offered))
        return known

    def _allowed(self) -> list[str]:
        return self._due() or rules.allowed(self.tool_rules, self.names(), self.done)

    def _due(self) -> list[str]:
        """Return the tools that must be called next and that the rules allow."""
        missing = self.missing_before_exit() if self.due else []
        allowed = rules.allowed(self.tool_rules, self.names(), self.done)
        return [name for name in self.due if name in missing and name in allowed]

    def names(self) -> list[str]:
        """Return the names of the tools that may be offered at all."""
        speaks = self.speaks and self.style == "heartbeat"
        return [name for name in self.tools if name != SEND or speaks]

    def _schema(self, name: str) -> dict[str, Any]:
        schema = self._schemas.get(name)
        if schema is None:
            schema = self._schemas[name] = tool_schema(
                self.tools[name],
                heartbeat=self.style == "heartbeat" and not self.terminal(name),
                thinking=self.style == "heartbeat" and not self.thinks,
            )
        return schema

    def terminal(self, name: str) -> bool:
        """Return whether a call of that name ends the turn."""
        return name in (SEND, FINISH_EDITS) or rules.ends_turn(self.tool_rules, name)

    def needs_approval(self, call: ToolCall) -> bool:
        """Return whether a person must approve *call* before it runs."""
        tool = self.tools.get(call.name)
        return tool is not None and self._asks(tool) and self.refused(tool) is None

    def refused(self, tool: Tool) -> str | None:
        """Return why *tool* does not run for the guest who acts, if one does and it does not."""
        return guests.refused(tool, self.agent_id, self._asks(tool))

    def _asks(self, tool: Tool) -> bool:
        return tool.requires_approval or rules.needs_approval(self.tool_rules, tool.name)

    def missing_before_exit(self) -> list[str]:
        """Return the tools that must still be called before the turn may end."""
        return rules.missing_before_exit(self.tool_rules, self.done, self.names())

    def batches(self, calls: Sequence[ToolCall]) -> Iterator[list[ToolCall]]:
        """Group *calls*: neighbours that are safe to run at the same time, else one by one."""
        batch: list[ToolCall] = []
        for call in calls:
            tool = self.tools.get(call.name)
            if tool is None or not tool.parallel_safe or tool.kind == "core":
                if batch:
                    yield batch
                    batch = []
                yield [call]
            else:
                batch.append(call)
        if batch:
            yield batch

    def outside(self, calls: Sequence[ToolCall]) -> list[str]:
        """Return the ids of those *calls* that may have an effect which is not in our store."""
        tools = ((call.id, self.tools.get(call.name)) for call in calls)
        return [call_id for call_id, tool in tools if tool is not None and tool.kind != "core"]
