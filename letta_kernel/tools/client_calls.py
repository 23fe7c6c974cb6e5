"""What sandboxed tools may ask by ``client`` of the agent that calls them: its own memory and messages.

There is no network and no file on the way, and no other agent to be had. A tool without a network (so whatever
came with an agent file, until a person lets it) has the memory blocks alone, as by ``agent_state``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from letta_kernel.errors import InvalidInputError, LettaError, NotFoundError, ToolError
from letta_kernel.memory.blocks import Change
from letta_kernel.records import Passage, Tool
from letta_kernel.tools.context import ToolContext

_MOST = 100  # messages or passages at once


class ClientCalls:
    """Answers ``client`` in one call of *tool*; *agent_state* makes what it sees of the agent.

    Attributes
    ----------
    changes : what was written to memory blocks.
    """

    def __init__(
        self, context: ToolContext, tool: Tool, agent_state: Callable[[], Any] = lambda: None
    ) -> None:
        self.changes: list[Change] = []
        self._context = context
        self._tool = tool
        self._state = agent_state
        blocks: dict[str, Callable[..., Any]] = {
            "agents.retrieve": self._agent,
            "agents.blocks.list": self._blocks,
            "agents.blocks.retrieve": self._block,
            "agents.blocks.update": self._update,
            "agents.blocks.modify": self._update,
        }
        rest: dict[str, Callable[..., Any]] = {
            "agents.passages.list": self._passages,
            "agents.passages.search": self._search,
            "agents.passages.create": self._insert,
            "agents.passages.insert": self._insert,
            "agents.messages.list": self._messages,
            "agents.messages.search": self._find,
        }
        self._closed = () if tool.network else tuple(rest)
        self._calls: dict[str, Callable[..., Any]] = {**blocks, **(rest if tool.network else {})}

    def __call__(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Answer a call.

        Raises
        ------
        LettaError
            It cannot be answered; one line.
        """
        function = self._calls.get(name)
        if name in self._closed:
            raise ToolError(f"client.{name}: {self._tool.name} has no network, so only the blocks.")
        if function is None:
            raise ToolError(
                f"client.{name} is not to be had in a tool; there is: {', '.join(self._calls)}."
            )
        try:
            given = inspect.signature(function).bind(*args, **kwargs)
        except TypeError as error:
            raise ToolError(f"client.{name}: {error}.") from None
        whose = given.arguments.pop("agent_id", None)
        if whose not in (None, self._context.agent_id):
            raise ToolError(f"client.{name}: a tool reaches only the agent that calls it.")
        try:
            return function(**given.arguments)
        except LettaError:
            raise
        except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ToolError(f"client.{name}: {error}.") from None

    def _agent(self, agent_id: str | None = None) -> Any:
        from pydantic_core import to_jsonable_python

        return to_jsonable_python(self._state(), fallback=str)

    # -- memory blocks -------------------------------------------------------------------------------

    def _blocks(self, agent_id: str | None = None) -> list[Any]:
        return [block.model_dump(mode="json") for block in self._context.core.all()]

    def _block(self, block_label: str, agent_id: str | None = None) -> Any:
        there = self._context.core.all()
        for block in there:
            if block.label == block_label:
                return block.model_dump(mode="json")
        known = ", ".join(block.label for block in there) or "none"
        raise NotFoundError(f"There is no memory block {block_label!r}; there is: {known}.")

    def _update(self, block_label: str, agent_id: str | None = None, *, value: str) -> Any:
        if not isinstance(value, str):
            raise InvalidInputError("The value of a memory block is a text.")
        change = self._context.core.edit(
            block_label,
            lambda _: value,
            actor=self._context.agent_id,
            step_id=self._context.step_id,
            reason=self._tool.name,
        )
        if change.block.value != change.before:
            self.changes.append(change)
        return change.block.model_dump(mode="json")

    # -- archival memory and messages ----------------------------------------------------------------

    def _passages(
        self, agent_id: str | None = None, *, search: str = "", limit: int = 10
    ) -> list[Any]:
        return self._search(query=search, top_k=limit)

    def _search(
        self,
        agent_id: str | None = None,
        *,
        query: str,
        tags: Sequence[str] | None = None,
        top_k: int = 10,
    ) -> list[Any]:
        found = self._context.archive.search(
            self._context.agent_id, str(query), tags=_tags(tags), top_k=_many(top_k)
        )
        return [_passage(hit.passage) for hit in found]

    def _insert(
        self, agent_id: str | None = None, *, text: str, tags: Sequence[str] | None = None
    ) -> list[Any]:
        context = self._context
        made = context.archive.insert(
            context.agent_id,
            str(text),
            _tags(tags),
            actor=context.agent_id,
            step_id=context.step_id,
            reason=self._tool.name,
        )
        return [_passage(one) for one in made]

    def _messages(self, agent_id: str | None = None, *, limit: int = 10) -> list[Any]:
        return self._find(query="", limit=limit)

    def _find(self, agent_id: str | None = None, *, query: str, limit: int = 10) -> list[Any]:
        found = self._context.recall.search(self._context.agent_id, str(query), limit=_many(limit))
        kept = {"id", "role", "content", "created_at"}
        return [hit.message.model_dump(mode="json", include=kept) for hit in found]


def _many(given: Any) -> int:
    return max(0, min(int(given), _MOST))


def _tags(given: Any) -> list[str]:
    if not isinstance(given or [], list) or not all(isinstance(one, str) for one in given or ()):
        raise InvalidInputError("Tags are a list of texts.")
    return list(given or ())


def _passage(passage: Passage) -> dict[str, Any]:
    kept: dict[str, Any] = passage.model_dump(
        mode="json", include={"id", "content", "tags", "created_at"}
    )
    return {**kept, "text": kept["content"]}
