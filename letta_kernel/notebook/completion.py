"""What Tab offers on an ``%agent`` line and on the first line of an ``%%agent`` cell."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from letta_kernel.agent.settings import AgentSettings
from letta_kernel.notebook import registry
from letta_kernel.notebook.line import Argument, Option, quoted, split
from letta_kernel.records import ToolRule

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

_CELL = "%%agent"
_LINE = "%agent"
_MOST_FILES = 100


def complete(session: Session, before: str) -> tuple[str, list[str]]:
    """Return the part of a word that ends *before*, and the words that may stand in its place."""
    is_cell = before.startswith(_CELL)
    typed = before[len(_CELL if is_cell else _LINE) :]
    words = split(typed)
    fragment = ""
    opened = [at for at, word in enumerate(words) if not word.quoted and word.text[0] in "'\""]
    if opened:  # a quote that is not closed yet: all behind it is one word
        fragment = typed[words[opened[-1]].start :]
        del words[opened[-1] :]
    elif words and words[-1].end == len(typed):
        fragment = typed[words.pop().start :]
    done = [word.text for word in words]
    if is_cell:
        offered = _words(session, done, registry.CELL_ARGUMENTS, registry.CELL_OPTIONS, fragment)
    elif not done:
        offered = registry.top_level()
    else:
        offered = []
        inner = registry.under(done[0])
        if len(done) == 1:
            offered += inner
        of_two = len(done) > 1 and done[1] in inner
        command = registry.COMMANDS.get(" ".join(done[:2])) if of_two else None
        command = command or registry.COMMANDS.get(done[0])
        if command is not None:
            after = done[2 if of_two else 1 :]
            offered += _words(session, after, command.arguments, command.options, fragment)
    bare = _bare(fragment)
    fitting = [word for word in dict.fromkeys(offered) if word.startswith(bare)]
    return fragment, [_typed(word) for word in fitting]


def _words(
    session: Session,
    done: Sequence[str],
    arguments: Sequence[Argument],
    options: Sequence[Option],
    fragment: str,
) -> list[str]:
    """Return what may follow the words *done* of a command."""
    known = {option.name: option for option in options}
    previous = known.get(done[-1]) if done else None
    if previous is not None and previous.kind != "flag":
        return _values(session, previous.values)
    name, equals, _ = fragment.partition("=")
    if equals and name in known:
        return [f"{name}={value}" for value in _values(session, known[name].values)]
    used, positional, at = set(), 0, 0
    while at < len(done):
        option = known.get(done[at].partition("=")[0])
        if option is None:
            positional += 1
        else:
            used.add(option.name)
            at += option.kind != "flag" and "=" not in done[at]
        at += 1
    offered: list[str] = []
    if arguments and arguments[-1].rest:  # takes as many words as one likes
        positional = min(positional, len(arguments) - 1)
    if positional < len(arguments) and not fragment.startswith("-"):
        kind = arguments[positional].values
        offered += _files(fragment) if kind == "file" else _values(session, kind)
    return offered + [name for name in known if name not in used]


def _values(session: Session, kind: str) -> list[str]:
    """Return the words of a kind, as far as they can be known without making anything."""
    if kind == "command":
        return list(registry.COMMANDS)
    if kind == "switch":
        return ["on", "off"]
    if kind == "match":
        return ["any", "all"]
    if kind == "role":
        from letta_kernel.memory.recall import ROLES

        return list(ROLES)
    if kind == "plot":
        return ["tokens", "memory", "cost"]
    if kind == "rule":
        return list(get_args(ToolRule.model_fields["type"].annotation))
    if kind == "style":
        return ["native", "heartbeat"]
    if kind == "setting":
        from letta_kernel.notebook.commands import FIELDS

        return [*FIELDS, *AgentSettings.model_fields]
    if kind == "agent":
        return session.agent_names()
    if kind == "model":
        from letta_kernel.models.registry import known_names

        return known_names()
    if kind == "mcp":
        return (
            [one.server.name for one in session.service.mcp.list()] if session.has_project else []
        )
    agent = session.current() if kind else None
    if agent is None:
        return []
    if kind == "label":
        return [block.label for block in session.service.blocks.list(agent.id)]
    if kind == "tool":
        return [tool.name for tool in session.service.tools.list(agent.id)]
    if kind == "any_tool":
        from letta_kernel.tools import builtin

        return sorted({tool.name for tool in session.service.tools.list()} | {*builtin.NAMES})
    if kind == "call":
        return [call.id for call in session.service.runs.pending(agent.id)]
    if kind == "passage":
        return [passage.id for passage in session.service.passages.list(agent.id)]
    return []


def _files(fragment: str) -> list[str]:
    """Return the files and folders whose path begins with *fragment*."""
    begun = _bare(fragment)
    found = sorted(glob.glob(glob.escape(begun) + "*"))[:_MOST_FILES]
    return [f"{path}/" if os.path.isdir(path) else path for path in found]


def _bare(fragment: str) -> str:
    """Return the part of a word that *fragment* is, without the quote it may begin with."""
    if fragment[:1] not in ("'", '"'):
        return fragment
    return fragment[1:].replace("\\" + fragment[0], fragment[0])


def _typed(word: str) -> str:
    """Return what is inserted for *word*; of ``--option=value`` the value is quoted."""
    name, equals, value = word.partition("=")
    return f"{name}={quoted(value)}" if equals and name.startswith("--") else quoted(word)
