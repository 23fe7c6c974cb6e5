"""What a debugger and the doors say to each other: where a run has stopped, and what a person says to that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from letta_kernel.agent.context import ContextPart

Point = Literal["request", "reply", "call", "result"]
Action = Literal["step", "next", "continue", "stop", "fork"]
ACTIONS: tuple[Action, ...] = ("step", "next", "continue", "stop", "fork")


@dataclass(frozen=True, slots=True)
class Editable:
    """A text that may be changed, by its *key* in a `Move`; *label* says what it is."""

    key: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a run has stopped, and what a person may look at and change there.

    ``step`` counts the run's model calls, ``why`` is the breakpoint that holds, empty while the person steps.
    ``parts`` are those of the request with their tokens, ``editable`` the texts that may be changed.
    ``problem`` says what was wrong with the last move, ``note`` what came of it.
    """

    agent_id: str
    run_id: str
    step_id: str
    step: int
    point: Point
    title: str
    why: str = ""
    parts: Sequence[ContextPart] = ()
    editable: Sequence[Editable] = ()
    problem: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """What a person says at a stop.

    ``step`` goes on to the next stop, ``next`` to the next model call, ``continue`` to the next breakpoint, and
    ``stop`` ends the run. ``fork`` makes an agent called *name* of what is kept so far; the run still waits.
    *changes* are new texts by the keys of what may be changed.
    """

    action: Action
    changes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


Ask = Callable[[Stop, Callable[[], bool]], Move | None]
"""Shows a stop and returns what is said of it, or None where nobody can be asked. It waits interruptibly, until
what it is given besides says that the run is over."""


@dataclass(slots=True)
class Debug:
    """Somebody in front of a run, who is asked where it stops.

    ``stepping`` says whether it stops everywhere, or at breakpoints only; a run that goes on changes it.
    ``fork`` makes an agent of what the one of this id is now, and returns its name.
    """

    ask: Ask
    stepping: bool = False
    fork: Callable[[str, str | None], str] | None = None
