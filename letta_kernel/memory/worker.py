"""Untrusted documents are read in a process of their own, with limits of time and memory.

A document can be made so that reading it takes minutes or all memory, and the libraries that read some kinds
cannot be kept from that: they run here. The process is started anew for each document, gets no variable of the
environment that holds a secret, and is ended with whoever waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import NoReturn

from letta_kernel import isolation
from letta_kernel.errors import InvalidInputError
from letta_kernel.models.base import Cancel

unreadable = partial(InvalidInputError, page="file-unreadable")
"""Makes the error of a file that cannot be read."""

MEMORY = 1024**3
"""Bytes it may take, where the platform limits that."""
_CLOCK = 6.0  # times the processor's seconds: several are read at once, and others work here too
_MEMORY, _REFUSED = 3, 4  # exit codes
# How it is ended where it takes too long: by us, or by the system at its limit.
_LATE = {getattr(signal, name, None) for name in ("SIGKILL", "SIGXCPU")}
_places = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from letta_kernel import isolation; isolation.install(); "
    "from letta_kernel.memory.worker import serve; serve(*sys.argv[2:])"
)
_PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")


def call(
    function: Callable[..., str],
    *given: str,
    what: str,
    seconds: float,
    cancel: Cancel | None = None,
) -> str:
    """Return what *function* makes of texts, from a process of its own.

    Parameters
    ----------
    function : one of a module of this package, found there by its name.
    what : names the document, for the errors.
    seconds : of processor time that it may take.
    cancel : ends it.

    Raises
    ------
    InvalidInputError
        *function* raised it, or the document takes too much time or memory; one line.
    """
    cancel = cancel or Cancel()
    clock = seconds * _CLOCK
    with _place(what, clock, cancel), _pipe() as ours:
        command = [sys.executable, "-I", "-c", _BOOT, json.dumps(isolation.own_path())]
        process = subprocess.Popen(
            [*command, f"{function.__module__}:{function.__qualname__}", f"{seconds:g}", *given],
            stdin=ours,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED if name in os.environ},
            start_new_session=True,  # the stop button's signal is for us
        )
        late = threading.Timer(clock, process.kill)
        late.daemon = True
        try:
            late.start()
            cancel.on_cancel(process.kill)
            said = process.communicate()[0].decode("utf-8", "replace")
        finally:  # also at the stop button
            late.cancel()
            process.kill()
            process.wait()
    code = process.returncode
    if cancel.cancelled:
        raise unreadable(f"{what} was not read: nobody waits for it any more.")
    if code == _REFUSED:
        raise unreadable(said)
    if code == _MEMORY:
        raise unreadable(
            f"{what} cannot be read: that takes more than {MEMORY // 1024**2:,} MB of memory."
        )
    if -code in _LATE:
        raise unreadable(
            f"{what} cannot be read: that takes more than {seconds:g} seconds of work."
        )
    if code < 0:
        raise unreadable(f"{what} cannot be read: what reads it crashed (signal {-code}).")
    if code:
        raise unreadable(f"{what} cannot be read: what reads it ended by itself ({code}).")
    return said


@contextlib.contextmanager
def _pipe() -> Iterator[int]:
    """Open a pipe that ends with this block, and with this process: the other one sees it."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)


@contextlib.contextmanager
def _place(what: str, clock: float, cancel: Cancel) -> Iterator[None]:
    """Wait for one of the few places, as long as somebody waits for the document."""
    ends = time.monotonic() + clock
    while not _places.acquire(timeout=0.2):
        if cancel.cancelled or time.monotonic() > ends:
            raise unreadable(f"{what} was not read: too many others are being read; try later.")
    try:
        yield
    finally:
        _places.release()


# -- in the process ------------------------------------------------------------------------------------


def serve(name: str, seconds: str, *given: str) -> NoReturn:
    """Write what the function *name* (module:function) makes of *given*, and end the process."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries may print; that is not the answer
    _limit(int(float(seconds)))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, _, function = name.partition(":")
    try:
        text, code = getattr(import_module(module), function)(*given), 0
    except InvalidInputError as error:
        text, code = str(error), _REFUSED
    except MemoryError:
        text, code = "", _MEMORY
    answer.write(text.encode("utf-8", "replace"))
    answer.flush()
    os._exit(code)


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written: it ends
    os._exit(1)


def _limit(seconds: int) -> None:
    if sys.platform == "win32":  # the clock alone limits it there
        return
    import resource

    for kind, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):  # macOS has not all of them
            resource.setrlimit(kind, (most, most))
    os.nice(5)
