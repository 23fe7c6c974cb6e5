"""Lines typed on a terminal: edited, remembered, and long ones continued."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import ModuleType

from letta_kernel import private

_MOST = 1000  # lines remembered


class Lines:
    """Reads what a person says.

    Parameters
    ----------
    history : a file in which lines are remembered, which only its owner may read; None: nowhere.
    prompt : what stands before the line.
    """

    def __init__(self, history: Path | None, prompt: str) -> None:
        self._history, self._prompt = history, prompt
        self._readline = _readline()
        if self._readline is not None:
            self._readline.clear_history()
            with contextlib.suppress(OSError):
                if history is not None:
                    self._readline.read_history_file(history)
            self._readline.set_history_length(_MOST)

    def read(self) -> str:
        """Return the next line, empty at the end (Ctrl-D)."""
        parts = []
        prompt = self._prompt
        while True:
            try:
                part = input(prompt)
            except EOFError:
                print(file=sys.stderr)
                return ""
            if not part.endswith("\\"):
                break
            parts.append(part[:-1])
            prompt = "… "
        self._remember()
        return "\n".join([*parts, part]) + "\n"

    def _remember(self) -> None:
        if self._readline is None or self._history is None:
            return
        with contextlib.suppress(OSError):
            # Where rows are in a database elsewhere, nothing may have made the folder yet.
            private.folder(self._history.parent)
            os.close(private.opener(str(self._history), os.O_CREAT | os.O_WRONLY))
            self._readline.write_history_file(self._history)


def ask(question: str, given: str = "") -> str:
    """Ask for one line, which is not remembered; *given* stands there already, to be edited."""
    readline = _readline()
    if readline is None:
        return input(question) or given
    before = readline.get_current_history_length()
    readline.set_startup_hook(lambda: readline.insert_text(given))
    try:
        return input(question)
    finally:
        readline.set_startup_hook(None)
        for at in range(readline.get_current_history_length() - 1, before - 1, -1):
            readline.remove_history_item(at)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # Windows
        return None
    return readline
