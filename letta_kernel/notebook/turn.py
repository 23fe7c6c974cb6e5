"""What an agent does in the notebook during one turn: its calls of the notebook tools, carried out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from letta_kernel.display.words import count
from letta_kernel.errors import LettaError, ToolError
from letta_kernel.messages import ToolCall
from letta_kernel.notebook.beside.cells import in_full, outputs_text
from letta_kernel.notebook.beside.look import Look, hidden_in
from letta_kernel.notebook.beside.variables import brief
from letta_kernel.notebook.document import proposals, running
from letta_kernel.notebook.document.grants import Grants
from letta_kernel.notebook.document.protocol import (
    Author,
    Cell,
    Change,
    Contents,
    Document,
    DocumentError,
)
from letta_kernel.notebook.executed import ExecutedCells
from letta_kernel.notebook.output import show
from letta_kernel.pictures.values import in_bundle
from letta_kernel.service import AgentService
from letta_kernel.tools import notebook as tools
from letta_kernel.tools.arguments import parse_arguments
from letta_kernel.tools.error_text import error_text
from letta_kernel.tools.live import run_function
from letta_kernel.tools.outcome import Outcome, ReportedError
from letta_kernel.tools.results import Presented, shorten
from letta_kernel.tools.rules import needs_approval

PROPOSED = (
    "It is shown to the person as a proposal; the notebook is as it was, and stays so until the person "
    "takes the proposal over."
)
_WORD = re.compile(r"[^\W\d]\w*")
_LONGEST = 20_000  # characters of what is told of variables or outputs
_FEW_VARIABLES, _MOST_VARIABLES = 5, 200


class Notebook(Protocol):
    """What a turn asks of the notebook it is in."""

    shell: Any
    executed: ExecutedCells
    seen: dict[tuple[str, str], str]
    grants: Grants

    @property
    def service(self) -> AgentService:
        """The project's agents."""

    @property
    def document(self) -> Document:
        """The notebook, as it can be reached now."""


class Turn:
    """An agent's dealings with the notebook in one turn (`letta_kernel.tools.notebook.NotebookActs`).

    Parameters
    ----------
    notebook
        The notebook it is in.
    agent_id
        Whose turn it is.

    Attributes
    ----------
    run_id
        The run that goes on; set as soon as it has one.
    """

    def __init__(self, notebook: Notebook, agent_id: str, run_id: str = "") -> None:
        self._notebook = notebook
        self._agent_id = agent_id
        self.run_id = run_id
        self._cell = _running_cell(notebook.shell)
        self._last: str | None = (
            None  # what it put in last below its own cell: the next comes after it
        )

    def function(self, name: str) -> Callable[..., Any] | None:
        """Return the function behind one of the notebook tools."""
        return tools.bound(name, self) if name in tools.NAMES else None

    # -- reading -------------------------------------------------------------------------------------

    def read(self, cells: list[str | int] | None, outputs: bool) -> str:
        """Return cells as text."""
        look = self._look()
        contents = look.contents
        wanted = [_find(contents, one) for one in cells] if cells else enumerate(contents.cells)
        found = list(wanted)
        for _, cell in found:
            self._saw(cell)
        here = f" You are talked to from the cell {self._cell}." if self._cell else ""
        head = f"{contents.path or 'The notebook'} has {count(len(contents.cells), 'cell')}.{here}"
        told = [look.told(place, cell, outputs) for place, cell in found]
        return f"{head}\n{in_full(told, look.hide)}"

    def variables(self, pattern: str) -> str:
        """Return the user's variables of these names: a few in some detail, many in a line each."""
        notebook = self._notebook
        look = Look(notebook.shell, notebook.executed, notebook.document)
        found = [
            name
            for name in look.variables
            if fnmatchcase(name, pattern) and not (name.startswith("_") and pattern[:1] != "_")
        ]
        if not found:
            return f"There is no variable {pattern!r}."
        if len(found) <= _FEW_VARIABLES:
            return shorten("\n\n".join(map(look.variable, found)), _LONGEST)
        told = [f"{name}: {brief(look.variables[name])}" for name in found[:_MOST_VARIABLES]]
        if more := len(found) - len(told):
            told.append(f"… and {more} more; ask for fewer by a pattern")
        return "\n".join(told)

    # -- running -------------------------------------------------------------------------------------

    def run(self, code: str) -> Presented:
        """Run code in the user's namespace."""
        self._check_calls(code)
        return self._told(running.run(self._notebook.shell, code))

    def run_cell(self, cell: str | int) -> Presented:
        """Run a cell as it stands, and show its outputs there where that can be."""
        document = self._notebook.document
        _, found = self._open(cell)
        if found.kind != "code":
            raise ReportedError(f"The cell {found.id} is {found.kind}, which is not run.")
        if found.id == self._cell or found.state == "running":
            raise ReportedError(f"The cell {found.id} is running.")
        self._check_calls(found.source)
        shell = self._notebook.shell
        ran = running.run(shell, found.source, found.id, shown=not document.writes)
        number = getattr(shell, "execution_count", None)
        for output in ran.outputs:
            if output["output_type"] == "execute_result":
                output["execution_count"] = number
        problem = ""
        try:
            document.show_outputs(found.id, ran.outputs, number)
        except LettaError as error:  # it has run all the same
            problem = f"\nIts outputs are not shown there: {error}"
        told = self._told(ran)
        told.text += problem
        return told

    def _told(self, ran: running.Ran) -> Presented:
        """Return what a model is told of code that ran, with its pictures; raise it where the code failed."""
        hide = hidden_in(self._notebook.shell)
        text = outputs_text(ran.outputs, hide, _LONGEST)
        if ran.error is None:
            return Presented(
                text or "It ran, and put nothing out.",
                pictures=[file for one in ran.outputs if (file := in_bundle(one.get("data")))],
            )
        line = hide(error_text(ran.error))
        frames = next(
            (one["traceback"] for one in ran.outputs if one["output_type"] == "error"), [line]
        )
        raise ReportedError(text or line, line, "\n".join(frames))

    # -- changing ------------------------------------------------------------------------------------

    def insert(self, after: str | int | None, source: str, kind: str) -> str:
        """Put in a cell."""
        kinds: dict[str, Literal["code", "markdown", "raw"]] = {
            "markdown": "markdown",
            "raw": "raw",
        }
        place = self._place(self._contents(), after)
        change = Change("insert", after=place, kind=kinds.get(kind, "code"), source=source)
        said, cells = self._applied(change, "The new cell is in the notebook")
        if after is None and cells:
            self._last = cells[0]
        return said

    def edit(self, cell: str | int, source: str) -> str:
        """Replace a cell's source."""
        _, found = self._open(cell)
        self._check_seen(found)
        if found.source == source:
            return "Nothing changed: the cell already reads so."
        change = Change("edit", cell=found.id, kind=found.kind, source=source, before=found.source)
        return self._apply(change, f"The cell {found.id} is changed")

    def delete(self, cell: str | int) -> str:
        """Take a cell out."""
        _, found = self._open(cell)
        if found.id == self._cell:
            raise ReportedError("This is the cell you are talked to from: it stays.")
        self._check_seen(found)
        change = Change("delete", cell=found.id, before=found.source)
        return self._apply(change, f"The cell {found.id} is deleted")

    def move(self, cell: str | int, after: str | int) -> str:
        """Put a cell elsewhere."""
        contents = self._contents()
        _, found = _find(contents, cell)
        place = self._place(contents, after)
        if place == found.id:
            raise ReportedError("A cell cannot come after itself.")
        return self._apply(
            Change("move", cell=found.id, after=place), f"The cell {found.id} is moved"
        )

    def propose(self, calls: Sequence[ToolCall]) -> None:
        """Show what calls that nobody let pass would have done, as proposed cells in the output."""
        changes: list[Change] = []
        try:
            contents = self._contents()
        except ReportedError:
            contents = Contents()
        for call in calls:
            with suppress(ReportedError, ValueError, TypeError, AttributeError, RecursionError):
                if (change := self._proposed(contents, call)) is not None:
                    changes.append(change)
        if changes:
            show(self._notebook.shell, proposals.panel(changes, contents))

    def _proposed(self, contents: Contents, call: ToolCall) -> Change | None:
        given = json.loads(call.arguments)
        match call.name:
            case "notebook_insert":
                kind = given.get("kind")
                return Change(
                    "insert",
                    after=self._place(contents, given.get("after")),
                    kind=kind if kind in ("markdown", "raw") else "code",
                    source=str(given["source"]),
                )
            case "notebook_run":
                return Change(
                    "insert", after=self._place(contents, None), source=str(given["code"])
                )
            case "notebook_edit":
                _, cell = _find(contents, given["cell"])
                return Change("edit", cell=cell.id, source=str(given["source"]), before=cell.source)
            case "notebook_delete":
                return Change("delete", cell=_find(contents, given["cell"])[1].id)
            case "notebook_move":
                place = self._place(contents, given["after"])
                return Change("move", cell=_find(contents, given["cell"])[1].id, after=place)
        return None

    def _apply(self, change: Change, done: str) -> str:
        return self._applied(change, done)[0]

    def _applied(self, change: Change, done: str) -> tuple[str, Sequence[str]]:
        """Make a change; return what the model is told, and the ids of its cells."""
        document = self._notebook.document
        try:
            cells = document.apply([change], self._author())
        except DocumentError as error:
            raise ReportedError(f"{error} Nothing was changed by this call.") from None
        if not document.writes:
            return PROPOSED, ()
        if change.op == "insert" and cells:
            done = f"{done}; its id is {cells[0]}"
        if change.op in ("insert", "edit") and cells:
            self._notebook.seen[self._agent_id, cells[0]] = change.source
        return f"{done}.", cells

    def _author(self) -> Author:
        service = self._notebook.service
        if not self._agent_id:
            return Author(self.run_id)
        run = service.runs.first_of(self.run_id) if self.run_id else ""
        return Author(run, self._agent_id, service.agents.retrieve(self._agent_id).name)

    def _check_calls(self, code: str) -> None:
        """Refuse code that nobody is asked about if it calls a tool that needs a person's word on each call."""
        if not self._agent_id:
            return
        service = self._notebook.service
        agent = service.agents.retrieve(self._agent_id)
        if self._notebook.grants.policy(agent) != "all":
            return
        asking = {
            tool.name
            for tool in service.tools.list(agent.id)
            if tool.requires_approval or needs_approval(agent.tool_rules, tool.name)
        }
        if named := sorted(asking.intersection(_WORD.findall(code))):
            raise ReportedError(
                f"{named[0]} needs the person's word on every call: call the tool, not the function. "
                "Nothing was run."
            )

    # -- which cell ----------------------------------------------------------------------------------

    def _look(self) -> Look:
        """Return what can be told of the notebook.

        Raises
        ------
        ReportedError
            It cannot be read now.
        """
        notebook = self._notebook
        look = Look(notebook.shell, notebook.executed, notebook.document)
        if look.unread is not None:
            raise ReportedError(str(look.unread))
        return look

    def _contents(self) -> Contents:
        return self._look().contents

    def _open(self, ref: str | int) -> tuple[int, Cell]:
        """Return a cell that the agent may deal with."""
        look = self._look()
        place, cell = _find(look.contents, ref)
        if look.is_private(cell):
            raise ReportedError(
                f"The cell {cell.id} is private: the person keeps it to themselves."
            )
        return place, cell

    def _place(self, contents: Contents, after: str | int | None) -> str | None:
        """Return the id of the cell that something comes after; None for the top."""
        if after == "top":
            return None
        if after is not None:
            return _find(contents, after)[1].id
        known = {cell.id for cell in contents.cells}
        own = (self._last, self._cell, contents.active)
        last = contents.cells[-1].id if contents.cells else None
        return next((one for one in own if one in known), last)

    def _saw(self, cell: Cell) -> None:
        self._notebook.seen[self._agent_id, cell.id] = cell.source

    def _check_seen(self, cell: Cell) -> None:
        """Refuse to change what the agent has not read as it is now."""
        key = (self._agent_id, cell.id)
        if self._notebook.seen.get(key, cell.source) != cell.source:
            raise ReportedError(
                f"The cell {cell.id} has been changed since you read it: read it again. Nothing was changed."
            )


def called(turn: Turn, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Carry out a call and return its outcome, with ``output``: what was printed meanwhile."""
    tool, printed = tools.record(name), []

    def output(stream: str, text: str) -> None:
        printed.append(text)

    try:
        function = tools.bound(name, turn)
        given = parse_arguments(tool, json.dumps(arguments), function)
    except ToolError as error:
        return {**asdict(Outcome("error", str(error), error=str(error))), "output": ""}
    outcome = run_function(function, given, limit=tool.return_limit, on_output=output)
    return {**asdict(outcome), "output": "".join(printed)}


def _find(contents: Contents, ref: str | int) -> tuple[int, Cell]:
    """Return a cell by its id, or by its place counted from 0, and that place."""
    for place, cell in enumerate(contents.cells):
        if cell.id == ref:
            return place, cell
    text = str(ref).strip()
    if text.lstrip("-").isdecimal():
        place = int(text)
        if -len(contents.cells) <= place < len(contents.cells):
            place %= len(contents.cells)
            return place, contents.cells[place]
    raise ReportedError(
        f"There is no cell {shorten(text, 100)!r}: notebook_read shows the ids of the "
        f"{len(contents.cells)} there are."
    )


def _running_cell(shell: Any) -> str | None:
    """Return the id of the cell that runs now, where the front end tells it."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    metadata = kernel.get_parent("shell").get("metadata") or {}
    cell = metadata.get("cellId")
    return cell if isinstance(cell, str) else None
