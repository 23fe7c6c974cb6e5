"""``letta-kernel chat`` and ``send``: talking to an agent in a terminal, or in a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from letta_kernel.cli import here, output
from letta_kernel.cli.conversation import Talk, slash
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.cli.lines import Lines
from letta_kernel.commands.door import Shared
from letta_kernel.commands.spec import Policy
from letta_kernel.errors import LettaError
from letta_kernel.records import AgentState
from letta_kernel.remote import consent_once


def chat(
    session: TerminalDoor,
    agent: AgentState,
    model: str | None,
    approval: Policy | None,
    quiet: bool,
    step: bool = False,
) -> int:
    """Talk to an agent, line by line, until the person leaves."""
    if sys.stdin.isatty():
        session.service.sleeptime.watch()
    details = not quiet and output.on_terminal()
    talk = Talk(session, agent.id, approval, details=details, step=step)
    begun = f"{agent.name} · {session.service.runs.model_of(agent.id)} · /help, Ctrl-D leaves"
    history = session.home / "chat_history"
    return _lines(session, talk, agent.id, agent.name, model, history, "" if quiet else begun)


def chat_shared(session: TerminalDoor, agent: Shared, approval: Policy | None, quiet: bool) -> int:
    """Talk to somebody else's agent, line by line, until the person leaves."""
    details = not quiet and output.on_terminal()
    talk = Talk(session, agent.ref, approval, details=details, shared=agent.server)
    found = agent.server.retrieve(agent.ref)
    _tell(agent)
    begun = f"{agent.ref} · {found.model} · /help, Ctrl-D leaves"
    # What is said to others is written down with them, and no project is made for it here.
    history = session.home / "chat_history" if session.has_project else None
    return _lines(session, talk, agent.ref, agent.ref, None, history, "" if quiet else begun)


def _tell(agent: Shared) -> None:
    """Say what is kept of what is said, and who sees it, before anything is; once for each agent and person."""
    if told := consent_once(agent.server, agent.ref):
        output.put(told, style="dim", stderr=True)


def _lines(
    session: TerminalDoor,
    talk: Talk,
    agent: str,
    name: str,
    model: str | None,
    history: Path | None,
    begun: str,
) -> int:
    # One loop for a person and for a pipe: only a person is prompted, corrected and let off an error; a pipe
    # ends with it.
    person = sys.stdin.isatty()
    lines = Lines(history, f"{name}> ") if person else None
    failed = False
    if person and begun and not session.json:
        output.put(begun, style="dim")
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
    return _sent(session, talk, text, events, **options)


def send_shared(
    session: TerminalDoor,
    agent: Shared,
    text: str,
    approval: Policy | None,
    events: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Send one message to somebody else's agent and print the answer."""
    _tell(agent)
    talk = Talk(session, agent.ref, approval, details=verbose, aside=True, shared=agent.server)
    return _sent(session, talk, text, events, **options)


def _sent(session: TerminalDoor, talk: Talk, text: str, events: bool, **options: Any) -> int:
    talk.events = events
    good = talk.say(text, **options)
    if session.json and not events:
        output.put_json(talk.summary())
    return 0 if good else 1
