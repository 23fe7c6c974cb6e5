"""Live functions that take too long: limits, cancelling, the stop button."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from live_calls import Host, call, forever

from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.outcome import Outcome


def stubborn() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(10)


async def forever_async() -> None:
    await asyncio.sleep(100)


async def blocking_async() -> None:
    time.sleep(3)


@pytest.mark.parametrize("function", [forever, stubborn, forever_async, blocking_async])
def test_a_time_limit_ends_a_call(function: Callable[..., Any]) -> None:
    started = time.monotonic()
    outcome = call(function, time_limit=0.2)
    assert outcome.status == "error"
    assert "0.2 seconds" in outcome.text
    assert time.monotonic() - started < 30

    async def after() -> str:
        return "still works"

    assert call(after).text == "still works"


@pytest.mark.parametrize("function", [forever, forever_async])
def test_a_cancelled_run_ends_a_call(function: Callable[..., Any]) -> None:
    cancel = Cancel()
    threading.Timer(0.2, cancel.cancel).start()
    assert call(function, cancel=cancel).status == "interrupted"
    assert (
        Executor(Host(function)).run(Tool(name=function.__name__), {}, cancel=cancel).status
        == "interrupted"
    )


DEBUGGED = """
import sys, threading, time
from letta_kernel.models.base import Cancel
from letta_kernel.tools.live import TimeUpError, ended_by

def limited():
    with ended_by(60.0, Cancel()):
        pass
    try:
        with ended_by(0.05, Cancel()):
            while True:
                time.sleep(0.001)
    except TimeUpError:
        print("ended")

thread = threading.Thread(target=limited)
thread.start()
thread.join()
sys.settrace(lambda *_: None)
for _ in range(5):
    (lambda: None)()
print("traced")
"""


def test_a_debugger_works_after_calls_away_from_the_main_thread() -> None:
    # In Python 3.11 it hangs where an exception is pending for a thread, or was taken back.
    child = subprocess.run(
        [sys.executable, "-c", DEBUGGED], capture_output=True, text=True, timeout=60
    )
    assert child.stdout.split() == ["ended", "traced"], child.stderr


def test_a_time_limit_away_from_the_main_thread() -> None:
    def spin() -> None:
        while True:
            time.sleep(0.01)

    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(call(spin, time_limit=0.2)))
    thread.start()
    thread.join(30)
    assert found[0].status == "error"
    assert "0.2 seconds" in found[0].text


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_an_alarm_of_the_users_own_goes_on() -> None:
    rung = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rung.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        assert "0.1 seconds" in call(forever, time_limit=0.1).text
        assert not rung.is_set()
        time.sleep(1)
        assert rung.is_set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize(
    ("kind", "waits"), [("def", "time.sleep(100)"), ("async def", "await asyncio.sleep(100)")]
)
def test_the_stop_button_passes_through(kind: str, waits: str) -> None:
    script = textwrap.dedent(f"""
        import asyncio, os, sys, time
        from letta_kernel.tools.live import run_function
        {kind} forever():
            os.write(1, b"ready\\n")
            {waits}
        before = sys.stdout
        try:
            run_function(forever, {{}})
        except KeyboardInterrupt:
            print("stopped", sys.stdout is before, run_function(lambda: 5, {{}}).text, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "stopped True 5\n"
