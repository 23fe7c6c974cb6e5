"""Names of processes, and whether they live."""

from __future__ import annotations

import os
import subprocess
import sys

from letta_kernel.store import lease


def test_this_process_lives() -> None:
    me = lease.process_owner()
    host, pid, started = me.split("|")
    assert pid == str(os.getpid())
    assert not lease.is_dead(me)
    assert not lease.is_dead(f"{me}/run-1")
    assert lease.is_dead(f"{host}|{pid}|{started}9")  # the number is used again by another process
    assert lease.describe(f"{me}/run-1", "a.ipynb") == "the notebook 'a.ipynb'"


def test_another_process() -> None:
    code = "from letta_kernel.store import lease; print(lease.process_owner(), flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    owner = child.stdout.readline().strip()
    try:
        assert owner.split("|")[1] == str(child.pid)
        assert not lease.is_dead(owner)
        child.kill()
        while not lease.is_dead(
            owner
        ):  # dead as soon as it is a zombie, before anyone has waited for it
            assert child.returncode is None
        assert lease.is_dead(owner)
    finally:
        child.communicate()
    assert lease.is_dead(owner)


def test_of_strangers_nothing_is_known() -> None:
    assert not lease.is_dead("another-host|1|1")
    assert not lease.is_dead("somebody")
    assert not lease.is_dead("")
    assert lease.describe("another-host|1|1", None) == "another program on another-host"
    assert lease.describe("somebody", None) == "another program"
