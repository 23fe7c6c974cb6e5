"""The live view of one run in a notebook cell, replaced by the saved form when the run is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from letta_kernel.display.channel import Channel
from letta_kernel.display.html import MIME, bundle
from letta_kernel.display.terminal import TerminalView
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.words import to_text
from letta_kernel.messages import Event, GroupStarted, Notice, RunQueued, RunStarted, ToolCall
from letta_kernel.service.event_log import RunLog

__all__ = ["MIME", "Choice", "LiveView", "bundle", "running_shell"]

Scope = Literal["", "run", "notebook", "agent"]
_SCOPES: dict[str, Scope] = {"run": "run", "notebook": "notebook", "agent": "agent"}
_LONGEST_QUESTION = 4_000  # characters
_LONGEST_REASON = 2_000
_DEAF = (
    "Buttons do not work here while a cell runs: this front end, or this version of ipykernel, holds clicks "
    "back until the cell is over. You are asked in another way."
)


@dataclass(frozen=True)
class Choice:
    """A person's word on one call: ``arguments`` replaces the model's if they edited them.

    ``scope`` is as in `letta_kernel.agent.decisions.Decision`.
    """

    call_id: str
    approve: bool
    reason: str = ""
    arguments: dict[str, Any] | None = None
    scope: Scope = ""


class LiveView:
    """Shows a run in the cell while it happens.

    Use it as a context manager, or call `close` in a ``finally``: that publishes the saved form under
    the same display id. Nothing is shown before the first event. A program that runs the notebook from
    end to end gets the saved form only; in a terminal IPython lines are printed as they come; without
    any IPython nothing is shown and only `snapshot` is of use.

    Parameters
    ----------
    prompt
        What the person said.
    shell
        The IPython shell to show things in; None takes the running one, if any.
    streaming
        Without it only the saved form is shown, at the end, unless there is something to ask.
    shown
        Without it nothing is, as without any IPython.
    """

    def __init__(
        self,
        prompt: str = "",
        *,
        shell: Any = None,
        streaming: bool = True,
        shown: bool = True,
    ) -> None:
        self.transcript = Transcript(prompt)
        self._log = RunLog()
        self._streaming = streaming
        own: Any = shell if shell is not None else running_shell()
        self._shell: Any = own if shown else None
        self._channel: Channel | None = None
        self._terminal: TerminalView | None = None
        self._opened = False
        self._deaf = False
        self._closed = False

    def __enter__(self) -> LiveView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def handle(self, event: Event) -> None:
        """Take one event of the run in and show it soon; the first has to come from the run's thread."""
        self.transcript.handle(event)
        if isinstance(event, RunStarted | RunQueued) and not self._log.run_id:
            self._log.run_id, self._log.agent_id = event.run_id, event.agent_id
        elif isinstance(event, GroupStarted) and not self._log.run_id:
            self._log.run_id, self._log.agent_id = event.run_id, event.group_id
        self._log.add(event)
        if not self._opened:
            self._opened = True
            if self._streaming:
                self._open_channel()
                if self._shell is not None and getattr(self._shell, "kernel", None) is None:
                    self._terminal = TerminalView(self.transcript)
        if self._channel is not None:
            self._channel.wake()
        if self._terminal is not None:
            self._terminal.handle(event)

    def snapshot(self) -> dict[str, Any]:
        """Return what there is to see so far, as JSON-ready values."""
        return self.transcript.snapshot()

    def ask_approval(
        self,
        calls: Sequence[ToolCall],
        elsewhere: Callable[[], list[Choice] | None] = lambda: None,
        alone: Callable[[], None] | None = None,
    ) -> list[Choice] | None:
        """Ask for a word on each of *calls* by buttons, and wait for it; the stop button interrupts.

        Parameters
        ----------
        elsewhere
            Is asked now and then whether somebody has answered in another place; the question is over then.
        alone
            Called once where no front end answers; the question then waits for *elsewhere*, or a late page.

        Returns
        -------
        list of Choice, or None
            None where no front end answers, so that the caller has to ask in another way.
        """
        self._open_channel()
        if self._channel is None:
            return None
        asked = {"kind": "approval", "calls": [call.model_dump() for call in calls]}
        answer = self._channel.ask(asked, lambda: bool(elsewhere()), alone)
        if answer is not None:
            return _choices(calls, answer.get("decisions"))
        decided = elsewhere()
        if decided is None:
            self._say_deaf()
        return decided

    def ask_at_stop(self, stop: dict[str, Any], over: Callable[[], bool]) -> dict[str, Any] | None:
        """Show where the run has stopped and wait for what is said of it, until *over* holds.

        None where no front end answers; in this run none is waited for again.
        """
        self._open_channel()
        if self._channel is None or self._deaf:
            return None
        answer = self._channel.ask(stop, over)
        if answer is None and not over():
            self._deaf = True
            self._say_deaf()
        return answer

    def ask(self, question: str) -> str | None:
        """Ask the person something and wait for the answer; None where no front end answers."""
        self._open_channel()
        if self._channel is None:
            return None
        answer = self._channel.ask({"kind": "question", "text": question[:_LONGEST_QUESTION]})
        if answer is None:
            self._say_deaf()
            return None
        return str(answer.get("text") or "")

    def close(self) -> None:
        """Publish the saved form; may be called more than once."""
        if self._closed:
            return
        self._closed = True
        self.transcript.close()
        if self._channel is not None:
            self._channel.finish()
        elif self._terminal is not None:
            self._terminal.close()
        elif self._opened and self._shell is not None:
            if getattr(self._shell, "kernel", None) is not None:
                self._shell.display_pub.publish(bundle(self.snapshot()))
            else:
                print(to_text(self.snapshot()))

    def _say_deaf(self) -> None:
        """Say in the view why there are no buttons."""
        self.handle(Notice(level="warning", text=_DEAF))

    def _open_channel(self) -> None:
        if self._channel is None and self._somebody_looks():
            self._channel = Channel(self._shell.display_pub, self.transcript, self._log)

    def _somebody_looks(self) -> bool:
        """A front end that takes no input is a program, which wants the end only."""
        kernel = getattr(self._shell, "kernel", None)
        return kernel is not None and bool(getattr(kernel, "_allow_stdin", True))


def running_shell() -> Any:
    """Return the running IPython shell, None outside of one; IPython is not imported for it."""
    import sys

    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _choices(calls: Sequence[ToolCall], decisions: object) -> list[Choice]:
    """What was decided about each call; one that was not decided about is denied."""
    given: dict[str, dict[str, Any]] = {}
    if isinstance(decisions, list):
        given = {str(d.get("id")): d for d in decisions if isinstance(d, dict)}
    made = []
    for call in calls:
        said = given.get(call.id, {})
        arguments = said.get("arguments")
        made.append(
            Choice(
                call.id,
                approve=said.get("approve") is True,
                reason=str(said.get("reason") or "")[:_LONGEST_REASON],
                arguments=arguments if isinstance(arguments, dict) else None,
                scope=_SCOPES.get(str(said.get("scope")), ""),
            )
        )
    return made
