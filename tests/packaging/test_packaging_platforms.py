"""What macOS and Windows lack: every module is imported, and an agent talks, where it has been taken away.

This is no Windows: files, locks and signals are this machine's. It finds what is used without asking whether it
is there; `make types-elsewhere` finds more of that kind, by the types of the standard library.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="takes away what it lacks")

WITHOUT = """
import ctypes, importlib, os, pkgutil, select, signal, socket, sys
import filelock._soft
import letta_kernel

def everything():
    for found in pkgutil.walk_packages(letta_kernel.__path__, "letta_kernel."):
        # What runs in the sandbox's own process is never imported there.
        if found.name not in ("letta_kernel.tools.sandbox_worker", "letta_kernel.__main__"):
            importlib.import_module(found.name)

def talk(home):
    from letta_kernel import Agent
    agent = Agent("ada", home=home, model="demo", human="Nothing is known yet.")
    agent.send("My name is Kim.")
    return agent.memory["human"].value

everything()
talk(sys.argv[1])  # what others need of this system is imported now
for name in [one for one in sys.modules if one.partition(".")[0] == "letta_kernel"]:
    del sys.modules[name]

sys.platform = "win32"
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "readline"):
    sys.modules[name] = None
for module, names in (
    (os, "fork setsid getuid geteuid getegid getpgid getpgrp killpg waitid statvfs nice set_blocking"),
    (signal, "SIGKILL SIGALRM SIGCHLD SIGTSTP SIGHUP setitimer getitimer pthread_kill"),
    (socket, "AF_UNIX send_fds recv_fds"),
    (select, "poll"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
library = ctypes.CDLL
class Library(library):
    def __init__(self, name, *rest, **options):
        if name is None:
            raise TypeError("a library needs a name")
        super().__init__(name, *rest, **options)
ctypes.CDLL = Library

everything()
print(talk(sys.argv[2]))
"""


def test_an_agent_talks_where_the_system_has_no_forks_and_no_signals(tmp_path: Path) -> None:
    homes = [str(tmp_path / name) for name in ("one", "two")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *homes], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Kim" in done.stdout


def test_the_end_of_a_call_is_seen_where_there_is_no_waitid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from letta_kernel.tools import sandbox_worker

    monkeypatch.delattr(os, "waitid", raising=False)  # macOS has it from Python 3.13 on
    limits = {"processes": 1000, "disk": 1 << 20, "scratch": str(tmp_path)}
    ours, theirs = socket.socketpair()
    wake, waker = os.pipe()
    program = [sys.executable, "-c", "raise SystemExit(3)"]
    child = os.posix_spawn(sys.executable, program, os.environ)
    with ours, theirs:
        reason, status = sandbox_worker._watch(child, ours, wake, limits, "process")
    os.close(wake)
    os.close(waker)
    assert status is not None
    assert (reason, os.waitstatus_to_exitcode(status)) == ("ended", 3)
