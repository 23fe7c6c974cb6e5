"""``letta-kernel install``: the kernel for a Jupyter server in another environment."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from letta_kernel.cli.session import Session, command


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "install")(install)


def install(
    session: Session,
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
    session.done(f"Installed the kernel {name!r} in {folder}", {"name": name, "folder": folder})
