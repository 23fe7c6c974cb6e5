"""The messages of one step: written before its calls have an effect, and again as each is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from letta_kernel.agent import journal as journals
from letta_kernel.agent.journal import Journal
from letta_kernel.concurrency import Uninterrupted
from letta_kernel.messages import Message, Usage
from letta_kernel.records import Step
from letta_kernel.stop_reasons import StopReason
from letta_kernel.store.request_parts import Part
from letta_kernel.tools.outcome import Outcome

T = TypeVar("T")


class _Undone(Exception):
    """A call that failed: what it may have written is undone."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class StepRecord:
    """The messages of one step, in the store or on their way there.

    Attributes
    ----------
    unsaved : messages that the next commit writes.
    saved : messages of this step in the store, with their numbers.
    begun : ids of the calls that may be having their effect now.
    parts : what the step's request names.
    """

    def __init__(self, journal: Journal, step: Step) -> None:
        self.step = step
        self.unsaved: list[Message] = []
        self.saved: list[Message] = []
        self.begun: frozenset[str] = frozenset()
        self.parts: list[Part] = []
        self._journal = journal
        self._opened = False  # the step itself is in the store

    def begin(self, call_ids: Sequence[str]) -> None:
        """Write that these calls are about to have an effect outside the store, unless that is known."""
        if self.unsaved or not self.begun.issuperset(call_ids):
            self.keep(call_ids)
        journals.passing("begun")

    def keep(self, next_calls: Sequence[str] = ()) -> None:
        """Write what was said and done so far, and that *next_calls* are about to have an effect."""
        with Uninterrupted():
            written = self._journal.keep(
                self.step,
                self.unsaved,
                begun=next_calls,
                opened=self._opened,
                parts=self.parts,
            )
            self._take(written, next_calls)
        journals.passing("kept")

    def effect(
        self, act: Callable[[], tuple[Outcome, T]], result: Callable[[Outcome], Message]
    ) -> tuple[Outcome, T | None]:
        """Let *act* change the store, and write its *result* in the same commit; undone if it fails.

        Returns
        -------
        What *act* returned; nothing beside the outcome of one that failed, whose result is unsaved.
        """

        def work() -> tuple[tuple[Outcome, T], list[Message]]:
            done = act()
            if done[0].status != "ok":
                raise _Undone(done[0])
            journals.passing("effect")
            return done, [*self.unsaved, result(done[0])]

        try:
            with Uninterrupted():
                done, written = self._journal.effect(
                    self.step, work, opened=self._opened, parts=self.parts
                )
                self._take(written, ())
        except _Undone as undone:
            self.unsaved.append(result(undone.outcome))
            return undone.outcome, None
        journals.passing("kept")
        return done

    def end(
        self, added: Sequence[Message], usage: Usage, reason: StopReason | None, error: str | None
    ) -> list[Message]:
        """Write the rest of the step and *added*; return all its messages. The run ends with a *reason*."""
        written = self._journal.commit_step(
            self.step,
            [*self.unsaved, *added],
            usage=usage,
            end=reason,
            error=error,
            opened=self._opened,
            parts=self.parts,
        )
        self._take(written, ())
        journals.passing("ended")
        return self.saved

    def _take(self, written: list[Message], begun: Sequence[str]) -> None:
        self.saved += written
        self.unsaved.clear()
        self.begun = frozenset(begun)
        self._opened = True
