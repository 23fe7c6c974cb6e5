"""The command line, ``letta-kernel``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from letta_kernel import __version__
from letta_kernel.errors import LettaError

app = typer.Typer(
    name="letta-kernel",
    help="Stateful agents in a Jupyter kernel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"letta-kernel {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Stateful agents in a Jupyter kernel."""


@app.command()
def install(
    user: Annotated[bool, typer.Option("--user", help="For this user (the default).")] = False,
    sys_prefix: Annotated[
        bool, typer.Option("--sys-prefix", help="Into the environment this runs in.")
    ] = False,
    system: Annotated[bool, typer.Option("--system", help="For all users.")] = False,
    prefix: Annotated[str | None, typer.Option(help="Under this prefix.")] = None,
    name: Annotated[str, typer.Option(help="The kernelspec's name.")] = "letta",
    display_name: Annotated[str | None, typer.Option(help="What the launcher shows.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(help="A variable for the kernel: KEY=VALUE; may be repeated."),
    ] = None,
) -> None:
    """Register the kernel with a Jupyter server that lives in another environment.

    The kernelspec names this Python by its absolute path.
    """
    from letta_kernel.install import install as write

    if user + sys_prefix + system + (prefix is not None) > 1:
        raise typer.BadParameter("--user, --sys-prefix, --system and --prefix exclude each other.")
    environment = {}
    for pair in env or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--env takes KEY=VALUE, not {pair!r}.")
        environment[key] = value
    folder = write(
        name=name,
        display_name=display_name,
        user=not system,
        prefix=sys.prefix if sys_prefix else prefix,
        environment=environment,
    )
    typer.echo(f"Installed the kernel {name!r} in {folder}")


def main() -> None:
    """Run the command line; what goes wrong on purpose is one line."""
    try:
        app()
    except LettaError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
