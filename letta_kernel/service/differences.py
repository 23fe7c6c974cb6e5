"""What an agent has that differs from what it was asked for with."""

from __future__ import annotations

from typing import Any

from letta_kernel.records import AgentState, Block
from letta_kernel.store import blocks
from letta_kernel.store.database import Tx


def differing(tx: Tx, state: AgentState, options: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options an agent does not have: to what it has and what was given."""
    differs = {}
    for option, given in options.items():
        if option in ("persona", "human"):
            block = blocks.find(tx, state.id, option)
            has = block.value if block is not None else ""
            same = given == has or (block is not None and given == _by_hand(tx, block))
        else:
            has = getattr(state, option)
            same = list(given) == has if isinstance(has, list) else given == has
        if not same:
            differs[option] = (has, given)
    return differs


def _by_hand(tx: Tx, block: Block) -> str | None:
    """Return what a person wrote into a block last: at its making, by hand, or back to by undo."""
    known = blocks.versions(tx, block.id)
    first = {version.value: version for version in reversed(known)}
    for version in reversed(known):
        if first[version.value].step_id is None:
            return version.value
    return None
