"""Who wants to be told of something, so that a lower room need not know the higher one.

Light on purpose and below all rooms: the kernel puts itself here at its start, before the rest is imported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Service = Any  # letta_kernel.service.AgentService
State = Any  # letta_kernel.records.AgentState
Tool = Any  # letta_kernel.records.Tool

agent_opened: list[Callable[[Service, State, bool], None]] = []
"""Called when ``Agent(...)`` opened an agent, with True if it was made just now."""

memory_shown: list[Callable[[Service, State], bool]] = []
"""Called when ``ada.memory`` is to be shown; True from one that has shown it."""

tool_hosts: list[Callable[[Tool], Callable[..., Any] | None]] = []
"""Asked for the function behind a tool that `Agent.add_tool` did not bring; None from one that has none."""

tool_marked: list[Callable[[Callable[..., Any], dict[str, Any]], None]] = []
"""Called when ``tool(…)`` marked a callable, with the names of the code that did."""

consent_told: list[Callable[[str], None]] = []
"""Called with what is kept of what is said to somebody else's agent, before ``Agent(…)`` first sends to it."""

turn_begins: list[Callable[[], None]] = []
"""Called before ``ada.send(…)`` sends, so that a notebook's changed functions are told as they are."""


class UsersCode:
    """Whether code of the user's runs: in one C call it may keep every thread of the process still.

    In a script, which this is unless told otherwise, it may at any moment. A kernel between cells and a server
    run ours alone: they are `at_rest`, and may keep open what others have to ask for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 1
        self._apart = False
        self._none = threading.Event()
        self.begins: list[Callable[[bool], None]] = []
        """Called before it begins, to let go of what others may want; with True where it is a cell."""

    @property
    def at_rest(self) -> bool:
        """Whether only code of ours runs."""
        return self._none.is_set()

    def told_apart(self) -> None:
        """Take note that this process says from now on when code of the user's runs."""
        if not self._apart:
            self._apart = True
            self._count(-1)

    @contextmanager
    def runs(self, *, cell: bool = False) -> Iterator[None]:
        """Say that it runs in this block; before a *cell* everything is let go of."""
        self._count(1)
        try:
            if self._apart:
                self.let_go(cell)
            yield
        finally:
            self._count(-1)

    def let_go(self, cell: bool = True) -> None:
        """Let go of what others may want, as before code of the user's."""
        for each in self.begins:
            each(cell)

    def pause(self, seconds: float) -> None:
        """Wait until none runs, *seconds* at most: for work that has time. In a script it does nothing."""
        if self._apart:
            self._none.wait(seconds)

    def _count(self, more: int) -> None:
        with self._lock:
            self._blocks += more
            (self._none.clear if self._blocks else self._none.set)()


users_code = UsersCode()
"""That of this process."""
