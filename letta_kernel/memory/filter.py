"""Which lines a search may find."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from letta_kernel.store.scopes import Scope
from letta_kernel.store.vector_queries import condition


@dataclass(frozen=True, slots=True)
class Filter:
    """Lines with *tags* (empty for any), from *start* on and before *end*, *without* those of some ids.

    *scope* is which of an owner's lines there are for the reader, None for all: what is out of it counts for
    nothing, not as context and not as a word's rarity.
    """

    tags: tuple[str, ...] = ()
    match: Literal["any", "all"] = "any"
    start: datetime | None = None
    end: datetime | None = None
    without: frozenset[str] = frozenset()
    scope: Scope | None = None

    def condition(self, agent_id: str) -> str:
        """Return it as a condition on an agent's rows in LanceDB."""
        return condition(
            agent_id, self.tags, self.match, self.start, self.end, self.without, self.scope
        )
