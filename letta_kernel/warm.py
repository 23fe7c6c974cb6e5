"""Heavy libraries, imported by one background thread only.

litellm and LanceDB take seconds to import. An import interrupted by the stop button leaves half a module
behind, so nobody else imports them: a caller waits here, interruptibly, for the thread that does.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_lock = threading.Lock()
_imports: dict[str, _Import] = {}

# litellm reads these while it is imported: no cost map from the network, no .env file.
_ENVIRONMENT = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

# What pydantic thinks of litellm's types, said in whatever cell happens to run meanwhile. Put here for good:
# a filter of the importing thread's own would be undone, or left behind, by other threads' filters.
warnings.filterwarnings(
    "ignore", r"Items? '.* using the `ReadOnly` qualifier", UserWarning, r"pydantic\."
)


class _Import(threading.Thread):
    def __init__(self, name: str) -> None:
        super().__init__(name=f"import-{name}", daemon=True)
        self.module_name = name
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            for variable, value in _ENVIRONMENT.items():
                os.environ.setdefault(variable, value)
            with _one_at_a_time, _collector_paused(), _logging_kept():
                importlib.import_module(self.module_name)
        except BaseException as error:  # handed to whoever waits
            self.error = error
        finally:
            self.done.set()


_one_at_a_time = threading.Lock()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Stop collecting garbage for a while.

    Imports make hundreds of thousands of objects that stay; each full collection among them holds up
    every other thread for up to 0.2 s, the stop button too.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Leave the application's logging as it was: wordllama configures the root logger when imported."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level


def start(*names: str) -> None:
    """Begin importing *names* in the background; returns at once."""
    for name in names:
        with _lock:
            if name in _imports and _imports[name].error is None:
                continue
            thread = _imports[name] = _Import(name)
        thread.start()


def busy() -> bool:
    """Is any import still on its way?"""
    return any(thread.is_alive() for thread in list(_imports.values()))


def ready(name: str) -> bool:
    """Is *name* imported, so that `load` returns at once?"""
    thread = _imports.get(name)
    return thread is not None and thread.done.is_set()


def load(name: str) -> ModuleType:
    """Return the module *name*, waiting interruptibly until the background thread has imported it.

    Raises
    ------
    ImportError
        Whatever the import itself raised.
    """
    start(name)
    thread = _imports[name]
    while not thread.done.wait(0.1):  # short waits: a KeyboardInterrupt lands at once everywhere
        pass
    if thread.error is not None:
        raise thread.error
    return sys.modules[name]
