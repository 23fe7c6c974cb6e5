"""Errors a person may see: one line each, saying what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from letta_kernel.remedies import PLAIN, Remedy, Words, pointed, spoken

whole_tracebacks: Callable[[], bool] = bool
"""Whether to show them; `letta_kernel.settings`, which needs these errors itself, puts in what says so."""


class LettaError(Exception):
    """Base of every error this package raises on purpose; its text is one helpful line.

    IPython shows that line and where in the cell it came from, not a traceback through our insides; with
    ``LETTA_DEBUG`` set it shows the whole traceback.

    Parameters
    ----------
    text : what is wrong.
    *remedies : what would mend it; each door has words of its own for them.
    page : the page of `letta_kernel.troubles` that tells more, where it is another than that of the class.
    """

    words: Words = PLAIN  # those of the door it comes through
    page: str = ""

    def __init__(self, text: str = "", *remedies: Remedy, page: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.remedies = remedies
        if page:
            self.page = page

    def __str__(self) -> str:
        return self.in_words(self.words)

    def in_words(self, words: Words) -> str:
        """Return the whole line in the words of a door."""
        return spoken(self.text, self.remedies, words)

    def told(self, words: Words) -> str:
        """Return the line as a door shows it: at its end the name of the page that tells more."""
        return pointed(self.in_words(words), self.page, words)

    def _render_traceback_(self) -> list[str]:
        return render(self, "31")


class NotFoundError(LettaError):
    """Something was named that does not exist; the text names what is near it."""

    page = "not-found"


class InvalidInputError(LettaError):
    """A value was refused; nothing was changed."""

    page = "not-valid"


class NameTakenError(InvalidInputError):
    """An agent of that name is there already."""

    page = "already-there"


class FileTakenError(InvalidInputError):
    """A file of that name is there already, and was not written over."""

    page = "already-there"


class ConflictError(LettaError):
    """Someone else changed the same thing meanwhile; nothing of theirs was overwritten."""

    page = "changed-meanwhile"


class AgentBusyError(LettaError):
    """The agent is in the middle of a run elsewhere.

    Parameters
    ----------
    text : one line.
    where : where it runs, in words; empty if that is this process, which cannot wait for itself.
    """

    page = "agent-busy"

    def __init__(self, text: str, where: str = "") -> None:
        super().__init__(text)
        self.where = where


class StoreError(LettaError):
    """The project folder could not be opened, locked, read or written."""

    page = "store"


class ReadOnlyError(StoreError):
    """The project folder can be read here, but not written; the text says why and what to do."""

    page = "store-read-only"


class StoreBusyError(StoreError):
    """Somebody else kept the project's store for longer than a request waits; nothing was changed."""

    page = "store-in-use"


class QuotaError(LettaError):
    """A person has used up what they may for now; the text says when it is free again.

    Parameters
    ----------
    text : one line.
    seconds : after which it is worth trying again.
    """

    page = "quota-used-up"

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class HiddenLibraryError(LettaError):
    """A file that the user imported has the name of a library that is needed, and hides it."""

    page = "library-hidden"


class ToolError(LettaError):
    """A tool could not be made, found or called."""

    page = "tool-definition"


class Stopped(KeyboardInterrupt):
    """The stop button, in one line."""

    def __init__(self, text: str = "Stopped.") -> None:
        super().__init__(text)

    def _render_traceback_(self) -> list[str]:
        return [str(self)]  # no colour: yellow cannot be read on the ground that errors have


def render(error: BaseException, colour: str) -> list[str]:
    """Return what a notebook shows of *error*: its kind, the line of the cell, and its text."""
    import traceback

    if whole_tracebacks():
        return traceback.format_exception(error)
    # The innermost line that is the person's own: IPython keeps the text of cells in linecache.
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if "ipykernel_" in frame.filename or frame.filename.startswith("<ipython-input")
    ]
    where = f" (line {lines[-1]})" if lines else ""
    line = error.told(error.words) if isinstance(error, LettaError) else str(error)
    return [f"\x1b[{colour}m{type(error).__name__}\x1b[0m{where}: {line}"]


def inside(error: BaseException) -> str:
    """Return one line about an error that nobody expected."""
    said = str(error).splitlines()[:1]
    return f"Something went wrong inside letta-kernel ({': '.join([type(error).__name__, *said])})."


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known word closest to *word*, or an empty string."""
    from difflib import get_close_matches  # only needed once something went wrong

    found = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {found[0]!r}?" if found else ""
