"""What ``%%agent`` takes, and the subcommands of ``%agent``: words, help, the function behind each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.notebook.line import Argument, Arguments, Option, Word, parse, split

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

Handler = Callable[["Session", Arguments], Any]

AGENT = Option("--agent", "word", "an agent other than the current one", values="agent")
LIMIT = Option("--limit", "int", "how many to show")
MODEL = Option("--model", "word", "the model that answers", values="model")
MAX_STEPS = Option("--max-steps", "int", "model calls a run may take")

GROUPS: dict[str, tuple[str, ...]] = {
    "Agents": ("new", "use", "list", "show"),
    "Talking": ("event", "approve", "deny", "history", "search", "compact", "reset"),
    "Memory": ("memory", "archival"),
    "Tools": ("tools", "rules", "mcp"),
    "What it sees and takes": ("context", "runs", "cost", "plot"),
    "Model and settings": ("model", "set"),
    "Keeping and sharing": ("export", "import", "record", "replay", "delete"),
    "Help": ("help", "traceback"),
}
"""All commands of one word in the order of a person's work, as help and Tab tell them."""

LIST = "list"
LISTING = frozenset(
    {"event", "history", "memory", "archival", "tools", "rules", "mcp", "runs", "model", "set"}
)
"""Commands that show what there is, with ``list`` behind them too: one word for it everywhere."""

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
    if first in LISTING and len(words) > 1 and _lists(words[1:]):
        return found, line[words[1].end :].strip()
    if len(words) > 1 and not found.arguments and (inner := under(first)):
        word = words[1].text
        if not word.startswith("-"):
            hint = nearest(word, inner) or f" There is: {', '.join(inner)}."
            raise InvalidInputError(f"%agent {first} has no command {word!r}.{hint}")
    return found, line[words[0].end :].strip()


def top_level() -> list[str]:
    """Return the commands of one word, in the order of the help."""
    return [name for group in GROUPS.values() for name in group]


def under(name: str) -> list[str]:
    """Return the second words of the commands under *name*."""
    own = [full.split(" ", 1)[1] for full in COMMANDS if full.startswith(f"{name} ")]
    return [LIST, *own] if name in LISTING else own


def _lists(words: Sequence[Word]) -> bool:
    """Whether the words behind a command ask for its list, and are not free text that begins like that."""
    first, *rest = words
    return (first.text, first.quoted) == (LIST, False) and all(
        word.text.startswith("--") or before.text.startswith("--")
        for before, word in zip([first, *rest], rest, strict=False)
    )
