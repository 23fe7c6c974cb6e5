"""``letta-kernel model``: what can answer, which agent uses what, and models to download."""

from __future__ import annotations

import getpass
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from letta_kernel.cli import output
from letta_kernel.cli.asking import Yes, confirmed
from letta_kernel.cli.completion import Agent, models, obtainable
from letta_kernel.cli.session import Session, command, group
from letta_kernel.cli.words import WORDS

app = group("Models: list them, choose one, download one.")


@command(app, "list")
def list_(
    session: Session,
    every: Annotated[
        bool, typer.Option("--all", help="Those too that are not set up, and how to.")
    ] = False,
) -> None:
    """List the models this machine can use, the one chosen by default first."""
    from letta_kernel.models.registry import available

    found = [info for info in available() if info.usable or every]

    def render() -> None:
        output.table(
            ["model", "", "how"],
            (
                (i.name, "default" if i.chosen else "" if i.usable else "not set up", i.said(WORDS))
                for i in found
            ),
        )

    session.show([info.as_dict(WORDS) for info in found], render)


@command(app, "set")
def set_(
    session: Session,
    agent: Agent,
    model: Annotated[
        str,
        typer.Argument(help="Its name, or 'auto' to choose at each run.", autocompletion=models),
    ],
) -> None:
    """Say which model an agent uses."""
    state = session.service.agents.update(agent, model=None if model == "auto" else model)
    answering = session.service.runs.model_of(state.id)
    output.warn(session.service.agents.doubts(state))
    session.done(f"{state.name} uses {answering}.", {"agent": state.id, "model": answering})


@command(app, "key")
def key(
    session: Session,
    variable: Annotated[
        str | None, typer.Argument(help="Whose key, such as OPENAI_API_KEY; without it, the list.")
    ] = None,
) -> None:
    """Keep a provider's key, asked for without showing it (or read from a pipe), or list where keys are."""
    from letta_kernel.models import keys

    if variable is None:
        found, problems = keys.found(), keys.problems()
        for problem in problems:
            print(problem, file=sys.stderr)
        session.show(
            {"places": keys.places(), "found": found, "problems": problems},
            lambda: output.table(["key", "from"], [*found.items()] or [("", "none yet")]),
        )
        return
    if variable not in keys.KNOWN:
        keys.keep(variable, "", session.home)  # says what is near
    given = getpass.getpass(f"{variable}: ") if sys.stdin.isatty() else sys.stdin.readline()
    place = keys.keep(variable, given, session.home)
    session.done(f"{variable} is in {place}.", {"variable": variable, "place": place})


@command(app, "get")
def get(
    session: Session,
    name: Annotated[
        str | None,
        typer.Argument(help="One of the list; without it, the list.", autocompletion=obtainable),
    ] = None,
    yes: Yes = False,
) -> None:
    """Download a language model that runs in this process."""
    from letta_kernel.models.plugins import download, downloaded, offers, shown_size

    if name is None:
        got, listed = set(downloaded()), offers()
        session.show(
            [{**asdict(one), "here": model in got} for model, one in listed.items()],
            lambda: output.table(
                ["model", "size", "licence", "here", "about"],
                ((o.name, o.size, o.licence, m in got, o.about) for m, o in listed.items()),
            ),
        )
        return

    def progress(done: int, total: int) -> None:
        if output.on_terminal():
            line = f"\r{name}: {shown_size(done)} of {shown_size(total)}   "
            print(line, end="" if done < total else "\n", flush=True)

    model, path = download(
        name, confirm=lambda question: confirmed(question, yes), progress=progress
    )
    session.done(f"{model} is here: {path}", {"model": model, "path": path})
