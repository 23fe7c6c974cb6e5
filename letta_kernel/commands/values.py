"""Which words may stand for a parameter: what Tab offers in a notebook and in a shell."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar, get_args

from letta_kernel import settings
from letta_kernel.commands.spec import TABLE
from letta_kernel.concurrency import within
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.commands.door import Door
    from letta_kernel.remote import SharedAgent
    from letta_kernel.store.database import Tx

T = TypeVar("T")
SOON = 1.0
"""Seconds that words which are in the store are waited for."""
_MOST_FILES = 100
_MOST_STEPS = 20
_MOST_RUNS = 20
FIXED: dict[str, tuple[str, ...]] = {
    "switch": ("on", "off"),
    "match": ("any", "all"),
    "plot": ("tokens", "memory", "cost", "context", "retrieval", "branches"),
    "style": ("native", "heartbeat"),
    "scope": ("run", "notebook", "always"),
    "context": ("on", "whole", "off"),
    "manager": ("round_robin", "supervisor", "dynamic", "sleeptime"),
    "tools_of": ("on", "memory", "off"),
    "right": ("read", "talk", "write"),
    "review": ("show", "accept", "reject"),
}


def soon(door: Door, work: Callable[[], list[str]]) -> list[str]:
    """Return the words that *work* finds in the project; none where its server does not answer soon.

    Whoever presses Tab waits for it, and a kernel does nothing else meanwhile.

    Raises
    ------
    LettaError
        The store cannot be read.
    """
    from letta_kernel import waiting

    with waiting.request(patience=SOON):
        if not settings.STORE():
            return work()
        from letta_kernel import project

        project.where(door.home)  # what takes its time to be imported is no fault of the server's
        if door.at == "notebook":
            import_module("letta_kernel.service")
        try:
            return within(SOON, work, "letta-soon")
        except TimeoutError:
            return []


def values(kind: str, door: Door, agent: str | None, begun: str = "") -> list[str]:
    """Return the words of a kind, as far as they can be known without making anything.

    Parameters
    ----------
    agent
        Whose labels, tools, calls and passages are meant: a name or id.
    begun
        What is typed already; only files need it.
    """
    # What a kind needs is imported only for that kind: a shell waits for each Tab.
    if kind in FIXED:
        return list(FIXED[kind])
    if kind == "command":
        return [name for one in TABLE if (name := one.name(door.at)) and not name.startswith("%%")]
    if kind == "topic":
        from letta_kernel.troubles import pages

        return [*(values("command", door, agent) if door.at == "notebook" else ()), *pages()]
    if kind == "file":
        return _files(begun)
    if kind in ("any_agent", "speaker"):
        own = (
            _stored("agent" if kind == "any_agent" else kind, door, agent)
            if door.has_project
            else []
        )
        return [*own, *(one.ref for one in _others())]
    if kind == "person":
        granted = door.service.grants.list() if door.has_project else []
        return sorted({*(one.guest for one in granted), *(one.owner for one in _others())})
    if kind == "skill":
        return [one.name for one in door.service.skills.list()] if door.has_project else []
    if kind == "role":
        from letta_kernel.memory.recall import ROLES

        return list(ROLES)
    if kind == "breakpoint":
        tools = [f"tool:{name}" for name in values("tool", door, agent)]
        labels = [f"memory:{label}" for label in values("label", door, agent)]
        return [*tools, *labels, "word:", "cost:", "steps:"]
    if kind == "rule":
        from letta_kernel.records import ToolRule

        return list(get_args(ToolRule.model_fields["type"].annotation))
    if kind == "setting":
        from letta_kernel.commands.models import setting_names

        return setting_names()
    if kind == "model":
        from letta_kernel.models.registry import known_names

        return known_names()
    if kind == "download":
        from letta_kernel.models.plugins import offers

        return [one.name for one in offers().values()]
    return _stored(kind, door, agent) if door.has_project else []


def _others() -> Sequence[SharedAgent]:
    """Return what others share here, if a server is named and says so at once."""
    if not settings.SERVER():
        return ()
    from letta_kernel.remote.offered import offered

    return offered().shared


def _stored(kind: str, door: Door, agent: str | None) -> list[str]:
    """Return the names of what the project holds; a shell waits for them, so they are read from the store."""
    # The frequent kinds are read from the store itself; what is asked of the service takes longer.
    from letta_kernel.store import agents, blocks, groups, tools
    from letta_kernel.tools import builtin

    reads: dict[str, Callable[[Tx], list[str]]] = {
        "agent": lambda tx: [one.name for one in agents.list_all(tx)],
        "group": lambda tx: [one.shown for one in groups.list_all(tx)],
        "speaker": lambda tx: [
            *(one.name for one in agents.list_all(tx)),
            *(one.shown for one in groups.list_all(tx)),
        ],
        "any_tool": lambda tx: sorted({*builtin.NAMES, *(one.name for one in tools.list_all(tx))}),
        "label": lambda tx: [
            block.label for one in _named(tx, agent) for block in blocks.of_agent(tx, one)
        ],
        "tool": lambda tx: [
            tool.name for one in _named(tx, agent) for tool in tools.of_agent(tx, one)
        ],
    }
    if kind in reads:
        return _read(door, reads[kind])
    if kind == "token":
        return [one.name for one in door.service.tokens.list()]
    if kind == "mcp":
        return [one.server.name for one in door.service.mcp.list()]
    if agent is not None and kind == "broken":
        return list(door.service.agents.retrieve(agent).settings.get("breakpoints") or ())
    if agent is not None and kind == "call":
        return [call.id for call in door.service.runs.pending(agent)]
    if agent is not None and kind in ("step", "point"):
        return _points(door, agent, branches=kind == "point")
    if agent is not None and kind == "points":
        return ["now", *_points(door, agent, branches=True), *values("agent", door, agent)]
    if agent is not None and kind == "passage":
        return [passage.id for passage in door.service.passages.list(agent)]
    if agent is not None and kind == "forgotten":
        return [passage.id for passage, _ in door.service.passages.forgotten(agent)]
    return []


def _points(door: Door, agent: str, branches: bool) -> list[str]:
    """Return the newest steps an agent went through, a fork's inherited ones too, and their runs, newest first.

    *branches*: behind them, the old ends it can return to.
    """
    line = door.service.timeline.of(agent, limit=_MOST_RUNS)
    found = [
        name
        for one in line.runs
        for name in (*(step.id for step in reversed(one.steps)), one.run.id)
    ]
    if branches:
        return [*found, *(one.id for one in line.sides if not one.agent)]
    own = door.service.steps.list(agent_id=line.agent.id, limit=_MOST_STEPS)  # conversations' too
    return list(dict.fromkeys([*found, *(name for one, _ in own for name in (one.id, one.run_id))]))


def _read(door: Door, work: Callable[[Tx], T]) -> T:
    if door.at == "notebook":
        return door.service.database.run(work)
    from letta_kernel.store.database import Database

    database = Database(door.home, timeout=1.0)
    try:
        return database.run(work)
    finally:
        database.close()


def _named(tx: Tx, agent: str | None) -> list[str]:
    """Return the ids of the agents of that name or id."""
    from letta_kernel.store import agents

    if agent is None:
        return []
    found = agents.get(tx, agent)
    return [found.id] if found is not None else [one.id for one in agents.named(tx, agent)]


def _files(begun: str) -> list[str]:
    """Return the files and folders whose path begins so."""
    found = sorted(glob.glob(glob.escape(begun) + "*"))[:_MOST_FILES]
    return [f"{path}/" if os.path.isdir(path) else path for path in found]


def is_on(word: str) -> bool:
    """Read ``on`` or ``off``."""
    if word.lower() in ("on", "yes", "true"):
        return True
    if word.lower() in ("off", "no", "false"):
        return False
    raise InvalidInputError(f"Say on or off, not {word!r}.")
