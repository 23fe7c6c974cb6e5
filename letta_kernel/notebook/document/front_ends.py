"""A notebook that front ends of ours have open: asked, over their comms, for its cells.

A front end says ``{"type": "document", "open", "path", "active"}``, is asked ``{"type": "ask", "id", "method",
"params"}``, says at once that it has heard it, ``{"type": "answer", "id", "heard": true}``, and answers
``{"type": "answer", "id", "result"}`` or ``… "error": {"name", "message"}}``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from letta_kernel.ids import new_id
from letta_kernel.notebook.document.cells import cell_of
from letta_kernel.notebook.document.protocol import (
    Author,
    Change,
    ChangedError,
    Contents,
    DocumentError,
    Undone,
)
from letta_kernel.tools.results import shorten

Send = Callable[[dict[str, Any]], None]

TIMEOUT = 60.0
"""Seconds a front end may take for an answer; a page in the background is slow."""
_HEARS = 10.0  # seconds until it has said that it heard a question; a closed page never does


@dataclass(slots=True)
class _View:
    """A front end with the notebook open; *order* grows with each time it comes to the front."""

    key: str
    send: Send
    path: str
    order: int
    deaf: bool = False  # it has let a question go unanswered, and said nothing since


@dataclass(slots=True)
class _Asked:
    key: str
    done: threading.Event = field(default_factory=threading.Event)
    heard: bool = False
    answer: Mapping[str, Any] | None = None


class FrontEnds:
    """Which front ends have this kernel's notebook open. Everything here may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: dict[str, _View] = {}
        self._asked: dict[str, _Asked] = {}
        self._order = count(1)

    def received(self, key: str, data: Mapping[str, Any], send: Send) -> None:
        """Take in what the front end *key* said of the document, or its answer to a question."""
        if data.get("type") == "answer":
            with self._lock:
                asked = self._asked.get(str(data.get("id")))
                if (view := self._views.get(key)) is not None:
                    view.deaf = False
            if asked is not None and asked.key == key:
                asked.heard = True
                if data.get("heard") is not True:
                    asked.answer = data
                    asked.done.set()
        elif data.get("open") is True:
            path = str(data.get("path") or "")
            with self._lock:
                view = self._views.get(key)
                if view is None or data.get("active"):
                    self._views[key] = _View(key, send, path, next(self._order))
                else:
                    view.path = path
        else:
            self.gone(key)

    def gone(self, key: str) -> None:
        """Forget a front end that has closed the notebook, or is closed itself; its questions end."""
        with self._lock:
            self._views.pop(key, None)
            left = [one for one in self._asked.values() if one.key == key]
        for one in left:
            one.done.set()

    def shows(self, key: str) -> bool:
        """Return whether the front end *key* has the notebook open."""
        with self._lock:
            return key in self._views

    def current(self) -> str | None:
        """Return the key of the one that came to the front last and answers; None if there is none."""
        with self._lock:
            hearing = [view for view in self._views.values() if not view.deaf]
            return max(hearing, key=lambda one: one.order).key if hearing else None

    def ask(
        self,
        key: str,
        method: str,
        params: Mapping[str, Any],
        given_up: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Ask a front end and wait, interruptibly, for its answer.

        Parameters
        ----------
        given_up : tells when to wait no longer; by default after `TIMEOUT` seconds.

        Raises
        ------
        ChangedError, DocumentError
            It refuses, has gone, or does not answer.
        """
        asked, name = _Asked(key), new_id("ask")
        with self._lock:
            view = self._views.get(key)
            if view is None:
                raise DocumentError("The page that has this notebook open is gone; try again.")
            self._asked[name] = asked
        try:
            view.send({"type": "ask", "id": name, "method": method, "params": dict(params)})
            since = time.monotonic()
            while not asked.done.wait(0.1):  # short: the stop button gets through
                if given_up is not None:
                    if given_up():
                        break
                elif time.monotonic() - since > (TIMEOUT if asked.heard else _HEARS):
                    view.deaf = True
                    break
        finally:
            with self._lock:
                self._asked.pop(name, None)
        if asked.answer is None:
            left = "" if method == "document.read" else " What it did of it is not known."
            raise DocumentError(f"The page that has this notebook open does not answer.{left}")
        error = asked.answer.get("error")
        if isinstance(error, Mapping):
            kind = ChangedError if error.get("name") == "Changed" else DocumentError
            raise kind(shorten(str(error.get("message") or "It was refused."), 1_000))
        result = asked.answer.get("result")
        return dict(result) if isinstance(result, Mapping) else {}


class OpenDocument:
    """The notebook as a front end of ours has it open (a `Document`)."""

    writes = True

    def __init__(self, front_ends: FrontEnds, key: str) -> None:
        self._front_ends = front_ends
        self._key = key

    def read(self) -> Contents:
        """Return its cells, unsaved edits included."""
        said = self._ask("document.read", {})
        cells = said.get("cells")
        active = said.get("active")
        return Contents(
            path=str(said.get("path") or ""),
            active=active if isinstance(active, str) else None,
            cells=[cell_of(one) for one in cells if isinstance(one, Mapping)]
            if isinstance(cells, list)
            else [],
        )

    def apply(self, changes: Sequence[Change], by: Author) -> Sequence[str]:
        """Make the changes in the notebook, all or none."""
        said = self._ask(
            "document.apply", {**asdict(by), "changes": [one.as_dict() for one in changes]}
        )
        return [str(one) for one in said.get("cells") or ()]

    def show_outputs(
        self, cell: str, outputs: Sequence[Mapping[str, Any]], execution_count: int | None
    ) -> bool:
        """Show outputs below their cell."""
        shown = {
            "cell": cell,
            "outputs": [dict(one) for one in outputs],
            "execution_count": execution_count,
        }
        self._ask("document.output", shown)
        return True

    def undo(self, run: str, force: bool = False) -> Undone:
        """Take back what was changed in a run."""
        said = self._ask("document.undo", {"run": run, "force": force})
        return Undone(
            [str(one) for one in said.get("undone") or ()],
            [str(one) for one in said.get("changed") or ()],
        )

    def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._front_ends.ask(self._key, method, params)
