"""``%agent`` lines and ``%%agent`` cells: read by the table of commands, run, and answered in the cell."""

from __future__ import annotations

import importlib.util
import keyword
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from letta_kernel import settings
from letta_kernel.agent.settings import check_settings
from letta_kernel.commands import LIST, Command, at
from letta_kernel.commands.arguments import Word, parse, split
from letta_kernel.commands.door import Answer
from letta_kernel.commands.reference import lines, top_level, under
from letta_kernel.errors import InvalidInputError, LettaError, nearest
from letta_kernel.notebook import group_run, run, shared_run, sql_cells
from letta_kernel.notebook.output import AgentError, Stopped, details
from letta_kernel.notebook.remedies import WORDS
from letta_kernel.notebook.session import Session, inside
from letta_kernel.notebook.template import Filled
from letta_kernel.project import settle
from letta_kernel.records import AgentState, Group
from letta_kernel.tools.answers import AnswerForm, of_type

T = TypeVar("T")
FIRST_NAME = "agent"


def run_line(session: Session, line: str) -> None:
    """Run ``%agent`` *line*."""
    _guarded(session, lambda: _line(session, line))


def run_cell(session: Session, line: str, cell: str) -> None:
    """Run ``%%agent`` *line* with the message *cell*."""
    _guarded(session, lambda: _cell(session, line, cell))


def run_sql(session: Session, line: str, query: str | None) -> Any:
    """Run ``%agentsql`` *line*, or ``%%agentsql`` with the *query* below it, and return the rows."""
    return _guarded(session, lambda: sql_cells.run(session, line, query))


def run_compare(session: Session, line: str, cell: str) -> None:
    """Run ``%%compare`` *line* with the message *cell*."""
    from letta_kernel.notebook import compare_run

    _guarded(session, lambda: compare_run.run_cell(session, line, cell))


def _line(session: Session, line: str) -> None:
    session.used = True
    settle()
    session.functions.load()
    session.get_ready(session.current())
    command, rest = find(line.strip() or "show", session.agent_names)
    takes = command.takes("notebook")
    given = parse(rest, takes, usage=command.usage("notebook"))
    for one in takes:
        if one.takes.free and one.key in given:
            value = given[one.key]
            filled = [session.fill(word) for word in value] if one.kind == "list" else None
            given[one.key] = session.fill(value) if filled is None else filled
    _show(session, command.run(session, given))


def _show(session: Session, answer: Any) -> None:
    if not isinstance(answer, Answer):
        answer = Answer(answer or "")
    if answer.problem:
        session.last_error = answer.traceback or session.last_error
        raise AgentError(answer.problem)
    if answer.panel is not None:
        session.show(answer.panel())
    elif answer.bundle and getattr(session.shell, "kernel", None) is not None:
        session.shell.display_pub.publish(answer.bundle)
    elif answer.plain:
        print(answer.text)
    elif said := "\n".join(filter(None, (answer.text, *answer.notes))):
        session.say(said)
    elif answer.rows is not None:
        from letta_kernel.display.tables import table

        found = answer.rows()
        session.show(table(found.columns, found.rows, empty=found.empty))


def find(line: str, agents: Callable[[], list[str]]) -> tuple[Command, str]:
    """Return the command *line* begins with, and the rest of the line.

    Raises
    ------
    InvalidInputError
        There is no such command; the one line names the nearest, or says that it is an agent's name.
    """
    known, words = lines(), split(line)
    first = words[0].text
    if len(words) > 1 and (found := known.get(f"{first} {words[1].text}")):
        return found, line[words[1].end :].strip()
    found = known.get(first)
    if found is None:
        if first in agents():
            raise InvalidInputError(f"To talk to {first}: %agent use {first}")
        hint = nearest(first, top_level()) or " %agent help lists them."
        raise InvalidInputError(f"%agent has no command {first!r}.{hint}")
    if found.lists and len(words) > 1 and _lists(words[1:]):
        return found, line[words[1].end :].strip()
    if len(words) > 1 and not found.arguments("notebook") and (inner := under(first)):
        word = words[1].text
        if not word.startswith("-"):
            hint = nearest(word, inner) or f" There is: {', '.join(inner)}."
            raise InvalidInputError(f"%agent {first} has no command {word!r}.{hint}")
    return found, line[words[0].end :].strip()


def _lists(words: Sequence[Word]) -> bool:
    """Whether the words behind a command ask for its list, and are not free text that begins like that."""
    first, *rest = words
    return (first.text, first.quoted) == (LIST, False) and all(
        word.text.startswith("--") or before.text.startswith("--")
        for before, word in zip([first, *rest], rest, strict=False)
    )


def _cell(session: Session, line: str, cell: str) -> None:
    session.used = True
    command = at("notebook")["%%agent"]
    usage = f"{command.usage('notebook')}, the message below it"
    given = parse(line, command.takes("notebook"), usage=usage)
    context = given.get("notebook_context")
    if context is not None:
        check_settings({"notebook_context": context})
    text = cell.strip("\n")
    filled = Filled(text) if given.get("raw") else session.filled(text)
    if not filled.text.strip():
        raise InvalidInputError("There is nothing to send: the cell is empty.")
    if (shared := session.shared(given.get("name"))) is not None:
        settle()
        return shared_run.send(session, shared, filled.text, given, pictures=filled.pictures)
    if (group := _group(session, given.get("name"))) is not None:
        if given.get("as_"):
            raise InvalidInputError("--as is for one agent: a group gives several answers.")
        settle()
        return group_run.send(
            session,
            group,
            filled.text,
            pictures=filled.pictures,
            max_steps=given.get("max_steps"),
            model=given.get("model"),
            names="" if given.get("raw") else text,
            context=context,
            step=bool(given.get("step")),
        )
    variable, form = _variable(session, given["as_"]) if given.get("as_") else ("", None)
    settle()
    session.functions.load()
    agent = _addressed(session, given.get("name"))
    taken: list[Any] = []

    def take(value: Any) -> None:
        taken.append(value)
        if variable:
            session.shell.user_ns[variable] = value

    run.send(
        session,
        agent.id,
        filled.text,
        pictures=filled.pictures,
        max_steps=given.get("max_steps"),
        model=given.get("model"),
        form=form,
        take=take,
        names="" if given.get("raw") else text,
        context=context,
        step=bool(given.get("step")),
    )
    if variable and not taken:
        raise AgentError(f"{variable} is not set: the run has not come to an answer.")
    return None


def _group(session: Session, name: str | None) -> Group | None:
    """Return the group a cell is for, which is named behind an ``@``; None if it is for an agent."""
    if name is None or not name.startswith("@") or name in session.agent_names():
        return None
    return session.service.groups.retrieve(name)


def _variable(session: Session, given: str) -> tuple[str, AnswerForm | None]:
    """Return the variable that an answer is for, and the form of its type; None for text.

    Raises
    ------
    InvalidInputError
        It is no variable, or no type; nothing is sent.
    """
    name, _, kind = given.strip().partition(" ")
    if not name.isidentifier() or keyword.iskeyword(name) or not kind.strip():
        raise InvalidInputError(
            "--as needs a variable and a type: --as person Person, or --as rows list[Person]."
        )
    try:
        as_type = eval(kind, session.shell.user_global_ns, session.shell.user_ns)
    except Exception as error:
        if kind.strip() == "DataFrame" and importlib.util.find_spec("pandas"):
            as_type = importlib.import_module("pandas").DataFrame
        else:
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise InvalidInputError(f"--as: {kind.strip()} is no type here ({said}).") from None
    return name, None if as_type is str else of_type(as_type)


def _addressed(session: Session, name: str | None) -> AgentState:
    """Return the agent a cell is for; a notebook without one gets one."""
    current = session.current()
    if name is None:
        return current or _first(session, _free_name(session))
    names = session.agent_names()
    if current is None and name not in names and not nearest(name, names):
        return _first(session, name)
    agent = session.agent(name)
    if current is None or agent.id != current.id:
        session.choose(agent)
    return agent


def _first(session: Session, name: str) -> AgentState:
    others = session.agent_names()
    opened, given = session.open_agent(name)
    more = f", with {', '.join(given)}" if given else ""
    hint = f"; %agent use {others[0]} talks to one that is there" if others else ""
    session.say(f"Made the agent {opened.agent.name!r} for this notebook{more}{hint}.")
    return opened.agent


def _free_name(session: Session) -> str:
    taken = set(session.agent_names())
    number, name = 1, FIRST_NAME
    while name in taken:
        number += 1
        name = f"{FIRST_NAME}-{number}"
    return name


def _guarded(session: Session, work: Callable[[], T]) -> T:
    """Run *work* and return what it returns; whatever goes wrong ends the cell with one line."""
    problem: BaseException
    try:
        return work()
    except (AgentError, Stopped) as error:
        problem = error
    except LettaError as error:
        problem = AgentError(error.told(WORDS))
    except KeyboardInterrupt:
        problem = Stopped()
    except Exception as error:
        session.last_error = details(error)
        if settings.DEBUG():
            raise
        problem = AgentError(inside(error))
    # Raise it here, outside the handlers, so that no traceback shows our own frames.
    raise problem.with_traceback(None)
