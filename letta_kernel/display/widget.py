"""The widgets of live views: one comm to every open front end, in both directions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from types import MethodType
from typing import Any

VIEW_MIME = "application/vnd.jupyter.widget-view+json"

_live: set[str] = set()


def live_comms() -> list[str]:
    """Return the ids of the comms of all live widgets, their layouts' too: a page may not know them yet."""
    return sorted(_live.copy())


class LiveWidget:
    """A widget that shows what it is sent; what front ends say is handed to *receive*.

    Parameters
    ----------
    receive
        Called on whichever thread the kernel reads messages, so it may only note what came.
    kind
        What it shows: ``run`` or ``memory``.

    Raises
    ------
    ImportError
        The widget packages are not installed.
    FileNotFoundError
        The module that draws it was not built.

    Notes
    -----
    The module, ``labextension/src/ui`` in one file, is sent to a page once: it asks ``{"type": "module"}``.
    What else front ends say reaches *receive*.
    """

    def __init__(self, receive: Callable[[dict[str, Any]], None], kind: str = "run") -> None:
        self._widget = _widget_class()(kind=kind)
        self._receive = receive
        self._widget.on_msg(lambda _widget, content, _buffers: self._heard(content))
        answer_while_busy(self._widget.comm)
        self._comms = {self._widget.model_id, self._widget.layout.model_id}
        _live.update(self._comms)

    def _heard(self, content: object) -> None:
        if not isinstance(content, dict):
            return
        if content.get("type") == "module":
            self.send({"type": "module", "code": _module()})
        else:
            self._receive(content)

    @property
    def bundle(self) -> dict[str, Any]:
        """The MIME type that shows the widget, to be published with others beside it."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
        return {VIEW_MIME: view}

    def send(self, content: dict[str, Any]) -> None:
        """Send *content* (JSON values) to every front end that shows the widget."""
        self._widget.send(content)

    def close(self) -> None:
        """Close the widget and its layout, so that nothing of it is left in the notebook."""
        layout = self._widget.layout
        self._widget.close()
        if layout is not None:
            layout.close()
        _live.difference_update(self._comms)


def _static(name: str) -> str:
    return (files("letta_kernel.display") / "static" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _module() -> str:
    return _static("ui.js")


@lru_cache(maxsize=1)
def _widget_class() -> type[Any]:
    import anywidget
    from traitlets import Unicode

    members = {
        "__module__": __name__,
        "_esm": _static("loader.js"),
        "kind": Unicode().tag(sync=True),
        "version": Unicode(hashlib.sha256(_module().encode()).hexdigest()[:12]).tag(sync=True),
    }
    return type("LettaWidget", (anywidget.AnyWidget,), members)


def answer_while_busy(comm: Any) -> None:
    """Let clicks reach the kernel while the cell runs.

    Front ends send them on a subshell, but ipykernel 7.4 hands messages of a comm to the shell that
    last sent on it, which is the busy one. The names below are private to ipykernel and may be missing
    or differ in other versions; then nothing is changed.
    """
    if callable(getattr(comm, "_reply_subshell_for", None)):

        def as_sent(self: Any, data: Any, default: Any) -> Any:
            return _living(self.kernel, default)

        comm._reply_subshell_for = MethodType(as_sent, comm)
    if callable(getattr(comm, "handle_msg", None)):

        def handle(self: Any, message: dict[str, Any]) -> None:
            # The stock one also fires IPython's pre_execute and post_execute, which would show the
            # half-drawn figures of the cell that is running.
            if self._msg_callback is not None:
                self._msg_callback(message)

        comm.handle_msg = MethodType(handle, comm)


def _living(kernel: Any, subshell: str | None) -> str | None:
    """Return *subshell* if the kernel has it, else another.

    JupyterLab keeps one for all widgets and miscounts them when one closes while the next opens: it then
    ends the subshell and goes on sending there, and what is said would be lost.
    """
    manager = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
    if subshell is None or manager is None:
        return subshell
    there = manager.list_subshell()
    return subshell if subshell in there else next(iter(there), None)
