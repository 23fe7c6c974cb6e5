"""``letta-kernel chat`` and ``send``: talking to an agent in a terminal, or in a pipe."""

from __future__ import annotations

import sys
from typing import Any

from letta_kernel.cli import here, output
from letta_kernel.cli.conversation import Talk, slash
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.cli.lines import Lines
from letta_kernel.commands.spec import Policy
from letta_kernel.errors import LettaError
from letta_kernel.records import AgentState


def chat(
    session: TerminalDoor,
    agent: AgentState,
    model: str | None,
    approval: Policy | None,
    quiet: bool,
    step: bool = False,
) -> int:
    """Talk to an agent, line by line, until the person leaves."""
    # One loop for a person and for a pipe: only a person is prompted, corrected and let off an error; a pipe
    # ends with it.
    person = sys.stdin.isatty()
    if person:
        session.service.sleeptime.watch()
    details = not quiet and output.on_terminal()
    talk = Talk(session, agent.id, approval, details=details, step=step)
    lines = Lines(session.home / "chat_history", f"{agent.name}> ") if person else None
    failed = False
    if person and not quiet and not session.json:
        output.put(
            f"{agent.name} · {session.service.runs.model_of(agent.id)} · /help, Ctrl-D leaves",
            style="dim",
        )
    if person:
        talk.catch_up()
    while True:
        try:
            line = lines.read() if lines else sys.stdin.readline()
        except KeyboardInterrupt:
            output.put("(Ctrl-D leaves)", style="dim", stderr=True)
            continue
        if not line:
            return 1 if failed and not person else 0
        text = line.strip()
        if not text:
            continue
        if person and text.startswith("/"):
            if text in ("/quit", "/exit"):
                return 0
            slash(session, agent, text)
            continue
        try:
            failed = not talk.say(text, model) or failed
        except KeyboardInterrupt:
            if not person:
                raise
        except LettaError as error:
            failed = True
            output.put_error(here(error))


def send(
    session: TerminalDoor,
    agent: AgentState,
    text: str,
    approval: Policy | None,
    events: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Send one message and print the answer."""
    talk = Talk(session, agent.id, approval, details=verbose, aside=True)
    talk.events = events
    good = talk.say(text, **options)
    if session.json and not events:
        output.put_json(talk.summary())
    return 0 if good else 1
