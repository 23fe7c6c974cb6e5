"""A model that is asked once: what it answered before is answered from a recording, the rest is recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from letta_kernel.models.base import Cancel, ChatModel, ChatRequest, ModelError, Piece
from letta_kernel.models.record import Recording, RecordingModel, ReplayModel


class Answers:
    """The answers kept in one file, each given once in a sitting; `wrap` puts them before models.

    A line that was cut short, as by a kill, is taken off: that call is made again.

    Raises
    ------
    ModelError
        The file is no recording.

    Attributes
    ----------
    was_kept : whether the last answer was a kept one, which nobody paid for again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.was_kept = False
        self._recording: Recording | None = None
        whole(file)
        if file.exists() and file.stat().st_size:
            self._recording = Recording(file)

    def wrap(self, model: ChatModel) -> ChatModel:
        """Return *model* with the kept answers before it."""
        return CachedModel(model, self._file, self._recording, self._tell)

    def _tell(self, was_kept: bool) -> None:
        self.was_kept = was_kept


class CachedModel(RecordingModel):
    """Answers from a recording where it can, else asks the model and writes down what it says."""

    def __init__(
        self,
        inner: ChatModel,
        file: Path,
        recording: Recording | None,
        tell: Callable[[bool], None],
    ) -> None:
        super().__init__(inner, file)
        self._tell = tell
        self._replay = None if recording is None else ReplayModel(recording, inner.name)
        self.takes_format = getattr(inner, "takes_format", False)

    def stream(self, request: ChatRequest, cancel: Cancel) -> Generator[Piece, None, None]:
        """Stream the kept answer, or the model's, which is kept once it is whole or has failed.

        Raises
        ------
        ModelError
            As the model does, or did, or if the file cannot be written.
        """
        if self._replay is not None:
            try:
                self._tell(True)
                yield from self._replay.stream(request, cancel)
                return
            except ModelError as error:  # a miss comes before any piece
                if error.kind != "replay_miss":
                    raise
        self._tell(False)
        with closing(super().stream(request, cancel)) as pieces:
            yield from pieces


def whole(file: Path) -> None:
    """Take a last line that was cut short off a file of lines; the others stay."""
    try:
        with open(file, "r+b") as opened:
            size = opened.seek(0, os.SEEK_END)
            keep = size
            while keep:
                begin = max(0, keep - 65_536)
                opened.seek(begin)
                piece = opened.read(keep - begin)
                if (at := piece.rfind(b"\n")) >= 0:
                    keep = begin + at + 1
                    break
                keep = begin
            if keep < size:
                opened.truncate(keep)
    except FileNotFoundError:
        return
