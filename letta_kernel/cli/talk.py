"""``letta-kernel chat`` and ``send``: talking to an agent in a terminal, or in a pipe."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from letta_kernel.cli import here, output
from letta_kernel.cli.asking import Policy, read_text
from letta_kernel.cli.completion import Agent, models
from letta_kernel.cli.session import Session, command
from letta_kernel.errors import LettaError

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="For this conversation only.", autocompletion=models),
]
Approval = Annotated[
    Policy | None,
    typer.Option(
        help="Calls that need your word: ask, approve, deny or wait. Where nobody can be asked the "
        "default is LETTA_APPROVAL, or deny."
    ),
]


def add(app: typer.Typer) -> None:
    """Add the two commands to *app*."""
    command(app, "chat")(chat)
    command(app, "send")(send)


def chat(
    session: Session,
    agent: Agent,
    model: Model = None,
    approval: Approval = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the answers.")] = False,
) -> int:
    """Talk to an agent, line by line; /help says what else a line can be.

    Ctrl-C stops the answer, Ctrl-D leaves. Without a terminal each line of the input is a message.
    """
    from letta_kernel.cli.conversation import Talk, slash
    from letta_kernel.cli.lines import Lines

    service = session.service
    state = service.agents.retrieve(agent)
    person = sys.stdin.isatty()
    talk = Talk(session, state.id, approval, details=not quiet and output.on_terminal())
    lines = Lines(session.home / "chat_history", f"{state.name}> ") if person else None
    failed = False
    if person and not quiet and not session.json:
        output.put(
            f"{state.name} · {service.runs.model_of(state.id)} · /help, Ctrl-D leaves", style="dim"
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
            slash(session, state.id, text)
            continue
        try:
            failed = not talk.say(text, model) or failed
        except KeyboardInterrupt:
            if not person:
                raise
        except LettaError as error:
            failed = True
            print(here(error), file=sys.stderr)


def send(
    session: Session,
    agent: Agent,
    text: Annotated[str, typer.Argument(help="What to say; - reads it from the pipe.")],
    model: Model = None,
    approval: Approval = None,
    event: Annotated[
        bool, typer.Option("--event", help="A system event instead of a message of yours.")
    ] = False,
    max_steps: Annotated[int | None, typer.Option(min=1, max=1000, help="Model calls.")] = None,
    events: Annotated[
        bool, typer.Option("--events", help="Every event of the run as a line of JSON.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Thoughts and calls too, on stderr.")
    ] = False,
) -> int:
    """Send one message and print the answer."""
    from letta_kernel.cli.conversation import Talk

    said = read_text(text)
    talk = Talk(
        session, session.service.agents.retrieve(agent).id, approval, details=verbose, aside=True
    )
    talk.events = events
    good = talk.say(said, model, role="event" if event else "user", max_steps=max_steps)
    if session.json and not events:
        output.put_json(talk.summary())
    return 0 if good else 1
