"""What Tab offers on an ``%agent`` line and on the first line of an ``%%agent`` or ``%%compare`` cell."""

from __future__ import annotations

from collections.abc import Sequence

from letta_kernel.commands import Command, at
from letta_kernel.commands.arguments import quoted, split
from letta_kernel.commands.reference import lines, top_level, under
from letta_kernel.commands.spec import Parameter, offers
from letta_kernel.commands.values import soon, values
from letta_kernel.notebook.session import Session

_CELLS = ("%%agent", "%%compare")
_LINE = "%agent"


def complete(session: Session, before: str) -> tuple[str, list[str]]:
    """Return the part of a word that ends *before*, and the words that may stand in its place."""
    cell = next((name for name in _CELLS if before.startswith(name)), None)
    typed = before[len(cell or _LINE) :]
    words = split(typed)
    fragment = ""
    opened = [at for at, word in enumerate(words) if not word.quoted and word.text[0] in "'\""]
    if opened:  # a quote that is not closed yet: all behind it is one word
        fragment = typed[words[opened[-1]].start :]
        del words[opened[-1] :]
    elif words and words[-1].end == len(typed):
        fragment = typed[words.pop().start :]
    done = [word.text for word in words]
    if cell is not None:
        offered = _words(session, done, at("notebook")[cell], fragment)
    elif not done:
        offered = top_level()
    else:
        known, inner = lines(), under(done[0])
        of_two = known.get(" ".join(done[:2])) if len(done) > 1 else None
        command = of_two or known.get(done[0])
        offered = inner if len(done) == 1 else []
        if command is not None:
            after = done[2 if done[1:2] and done[1] in inner else 1 :]
            offered = [*offered, *_words(session, after, command, fragment)]
    bare = _bare(fragment)
    fitting = [word for word in dict.fromkeys(offered) if word.startswith(bare)]
    return fragment, [_typed(word) for word in fitting]


def _words(session: Session, done: Sequence[str], command: Command, fragment: str) -> list[str]:
    """Return what may follow the words *done* of a command."""
    takes = command.takes("notebook")
    known = {one.name: one for one in takes if one.spelled}
    arguments = [one for one in takes if not one.spelled]
    previous = known.get(done[-1]) if done else None
    if previous is not None and previous.kind != "flag":
        return _values(session, command, previous, fragment)
    name, equals, begun = fragment.partition("=")
    if equals and name in known:
        return [f"{name}={value}" for value in _values(session, command, known[name], begun)]
    used, positional, place = set(), 0, 0
    while place < len(done):
        option = known.get(done[place].partition("=")[0])
        if option is None:
            positional += 1
        else:
            used.add(option.name)
            place += option.kind != "flag" and "=" not in done[place]
        place += 1
    offered: list[str] = []
    if arguments and arguments[-1].rest:  # takes as many words as one likes
        positional = min(positional, len(arguments) - 1)
    if positional < len(arguments) and not fragment.startswith("-"):
        offered += _values(session, command, arguments[positional], fragment)
    return offered + [name for name in known if name not in used]


def _values(session: Session, command: Command, one: Parameter, fragment: str) -> list[str]:
    def found() -> list[str]:
        agent = session.current() if one.takes.values else None
        return values(offers(command, one), session, agent.id if agent else None, _bare(fragment))

    return soon(session, found) if offers(command, one) else []


def _bare(fragment: str) -> str:
    """Return the part of a word that *fragment* is, without the quote it may begin with."""
    if fragment[:1] not in ("'", '"'):
        return fragment
    return fragment[1:].replace("\\" + fragment[0], fragment[0])


def _typed(word: str) -> str:
    """Return what is inserted for *word*; of ``--option=value`` the value is quoted."""
    name, equals, value = word.partition("=")
    return f"{name}={quoted(value)}" if equals and name.startswith("--") else quoted(word)
