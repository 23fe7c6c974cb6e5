"""How a call ended: what the model sees of it, what a person sees, and the author's own traceback."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letta_kernel.messages import ReturnStatus, Usage
from letta_kernel.pictures.picture import Picture
from letta_kernel.tools.error_text import error_text
from letta_kernel.tools.results import shorten

if TYPE_CHECKING:
    from letta_kernel.memory.blocks import Change
    from letta_kernel.memory.citations import Cited

_HERE = str(Path(__file__).parent)
_ERROR = 300  # characters of an error's one line
_FRAMES = 60  # of a traceback that are shown
_ERROR_TEXT = 4_000  # characters of an error's text the model sees
_TRACEBACK = 20_000  # characters of a traceback


@dataclass(slots=True)
class Outcome:
    """How a call ended.

    ``text`` is what the model sees, ``display`` a MIME bundle for the person, ``error`` one line with type
    and message, ``traceback`` starts at the author's function, ``seconds`` is the time it took, ``note``
    something the person should know (where a stored tool ran, say). ``pictures`` are those the model gets, as
    files or read already, where they are others than the one in the display. ``written`` are the texts of
    memory blocks, by label, that it read and what it made of them, which are still to be kept; ``changes`` are
    those it wrote itself, as it ran. ``stdout`` and ``stderr`` are what it printed, ``elsewhere`` says that a
    client ran it. ``cites`` are what a search found, with its numbers, by ids. ``usage`` is what the runs of
    other agents took that it asked for.
    """

    status: ReturnStatus
    text: str
    display: dict[str, Any] | None = None
    error: str | None = None
    traceback: str | None = None
    seconds: float = 0.0
    note: str | None = None
    pictures: list[bytes | Picture] = field(default_factory=list)
    written: dict[str, tuple[str, str]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    elsewhere: bool = False
    cites: dict[str, Cited] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


class ReportedError(Exception):
    """A failure that says how in a text of its own, which the model reads whole.

    Parameters
    ----------
    text
        What the model sees.
    error
        The same in one line, for the person; empty if *text* is one.
    frames
        The traceback of the code that failed, if there is one.
    """

    def __init__(self, text: str, error: str = "", frames: str = "") -> None:
        super().__init__(error or text)
        self.text = text
        self.frames = frames


def interrupted() -> Outcome:
    """Return the outcome of a call that the stop button or a cancel ended."""
    text = "The call was interrupted before it was done."
    return Outcome("interrupted", text, error=text)


def failure(error: BaseException, limit: int = 50_000) -> Outcome:
    """Return the outcome of a call that raised: one line, the text for the model, the author's frames."""
    if isinstance(error, ReportedError):
        line, frames = shorten_line(str(error)), shorten(error.frames, _TRACEBACK) or None
        return Outcome("error", shorten(error.text, limit), error=line, traceback=frames)
    text = error_text(error)
    return Outcome(
        "error",
        shorten(text, min(limit, _ERROR_TEXT)),
        error=shorten_line(text),
        traceback=traceback_of(error),
    )


def shorten_line(text: str) -> str:
    """Return *text* as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _ERROR else f"{line[: _ERROR - 1]}…"


def traceback_of(error: BaseException) -> str:
    """Return the traceback of *error* from the author's function on; none of our frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_HERE):
        frames = frames.tb_next
    start = frames
    # The loop thread's own frames stand between ours and an async tool's.
    while start is not None and "asyncio" in Path(start.tb_frame.f_code.co_filename).parts:
        start = start.tb_next
    start = start or frames
    depth, frame = 0, start
    while frame is not None and depth <= _FRAMES:
        depth, frame = depth + 1, frame.tb_next
    try:
        # Of a recursion without end the last frames say enough, and all of them would take minutes.
        limit = -_FRAMES if depth > _FRAMES else None
        lines = traceback.format_exception(type(error), error, start, limit=limit)
        return shorten("".join(lines), _TRACEBACK)
    except Exception:  # formatting calls the author's __str__ and reads source files
        return type(error).__name__
