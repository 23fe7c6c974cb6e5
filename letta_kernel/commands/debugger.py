"""Breakpoints and the debugger; and how a person is asked in words where a run has stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from letta_kernel.commands.door import AGENT, Answer, Door, Notebook, how
from letta_kernel.commands.spec import argument, command
from letta_kernel.commands.values import is_on
from letta_kernel.display.clean import clean_text, one_line
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.records import AgentState
    from letta_kernel.service.debug import Action, Move, Stop

GROUP = "What it sees and takes"
_PREVIEW = 100  # characters
_NEWEST = 8  # messages of a request that are listed
_MOVES: dict[str, Action] = {
    **{"": "step", "s": "step", "n": "next", "c": "continue", "q": "stop"},
    **{"step": "step", "next": "next", "continue": "continue", "stop": "stop"},
}
_PROMPT = "[s]tep, [n]ext model call, [c]ontinue, [q] stop the run, ? for more: "
_HELP = """\
  s, or an empty line: on to the next stop        n: on to the next model call
  c: on to the next breakpoint, or the end        q: stop the run
  show NAME: the whole text of a part, or of what can be changed; show alone lists them
  fork NAME: make an agent of what is kept so far; the run goes on waiting
  NAME = TEXT: change it (TEXT may be a JSON string, "two\\nlines")"""


@command("debug", None, group=GROUP)
def debug(
    door: Notebook,
    agent: AgentState = AGENT,
    state: str | None = argument("on or off; without it, how it stands", None, values="switch"),
) -> Answer:
    """Stop the agent's runs at each step, to look at what comes next and to change it: on or off.

    A run stops before each model call, after its reply, before each tool call and after its result. There the
    next request is shown with its parts and their tokens; its messages, a reply, the arguments of a call and a
    result can be changed. Then: step, next (model call), continue (to a breakpoint, or the end), stop.
    %%agent --step does it for one cell. What was changed is marked for ever. Where nobody can be asked (Run All
    by a program, REST) nothing stops.
    """
    on = door.debugging(agent, None if state is None else is_on(state))
    says = "stop at each step" if on else "do not stop, but at breakpoints"
    return Answer(f"{agent.name}: runs from cells of this notebook {says}.", {"on": on})


@command("break", "break list", group=GROUP, lists=True)
def breaks(door: Door, agent: AgentState = AGENT) -> Answer:
    """Show what the agent's runs stop at."""
    from letta_kernel.display.tables import number, table

    kept = _kept(agent)
    empty = f"No breakpoints. {how(door, 'break on', 'tool:NAME', agent=agent)} adds one."
    rows: list[list[object]] = [[number(at), one] for at, one in enumerate(kept, 1)]
    title = f"Breakpoints of {agent.name}"
    return Answer(data=kept, panel=lambda: table(["#", "stops at"], rows, title=title, empty=empty))


@command("break on", "break on", group=GROUP)
def break_on(
    door: Door,
    agent: AgentState = AGENT,
    what: str = argument(
        "tool:NAME, memory:LABEL, word:TEXT, cost:0.05 or steps:5", free=True, values="breakpoint"
    ),
) -> Answer:
    """Stop runs at a tool, a memory block, a word, a cost in US dollars, or after so many steps.

    tool:send_* stops before a call of such a tool, memory:human before the block is written (or, where a tool
    of another kind wrote it, after), word:TEXT where the text comes up in a request or a reply, cost:0.05 once
    a run has cost so much, steps:5 after each five model calls. Runs in cells stop, and in letta-kernel chat;
    where nobody can be asked nothing does.
    """
    from letta_kernel.agent.breakpoints import parse

    kept = [*_kept(agent), str(parse(what))]
    changed = door.service.agents.update(agent.id, settings={"breakpoints": kept})
    return Answer(f"{agent.name} stops at {', '.join(_kept(changed))}.", _kept(changed))


@command("break off", "break off", group=GROUP)
def break_off(
    door: Door,
    agent: AgentState = AGENT,
    number: str | None = argument(
        "Which one, by its number or as it is written; without it, all",
        None,
        free=True,
        values="broken",
    ),
) -> Answer:
    """Take a breakpoint away, or all."""
    kept = _kept(agent)
    left: list[str] = []
    if number is not None:
        word = number.strip()
        place = int(word) - 1 if word.isdecimal() else kept.index(word) if word in kept else -1
        if not 0 <= place < len(kept):
            there = ", ".join(f"{at} ({one})" for at, one in enumerate(kept, 1)) or "none"
            raise InvalidInputError(f"There is no breakpoint {word!r}; there is: {there}.")
        left = [one for at, one in enumerate(kept) if at != place]
    door.service.agents.update(agent.id, settings={"breakpoints": left or None})
    said = f"stops at {', '.join(left)}." if left else "stops at no breakpoint."
    return Answer(f"{agent.name} {said}", left)


def _kept(agent: AgentState) -> list[str]:
    return list(agent.settings.get("breakpoints") or ())


def in_words(stop: Stop, ask: Callable[[str], str], say: Callable[[str], None]) -> Move:
    """Ask line by line what is to become of a run that has stopped.

    Parameters
    ----------
    ask : returns the line that a person types; what it raises ends the asking.
    say : shows a text.
    """
    from letta_kernel.service.debug import Move

    say(told(stop))
    keys = [one.key for one in stop.editable]
    changes: dict[str, str] = {}
    while True:
        line = ask(_PROMPT).strip()
        action = _MOVES.get(line.lower())
        name, equals, text = line.partition("=")
        name = name.strip()
        if action is not None:
            return Move(action, changes)
        if line in ("?", "h", "help"):
            say(_HELP)
        elif equals and name in keys:
            changes[name] = _read(text.strip())
            say(f"  {name} is changed; it takes effect as you go on.")
        elif line == "fork" or line.startswith("fork "):
            return Move("fork", changes, line.removeprefix("fork").strip())
        elif line == "show":
            say(told(stop, whole=True))
        elif line.startswith("show "):
            say(_text(stop, line.removeprefix("show ").strip(), changes))
        else:
            there = f" What can be changed: {', '.join(keys)}." if keys else ""
            say(f"  {one_line(line, 60)!r} is none of the answers; ? lists them.{there}")


def told(stop: Stop, *, whole: bool = False) -> str:
    """Return in lines where a run has stopped, and what can be looked at and changed there.

    *whole* lists all that can be changed, not the newest alone.
    """
    why = f" · breakpoint {one_line(stop.why, 200)}" if stop.why else ""
    lines = [f"■ Stopped {one_line(stop.title, 150)} · step {stop.step}{why}"]
    if stop.problem:
        lines.append(f"  ! {one_line(stop.problem, 500)}")
    if stop.note:
        lines.append(f"  · {one_line(stop.note, 500)}")
    if stop.parts:
        sizes = [f"{part.name} {part.tokens:,}" for part in stop.parts]
        lines.append(f"  {' · '.join(sizes)} tokens")
    shown = stop.editable if whole else stop.editable[-_NEWEST:]
    if left := len(stop.editable) - len(shown):
        lines.append(f"    … {left} before them: show lists all")
    for one in shown:
        lines.append(f"    {one.key} ({one.label}): {one_line(one.text, _PREVIEW) or '(empty)'}")
    return "\n".join(lines)


def _text(stop: Stop, name: str, changes: dict[str, str]) -> str:
    """Return the whole text of a part, or of what can be changed."""
    texts = {part.name: part.text for part in stop.parts}
    texts |= {one.key: one.text for one in stop.editable} | changes
    if name not in texts:
        return f"  There is no {one_line(name, 60)!r}; there is: {', '.join(texts)}."
    return clean_text(texts[name]) or "(empty)"


def _read(text: str) -> str:
    """Return a text as it is meant: a JSON string may have lines."""
    if text.startswith('"'):
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return read if isinstance(read, str) else text
    return text
