"""Heavy libraries, imported by one background thread only, which leaves no trace in the process.

litellm and LanceDB take seconds to import. An import interrupted by the stop button leaves half a module
behind, so nobody else imports them: a caller waits here, interruptibly, for the thread that does.

Libraries also set up, while they are imported, what belongs to the program: warnings' filters, the root
logger, the levels of other libraries' loggers. Here the program is the user's notebook, so none of it is done.
"""

from __future__ import annotations

import gc
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from letta_kernel import isolation, side_effects
from letta_kernel.errors import HiddenLibraryError

_lock = threading.Lock()
_imports: dict[str, _Import] = {}

# They are read while the library is imported. litellm: no cost map from the network, no .env file. LanceDB:
# what it would write into a person's terminal when a storage is away is said by us, once.
_ENVIRONMENT = {
    "litellm": {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    "lancedb": {"LANCEDB_LOG": "error"},
}
_LEFT_BEHIND = ("TIKTOKEN_CACHE_DIR",)  # litellm sets it while it is imported


class _Import(threading.Thread):
    def __init__(self, name: str) -> None:
        super().__init__(name=f"import-{name}", daemon=True)
        self.module_name = name
        self.error: BaseException | None = None
        self.module: ModuleType | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            library = self.module_name.partition(".")[0]
            isolation.belongs_to_us(library)
            with _one_at_a_time, _environment(library), side_effects.importing():
                self.module = importlib.import_module(self.module_name)
            if _freezing:
                gc.freeze()
        except BaseException as error:  # handed to whoever waits
            self.error = error
            if line := isolation.hidden_line(isolation.hidden()):
                self.error = HiddenLibraryError(line)
        finally:
            self.done.set()


_one_at_a_time = threading.Lock()
_freezing = False


def freeze() -> None:
    """Leave what is imported now, and what will be, out of the rounds of garbage collection.

    A round looks at 400,000 objects of litellm's again and again, for half a second. Not for a process with
    objects of the user's: cycles of theirs that exist at that moment would never be freed.
    """
    global _freezing
    _freezing = True
    gc.freeze()


@contextmanager
def _environment(library: str) -> Iterator[None]:
    """Set the variables that a library reads while it is imported, and put them back."""
    if library not in _ENVIRONMENT:
        yield
        return
    before = {name: os.environ.get(name) for name in (*_ENVIRONMENT[library], *_LEFT_BEHIND)}
    for name, value in _ENVIRONMENT[library].items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, was in before.items():
            if was is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = was


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
    assert thread.module is not None
    return thread.module
