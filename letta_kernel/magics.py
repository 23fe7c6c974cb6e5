"""``%agent`` and ``%%agent``, thin: what they do is imported when they are first used."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from letta_kernel import isolation
from letta_kernel.hooks import agent_opened, memory_shown, tool_marked

if TYPE_CHECKING:
    from letta_kernel.notebook.key_watch import KeyWatch
    from letta_kernel.notebook.panel.connections import PanelConnections
    from letta_kernel.notebook.session import Session
    from letta_kernel.records import AgentState
    from letta_kernel.service import AgentService

PANEL = "letta-kernel.desk"
"""The comm target of panels; `letta_kernel.notebook.panel.connections` says what is said."""
_SESSION = "letta_kernel.notebook.session"
_CONNECTIONS = "letta_kernel.notebook.panel.connections"
_LINE = re.compile(r"(\s*)%agent(?=[\s?]|$)")
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

    @property
    def session(self) -> Session:
        """This notebook's session, made on first use (interruptible)."""
        if self._session is None:
            from letta_kernel import lazy_import, manners

            manners.keep_logs_apart()
            session_module = lazy_import.load(_SESSION)
            with self._making:
                if self._session is None:
                    self._session = session_module.Session(self.shell, self._cells_without)
        return self._session

    @line_magic("agent")  # type: ignore[arg-type]
    @no_var_expand
    def line(self, line: str) -> None:
        """Make, choose and look into the agents of this project.

        Agents
        %agent                          which agent cells talk to, and how it is doing
        %agent new NAME [options]       make an agent, or take the one of that name, and talk to it
            --model M  --persona TEXT  --human TEXT  --description TEXT  --instructions TEXT
            --style native|heartbeat  --embedding E  --max-steps N  --tags A,B  --fresh
        %agent use NAME                 talk to another agent; by ID to one that is set aside
        %agent list [--all]             all agents of this project
        %agent show [NAME]              all about one agent

        Talking (a cell that begins with %%agent is sent: see %%agent? for that)
        %agent event TEXT               tell it of an event: now, --in 10m, --every 1h, --stop
        %agent approve [CALL]           let calls run that wait for your word
        %agent deny REASON              or refuse them
        %agent history [--limit N]      the conversation so far
        %agent search QUERY             find what was said
        %agent compact                  summarise the older conversation now
        %agent reset                    forget the conversation; memory stays

        Memory
        %agent memory [LABEL [VALUE]]   its memory blocks; show one; write one
            LABEL --undo | --redo | --history | --diff 1 3 | --limit N | --read-only on|off
                  | --description TEXT | --share AGENT | --delete
        %agent archival                 its archive: add TEXT or FILES | search QUERY | delete ID

        Tools
        %agent tools                    its tools, and how they have been doing
            tools attach | detach | schema NAME,  tools run NAME key=value,  tools approve NAME on|off
        %agent rules                    which tools it may, or must, call when: rules add | remove
        %agent mcp                      MCP servers, whose tools it can call: mcp add | tools | remove

        What it sees and takes
        %agent context [--text]         what the model sees, and how full its window is
        %agent runs                     the last runs: steps, time, tokens, cost
        %agent cost                     tokens and cost of runs, agent, notebook and project; budgets
        %agent plot [tokens|memory|cost]  a picture of the last runs, or of memory over time

        Model and settings
        %agent model [NAME]             which model answers; choose another
        %agent set KEY VALUE            change a setting

        Keeping and sharing
        %agent export [FILE]            write it to a file in Letta's format
        %agent import FILE              make one from such a file
        %agent record FILE              write down what models answer
        %agent replay FILE              let that answer instead of a model
        %agent delete NAME [--yes]      delete an agent

        Help
        %agent help [COMMAND]           more on each of them
        %agent traceback                where the last error came from

        What has many of something lists it with the word list too: %agent tools list.
        %%script NAME writes down what a model answers, so that none is needed: see %%script?.
        Every function with a docstring that a cell defines becomes a tool of the current agent
        (not if its name starts with an underscore, or with "# no tool" on its def line);
        tool(...) makes one of anything else that can be called, as tool(station.temperature).
        """
        self._run(lambda: self.session.line(line))

    @cell_magic("agent")  # type: ignore[arg-type]
    @no_var_expand
    def cell(self, line: str, cell: str) -> None:
        """Send the cell to an agent and watch it work.

        %%agent [NAME] [--model M] [--max-steps N] [--raw]
        Your message, in as many lines as you like.

        NAME                  another agent than the current one; it becomes the current one
        --model M             this model for this message only
        --max-steps N         at most N model calls (50 by default)
        --raw                 send the cell as it is, without filling {expressions}

        {expression} is filled in from the notebook, as in an f-string: {df.shape[0]:,} rows.
        Braces that hold no Python expression (JSON, LaTeX, code) stay as they are; {{ and }} stand
        for single braces. The stop button ends the run; what was said so far is kept.
        """
        self._run(lambda: self.session.cell(line, cell))

    def _run(self, work: Callable[[], None]) -> None:
        from letta_kernel import manners

        with manners.at_work():
            work()
        new = {n: file for n, file in isolation.hidden().items() if n not in self._hidden}
        if new:
            self._hidden.update(new)
            print(isolation.hidden_line(new))

    def before_cell(self, info: Any) -> None:
        """Let the cell import what the notebook's folder has (a ``pre_run_cell`` hook)."""
        isolation.before_users_code(info.raw_cell)

    @cell_magic("script")  # type: ignore[arg-type]
    @no_var_expand
    def script(self, line: str, cell: str) -> Any:
        """Write down what a model says, so that a notebook tells its story without a language model.

        %%script NAME
        # The model scripted/NAME plays this: %%agent --model scripted/NAME, %agent new ada --model …
        expect last contains: my name is
        think: A name. I keep it.
        call: core_memory_append(label="human", content="Name: Kim")
        say: Nice to meet you, Kim.

        expect system contains: Name: Kim
        say: You are Kim.

        A paragraph is one answer of the model, a line is one move of it:

        say: words                      the answer; stream: words gives it word by word,
                                        stream 0.2: words with so many seconds between two
        call: name(argument="value")    a tool call; call: name {…} sends arguments as they are written
        think: words                    reasoning, before the answer
        wait: 2                         seconds in which nothing comes
        fail: words                     the model call fails; fail rate_limit: words says how
        expect last contains: words     a check of what the model is sent, before it answers: of the last
                                        message, the system prompt or the whole conversation; contains or lacks
        expect tools include: a, b      which tools it is offered; include or lack

        Lines that begin with # are comments; an indented line goes on with the one above. What follows a
        call begins another answer, since its result comes between. A check that fails ends the run and says
        what was expected and what came. Scripts live in this kernel alone. Every agent has its own place in a
        script: the beginning, when the cell has run again or the kernel was restarted, so that Restart & Run
        All works. The model named just scripted plays the script whose cell ran last. In Python:
        letta_kernel.scripted(moves, name) does the same and returns the model's name.

        A cell that holds no moves and names a program (%%script bash) is run by it, as IPython does.
        """
        from letta_kernel.notebook import script_cells

        if not script_cells.is_ours(line, cell):
            return self._ipython_script(line, cell)
        print(script_cells.run(line, cell))
        return None

    def after_cell(self, result: Any) -> None:
        """Look at the functions a cell defined or removed (a ``post_run_cell`` hook)."""
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
        from letta_kernel import manners
        from letta_kernel.errors import HiddenLibraryError

        try:
            with manners.at_work():
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
        from letta_kernel import lazy_import, manners
        from letta_kernel.errors import HiddenLibraryError

        manners.keep_logs_apart()
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
        if context.full_text.startswith("%%script"):
            from letta_kernel.notebook import script_cells

            fragment, words = script_cells.complete(self.session, before, context.cursor_line == 0)
            return nothing if words is None else _offer(fragment, words)
        if _LINE.match(before) is None and not (
            context.cursor_line == 0 and before.startswith("%%agent ")
        ):
            return nothing
        fragment, words = self.session.complete(before.lstrip())
        return _offer(fragment, words)


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
    """Turn ``%agent`` lines into Python before IPython reads them as such.

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
            out.append(f"{match.group(1)}%agent{text.strip()}\n")
        else:
            out.append(f"{match.group(1)}get_ipython().run_line_magic('agent', {text.strip()!r})\n")
    return out


def _open_string(line: str, opened: str) -> str:
    """Return the triple quote that is open behind *line*, if one is."""
    for match in _TRIPLE.finditer(line):
        if not opened:
            opened = match.group()
        elif opened == match.group():
            opened = ""
    return opened
