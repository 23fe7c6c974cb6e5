"""What is due for a project is done once, by one of its processes, and by another one if that dies."""

from __future__ import annotations

import threading

import pytest
from agent_bench import Bench
from test_service_sleeptime import TIDY, Night

from letta_kernel.service import AgentService
from letta_kernel.service.chores import Chores
from letta_kernel.store import claims, lease, sleeps


@pytest.fixture
def night(bench: Bench) -> Night:
    return Night(bench)


def test_a_chore_is_done_by_one_process_at_a_time(service: AgentService) -> None:
    service.agents.create("ada")
    done: list[str] = []
    at_it, go_on = threading.Event(), threading.Event()
    with AgentService(service.home) as other:
        one, two = Chores(service.deliveries._core), Chores(other.deliveries._core)

        def slow() -> None:
            at_it.set()
            go_on.wait(60)
            done.append("one")

        one.claimed["sweep"] = slow
        two.claimed["sweep"] = lambda: done.append("two")
        sweeping = threading.Thread(target=one.look)
        sweeping.start()
        assert at_it.wait(60)
        two.look()
        assert done == []
        go_on.set()
        sweeping.join(60)
        two.look()
        assert done == ["one", "two"]


def test_a_chore_of_a_process_that_died_is_taken_over(service: AgentService) -> None:
    service.agents.create("ada")
    host = lease.process_owner().split("|")[0]
    done: list[str] = []
    chores = Chores(service.deliveries._core)
    chores.claimed["sweep"] = lambda: done.append("done")
    elsewhere = "another@machine@1|7|8/chore-1"
    for owner, seconds in ((f"{host}|4194999|1/chore-1", 60.0), (elsewhere, -1.0)):
        service.database.run(
            lambda tx, o=owner, s=seconds: claims.take(tx, "chore sweep", o, s)  # type: ignore[misc]
        )
        done.clear()
        chores.look()
        assert done == ["done"], owner
    service.database.run(lambda tx: claims.take(tx, "chore sweep", elsewhere, 60.0))
    done.clear()
    chores.look()
    assert done == [], "it may live"


def test_memory_is_tidied_by_another_process_where_the_one_that_spoke_has_died(
    night: Night,
) -> None:
    night.service.sleeptime.enable("ada", every=1)
    night.say()  # no process lasts that would tidy
    night.moves = [*TIDY]
    with AgentService(night.service.home) as other:
        other.sleeptime.quiet = 0.0
        other.sleeptime.watch()
        other.deliveries.chores.look()
        ada = other.agents.retrieve("ada").id

        def looks() -> list[str]:
            return [one.status for one in other.database.run(lambda tx: sleeps.list_all(tx, ada))]

        night.until(lambda: looks() == ["done"])
        other.deliveries.chores.look()
        night.service.sleeptime.watch()
        night.service.deliveries.chores.look()
        night.until(lambda: not other.sleeptime._due and not night.service.sleeptime._due)
        assert looks() == ["done"]
