"""The table of commands in words: help of every length, and a list of all."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from letta_kernel import troubles
from letta_kernel.commands import GROUPS, LIST, TABLE, Command, DoorName, at
from letta_kernel.commands.door import Answer, Rows
from letta_kernel.errors import InvalidInputError, nearest

if TYPE_CHECKING:
    from letta_kernel.display.tables import Panel

_WIDTH = 104
_COLUMN = 33  # where what a command does begins

_HEAD = "Make, choose and look into the agents of this project."
_FOOT = """\
--agent NAME names an agent other than the current one. What has many of something lists it with the
word list too: %agent tools list. %agent help COMMAND tells what the options mean.
Every function with a docstring that a cell defines becomes a tool of the current agent
(not if its name starts with an underscore, or with "# no tool" on its def line);
tool(...) makes one of anything else that can be called, as tool(station.temperature).
"""


def lines() -> dict[str, Command]:
    """Return the commands of ``%agent`` by name."""
    return {name: one for name, one in at("notebook").items() if not name.startswith("%%")}


def top_level() -> list[str]:
    """Return the first words of ``%agent`` lines, in the order of the help."""
    return list(dict.fromkeys(name.split()[0] for name in lines()))


def under(name: str) -> list[str]:
    """Return the second words that may stand behind the first word *name* of an ``%agent`` line."""
    known = lines()
    own = [full.split(" ", 1)[1] for full in known if full.startswith(f"{name} ")]
    return [LIST, *own] if name in known and known[name].lists else own


def line_help() -> str:
    """Return what ``%agent?`` shows."""
    parts = [_HEAD]
    for group in GROUPS:
        told = [one for one in at("notebook").values() if one.group == group]
        if told:
            parts.append("\n".join([group, *(_entry(one) for one in told)]))
    return "\n\n".join([*parts, _FOOT])


def _entry(one: Command) -> str:
    short, said = one.short("notebook"), one.help.rstrip(".")
    gap = " " * (_COLUMN - len(short)) if len(short) < _COLUMN else "  "
    usages = [o.usage for o in one.options("notebook") if o.name != "--agent"]
    options = "  ".join(f"[{usage}]".replace(" ", "\0") for usage in usages)  # each on one line
    more = textwrap.wrap(options, _WIDTH - 4)
    return "\n".join([f"{short}{gap}{said}", *(f"    {line}".replace("\0", " ") for line in more)])


def cell_help(name: str) -> str:
    """Return what ``%%agent?`` or another cell magic's help shows."""
    one = at("notebook")[name]
    takes = [f"{o.usage:<22}{o.takes.help}" for o in one.takes("notebook")]
    return "\n".join([one.help, "", one.usage("notebook"), "", *takes, "", one.about])


def explained(topic: str) -> str:
    """Return the help of one ``%agent`` command, or of all that begin with that word.

    Raises
    ------
    InvalidInputError
        There is none; the one line names the nearest.
    """
    known = lines()
    first = topic.split()[0]
    if first in known and known[first].lists:
        topic = topic.removesuffix(f" {LIST}")
    names = [
        name for name in (topic, *(f"{topic} {word}" for word in under(topic))) if name in known
    ]
    if not names:
        hint = nearest(topic, [*top_level(), *troubles.pages()]) or " %agent help lists them."
        raise InvalidInputError(f"%agent has no command {topic!r}.{hint}")
    told = []
    for name in names:
        one = known[name]
        told.append(f"{one.usage('notebook')}\n    {one.help}")
        told += [f"    {o.usage:<24} {o.takes.help}" for o in one.takes("notebook")]
        told += [textwrap.indent(one.about, "    ")] if one.about else []
    return "\n".join(told)


def at_terminal(topic: str | None) -> Answer:
    """Return what errors there are to explain; commands explain themselves, by ``--help``.

    Raises
    ------
    InvalidInputError
        *topic* is a command, or nothing.
    """
    pages = troubles.pages()
    if topic is None:
        return Answer(
            rows=lambda: Rows(
                ["error", "what it is"], [[one.name, one.title] for one in pages.values()]
            ),
            data=[{"name": one.name, "title": one.title} for one in pages.values()],
            notes=[
                "letta-kernel --help lists the commands, letta-kernel help NAME explains an error."
            ],
        )
    known = at("terminal")
    if topic in known or topic in {name.split()[0] for name in known}:
        raise InvalidInputError(f"A command explains itself: letta-kernel {topic} --help")
    hint = nearest(topic, [*pages]) or " letta-kernel help lists them."
    raise InvalidInputError(f"No error has the name {topic!r}.{hint}")


def overview() -> Panel:
    """Return all commands of a notebook, by group."""
    from letta_kernel.display.tables import stack, table

    more = {
        "Talking": ": %%agent sends a cell, and",
        "Help": ": %agent help COMMAND tells its options",
    }
    tables = []
    for group in GROUPS:
        rows = [[one.short("notebook"), one.help] for one in lines().values() if one.group == group]
        if rows:
            title = group + more.get(group, "")
            tables.append(table(["command", "what it does"], rows, title=title))
    return stack(*tables)


def listing() -> str:
    """Return all commands as a table in Markdown; the documentation has it."""
    told = ["| in a notebook | at the terminal | |", "| --- | --- | --- |"]
    for group in GROUPS:
        told.append(f"| **{group}** | | |")
        for one in TABLE:
            if one.group == group:
                told.append(f"| {_code(one, 'notebook')} | {_code(one, 'terminal')} | {one.help} |")
    return "\n".join(told)


def _code(one: Command, door: DoorName) -> str:
    if one.name(door) is None:
        return ""
    return f"`{one.short(door).replace('|', '/')}`"
