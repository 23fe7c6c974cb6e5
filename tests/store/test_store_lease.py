"""Names of processes, and whether they live."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from agent_bench import kept_whole

from letta_kernel.errors import AgentBusyError
from letta_kernel.ids import now
from letta_kernel.messages import MAY_HAVE_HAPPENED
from letta_kernel.models.scripted import scripted
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.store import agents, lease
from letta_kernel.store.database import Database
from letta_kernel.tools.schema import schema_from_source


def test_this_process_lives() -> None:
    me = lease.process_owner()
    host, pid, started = me.split("|")
    assert pid == str(os.getpid())
    assert not lease.is_dead(me)
    assert not lease.is_dead(f"{me}/run-1")
    assert lease.is_dead(f"{host}|{pid}|{started}9")  # the number is used again by another process
    older = host.partition("@")[0]
    assert lease.is_dead(f"{older}|{pid}|{started}9")
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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells boots and containers apart")
def test_containers_that_share_a_host_name_are_told_apart() -> None:
    host, boot, namespace = lease.process_owner().partition("|")[0].split("@")
    gone = "9999999|1"  # no process of ours
    assert lease.is_dead(f"{host}@{boot}@{namespace}|{gone}")
    assert lease.is_dead(f"renamed@{boot}@{namespace}|{gone}")  # the same machine all the same
    for elsewhere in (f"{host}@{boot}@1|{gone}", f"{host}@other-boot@{namespace}|{gone}"):
        assert not lease.is_dead(elsewhere)
        assert lease.describe(elsewhere, "a.ipynb") == f"the notebook 'a.ipynb' on {host}"


def held_by(database: Database, agent_id: str, owner: str, seconds: float) -> None:
    database.run(lambda tx: agents.acquire(tx, agent_id, owner, seconds))


def test_an_agent_of_another_machine_is_free_when_its_lease_has_expired(
    service: AgentService,
) -> None:
    scripted("say: Yes.", "lease")
    ada = service.agents.create("ada", model="scripted/lease")
    held_by(service.database, ada.id, "far@its-boot@4026531836|7|1/run-1", 3600)
    with pytest.raises(AgentBusyError, match="on far"):
        list(service.runs.send("ada", "There?"))
    service.database.run(
        lambda tx: tx.execute("UPDATE leases SET expires_at = $1", (now() - timedelta(seconds=1),))
    )
    service.runs.standing()
    assert service.database.run(lease.held) == []  # nobody had to begin a run for that


def test_an_agent_is_released_by_hand(service: AgentService) -> None:
    scripted("call: wait()\n\nsay: Done.", "lease")
    ada = service.agents.create("ada", model="scripted/lease")
    assert service.runs.release("ada") == []
    held_by(service.database, ada.id, "far@its-boot@4026531836|7|1/run-1", 3600)
    assert service.runs.release("ada") == ["another program on far"]
    assert service.runs.standing("ada")[ada.id].state == "idle"
    # A run that goes on all the same finds out before it writes.
    source = "def wait() -> str:\n    '''Wait.'''\n"
    tool = service.tools.upsert(Tool(**schema_from_source(source), source=source))
    service.tools.attach(tool.id, agent="ada")

    class Host:
        notebook = "a.ipynb"

        def lookup(self, tool: Tool) -> Callable[[], str]:
            return lambda: str(released.extend(service.runs.release("ada")))

    released: list[str] = []
    events = list(service.runs.send("ada", "Wait.", host=Host()))
    assert released == ["the notebook 'a.ipynb'"]
    assert "released" in str(events[-1].error)  # type: ignore[union-attr]
    said = service.messages.history("ada")
    assert said[-2].content == MAY_HAVE_HAPPENED
    assert [run.error for run in service.runs.list()] == [lease.RELEASED]
    kept_whole(service)


def test_of_strangers_nothing_is_known() -> None:
    assert not lease.is_dead("another-host|1|1")
    assert not lease.is_dead("somebody")
    assert not lease.is_dead("")
    assert lease.describe("another-host|1|1", None) == "another program on another-host"
    assert lease.describe("somebody", None) == "another program"
