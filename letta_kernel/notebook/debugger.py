"""Runs that have stopped in cells of this kernel, for the person at the notebook to look and to go on.

They are asked by buttons in the live view where the front end shows it, elsewhere in words; a panel may answer
too (`Debugging.held`). Where nobody can be asked, a run goes on as if it had not stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from letta_kernel.commands.debugger import in_words
from letta_kernel.display.live import LiveView
from letta_kernel.errors import InvalidInputError
from letta_kernel.service import AgentService
from letta_kernel.service.debug import ACTIONS, Debug, Move, Stop

_LONGEST = 50_000  # characters of a part that is only looked at
_LONGEST_CHANGED = 200_000  # of a text that can be changed; longer ones cannot, by buttons
_LONGEST_NAME = 200
_MOST = 200  # messages of a request that can be changed by buttons: the newest


class Held:
    """A run that has stopped, until somebody says how it goes on."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self._lock = threading.Lock()
        self._move: Move | None = None

    @property
    def move(self) -> Move | None:
        """What was said; None so far."""
        return self._move

    def answer(self, move: Move) -> None:
        """Let the run go on; may be called from any thread.

        Raises
        ------
        InvalidInputError
            Somebody has answered already.
        """
        with self._lock:
            if self._move is not None:
                raise InvalidInputError("Somebody has let it go on already.")
            self._move = move


class Debugging:
    """One per session: who is stepped through, and what has stopped. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self.on: set[str] = set()  # ids of the agents whose runs stop at each step
        self.changed: Callable[[], None] = lambda: None

    def of(self, service: AgentService, agent_id: str, view: LiveView, step: bool = False) -> Debug:
        """Return who is asked where a run stops that *view* shows; *step*: it stops everywhere."""

        def fork(agent: str, name: str | None) -> str:
            return service.forks.fork(agent, name).name

        def ask(stop: Stop, over: Callable[[], bool]) -> Move | None:
            return self._ask(stop, view, over)

        return Debug(ask, step or agent_id in self.on, fork)

    def held(self, agent_id: str) -> Held | None:
        """Return the run of that agent that has stopped in a cell, if one has."""
        with self._lock:
            return self._held.get(agent_id)

    def _ask(self, stop: Stop, view: LiveView, over: Callable[[], bool]) -> Move | None:
        held = Held(stop)

        def elsewhere() -> bool:
            return held.move is not None or over()

        with self._holding(held):
            answer = view.ask_at_stop(as_question(stop), elsewhere)
            if answer is not None:
                return as_move(answer)
            if elsewhere():
                return held.move
        try:
            return in_words(stop, input, lambda text: print(text, flush=True))
        except KeyboardInterrupt:
            raise
        except Exception:  # EOF, or a front end without stdin, each with an error of its own
            return None

    @contextmanager
    def _holding(self, held: Held) -> Iterator[None]:
        agent_id = held.stop.agent_id
        try:
            with self._lock:
                self._held[agent_id] = held
            self.changed()
            yield
        finally:
            with self._lock:
                self._held.pop(agent_id, None)
            self.changed()


def as_question(stop: Stop) -> dict[str, Any]:
    """Return a stop as front ends are told of it: bounded, in JSON."""
    parts = [
        {"name": part.name, "tokens": part.tokens, "text": _cut(part.text)} for part in stop.parts
    ]
    fitting = [one for one in stop.editable if len(one.text) <= _LONGEST_CHANGED][-_MOST:]
    texts = [{"key": one.key, "label": one.label, "text": one.text} for one in fitting]
    return {
        "kind": "stop",
        "point": stop.point,
        "title": stop.title,
        "step": stop.step,
        "why": stop.why,
        "problem": stop.problem,
        "note": stop.note,
        "parts": parts,
        "texts": texts,
    }


def as_move(answer: dict[str, Any]) -> Move:
    """Return what a front end said to a stop; of what it may not say nothing is taken."""
    action = answer.get("action")
    given = answer.get("changes")
    changes = given.items() if isinstance(given, dict) else ()
    return Move(
        action if action in ACTIONS else "step",
        {str(key): text for key, text in changes if isinstance(text, str)},
        str(answer.get("name") or "")[:_LONGEST_NAME],
    )


def _cut(text: str) -> str:
    left = len(text) - _LONGEST
    return text if left <= 0 else f"{text[:_LONGEST]}\n[… {left:,} more characters]"
