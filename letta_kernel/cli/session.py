"""What every command is given: the project folder, its agents, and how to say things."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from letta_kernel.cli import output
from letta_kernel.errors import NotFoundError

if TYPE_CHECKING:
    from letta_kernel.service import AgentService

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


class Session:
    """One command's world.

    Parameters
    ----------
    home : the project folder as given, None to find it.
    json : whether the answer is for a program.
    makes : whether the project is made if it is not there.
    """

    def __init__(self, home: Path | None, json: bool, makes: bool = False) -> None:
        self.json = json
        self._given = home
        self._makes = makes

    @cached_property
    def home(self) -> Path:
        """The project folder, which may not be there yet."""
        from letta_kernel.project import project_folder

        return project_folder(self._given)

    @property
    def has_project(self) -> bool:
        """Whether the folder holds a project."""
        return (self.home / "letta.duckdb").exists()

    @cached_property
    def service(self) -> AgentService:
        """The project's agents.

        Raises
        ------
        NotFoundError
            There is no project, and this command makes none.
        """
        from letta_kernel.service import AgentService

        if not self._makes and not self.has_project:
            raise NotFoundError(
                f"There is no project in {self.home}: go to its folder, name it with --home or LETTA_HOME, "
                "or make an agent: letta-kernel agent new NAME."
            )
        return AgentService(self.home)

    def close(self) -> None:
        """Let go of the project."""
        if "service" in self.__dict__:
            self.service.close()

    def show(self, data: Any, render: Callable[[], None]) -> None:
        """Print *data* as JSON if that was asked for, else call *render*."""
        if self.json:
            output.put_json(data)
        else:
            render()

    def done(self, text: str, data: Any) -> None:
        """Say in one line what was done, or give *data* to a program."""
        self.show(data, lambda: output.put(text))


def command(
    app: typer.Typer, name: str, *, makes: bool = False, **options: Any
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Add a function that takes a `Session` first as a command, with ``--json`` and ``--home``.

    Parameters
    ----------
    makes : whether it may make the project.
    **options : as ``typer.Typer.command`` takes them.
    """

    def add(function: Callable[..., int | None]) -> Callable[..., int | None]:
        described = inspect.signature(function, eval_str=True)
        own = list(described.parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter("json", keyword, default=False, annotation=Json),
            inspect.Parameter("home", keyword, default=None, annotation=Home),
        ]

        def run(**given: Any) -> int | None:
            session = Session(given.pop("home"), given.pop("json"), makes)
            try:
                return function(session, **given)
            finally:
                session.close()

        parameters = [one.replace(kind=keyword) for one in own] + shared
        run.__name__, run.__doc__ = function.__name__, inspect.getdoc(function)
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name, **options)(run)
        return function

    return add


def group(help: str) -> typer.Typer:
    """Return a group of commands."""
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode=None)
