"""Running code in the user's namespace from within a cell: what it puts out is kept, and shown as of a cell."""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from letta_kernel.hooks import users_code
from letta_kernel.models.base import Cancel
from letta_kernel.tools.live import run_async

_REPLACED = ("_showtraceback", "ask_exit")  # of the shell, while code of an agent runs
_MOST = 2_000_000  # characters of output that are kept


@dataclass(slots=True)
class Ran:
    """What came of it: nbformat's outputs, and what it raised."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None


def run(shell: Any, code: str, cell_id: str | None = None, *, shown: bool = True) -> Ran:
    """Run *code* as a cell of *shell*, on this thread.

    Parameters
    ----------
    cell_id
        The cell it stands in, so that functions it defines belong there.
    shown
        Whether pictures and results appear in the output of the cell that runs now. What is printed goes to
        ``sys.stdout`` in any case.

    Raises
    ------
    KeyboardInterrupt
        The stop button, or what else ends a call from outside.
    """
    ran = Ran()
    with _kept(shell, code, ran.outputs, shown), users_code.runs():
        result = shell.run_cell(code, store_history=False, cell_id=cell_id)
    ran.error = result.error_before_exec or result.error_in_exec
    if ran.error is not None and not isinstance(ran.error, Exception | SystemExit):
        raise ran.error.with_traceback(None)
    return ran


@contextlib.contextmanager
def _kept(shell: Any, code: str, outputs: list[dict[str, Any]], shown: bool) -> Iterator[None]:
    """Keep in *outputs* what is put out meanwhile."""
    before = sys.stdout, sys.stderr, sys.displayhook, shell.display_pub
    own = {name: vars(shell)[name] for name in _REPLACED if name in vars(shell)}
    loop_runner = shell.loop_runner
    publisher = _Publisher(before[3], outputs, shown)

    def result(value: Any) -> None:
        if value is None or code.rstrip().endswith(";"):
            return
        data, metadata = shell.display_formatter.format(value)
        publisher.add("execute_result", data, metadata)

    def failed(kind: type, error: BaseException, frames: list[str]) -> None:
        outputs.append(
            {
                "output_type": "error",
                "ename": kind.__name__,
                "evalue": str(error),
                "traceback": [str(frame) for frame in frames],
            }
        )

    def stay() -> None:
        raise RuntimeError("The kernel is the person's to end: nothing has been ended.")

    try:  # the stop button may come at any time
        sys.stdout = publisher.printed = _Stream("stdout", before[0], outputs)
        sys.stderr = _Stream("stderr", before[1], outputs)
        sys.displayhook = result
        shell.display_pub = publisher
        shell._showtraceback = failed
        shell.ask_exit = stay
        shell.loop_runner = _awaited  # the kernel's own loop runs already: this cell is in it
        yield
    finally:
        sys.stdout, sys.stderr, sys.displayhook, shell.display_pub = before
        shell.loop_runner = loop_runner
        for name in _REPLACED:
            vars(shell).pop(name, None)
        vars(shell).update(own)


def _awaited(cell: Coroutine[Any, Any, Any]) -> Any:
    """Run a cell that awaits on a loop of another thread, interruptibly."""
    return run_async(cell, None, Cancel())


class _Stream:
    """Keeps what is printed, and prints it."""

    def __init__(self, name: str, before: TextIO, outputs: list[dict[str, Any]]) -> None:
        self._name = name
        self._before = before
        self._outputs = outputs
        self._left = _MOST
        self.kept = True

    def write(self, text: str) -> int:
        written = self._before.write(text)
        kept = text[: self._left] if self.kept else ""
        self._left -= len(kept)
        last = self._outputs[-1] if self._outputs else {}
        if last.get("name") == self._name:
            last["text"] += kept
        elif kept:
            self._outputs.append({"output_type": "stream", "name": self._name, "text": kept})
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._before, name)


class _Publisher:
    """Stands in the place of the shell's display publisher."""

    def __init__(self, before: Any, outputs: list[dict[str, Any]], shown: bool) -> None:
        self.printed: _Stream | None = None
        self._before = before
        self._outputs = outputs
        self._shown = shown
        self._named: dict[str, dict[str, Any]] = {}

    def publish(self, data: Any, metadata: Any = None, **more: Any) -> None:
        """Keep what is displayed, and display it."""
        name = (more.get("transient") or {}).get("display_id")
        if more.get("update") and name in self._named:
            self._named[name].update(data=_plain(data), metadata=metadata or {})
        elif not more.get("update"):
            self.add("display_data", data, metadata, name=name, show=False)
        self._show(data, metadata, **more)

    def _show(self, data: Any, metadata: Any, **more: Any) -> None:
        """Display it as before; what a terminal prints of it has been kept already."""
        if not self._shown:
            return
        if self.printed is not None:
            self.printed.kept = False
        try:
            self._before.publish(data, metadata, **more)
        finally:
            if self.printed is not None:
                self.printed.kept = True

    def add(
        self,
        kind: str,
        data: Any,
        metadata: Any,
        *,
        name: str | None = None,
        show: bool = True,
    ) -> None:
        """Keep one output; with *show* display it too, as a page may show a result."""
        made = {"output_type": kind, "data": _plain(data), "metadata": metadata or {}}
        if kind == "execute_result":
            made["execution_count"] = None
        self._outputs.append(made)
        if name:
            self._named[name] = made
        if show:
            self._show(data, metadata)

    def clear_output(self, wait: bool = False) -> None:
        """Forget what was put out."""
        self._outputs.clear()
        if self._shown:
            self._before.clear_output(wait)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._before, name)


def _plain(data: Any) -> dict[str, Any]:
    """Return a MIME bundle as a notebook's file holds it."""
    return {
        str(kind): base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for kind, value in dict(data).items()
    }
