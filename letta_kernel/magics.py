"""``%agent`` and ``%%agent``, thin: what they do is imported when they are first used."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.magic import (
    Magics,
    cell_magic,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)

from letta_kernel import isolation
from letta_kernel.hooks import agent_opened, memory_shown, tool_marked
from letta_kernel.notebook.executed import ExecutedCells

if TYPE_CHECKING:
    from letta_kernel.notebook.key_watch import KeyWatch
    from letta_kernel.notebook.panel.connections import PanelConnections
    from letta_kernel.notebook.session import Session
    from letta_kernel.records import AgentState
    from letta_kernel.service import AgentService

PANEL = "letta-kernel.desk"
"""The comm target of panels; `letta_kernel.notebook.panel.connections` says what is said."""
_SESSION = "letta_kernel.notebook.session"
_SERVING = "letta_kernel.server.serving"
_COMMANDS = "letta_kernel.notebook.commands"
_CONNECTIONS = "letta_kernel.notebook.panel.connections"
_LINE = re.compile(r"(\s*)%(agent|agentsql)(?=[\s?]|$)")
_MAY_HOLD_KEY = re.compile(r"(?i)key|token|secret|bearer|sk-|AIza|gsk_|hf_|ghp_")
_TRIPLE = re.compile(r"\"\"\"|'''")


@magics_class
class AgentMagics(Magics):
    """The magics; one `Session` per shell does the work."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._session: Session | None = None
        self._panels: PanelConnections | None = None
        self._making = threading.Lock()  # panels open on threads of their own
        self._keys: KeyWatch | None = None
        self._may_hold_key: list[str] = []  # cells not looked at for keys yet
        self._cells_without: set[str] = set()  # ids of cells that ran without a function
        self._marked: list[Any] = []  # what the running cell called ``tool(…)`` with
        self._hidden: set[str] = set()  # libraries that files of the user's hide, as said already
        self._ipython_script = shell.find_cell_magic("script")
        self.executed = ExecutedCells(shell)

    @property
    def session(self) -> Session:
        """This notebook's session, made on first use (interruptible)."""
        if self._session is None:
            from letta_kernel import lazy_import, side_effects

            side_effects.keep_logs_apart()
            session_module = lazy_import.load(_SESSION)
            with self._making:
                if self._session is None:
                    session = session_module.Session(self.shell, self._cells_without, self.executed)
                    # The rooms of servers know the notebook's, so that it cannot make this itself.
                    session.server = lazy_import.load(_SERVING).Serving(session)
                    self._session = session
        return self._session

    @property
    def _commands(self) -> Any:
        from letta_kernel import lazy_import

        return lazy_import.load(_COMMANDS)

    @line_magic("agent")  # type: ignore[arg-type]
    @no_var_expand
    def line(self, line: str) -> None:
        """Make, choose and look into the agents of this project."""
        self._run(lambda: self._commands.run_line(self.session, line))

    @cell_magic("agent")  # type: ignore[arg-type]
    @no_var_expand
    def cell(self, line: str, cell: str) -> None:
        """Send the cell to an agent and watch it work."""
        self._run(lambda: self._commands.run_cell(self.session, line, cell))

    @line_cell_magic("agentsql")  # type: ignore[arg-type]
    @no_var_expand
    def sql(self, line: str, cell: str | None = None) -> Any:
        """Ask what agents said, did and remember, in SQL."""
        return self._run(lambda: self._commands.run_sql(self.session, line, cell))

    @cell_magic("compare")  # type: ignore[arg-type]
    @no_var_expand
    def compare(self, line: str, cell: str) -> None:
        """Send the cell to several variants of an agent, and see them side by side."""
        self._run(lambda: self._commands.run_compare(self.session, line, cell))

    def _run(self, work: Callable[[], Any]) -> Any:
        from letta_kernel import side_effects, waiting

        with waiting.request(_tell), side_effects.at_work():
            result = work()
        new = {n: file for n, file in isolation.hidden().items() if n not in self._hidden}
        if new:
            self._hidden.update(new)
            print(isolation.hidden_line(new))
        return result

    def before_cell(self, info: Any) -> None:
        """Let the cell import what the notebook's folder has (a ``pre_run_cell`` hook)."""
        self.executed.begin(info)
        isolation.before_users_code(info.raw_cell)

    @cell_magic("script")  # type: ignore[arg-type]
    @no_var_expand
    def script(self, line: str, cell: str) -> Any:
        """Write down what a model says, so that a notebook tells its story without a language model."""
        from letta_kernel.notebook import script_cells

        if not script_cells.is_ours(line, cell):
            return self._ipython_script(line, cell)
        print(script_cells.run(line, cell))
        return None

    def after_cell(self, result: Any) -> None:
        """Look at the functions a cell defined or removed (a ``post_run_cell`` hook)."""
        self.executed.end(result)
        if result is None or result.info is None:
            return
        info = result.info
        self._watch_keys(info.raw_cell or "")
        if result.error_before_exec is not None:
            return
        marked, self._marked = self._marked, []
        if self._session is None and not marked and "def " not in info.raw_cell:
            # Cheap for cells that have nothing to do with agents: remember only that it ran.
            if info.cell_id and result.success:
                self._cells_without.add(info.cell_id)
            return
        from letta_kernel import side_effects
        from letta_kernel.errors import HiddenLibraryError

        try:
            with side_effects.at_work():
                self.session.after_cell(result, marked)
        except HiddenLibraryError as error:
            print(error)
        except KeyboardInterrupt:  # the cell itself is over; only its tools were not looked at
            print(
                "Stopped before this cell's functions were looked at; run it again for its tools."
            )

    def _watch_keys(self, source: str) -> None:
        """Warn of keys in cells, those before the first agent too; a notebook without agents hears nothing."""
        if _MAY_HOLD_KEY.search(source):
            self._may_hold_key.append(source)
        session = self._session
        if session is None or not session.used:
            return
        try:
            from letta_kernel.notebook.key_watch import KeyWatch

            self._keys = self._keys or KeyWatch()
            waiting, self._may_hold_key = self._may_hold_key, []
            self._keys.tell(self.shell, waiting)
        except Exception as error:  # the cell has nothing to do with it
            session.last_error = f"{type(error).__name__} while looking for keys in a cell"

    def marked(self, function: Any, namespace: dict[str, Any]) -> None:
        """Take note of what the notebook's own code marks as a tool; modules it imports may do as they like."""
        if self.shell is not None and namespace is self.shell.user_global_ns:
            self._marked.append(function)

    def opened(self, service: AgentService, agent: AgentState, made: bool) -> None:
        """Take note of an agent that the Python interface opened."""
        self.session.opened(service, agent, made)

    def show_memory(self, service: AgentService, agent: AgentState) -> bool:
        """Show an agent's memory as a live panel in the cell that runs."""
        return self.session.show_memory(service, agent)

    def panel_opened(self, comm: Any, _message: Any) -> None:
        """Let a panel ask about agents (a comm target); the first one imports what answers."""
        threading.Thread(
            target=self._open_panel, args=(comm,), name="letta-panel", daemon=True
        ).start()

    def _open_panel(self, comm: Any) -> None:
        from letta_kernel import lazy_import, side_effects
        from letta_kernel.errors import HiddenLibraryError

        side_effects.keep_logs_apart()
        try:
            module = lazy_import.load(_CONNECTIONS)
            session = self.session
        except HiddenLibraryError:
            return  # the first agent command of a cell says so
        with self._making:
            self._panels = self._panels or module.PanelConnections(session)
        self._panels.add(comm)

    def do(self, ticket: str) -> None:
        """Do what a panel has asked for and the main thread has to do."""
        self.session.main_thread.do(ticket)

    def complete(self, context: Any) -> dict[str, Any]:
        """Offer words for an ``%agent`` line (a completion matcher of IPython)."""
        before = context.text_until_cursor
        nothing: dict[str, Any] = {"completions": [], "matched_fragment": "", "suppress": False}
        try:
            return self._completed(context, before) or nothing
        except Exception as error:  # Tab must not get in the way
            if self._session is not None:
                self._session.last_error = (
                    f"{type(error).__name__} while completing a line: {error}"
                )
            return nothing

    def _completed(self, context: Any, before: str) -> dict[str, Any] | None:
        if context.full_text.startswith("%%script"):
            from letta_kernel.notebook import script_cells

            fragment, words = script_cells.complete(self.session, before, context.cursor_line == 0)
            return None if words is None else _offer(fragment, words)
        if context.cursor_line > 0 and context.full_text.startswith("%%agent"):
            from letta_kernel.notebook.beside import mentions

            name = mentions.begun(before)
            if name is None:
                return None
            return _offer(name, [one["name"] for one in self.session.names(name)])
        line = _LINE.match(before)
        cell = context.cursor_line == 0 and before.startswith(("%%agent ", "%%compare "))
        if (line is None or line[2] != "agent") and not cell:
            return None
        from letta_kernel.notebook.completion import complete

        return _offer(*complete(self.session, before.lstrip()))


def _told(name: str) -> Callable[[], str]:
    """Return what gives a magic's help, which is made from the table of commands when it is asked for."""

    def help_text() -> str:
        from letta_kernel.commands import reference

        return reference.line_help() if name == "%agent" else reference.cell_help(name)

    return help_text


_HELPED: dict[str, Any] = {
    "%agent": AgentMagics.line,
    "%%agent": AgentMagics.cell,
    "%%agentsql": AgentMagics.sql,
    "%%compare": AgentMagics.compare,
    "%%script": AgentMagics.script,
}
for _name, _magic in _HELPED.items():
    _magic.getdoc = _told(_name)  # IPython asks for this before it looks at a docstring


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _offer(fragment: str, words: list[str]) -> dict[str, Any]:
    return {
        "completions": [SimpleCompletion(text=word, type="magic") for word in words],
        "matched_fragment": fragment,
        "suppress": True,
        "ordered": True,
    }


def install(shell: Any) -> None:
    """Add the magics, their completion and the discovery of tools to an IPython *shell*, once."""
    if getattr(shell, "_letta_magics", None) is not None:
        return
    isolation.install()
    magics = shell._letta_magics = AgentMagics(shell)
    shell.register_magics(magics)
    agent_opened.append(magics.opened)
    memory_shown.append(magics.show_memory)
    tool_marked.append(magics.marked)
    shell.events.register("pre_run_cell", magics.before_cell)
    shell.events.register("post_run_cell", magics.after_cell)
    shell.input_transformers_cleanup.append(protect_lines)
    _receive_panels(shell, magics)
    if shell.Completer is not None:

        @context_matcher(priority=100, identifier="letta_kernel.agent")
        def agent_matcher(context: Any) -> Any:
            return magics.complete(context)

        shell.Completer.custom_matchers.append(agent_matcher)


def _receive_panels(shell: Any, magics: AgentMagics) -> None:
    """Let panels connect, and let them see that they can.

    A comm that nobody has opened stands in the kernel's list of comms, which a front end can read without
    the kernel logging an error where there are none.
    """
    manager = getattr(getattr(shell, "kernel", None), "comm_manager", None)
    if manager is None:  # a terminal
        return
    manager.register_target(PANEL, magics.panel_opened)
    from comm import create_comm

    manager.register_comm(create_comm(target_name=PANEL, comm_id=f"{PANEL}.sign", primary=False))


def protect_lines(lines: list[str]) -> list[str]:
    """Turn ``%agent`` and ``%agentsql`` lines into Python before IPython reads them as such.

    IPython tokenizes them as Python, so that an apostrophe hides the lines below and a question
    mark at the end becomes a request for help.
    """
    if not any("%agent" in line for line in lines) or lines[0].startswith("%%"):
        return lines
    out: list[str] = []
    at, in_string = 0, ""
    while at < len(lines):
        line = lines[at]
        at += 1
        match = None if in_string else _LINE.match(line)
        if match is None:
            in_string = _open_string(line, in_string)
            out.append(line)
            continue
        text = line[match.end() :].rstrip("\r\n")
        while text.endswith("\\") and at < len(lines):
            text = text[:-1] + lines[at].rstrip("\r\n").lstrip()
            at += 1
        if re.fullmatch(r"\s*\?{1,2}\s*", text):  # %agent? asks for help, as everywhere
            out.append(f"{match[1]}%{match[2]}{text.strip()}\n")
        else:
            out.append(f"{match[1]}get_ipython().run_line_magic({match[2]!r}, {text.strip()!r})\n")
    return out


def _open_string(line: str, opened: str) -> str:
    """Return the triple quote that is open behind *line*, if one is."""
    for match in _TRIPLE.finditer(line):
        if not opened:
            opened = match.group()
        elif opened == match.group():
            opened = ""
    return opened
