"""``%agentsql`` lines and ``%%agentsql`` cells: rows of the project's views, put into a variable."""

from __future__ import annotations

import importlib.util
import keyword
import re
from typing import Any

from letta_kernel.commands import at
from letta_kernel.commands.arguments import parse
from letta_kernel.display.tables import table
from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook.session import Session

_NAME = re.compile(r"\s*(?P<name>\S+)\s*<<")


def run(session: Session, line: str, below: str | None) -> Any:
    """Answer the query of a line and of the cell *below* it; None where a variable takes the rows.

    Raises
    ------
    InvalidInputError
        The variable or the query is none. Nothing is assigned.
    """
    command = at("notebook")["%%agentsql"]
    found = _NAME.match(line)
    name = found["name"] if found else ""
    if name and (not name.isidentifier() or keyword.iskeyword(name)):
        raise InvalidInputError(f"{name!r} cannot be a variable's name.")
    rest = line[found.end() :] if found else line
    given = parse(rest, command.takes("notebook"), usage=command.usage("notebook"))
    query = "\n".join(filter(None, (given.pop("query", None), below))).strip()
    if not query:
        raise InvalidInputError("There is nothing to ask: %%agentsql df <<, the query below it.")
    takes = {one.key: one.default for one in command.options("notebook")} | given
    answer = session.service.sql.query(session.fill(query), **takes)
    if answer.more:
        limit = takes["limit"]
        session.say(f"There are more than {limit:,} rows: --limit 0 gives all.")
    shown = _frame(answer)
    if not name:
        return shown
    session.shell.user_ns[name] = shown
    return None


def _frame(answer: Any) -> Any:
    if importlib.util.find_spec("pandas") is not None:
        return answer.frame()
    return table(answer.columns, answer.rows, empty="No rows.")
