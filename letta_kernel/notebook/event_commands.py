"""``%agent event``: a system event steps an agent without a user message, now or by a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.display import words
from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook import run
from letta_kernel.notebook.line import Argument, Arguments, Option
from letta_kernel.notebook.registry import AGENT, command
from letta_kernel.notebook.timers import seconds_of

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session


@command(
    "event",
    Argument("text", required=False, rest=True),
    options=(
        Option("--in", "word", "after a while: 90s, 10m, 1h30m", "time"),
        Option("--every", "word", "again and again, until --stop or the kernel's end", "time"),
        Option("--stop", "flag", "stop the agent's timers"),
        AGENT,
    ),
    summary="tell it of an event, now or later; without a text, the timers",
)
def event(session: Session, given: Arguments) -> str | None:
    """Send an event, set a timer, list the timers or stop them."""
    text, after, every = given.get("text"), given.option("in"), given.option("every")
    if given.option("stop"):
        if text or after or every:
            raise InvalidInputError("--stop stands alone: %agent event --stop")
        agent = session.agent(given.option("agent"))
        count = session.timers.stop(agent.id)
        return f"Stopped {words.count(count, 'timer')} of {agent.name}."
    if text is None:
        if after or every:
            raise InvalidInputError('What is the event? %agent event "TEXT" --in 10m')
        lines = [timer.status for timer in session.timers.waiting]
        return " · ".join(lines) or "No timers. %agent event TEXT --in 10m sets one."
    agent = session.agent(given.option("agent"))
    if after is None and every is None:
        run.send(session, agent.id, text, role="event")
        return None
    pause = seconds_of(every) if every is not None else None
    session.timers.add(agent, text, seconds_of(after) if after else pause or 0.0, pause)
    return None
