"""What ran in this kernel: the last cells with their sources, outputs and errors.

IPython itself notes what cells print, return and raise (`HistoryManager.outputs`, `exceptions`); it is read
from there when a cell has ended. What they display passes a hook of the display publisher, unchanged. Light
on purpose: the kernel keeps this record from its start, long before the first agent.
"""

from __future__ import annotations

import re
import threading
import time
from base64 import b64encode
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

MOST_CELLS = 200
LONGEST = 20_000
"""Characters of one text that are kept; its middle goes."""
_MOST_OUTPUTS = 50  # of one cell
_MOST_PICTURED = 20  # cells whose pictures are kept
_LARGEST_IMAGE = 1_000_000  # characters, or bytes
_TEXTS = ("text/plain", "text/markdown", "text/latex")
_OURS = re.compile(
    r"\s*(?:%%agent\b|%%script[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*"
    r"(?:(?:say|stream|call|think|wait|fail)\b[^\n:]*:|expect\s))",
    re.IGNORECASE,
)
_OUR_LINE = re.compile(r"\s*(?:%agent\b.*|%(?:re)?load_ext\s+letta_kernel\s*|#.*|)")


@dataclass(slots=True)
class ExecutedCell:
    """One cell that ran.

    ``serial`` counts what ran in this kernel, ``count`` is IPython's number (``In[count]``), ``cell_id`` the
    front end's where it sends one. ``outputs`` are in the notebook format, texts shortened; an error is last.
    ``began`` is in seconds since the epoch, ``seconds`` how long it took (None: it runs).
    """

    serial: int
    source: str
    cell_id: str | None = None
    count: int | None = None
    tags: tuple[str, ...] = ()
    began: float = 0.0
    seconds: float | None = None
    state: Literal["running", "ok", "error", "interrupted"] = "running"
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error it ended with: ``ename``, ``evalue`` and ``traceback``, a list of texts."""
        last = self.outputs[-1] if self.outputs else {}
        return last if last.get("output_type") == "error" else None

    @property
    def private(self) -> bool:
        """Whether the front end sent it with the tag ``private``."""
        return "private" in self.tags

    @property
    def ours(self) -> bool:
        """Whether it only speaks to agents: a message, a script, commands."""
        return is_ours(self.source)


def is_ours(source: str) -> bool:
    """Return whether a cell only speaks to agents: a message, a model's script, ``%agent`` lines."""
    if _OURS.match(source):
        return True
    lines = source.split("\n")
    commands = any(line.lstrip().startswith("%") for line in lines)
    return commands and all(_OUR_LINE.fullmatch(line) for line in lines)


class ExecutedCells:
    """The last cells that ran in one shell; `begin` and `end` are called by the shell's events.

    Cells that leave no history (front ends run such code to look at variables) are passed over.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._lock = threading.Lock()  # a cell of a subshell runs beside others
        self._cells: deque[ExecutedCell] = deque(maxlen=MOST_CELLS)
        self._open: dict[int, _Open] = {}  # by id of its info
        self._serial = 0

    # -- what is asked of it -------------------------------------------------------------------------

    @property
    def newest(self) -> int:
        """The serial of the newest cell that has ended; 0 before the first."""
        with self._lock:
            return self._cells[-1].serial if self._cells else 0

    @property
    def running(self) -> ExecutedCell | None:
        """The cell that runs now: the innermost one, if cells run cells."""
        with self._lock:
            return next((one.cell for one in reversed(self._open.values())), None)

    def all(self) -> list[ExecutedCell]:
        """Return the cells that have ended, the oldest first."""
        with self._lock:
            return list(self._cells)

    def of(self, cell_id: str) -> ExecutedCell | None:
        """Return how the cell of that id ran last."""
        return next((one for one in reversed(self.all()) if one.cell_id == cell_id), None)

    def last_error(self) -> ExecutedCell | None:
        """Return the newest cell of the user's that failed."""
        return next((one for one in reversed(self.all()) if one.error and not one.ours), None)

    # -- the shell's events --------------------------------------------------------------------------

    def begin(self, info: Any) -> None:
        """Note that a cell begins (``pre_run_cell``)."""
        if not info.store_history:
            return
        cell = ExecutedCell(
            serial=0,
            source=shortened(info.raw_cell or ""),
            cell_id=getattr(info, "cell_id", None),
            tags=self._tags(),
            began=time.time(),
        )
        # IPython raises its count at a cell's beginning or, in older versions, at its end.
        near = range(self._shell.execution_count - 1, self._shell.execution_count + 2)
        marks = {count: _mark(self._noted(count)) for count in near}
        opened = _Open(cell, marks)
        with self._lock:
            self._open[id(info)] = opened
        self._hook("register_hook", opened)

    def end(self, result: Any) -> None:
        """Note what came of a cell (``post_run_cell``)."""
        info = getattr(result, "info", None)
        with self._lock:
            opened = self._open.pop(id(info), None)
            if opened is None:
                if result is None:  # what ran was torn down: nothing tells which
                    self._open.clear()
                return
        self._hook("unregister_hook", opened)
        cell = opened.cell
        cell.count = result.execution_count
        cell.seconds = time.time() - cell.began
        error = result.error_before_exec or result.error_in_exec
        cell.state = "ok"
        if error is not None:
            cell.state = "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
        cell.outputs = self._outputs(cell.count, opened)
        if error is not None:
            cell.outputs.append(self._error(cell.count, error))
        with self._lock:
            self._serial += 1
            cell.serial = self._serial
            self._cells.append(cell)
            if len(self._cells) > _MOST_PICTURED:
                _drop_pictures(self._cells[-_MOST_PICTURED - 1])

    def _tags(self) -> tuple[str, ...]:
        """Return the tags of the cell that begins; JupyterLab sends a cell's metadata with it."""
        get_parent = getattr(self._shell, "get_parent", None)
        parent = get_parent() if get_parent is not None else None
        metadata = parent.get("metadata") if isinstance(parent, dict) else None
        tags = metadata.get("tags") if isinstance(metadata, dict) else None
        return tuple(t for t in tags if isinstance(t, str)) if isinstance(tags, list) else ()

    def _noted(self, count: int | None) -> list[Any]:
        """Return what IPython noted under a number; nothing in versions that note no outputs."""
        noted = getattr(self._shell.history_manager, "outputs", None)
        found = noted.get(count) if isinstance(noted, dict) else None
        return found if isinstance(found, list) else []

    def _hook(self, name: str, opened: _Open) -> None:
        change = getattr(self._shell.display_pub, name, None)  # a terminal's publisher has none
        if callable(change):
            change(opened.hear)

    def _outputs(self, count: int | None, opened: _Open) -> list[dict[str, Any]]:
        if count is None:
            return []
        found: list[dict[str, Any]] = []
        for number in (count, count + 1):  # some versions note under the next one
            begun, pieces = opened.marks.get(number, (0, 0))
            noted = self._noted(number)
            if pieces and len(noted) >= begun:  # a stream that was there goes on
                begun -= 1
            for place, one in enumerate(noted[begun:], begun):
                skip = pieces if pieces and place == begun else 0
                if one.output_type != "display_data" and (made := _output(one, skip)):
                    found.append(made)
        # A value that is returned comes last.
        returned = [one for one in found if one["output_type"] == "execute_result"]
        found = [*(one for one in found if one not in returned), *opened.shown, *returned]
        half = _MOST_OUTPUTS // 2
        return found if len(found) <= _MOST_OUTPUTS else [*found[:half], *found[-half:]]

    def _error(self, count: int | None, error: BaseException) -> dict[str, Any]:
        noted = getattr(self._shell.history_manager, "exceptions", None)
        kept = noted.get(count) if isinstance(noted, dict) else None
        kept = kept if isinstance(kept, dict) else {}
        ename = kept.get("ename") or type(error).__name__
        evalue = kept.get("evalue")
        if evalue is None:
            try:
                evalue = str(error)
            except Exception:  # somebody else's class
                evalue = ""
        lines = kept.get("traceback") or [f"{ename}: {evalue}"]
        return {
            "output_type": "error",
            "ename": shortened(str(ename), 500),
            "evalue": shortened(str(evalue), 5_000),
            "traceback": [shortened(str(one), 5_000) for one in _ends(lines, 20)],
        }


_Mark = tuple[int, int]
"""How many outputs were noted under a number, and how many pieces the last had if it is a stream."""


class _Open:
    """A cell that runs: what had been noted before it, and what it displays."""

    def __init__(self, cell: ExecutedCell, marks: dict[int, _Mark]) -> None:
        self.cell = cell
        self.marks = marks
        self.shown: list[dict[str, Any]] = []
        self._ids: dict[str, dict[str, Any]] = {}  # displays that may be updated
        self._ours = cell.ours

    def hear(self, message: dict[str, Any]) -> dict[str, Any]:
        """Note what is displayed; a hook of the display publisher, which sends on what is returned."""
        try:
            self._note(message)
        except Exception:  # the cell has nothing to do with it
            return message
        return message

    def _note(self, message: dict[str, Any]) -> None:
        content = message.get("content") or {}
        made = None if self._ours else _display("display_data", content.get("data") or {})
        if made is None:
            return
        name = (content.get("transient") or {}).get("display_id")
        if message.get("msg_type") == "update_display_data":
            if name in self._ids:
                self._ids[name].update(made)
        elif len(self.shown) < _MOST_OUTPUTS:
            self.shown.append(made)
            if name:
                self._ids[name] = made


def _mark(noted: list[Any]) -> _Mark:
    pieces = len(noted[-1].bundle["stream"]) if noted and _is_stream(noted[-1]) else 0
    return len(noted), pieces


def _is_stream(noted: Any) -> bool:
    return getattr(noted, "output_type", "") in ("out_stream", "err_stream")


def _output(noted: Any, skip: int) -> dict[str, Any] | None:
    """Return what IPython noted in the notebook format; None where nothing of it is text or a picture."""
    bundle = getattr(noted, "bundle", None)
    if not isinstance(bundle, dict):
        return None
    if _is_stream(noted):
        text = _joined(bundle.get("stream") or [], skip)
        name = "stdout" if noted.output_type == "out_stream" else "stderr"
        return {"output_type": "stream", "name": name, "text": text} if text else None
    return _display(noted.output_type, bundle)


def _drop_pictures(cell: ExecutedCell) -> None:
    for output in cell.outputs:
        data = output.get("data") or {}
        for mime in [one for one in data if one.startswith("image/")]:
            data[mime] = ""


def _display(kind: str, bundle: dict[str, Any]) -> dict[str, Any] | None:
    data: dict[str, Any] = {}
    for mime, value in bundle.items():
        if mime in _TEXTS and isinstance(value, str):
            data[mime] = shortened(value)
        elif mime.startswith("image/") and _fits(value):
            data[mime] = b64encode(value).decode() if isinstance(value, bytes) else value
    return {"output_type": kind, "data": data, "metadata": {}} if data else None


def _fits(image: Any) -> bool:
    return isinstance(image, str | bytes) and len(image) <= _LARGEST_IMAGE


def _joined(pieces: list[Any], skip: int) -> str:
    """Return the pieces of a stream after the first *skip* as one text, its middle left out if it is long."""
    texts = [piece for piece in pieces[skip:] if isinstance(piece, str)]
    if sum(map(len, texts)) <= 2 * LONGEST:
        return shortened("".join(texts))
    head, tail, size = [], [], 0
    for piece in texts:
        head.append(piece[:LONGEST])
        size += len(head[-1])
        if size > LONGEST:
            break
    size = 0
    for piece in reversed(texts):
        tail.append(piece[-LONGEST:])
        size += len(tail[-1])
        if size > LONGEST:
            break
    return shortened("".join(head) + "".join(reversed(tail)))


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return *text* with its middle left out if it has more than *longest* characters."""
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail]}\n[… left out …]\n{text[-tail:]}"


def _ends(lines: Any, most: int) -> list[Any]:
    every = list(lines)
    return every if len(every) <= most else [*every[: most // 4], "…", *every[-most * 3 // 4 :]]
