"""What ``%%agent`` takes, and the subcommands of ``%agent``: words, help, the function behind each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.notebook.line import Argument, Arguments, Option, parse, split

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

Handler = Callable[["Session", Arguments], Any]

AGENT = Option("--agent", "word", "an agent other than the current one", values="agent")
LIMIT = Option("--limit", "int", "how many to show")
MODEL = Option("--model", "word", "the model that answers", values="model")
MAX_STEPS = Option("--max-steps", "int", "model calls a run may take")

# Of the first line of an ``%%agent`` cell.
CELL_ARGUMENTS = (Argument("name", required=False, values="agent"),)
CELL_OPTIONS = (MODEL, MAX_STEPS, Option("--raw", "flag", "send the cell as it is"))
CELL_USAGE = "%%agent [NAME] [--model MODEL] [--max-steps N] [--raw], the message below it"


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand; a name of two words such as ``archival add`` belongs under the first."""

    name: str
    summary: str
    handler: Handler
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()

    @property
    def short(self) -> str:
        """How it is written, without its options."""
        return " ".join([f"%agent {self.name}", *(one.usage for one in self.arguments)])

    @property
    def usage(self) -> str:
        """How it is written, in one line."""
        return " ".join([self.short, *(f"[{option.usage}]" for option in self.options)])

    def parse(self, line: str) -> Arguments:
        """Read what follows the command's name."""
        return parse(line, self.arguments, self.options, usage=self.usage)


COMMANDS: dict[str, Command] = {}


def command(
    name: str, *arguments: Argument, options: Sequence[Option] = (), summary: str
) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of ``%agent NAME``.

    It gets the session and the parsed arguments; what it returns is shown (a string as a quiet line).
    """

    def register(handler: Handler) -> Handler:
        COMMANDS[name] = Command(name, summary, handler, arguments, tuple(options))
        return handler

    return register


def gone(work: Callable[[], str]) -> str:
    """Return what *work* says, or that there is nothing to take away: a cell may run a second time."""
    try:
        return work()
    except NotFoundError as error:
        return f"Nothing to do. {error}"


def find(line: str, agents: Callable[[], list[str]]) -> tuple[Command, str]:
    """Return the command *line* begins with, and the rest of the line.

    Raises
    ------
    InvalidInputError
        There is no such command; the one line names the nearest, or says that it is an agent's name.
    """
    words = split(line)
    first = words[0].text
    if len(words) > 1 and (found := COMMANDS.get(f"{first} {words[1].text}")):
        return found, line[words[1].end :].strip()
    found = COMMANDS.get(first)
    if found is None:
        if first in agents():
            raise InvalidInputError(f"To talk to {first}: %agent use {first}")
        hint = nearest(first, top_level()) or " %agent help lists them."
        raise InvalidInputError(f"%agent has no command {first!r}.{hint}")
    if len(words) > 1 and not found.arguments and (inner := under(first)):
        word = words[1].text
        if not word.startswith("-"):
            hint = nearest(word, inner) or f" There is: {', '.join(inner)}."
            raise InvalidInputError(f"%agent {first} has no command {word!r}.{hint}")
    return found, line[words[0].end :].strip()


def top_level() -> list[str]:
    """Return the commands of one word, in the order of the help."""
    return [name for name in COMMANDS if " " not in name]


def under(name: str) -> list[str]:
    """Return the second words of the commands under *name*."""
    return [full.split(" ", 1)[1] for full in COMMANDS if full.startswith(f"{name} ")]
