"""The commands, put together. Each module is one group; what they need is imported when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from letta_kernel import __version__
from letta_kernel.cli import (
    agents,
    archive,
    doctor,
    memory,
    models,
    serve,
    setup,
    store,
    talk,
    tools,
)

app = typer.Typer(
    name="letta-kernel",
    help="Stateful agents in a Jupyter kernel, and from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    """Stateful agents in a Jupyter kernel, and from the command line."""


app.add_typer(agents.app, name="agent")
talk.add(app)
app.add_typer(memory.app, name="memory")
app.add_typer(archive.app, name="archive")
app.add_typer(tools.app, name="tool")
app.add_typer(models.app, name="model")
store.add(app)
setup.add(app)
serve.add(app)
doctor.add(app)
