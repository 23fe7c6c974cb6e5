"""A conversation on the terminal: runs one after the other, each followed to its end, approvals included."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from letta_kernel.agent.decisions import Decision
from letta_kernel.cli import here, lines, output
from letta_kernel.cli.door import TerminalDoor
from letta_kernel.cli.remedies import WORDS
from letta_kernel.cli.watch import Watcher
from letta_kernel.commands import at
from letta_kernel.commands.approvals import answered, by_policy, described
from letta_kernel.commands.arguments import json_object
from letta_kernel.commands.debugger import in_words
from letta_kernel.commands.spec import Policy
from letta_kernel.errors import InvalidInputError, LettaError
from letta_kernel.messages import Event, RunEnded, ToolCall, worded
from letta_kernel.remote import SharedAgents
from letta_kernel.service.debug import Debug, Move, Stop
from letta_kernel.stop_reasons import failed

HELP = """\
/history [N]  what was said      /memory [LABEL]  what it remembers
/tools        what it can call   /quit            leave (or Ctrl-D)
Ctrl-C stops the answer. A line that ends with a backslash goes on."""


class Talk:
    """Runs of one agent, each followed until it has ended, approvals included.

    Parameters
    ----------
    agent : its id; of one of somebody else's what it is called.
    shared : where that one is; None: it is an own one.
    """

    def __init__(
        self,
        session: TerminalDoor,
        agent: str,
        approval: Policy | None,
        *,
        details: bool,
        aside: bool = False,
        step: bool = False,
        shared: SharedAgents | None = None,
    ) -> None:
        self._session, self._agent, self._approval = session, agent, approval
        self._shared = shared
        self._runs: Any = session.service.runs if shared is None else shared
        self._quiet = session.json
        self._details, self._aside = details, aside
        self.events = session.json and not aside  # a line of JSON for each event
        self._watcher = self._watch()
        self._run_id = ""
        self._step = step
        self._debug = self._debugging()

    def say(self, text: str, model: str | None = None, **options: Any) -> bool:
        """Send *text* and show the run; False if it failed."""
        self._debug = debug = self._debugging()
        if self._shared is None:
            options |= {"model": model, "wait": True, "debug": debug}
        return self._follow(lambda: self._runs.send(self._agent, text, **options), model)

    def catch_up(self) -> None:
        """Ask about calls that wait since an earlier run."""
        if waiting := self._runs.pending(self._agent):
            self._answer(list(waiting), None)

    def summary(self) -> dict[str, Any]:
        """Return what came of the last run, for ``--json``."""
        watcher = self._watcher
        ended = watcher.ended.model_dump(mode="json") if watcher.ended else {}
        return {
            "run_id": self._run_id,
            "answer": "\n\n".join(watcher.answers),
            "pending": [call.model_dump() for call in watcher.waiting],
            **{key: value for key, value in ended.items() if key not in ("type", "run_id")},
        }

    def _debugging(self) -> Debug | None:
        """Return who is asked where a run stops: the person at the terminal, if there is one."""
        person = sys.stdin.isatty() and sys.stderr.isatty()
        if not person or self.events or self._quiet or self._shared is not None:
            return None

        def fork(agent: str, name: str | None) -> str:
            return self._session.service.forks.fork(agent, name).name

        return Debug(self._ask, self._step, fork)

    def _ask(self, stop: Stop, over: Callable[[], bool]) -> Move | None:
        self._watcher.end_line()
        try:
            return in_words(stop, lines.ask, lambda text: output.put(text, stderr=True))
        except EOFError:
            output.put("", stderr=True)
            return None

    def _watch(self) -> Watcher:
        return Watcher(
            stream=output.on_terminal(),
            details=self._details and not self._quiet,
            aside=self._aside,
        )

    def _follow(self, start: Callable[[], Iterator[Event]], model: str | None) -> bool:
        self._watcher = watcher = self._watch()
        while True:
            stream = start()
            try:
                with contextlib.closing(stream):  # type: ignore[type-var]  # it is a generator
                    for event in stream:
                        self._show(worded(event, WORDS, named=True))
            except KeyboardInterrupt:
                watcher.end_line()
                kept = "nothing was sent" if watcher.queued else "what was said so far is kept"
                output.put(f"Stopped; {kept}.", style="dim", stderr=True)
                raise
            if not watcher.waiting:
                return self._good(watcher.ended)
            decisions = decide(watcher.waiting, self._approval)
            if decisions is None:
                output.put("The run waits for your word: letta-kernel chat asks.", stderr=True)
                return True
            watcher.waiting = []
            start = lambda d=decisions: self._approve(d, model)  # type: ignore[misc]  # noqa: E731

    def _answer(self, waiting: list[ToolCall], model: str | None) -> None:
        try:
            decisions = decide(waiting, self._approval)
            if decisions is not None:
                self._follow(lambda: self._approve(decisions, model), model)
        except KeyboardInterrupt:
            output.put("\nThey go on waiting.", style="dim", stderr=True)

    def _approve(self, decisions: Sequence[Decision], model: str | None) -> Iterator[Event]:
        options: dict[str, Any] = {}
        if self._shared is None:
            options = {"model": model, "wait": True, "debug": self._debug}
        found: Iterator[Event] = self._runs.approve(self._agent, decisions, **options)
        return found

    def _show(self, event: Event) -> None:
        self._run_id = getattr(event, "run_id", None) or self._run_id
        if self.events:
            output.put_json_line(event)
        if self.events or self._quiet:
            self._watcher.note(event)
        else:
            self._watcher.handle(event)

    def _good(self, ended: RunEnded | None) -> bool:
        if ended is not None and failed(ended.stop_reason):
            said = ended.error or f"The run ended with {ended.stop_reason}."
            output.put_error(" ".join(said.split()))
            return False
        return True


def slash(session: TerminalDoor, agent: str, line: str) -> None:
    """Do what a line that begins with a slash asks for, by a command of the table."""
    word, _, rest = line.partition(" ")
    given: dict[str, Any] = {"agent": agent}
    rest = rest.strip()
    name = {"/history": "agent history", "/tools": "tool list", "/memory": "memory list"}.get(word)
    try:
        if name is None:
            output.put(HELP, style="dim")
            return
        if word == "/memory" and rest:
            name, given["label"] = "memory show", rest
        elif word == "/history":
            if rest and not rest.isdigit():
                raise InvalidInputError("/history takes a number of messages.")
            given["limit"] = int(rest or 20)
        session.run(at("terminal")[name], given)
    except LettaError as error:
        output.put_error(here(error))


def decide(calls: Sequence[ToolCall], policy: Policy | None) -> list[Decision] | None:
    """Return what was decided on each call; None leaves them waiting.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C; the calls go on waiting.
    """
    if policy is None and sys.stdin.isatty() and sys.stderr.isatty():
        policy = Policy.ask
    if policy is not Policy.ask:
        return by_policy(calls, policy)
    if not sys.stdin.isatty():
        raise InvalidInputError(
            "Nobody is here to ask: --approval approve, deny or wait.", page="nobody-to-ask"
        )
    return _ask_all(calls)


def _ask_all(calls: Sequence[ToolCall]) -> list[Decision] | None:
    try:
        return [_ask(call) for call in calls]
    except EOFError:
        output.put("", stderr=True)
        return None


def _ask(call: ToolCall) -> Decision:
    output.put(f"Allow {described(call)}?", style="bold", stderr=True)
    answer = lines.ask("[y]es, [n]o, [e]dit, or why not: ").strip()
    if answer.lower() not in ("e", "edit"):
        return answered(call, answer)
    given = call.arguments
    while True:
        given = lines.ask("arguments (empty: not at all): ", given).strip()
        if not given:
            return Decision(call.id, approve=False)
        try:
            arguments = json_object(given, "The arguments are")
        except InvalidInputError as error:
            output.put(str(error), style="red", stderr=True)
            continue
        return Decision(call.id, approve=True, arguments=arguments)
