"""A page for tests: a front end that has the notebook open, and changes its cells when the kernel asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kernel_notebook import Notebook
from kernel_panel import Panel


class Page(Panel):
    """A panel with a document of its own; it answers on a thread, as a page does while a cell runs."""

    def __init__(self, notebook: Notebook, cells: list[dict[str, Any]]) -> None:
        self._lock = threading.RLock()
        super().__init__(notebook)
        self.cells = [
            {"kind": "code", "outputs": [], "tags": [], "state": "idle", **cell} for cell in cells
        ]
        self.steps: dict[str, list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.before_answer: Callable[[str], None] = lambda method: None
        self._over = threading.Event()
        self._number = 0
        self.open()
        self.send({"type": "document", "open": True, "path": "work.ipynb", "active": True})
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def source(self, cell: str) -> str:
        return str(next(one["source"] for one in self.cells if one["id"] == cell))

    def ids(self) -> list[str]:
        return [one["id"] for one in self.cells]

    def leave(self) -> None:
        """Close the notebook, and the page with it."""
        self.send({"type": "document", "open": False, "path": "work.ipynb", "active": False})
        self._over.set()
        self._thread.join()
        self.close()

    def post(self, kind: str, **content: Any) -> str:
        with self._lock:
            return super().post(kind, **content)

    def listen(self, seconds: float) -> None:
        with self._lock:
            super().listen(seconds)

    def _serve(self) -> None:
        told = 0
        while not self._over.is_set():
            self.listen(0.02)
            asks = self.of("ask")
            for ask in asks[told:]:
                self.asked.append(ask)
                self.before_answer(ask["method"])
                self.send({"type": "answer", "id": ask["id"], **self._answer(ask)})
            told = len(asks)
            self._over.wait(0.005)  # whoever else asks gets its turn

    def _answer(self, ask: dict[str, Any]) -> dict[str, Any]:
        params = ask["params"]
        match ask["method"]:
            case "document.read":
                found = {"path": "work.ipynb", "active": None, "cells": self.cells}
                return {"result": found}
            case "document.apply":
                return self._apply(params)
            case "document.output":
                cell = next(one for one in self.cells if one["id"] == params["cell"])
                cell.update(outputs=params["outputs"], execution_count=params["execution_count"])
                return {"result": {}}
        changed = []
        for before, after in reversed(self.steps.pop(params["run"], [])):
            if self.cells != after and not params["force"]:
                changed = [one["id"] for one in self.cells if one not in after]
                return {"result": {"undone": [], "changed": changed}}
            self.cells = before
        return {"result": {"undone": ["some"], "changed": changed}}

    def _apply(self, params: dict[str, Any]) -> dict[str, Any]:
        made, ids = [dict(one) for one in self.cells], []
        for change in params["changes"]:
            if change["op"] == "insert":
                self._number += 1
                cell = {"id": f"new-{self._number}", "kind": change["kind"], "outputs": []}
                cell |= {"source": change["source"], "tags": [], "state": "idle"}
            else:
                cell = next(one for one in made if one["id"] == change["cell"])
                if "before" in change and cell["source"] != change["before"]:
                    return {"error": {"name": "Changed", "message": "The cell has changed."}}
                if change["op"] != "edit":
                    made.remove(cell)
            ids.append(cell["id"])
            if change["op"] == "edit":
                cell["source"] = change["source"]
            elif change["op"] != "delete":
                place = (
                    [one["id"] for one in made].index(change["after"]) + 1 if change["after"] else 0
                )
                made.insert(place, cell)
        self.steps.setdefault(params["run"], []).append((self.cells, made))
        self.cells = made
        return {"result": {"cells": ids}}
