"""The terminal as the door that commands come through: how it asks, says and shows."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letta_kernel import settings
from letta_kernel.cli import output
from letta_kernel.cli.remedies import WORDS
from letta_kernel.commands.door import Answer, Terminal
from letta_kernel.commands.spec import Command, DoorName
from letta_kernel.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState, Tool
    from letta_kernel.service import AgentService


_THERE = "go to its folder, name it with --home or LETTA_HOME"
_ELSEWHERE = "see to LETTA_STORE"


class TerminalDoor(Terminal):
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
        """Whether there is a project, in the folder or where ``LETTA_STORE`` says."""
        from letta_kernel.project import is_there

        return is_there(self.home)

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
                f"There is no project in {self.where}: {_ELSEWHERE if settings.STORE() else _THERE}, "
                "or make an agent: letta-kernel agent new NAME.",
                page="no-agent",
            )
        return AgentService(self.home)

    def close(self) -> None:
        """Let go of the project."""
        if "service" in self.__dict__:
            self.service.close()

    def run(self, command: Command, given: dict[str, Any]) -> int:
        """Do what a *command* does, show what it answers, and return the exit code."""
        answer = command.run(self, given)
        if answer is None or isinstance(answer, int):  # it has shown all there is
            return answer or 0
        return self._show(answer if isinstance(answer, Answer) else Answer(answer))

    def _show(self, answer: Answer) -> int:
        if self.json and (answer.data is not None or not answer.code):
            output.put_json(answer.data)
        elif answer.problem:
            output.put_error(" ".join(answer.problem.split()))
        elif answer.rows is not None:
            table = answer.rows()
            output.table(table.columns, table.rows, table.empty)
        elif answer.diff is not None:
            output.put_diff(*answer.diff)
        elif answer.raw:
            print(answer.text)
        elif answer.text or (answer.panel is None and not answer.code):
            output.put(answer.text)
        elif answer.panel is not None:
            output.put_panel(answer.panel())
        for line in answer.notes:
            output.put(line, style="yellow", stderr=True)
        return 1 if answer.problem else answer.code

    # -- what commands ask of it ---------------------------------------------------------------------

    def agent(self, name: str | None = None, *, renamed: bool = True) -> AgentState:
        """Return the agent of that name or id."""
        if name is None:
            raise InvalidInputError("Name an agent.")
        if (shared := self.shared(name)) is not None:
            raise shared.not_here()
        return self.service.agents.retrieve(name, renamed=renamed)

    def confirmed(self, question: str, yes: bool) -> bool:
        """Ask yes or no; *yes* answers for the person."""
        if yes:
            return True
        if not sys.stdin.isatty():
            raise InvalidInputError(
                f"{question} Nobody is here to ask: add --yes.", page="nobody-to-ask"
            )
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextmanager
    def progress(self) -> Iterator[Callable[[float, str], None]]:
        """Give a function that writes how far work has come over its own line."""

        def draw(share: float, text: str) -> None:
            if output.on_terminal():
                print(f"\r{text}   ", end="" if share < 1 else "\n", flush=True)

        yield draw

    def text(self, given: str) -> str:
        """Return *given*, or what comes in by the pipe where it is ``-``."""
        if given != "-":
            return given
        try:
            return sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                f"What came in by the pipe is not UTF-8 text ({error.reason})."
            ) from None

    def say(self, text: str, level: str = "info") -> None:
        """Say something on stderr."""
        output.put(text, style="yellow" if level == "warning" else None, stderr=True)

    def secret(self, name: str) -> str:
        """Ask for a secret without showing it, or read it from a pipe."""
        return getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline()

    def run_tool(self, agent: AgentState, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Call a tool by hand; what it prints goes to stderr."""

        def progress(stream: str, text: str) -> None:
            print(text, end="" if stream != "progress" else "\n", file=sys.stderr)

        return self.service.tools.run(tool.id, arguments, agent=agent.id, on_output=progress)

    def own(self, function: str, **given: Any) -> Any:
        """Do what only a terminal can: call ``module.function`` of this package."""
        module, _, name = function.partition(".")
        return getattr(import_module(f"letta_kernel.cli.{module}"), name)(self, **given)
