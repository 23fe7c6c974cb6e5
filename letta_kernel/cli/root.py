"""``letta-kernel``, made from the table of commands: what they need is imported when they run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from letta_kernel import __version__
from letta_kernel.cli.completion import offering
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.commands import Command, at
from letta_kernel.commands.spec import METAVARS, TERMINAL_GROUPS, Parameter, offers

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="The project folder; else LETTA_HOME, else .letta here.",
        show_default=False,
        metavar="FOLDER",
    ),
]
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_SHARED = [
    inspect.Parameter("json", _KEYWORD, default=False, annotation=Json),
    inspect.Parameter("home", _KEYWORD, default=None, annotation=Home),
]
_LOOK: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"letta-kernel {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Stateful agents in a Jupyter kernel, and from the command line."""


def build() -> typer.Typer:
    """Return the program with all commands of the table."""
    app = typer.Typer(
        name="letta-kernel",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **_LOOK,
    )
    app.callback()(_root)
    known = at("terminal")
    groups: dict[str, typer.Typer] = {}
    for name, command in known.items():
        first, _, second = name.partition(" ")
        place = app
        if second:
            if first not in groups:
                groups[first] = _group(first, known.get(first))
                app.add_typer(groups[first], name=first)
            place = groups[first]
        elif any(other.startswith(f"{first} ") for other in known):
            continue  # its group does it where no second word follows
        place.command(second or first, help=_help(command))(_function(command))
    return app


def _help(command: Command) -> str:
    return f"{command.help}\n\n{command.about}"


def _group(name: str, command: Command | None) -> typer.Typer:
    """Return the commands whose first word is *name*; alone it is *command*, or shows the help."""
    about = TERMINAL_GROUPS.get(name)
    if command is None:
        return typer.Typer(help=about, **_LOOK)
    group = typer.Typer(
        help=f"{about}\n\nAlone: {_help(command)}",
        invoke_without_command=True,
        rich_markup_mode=None,
    )
    group.callback()(_function(command, alone=True))
    return group


def _function(command: Command, alone: bool = False) -> Callable[..., int]:
    """Return what typer calls for a command, with a signature that typer reads.

    Parameters
    ----------
    alone : it is a group's, and does nothing where another word follows.
    """

    def run(json: bool, home: Path | None, **given: Any) -> int:
        if alone and given.pop("context").invoked_subcommand is not None:
            return 0
        session = TerminalDoor(home, json, command.makes)
        try:
            return session.run(command, given)
        finally:
            session.close()

    takes = command.takes("terminal")
    parameters = [*(_parameter(one, offers(command, one)) for one in takes), *_SHARED]
    if alone:
        kind = typer.Context
        parameters.insert(0, inspect.Parameter("context", _KEYWORD, annotation=kind))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _parameter(one: Parameter, words: str) -> inspect.Parameter:
    takes, type_ = one.takes, one.type
    if takes.whose:
        type_ = str if one.required else str | None
    how: dict[str, Any] = {
        "help": f"{takes.help}.",
        "min": takes.least,
        "max": takes.most,
        "envvar": takes.variable,
        "show_default": one.default not in (None, False),
        "metavar": takes.shown or METAVARS.get(takes.values),
        "autocompletion": offering(words) if words not in ("", "file") else None,
    }
    if type_ is Path:
        how |= {"exists": True, "dir_okay": False}
    kind = typer.Option(*one.spelled, **how) if one.spelled else typer.Argument(**how)
    default = inspect.Parameter.empty if one.required else one.default
    return inspect.Parameter(one.key, _KEYWORD, default=default, annotation=Annotated[type_, kind])
