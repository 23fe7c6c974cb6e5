"""``letta-kernel install``: the kernel for a Jupyter server in another environment."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from letta_kernel.cli.door import TerminalDoor
from letta_kernel.errors import InvalidInputError


def install(
    session: TerminalDoor,
    *,
    name: str,
    display_name: str | None,
    pairs: list[str],
    user: bool,
    sys_prefix: bool,
    system: bool,
    prefix: str | None,
) -> Path:
    """Write the kernelspec and return its folder; *pairs* are variables, ``KEY=VALUE``."""
    from letta_kernel.install import install as write
    from letta_kernel.models.masking import is_secret_name

    if user + sys_prefix + system + (prefix is not None) > 1:
        raise typer.BadParameter("--user, --sys-prefix, --system and --prefix exclude each other.")
    environment = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--env takes KEY=VALUE, not {pair!r}.")
        if is_secret_name(key) and value:
            raise InvalidInputError(
                f"{key} would lie readable in the kernelspec, and in the words of this command: set it in the "
                "environment of Jupyter's server, or put it into the .env beside the project."
            )
        environment[key] = value
    return write(
        name=name,
        display_name=display_name,
        user=not system,
        prefix=sys.prefix if sys_prefix else prefix,
        environment=environment,
    )
