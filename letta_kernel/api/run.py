"""One turn as the Python interface returns it."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from letta_kernel.display.live import bundle
from letta_kernel.display.transcript import Transcript
from letta_kernel.display.words import to_text
from letta_kernel.errors import Stopped
from letta_kernel.messages import Event, Message, RunEnded, RunQueued, RunStarted, StepEnded
from letta_kernel.stop_reasons import meaning
from letta_kernel.tools.answers import AnswerError, AnswerForm, last_answer


class Run:
    """What happened in one turn; in a notebook it shows itself."""

    def __init__(
        self, events: Sequence[Event], transcript: Transcript, form: AnswerForm | None = None
    ) -> None:
        self.events = list(events)
        self._transcript = transcript
        self._form = form

    @classmethod
    def of(cls, text: str, stream: Iterator[Event], form: AnswerForm | None = None) -> Run:
        """Follow what *text* was answered to its end, and return it; waiting is said on standard error.

        Raises
        ------
        Stopped
            The stop button was pressed, or Ctrl-C.
        """
        transcript, events = Transcript(prompt=text), []
        try:
            for event in stream:
                transcript.handle(event)
                events.append(event)
                if isinstance(event, RunQueued):
                    print(event.text, file=sys.stderr)
        except KeyboardInterrupt:
            sent = any(isinstance(event, RunStarted) for event in events)
            what = "what was said and done so far is kept" if sent else "nothing was sent"
            raise Stopped(f"Stopped; {what}.") from None
        finally:
            if isinstance(stream, Generator):
                stream.close()
        return cls(events, transcript, form)

    @property
    def messages(self) -> list[Message]:
        """The committed messages of the run, in order."""
        return [m for e in self.events if isinstance(e, StepEnded) for m in e.messages]

    @property
    def text(self) -> str:
        """The answer."""
        items = self._transcript.snapshot()["items"]
        return "\n\n".join(item["text"] for item in items if item["kind"] == "answer")

    @property
    def value(self) -> Any:
        """The answer as a value of the type that was asked for; else its text.

        Raises
        ------
        AnswerError
            There is none: the run failed, waits for approval, or was at its limit before.
        """
        ended = self.ended
        if ended is None or meaning(ended.stop_reason) != "well":
            why = "nothing was said"
            if ended is not None:
                waits = ended.stop_reason == "requires_approval"
                why = "a call waits for approval" if waits else ended.error or ended.stop_reason
            raise AnswerError(why if self._form and ended and ended.error else f"No answer: {why}.")
        if self._form is None:
            return self.text
        return self._form.read(last_answer(self.messages) or "")

    @property
    def ended(self) -> RunEnded | None:
        """How the run ended: stop reason, error, steps, usage, seconds."""
        return next((e for e in reversed(self.events) if isinstance(e, RunEnded)), None)

    @property
    def stop_reason(self) -> str | None:
        """Why the run ended, in Letta's word."""
        return self.ended.stop_reason if self.ended else None

    def __repr__(self) -> str:
        return to_text(self._transcript.snapshot())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return bundle(self._transcript.snapshot())
