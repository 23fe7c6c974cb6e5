"""Core memory in Python: a mapping from labels to blocks, and the panel to edit them in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr, ValidationError

from letta_kernel.api.remedies import speaks_python
from letta_kernel.display.block_panels import memory_panel
from letta_kernel.display.live import running_shell
from letta_kernel.errors import InvalidInputError
from letta_kernel.hooks import memory_shown
from letta_kernel.memory.origins import Sentence
from letta_kernel.models.tokens import count
from letta_kernel.records import Block
from letta_kernel.service import AgentService

if TYPE_CHECKING:
    from letta_kernel.memory.dates import Moment


_WRITTEN = frozenset({"value", "limit", "description", "read_only", "tags"})


@speaks_python
class MemoryBlock(Block):
    """A block as it was read. Its value, limit, description, ``read_only`` and tags are written when assigned.

    Raises
    ------
    ConflictError
        The block was changed since it was read; nothing is written.
    InvalidInputError
        What is assigned is not of the right kind, or too long.
    """

    _write: Callable[..., Block] | None = PrivateAttr(default=None)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _WRITTEN or self._write is None:
            super().__setattr__(name, value)
            return
        try:
            written = self._write(**{name: value}, expected_version=self.version)
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            raise InvalidInputError(f"{value!r:.60} cannot be a block's {name}: {why}.") from None
        self.__dict__.update(written.__dict__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self.__dict__ == other.__dict__

    def __copy__(self) -> Any:
        return Block.model_construct(**self.__dict__)  # a copy writes nothing

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        return Block.model_construct(**deepcopy(self.__dict__, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return Block.model_validate, (self.__dict__,)


@speaks_python
class MemoryView:
    """An agent's core memory as a mapping; assigning a string writes the block."""

    def __init__(self, service: AgentService, agent_id: str) -> None:
        self._service = service
        self._agent_id = agent_id

    def __getitem__(self, label: str) -> MemoryBlock:
        blocks = self._service.blocks
        found = MemoryBlock.model_construct(**blocks.retrieve(label, agent=self._agent_id).__dict__)
        found._write = partial(blocks.update, label, agent=self._agent_id, reason="Agent.memory")
        return found

    def as_of(self, moment: Moment) -> dict[str, Block]:
        """Return the blocks by label with the texts they had then; a day is meant as its end."""
        blocks = self._service.blocks
        return {one.label: one for one in blocks.list(self._agent_id, as_of=moment)}

    def origin(self, label: str) -> list[Sentence]:
        """Return the sentences of a block, each with its ``origin``: who, how, when, after which message."""
        return self._service.blocks.origin(label, agent=self._agent_id)

    def share(self, label: str, other: str) -> None:
        """Let another agent, by its name or id, have the same block: what one writes there all see."""
        self._service.blocks.share(label, agent=self._agent_id, other=other)

    def unshare(self, label: str, other: str) -> None:
        """Take a block off another agent that has it too."""
        self._service.blocks.unshare(label, agent=self._agent_id, other=other)

    def shared_with(self, label: str) -> list[str]:
        """Return the names of the other agents that have a block."""
        return self._service.blocks.standing(self._agent_id)[self[label].id].others

    def __setitem__(self, label: str, value: str) -> None:
        self._service.blocks.upsert(label, value, agent=self._agent_id, reason="Agent.memory")

    def __delitem__(self, label: str) -> None:
        self._service.blocks.delete(label, agent=self._agent_id)

    def __iter__(self) -> Iterator[str]:
        return iter([block.label for block in self._service.blocks.list(self._agent_id)])

    def __contains__(self, label: object) -> bool:
        return any(label == known for known in self)

    def __len__(self) -> int:
        return len(self._service.blocks.list(self._agent_id))

    def __repr__(self) -> str:
        blocks = self._service.blocks.list(self._agent_id)
        return "\n".join(f"{b.label} ({len(b.value):,}/{b.limit:,}): {b.value}" for b in blocks)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Return the blocks as they are now."""
        blocks = self._service.blocks.list(self._agent_id)
        tokens = {block.label: count(block.value) for block in blocks}
        standing = self._service.blocks.standing(self._agent_id)
        return memory_panel(blocks, tokens, standing)._repr_mimebundle_()

    def _ipython_display_(self) -> None:
        """Show the panel in which blocks are edited, where a notebook can."""
        shell = running_shell()
        if shell is None or threading.current_thread() is not threading.main_thread():
            print(repr(self))
            return
        if not any(
            show(self._service, self._service.agents.retrieve(self._agent_id))
            for show in memory_shown
        ):
            shell.display_pub.publish(self._repr_mimebundle_())
