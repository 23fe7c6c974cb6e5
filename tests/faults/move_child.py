"""A process that moves a project and is killed, or stopped, at a chosen moment of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from letta_kernel.service.moving import Move
from letta_kernel.store.move.end import End

HALF_WAY, HANDED_OVER = 60, -1
"""Moments to die at: when some tables are there, and when neither place is the project."""


def move(home: Path, to: str, store: str = "", die_at: int | None = None) -> int:
    """Move a project; kill this process at the *die_at*-th moment before or after something is written.

    Return how many such moments there were.
    """
    moments = 0

    def mortal(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            passing()
            found = method(*args, **named)
            passing()
            return found

        return call

    def passing() -> None:
        nonlocal moments
        moments += 1
        if moments == die_at:
            die()

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    moving = Move(home, to, store)
    ends: list[End] = [moving._source, moving._target]
    for end in ends:
        for name in ("write", "put_note", "clear"):
            setattr(end, name, mortal(getattr(end, name)))
    if die_at == HANDED_OVER:
        put_note = moving._source.put_note
        moving._source.put_note = lambda note: (put_note(note), die())[1]  # type: ignore[method-assign]
    moving.run(lambda share, told: None)
    return moments
