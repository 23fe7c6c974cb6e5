"""Quotas: what persons may use up, where one project is served; looked at before runs and at their steps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from agent_bench import Bench, ended
from postgres import Cluster

from letta_kernel.errors import QuotaError
from letta_kernel.ids import now
from letta_kernel.messages import Usage
from letta_kernel.records import Run, Use
from letta_kernel.server.directory import Directory
from letta_kernel.service import AgentService
from letta_kernel.service.admission import counted
from letta_kernel.service.quotas import Quotas
from letta_kernel.store import people
from letta_kernel.users import Actor, Guest, acting, current_owner

BOB = Actor("bob", "ann", Guest("", frozenset({"write"})))


class Served:
    """What a directory needs of a project."""

    def __init__(self, service: AgentService) -> None:
        self.service = service


def use(service: AgentService, run_id: str) -> Use:
    return service.database.run(lambda tx: people.progress(tx, run_id, 0, None)) or pytest.fail(
        "no"
    )


def test_who_is_bounded_is_refused_and_nobody_else(bench: Bench) -> None:
    service = bench.service
    Directory(Served(service))
    service.agents.create("ada")
    service.people.bound("bob", enter=True, tokens_a_day=1)
    with acting(BOB):
        list(service.runs.send("ada", "one"))
        with pytest.raises(
            QuotaError, match=r"used \d+ of 1 tokens today. It is free again at 00:00"
        ) as no:
            list(service.runs.send("ada", "two"))
        assert 0 < no.value.seconds <= 86_400
        with pytest.raises(QuotaError):
            service.runs.complete("ada", "a prompt")
        group = service.groups.create(["ada"], name="g")
        with pytest.raises(QuotaError):
            service.groups.send(group.id, "hello")
    list(service.runs.send("ada", "the owner's own"))
    with acting(Actor("cleo", "ann")):
        list(service.runs.send("ada", "nobody bounds cleo"))
    assert service.people.used("cleo") == (0, 0.0, 0), "who is not bounded is not counted"
    assert [one.person for one in service.people.figures(1)] == ["bob"]
    service.people.bound("bob", enter=True, tokens_a_day=None)
    assert service.people.list() == []
    with acting(BOB):
        list(service.runs.send("ada", "three"))


def test_a_run_that_goes_on_ends_at_the_step_that_used_the_rest_up(bench: Bench) -> None:
    service, server = bench.service, bench.server
    Directory(Served(service))
    service.agents.create("ada")
    service.people.bound("bob", enter=True, tokens_a_day=100)
    search = ("conversation_search", {"query": "x"})
    for _ in range(10):
        server.calls([search], usage={"prompt_tokens": 30, "completion_tokens": 10})
    with acting(BOB):
        end = ended(list(service.runs.send("ada", "go on and on")))
    server.forget()
    assert (end.stop_reason, end.steps) == ("insufficient_credits", 3)
    assert end.error is not None
    assert end.error.startswith(
        "bob has used 120 of 100 tokens today. It is free again at 00:00 UTC"
    )
    [run] = service.runs.list()
    assert (run.stop_reason, run.status) == ("insufficient_credits", "completed")
    assert service.people.used("bob") == (120, 0.0, 0)


def test_what_is_asked_of_a_model_without_a_run_counts_too(bench: Bench) -> None:
    service = bench.service
    Directory(Served(service))
    service.agents.create("ada")
    service.people.bound("bob", enter=True, tokens_a_day=1_000_000)
    with acting(BOB):
        bench.server.say("An answer.", usage={"prompt_tokens": 30, "completion_tokens": 10})
        service.runs.complete("ada", "a prompt")
    assert service.people.used("bob") == (40, 0.0, 0)


def test_a_run_counts_on_the_day_it_began_however_long_it_goes_on(service: AgentService) -> None:
    quotas = Quotas(service.people, "ann", lambda one: None)
    service.people.add("bob")
    service.people.bound("bob", dollars_a_day=2)
    with acting(BOB):
        run = Run(agent_id="agent-1")
        quotas.begin(run)
        yesterday = now() - timedelta(days=1)
        service.database.run(lambda tx: tx.execute("UPDATE uses SET created_at = $1", (yesterday,)))
        assert quotas.took(run, Usage(prompt_tokens=5, cost=1.5)) is None
        refused = quotas.took(run, Usage(prompt_tokens=5, cost=2.5))
        assert refused is not None
        assert f"$2.50 of $2.00 on {yesterday:%Y-%m-%d}. It is free again now." in refused.text
        quotas.begin(Run(agent_id="agent-1"))
        assert service.people.used("bob")[:2] == (0, 0.0), "nothing of it is today's"
        # A server that dies before the end has written what the steps took.
        assert use(service, run.id).cost is None
        quotas.took(run, Usage(prompt_tokens=7, cost=2.5))
        quotas.end(run)
    assert service.people.figures(2, "bob")[0].cost == 2.5


def test_runs_that_are_asked_for_take_no_place_of_their_own(service: AgentService) -> None:
    quotas = Quotas(service.people, "ann", lambda one: None)
    service.people.add("bob")
    service.people.bound("bob", runs_at_once=1)
    with acting(BOB):
        first = Run(agent_id="agent-1")
        quotas.begin(first)
        asked = Run(agent_id="agent-2", asked_by=first.id)
        quotas.begin(asked)
        with pytest.raises(QuotaError, match="1 of 1 runs at once") as no:
            quotas.begin(Run(agent_id="agent-3"))
        assert no.value.seconds == 1.0
        assert quotas.took(asked, Usage(prompt_tokens=5)) is None
        quotas.end(asked)
        quotas.end(first)
        with counted(quotas, "agent-1"), pytest.raises(QuotaError):
            quotas.begin(Run(agent_id="agent-1"))
        quotas.begin(Run(agent_id="agent-1"))


@pytest.mark.parametrize("engine", ["duckdb", "postgresql"])
def test_of_runs_that_begin_at_once_at_several_servers_no_more_than_may_do(
    engine: str,
    tmp_path: Path,
    fresh_project: Callable[[Path], Path],
    request: pytest.FixtureRequest,
) -> None:
    home, store = tmp_path / "home", ""
    if engine == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        store = cluster.url("quotas")
    else:
        fresh_project(home)
    services = [AgentService(home, store) for _ in range(3)]
    try:
        services[0].people.bound("bob", enter=True, runs_at_once=2)
        doors = [
            Quotas(one.people, current_owner(), lambda u: None, everyone=False) for one in services
        ]

        def begin(number: int) -> bool:
            with acting(BOB):
                try:
                    doors[number % len(doors)].begin(Run(agent_id=f"agent-{number}"))
                except QuotaError:
                    return False
            return True

        with ThreadPoolExecutor(9) as threads:
            assert sum(threads.map(begin, range(9))) == 2
        assert services[1].people.used("bob")[2] == 2
    finally:
        for one in services:
            one.close()
