"""What every command is given: the project folder and its agents."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from letta_kernel.cli.words import WORDS
from letta_kernel.commands.spec import DoorName
from letta_kernel.errors import NotFoundError

if TYPE_CHECKING:
    from letta_kernel.service import AgentService


class Session:
    """One command's world.

    Parameters
    ----------
    home : the project folder as given, None to find it.
    json : whether the answer is for a program.
    makes : whether the project is made if it is not there.
    """

    at: DoorName = "terminal"
    words = WORDS

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
