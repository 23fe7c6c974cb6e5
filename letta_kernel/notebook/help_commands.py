"""``%agent help`` and ``traceback``: what there is to say, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from letta_kernel.display.tables import Panel, stack, table
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.notebook.line import Argument, Arguments
from letta_kernel.notebook.registry import (
    COMMANDS,
    GROUPS,
    LIST,
    LISTING,
    command,
    top_level,
    under,
)

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session


@command("traceback", summary="where the last error came from, in full")
def traceback(session: Session, given: Arguments) -> Any:
    """Print the last internal error's traceback, else that of the last tool that failed."""
    if not session.last_error:
        return "Nothing has gone wrong. (A tool's own traceback is in the cell that called it.)"
    print(session.last_error)
    return None


@command(
    "help", Argument("topic", required=False, rest=True, values="command"), summary="this help"
)
def help_on(session: Session, given: Arguments) -> Any:
    """Explain the commands, or one of them."""
    topic = given.get("topic")
    if topic is None:
        return stack(*(_group(title, words) for title, words in GROUPS.items()))
    topic = topic.removesuffix(f" {LIST}") if topic.split()[0] in LISTING else topic
    inner = [f"{topic} {word}" for word in under(topic)]
    names = [name for name in (topic, *inner) if name in COMMANDS]
    if not names:
        hint = nearest(topic, top_level()) or " %agent help lists them."
        raise InvalidInputError(f"%agent has no command {topic!r}.{hint}")
    for name in names:
        one = COMMANDS[name]
        print(f"{one.usage}\n    {one.summary}")
        for option in one.options:
            print(f"    {option.usage:<24} {option.help}")
    return None


def _group(title: str, words: Sequence[str]) -> Panel:
    """Return the commands of one group of the help, those of two words behind their first."""
    names = [name for word in words for name in (word, *(f"{word} {one}" for one in under(word)))]
    shown = [COMMANDS[name] for name in names if name in COMMANDS]
    if title == "Talking":
        title += ": %%agent sends a cell, and"
    elif title == "Help":
        title += ": %agent help COMMAND tells its options"
    rows = [[one.short, one.summary] for one in shown]
    return table(["command", "what it does"], rows, title=title)
