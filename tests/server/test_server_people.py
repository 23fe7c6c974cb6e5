"""Many persons at one server: each with a project of their own, which others reach by grant alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from people_bench import People, serving_people
from scripted_server import ScriptedServer
from server_bench import until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from letta_kernel.errors import QuotaError, StoreError
from letta_kernel.server.errors import DrainingError
from letta_kernel.server.people import PeopleDirectory
from letta_kernel.server.readiness import INTERRUPTED, Readiness
from letta_kernel.service.homes import FolderHomes
from letta_kernel.users import Actor, acting


@pytest.fixture(scope="module")
def people(
    tmp_path_factory: pytest.TempPathFactory, fresh_project: Callable[[Path], Path]
) -> Iterator[People]:
    with pytest.MonkeyPatch.context() as patch, ScriptedServer() as scripted:
        patch.setenv("LETTA_MODEL", "openai/scripted")
        patch.setenv("OPENAI_BASE_URL", scripted.url)
        patch.setenv("OPENAI_API_KEY", "test")
        homes = FolderHomes(tmp_path_factory.mktemp("people"))
        with serving_people(homes, scripted, fresh_project) as found:
            for name in ("ann", "bob", "cleo"):
                found.add(name)
            yield found


def test_the_token_says_whose_project_it_is(people: People) -> None:
    ada = people.agent("ann", "ada")
    people.agent("bob", "bea")
    assert [one["name"] for one in people.ask("ann", "get", "/v1/agents").json()] == ["ada"]
    assert [one["name"] for one in people.ask("bob", "get", "/v1/agents").json()] == ["bea"]
    assert people.ask("ann", "get", f"/v1/agents/{ada}").json()["created_by_id"] == "ann"
    assert people.ask("bob", "get", f"/v1/agents/{ada}").status_code == 404
    assert people.ask("bob", "get", "/v1/agents/ann%2Fada").status_code == 404
    assert people.ask("ann", "get", "/v1/agents/ann%2Fada").json()["id"] == ada
    assert people.ask("bob", "delete", f"/v1/agents/{ada}").status_code == 404
    for path in ("/v1/agents", "/v1/blocks", f"/v1/agents/{ada}", "/v1/grants", "/v1/tools"):
        answer = people.ask("operator", "get", path)
        assert answer.status_code == 403 or answer.json() == [], (path, answer.text)
    assert people.ask("nobody", "get", "/v1/agents").status_code == 401


def test_what_is_granted_is_listed_reached_and_counted_in_the_guests_name(people: People) -> None:
    ada = people.agent("ann", "shared")
    assert "owner" in people.say("ann", "ann/shared", "the owner speaks", "Hello owner.").text
    people.grant("ann", "shared", "bob", "talk")
    listed = people.ask("bob", "get", "/v1/agents?order=asc").json()
    assert ("ann/shared", ada) in [(one["name"], one["id"]) for one in listed]
    me = people.ask("bob", "get", "/v1/me").json()
    assert [one["agent"] for one in me["shared"]] == ["ann/shared"]
    assert me["owner"] is True
    before = people.ask("bob", "get", "/v1/me").json()["quota"]["tokens_used"]
    for ref in ("ann/shared", ada):
        answer = people.say("bob", ref, "bob speaks", "Hello bob.")
        assert answer.status_code == 200, answer.text
    run = answer.json()["usage"]["run_ids"][0]
    assert people.ask("bob", "get", f"/v1/runs/{run}").status_code == 200, "found where it is"
    assert people.ask("cleo", "get", f"/v1/runs/{run}").status_code == 404
    assert people.ask("bob", "get", "/v1/me").json()["quota"]["tokens_used"] > before
    mine = people.ask("bob", "get", "/v1/agents/ann%2Fshared/messages").text
    assert "bob speaks" in mine
    assert "owner speaks" not in mine
    theirs = people.ask("ann", "get", f"/v1/runs/{run}/messages").text
    assert '"name":"bob"' in theirs
    people.ask("ann", "delete", "/v1/grants?agent_id=shared&user=bob")
    assert people.say("bob", "ann/shared", "again", "").status_code == 404
    assert people.ask("bob", "get", f"/v1/runs/{run}").status_code == 404
    assert people.ask("bob", "get", "/v1/me").json()["shared"] == []


def test_nothing_is_granted_to_who_is_no_person(people: People) -> None:
    people.agent("ann", "unlent")
    asked = {"agent_id": "unlent", "user": "bobb", "rights": "talk"}
    answer = people.ask("ann", "post", "/v1/grants", json=asked)
    assert answer.status_code == 404
    assert "no person 'bobb'. Did you mean 'bob'?" in answer.text
    assert people.ask("ann", "get", "/v1/grants?agent_id=unlent").json() == []


@pytest.mark.parametrize(
    "owner",
    ["..", ".people", "ann%2F..", "%2e%2e", "ann%00", "Ann", "аnn", "ann'--", "zoe", ".", "%2F"],
)
def test_owners_lead_to_persons_alone(people: People, owner: str) -> None:
    answer = people.ask("bob", "get", f"/v1/agents/{owner}%2Fada")
    assert answer.status_code == 404, answer.text
    sent = people.ask(
        "bob", "post", "/v1/messages/search", json={"query": "x", "agent_id": f"{owner}/ada"}
    )
    assert sent.status_code == 404, sent.text


def test_a_quota_refuses_wherever_the_run_would_be(people: People) -> None:
    people.add("dan")
    people.agent("dan", "own")
    people.agent("ann", "lent")
    people.grant("ann", "lent", "dan", "talk")
    registry = people.directory.people
    registry.bound("dan", tokens_a_day=1)
    assert people.ask("dan", "get", "/v1/me").json()["quota"]["tokens_a_day"] == 1
    own = people.ask("dan", "get", "/v1/agents?name=own").json()[0]["id"]
    people.say("dan", own, "first")
    for path, body in (
        (f"/v1/agents/{own}/messages", {"input": "x"}),
        (f"/v1/agents/{own}/messages/async", {"input": "x"}),
        (f"/v1/agents/{own}/messages", {"input": "x", "streaming": True, "background": True}),
        ("/v1/agents/ann%2Flent/messages", {"input": "x"}),
        (
            "/v1/chat/completions",
            {"model": "ann/lent", "messages": [{"role": "user", "content": "x"}]},
        ),
    ):
        answer = people.ask("dan", "post", path, json=body)
        assert answer.status_code == 429, (path, answer.text)
        assert "free again at 00:00 UTC" in answer.text
        assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    assert people.say("ann", "ann/lent", "x").status_code == 200, (
        "the guest's use is not the owner's"
    )
    registry.bound("dan", tokens_a_day=None, runs_at_once=1)
    going = people.scripted.say("slow", delay=60.0)
    begun = people.ask("dan", "post", f"/v1/agents/{own}/messages/async", json={"input": "x"})
    try:
        assert begun.status_code == 200, begun.text
        refused = people.say("dan", "ann/lent", "x", "")
        assert refused.status_code == 429
        assert "when one has ended" in refused.text
        assert people.ask("dan", "get", "/v1/me").json()["quota"]["runs_going"] == 1
    finally:
        del going
        people.ask("dan", "post", f"/v1/agents/{own}/messages/cancel", json={})
    until(lambda: people.ask("dan", "get", "/v1/me").json()["quota"]["runs_going"] == 0)
    people.scripted.forget()


def test_a_teacher_sees_what_is_used_and_nothing_that_is_said(people: People) -> None:
    secret = people.agent("cleo", "diary")
    people.say("cleo", secret, "a kittiwake in confidence")
    teach = people.add("tess", teach=True)
    first = people.ask(teach, "get", "/v1/me").json()
    assert first["new"] is True
    assert "let them read an agent" in first["notice"]
    assert people.ask(teach, "get", "/v1/me").json()["new"] is False
    usage = people.ask(teach, "get", "/v1/people/usage?person=cleo")
    assert [(one["person"], one["runs"] > 0) for one in usage.json()] == [("cleo", True)]
    assert "kittiwake" not in usage.text
    assert people.ask("operator", "get", "/v1/people/usage").status_code == 200
    assert people.ask("bob", "get", "/v1/people/usage").status_code == 403
    assert people.ask(teach, "get", f"/v1/agents/{secret}/messages").status_code == 404


def test_idle_projects_are_closed_and_opened_again(people: People) -> None:
    directory = people.directory
    people.agent("ann", "kept")
    people.grant("ann", "kept", "cleo", "read")
    directory._most, directory._idle, before = 0, 0.0, directory._idle
    try:
        directory.tidy()
        until(lambda: not directory._open)
        shared = [one["agent"] for one in people.ask("cleo", "get", "/v1/me").json()["shared"]]
        assert "ann/kept" in shared, "what is known of a closed project"
        assert "ann" not in directory._open
        assert people.ask("cleo", "get", "/v1/agents/ann%2Fkept").status_code == 200
        url = f"{people.url.replace('http', 'ws', 1)}/v1/agents/ann%2Fkept/ws"
        headers = {"Authorization": f"Bearer {people.tokens['cleo']}"}
        with connect(url, additional_headers=headers) as socket:
            assert json.loads(socket.recv(timeout=30))["agent_name"] == "ann/kept"
            directory.tidy()
            assert "ann" in directory._open, "somebody is there"
            people.ask("ann", "delete", "/v1/grants?agent_id=kept&user=cleo")
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=30)
    finally:
        directory._most, directory._idle = 64, before


def test_grants_of_another_process_are_seen(people: People, tmp_path: Path) -> None:
    people.agent("bob", "elsewhere")
    directory = people.directory
    directory._most, directory._idle, before = 0, 0.0, directory._idle
    try:
        directory.tidy()
        with people.homes.open("bob") as service:
            service.grants.grant("elsewhere", "cleo", "talk")
        until(lambda: "bob/elsewhere" in people.ask("cleo", "get", "/v1/me").text)
    finally:
        directory._most, directory._idle = 64, before


def test_another_server_of_the_same_persons_tells_and_ends_a_guests_run(people: People) -> None:
    ada = people.agent("ann", "both")
    people.grant("ann", "both", "bob", "talk")
    people.scripted.hang_mid_stream(600)
    begun = people.ask("bob", "post", f"/v1/agents/{ada}/messages/async", json={"input": "x"})
    run = begun.json()["id"]
    with serving_people(people.homes, people.scripted) as other:
        other.tokens = people.tokens
        url, headers = (
            f"{other.url}/v1/runs/{run}/stream",
            {"Authorization": f"Bearer {people.tokens['bob']}"},
        )
        with httpx.stream("POST", url, headers=headers, json={}, timeout=60) as stream:
            lines = stream.iter_lines()
            assert stream.status_code == 200
            done = other.ask(
                "bob", "post", "/v1/agents/ann%2Fboth/messages/cancel", json={"run_ids": [run]}
            )
            assert (done.status_code, done.json()) == (200, {run: "cancelled"})
            assert "cancelled" in "".join(lines)
        assert other.ask("cleo", "get", f"/v1/runs/{run}").status_code == 404
    until(lambda: people.ask("bob", "get", "/v1/me").json()["quota"]["runs_going"] == 0)


def test_a_folder_that_leads_elsewhere_is_nobodys(tmp_path: Path) -> None:
    homes = FolderHomes(tmp_path / "people")
    homes.make("ann")
    (tmp_path / "people" / "eve").symlink_to(tmp_path / "people" / "ann")
    with pytest.raises(StoreError, match="leads out"):
        homes.open("eve")


def test_a_server_that_is_to_end_brings_every_project_to_an_end(
    tmp_path: Path, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = FolderHomes(tmp_path / "people")
    directory = PeopleDirectory(homes)
    try:
        for name in ("ann", "bob"):
            directory.people.add(name)
            homes.make(name)
        project = directory.of("ann")
        assert project is not None
        project.service.agents.create("ada", model="openai/scripted")
        scripted.hang_mid_stream(600)
        with acting(Actor("ann", "ann")):
            run = project.live.start("ada", "go on")
        monkeypatch.setenv("LETTA_DRAIN", "0")
        Readiness((), directory.drain).drain()
        assert run.over.wait(60)
        assert project.service.runs.retrieve(run.id).error == INTERRUPTED
        for name in ("ann", "bob"):  # open already, and opened only now
            found = directory.of(name)
            assert found is not None
            with pytest.raises(DrainingError):
                found.live.start("ada", "again")
        assert directory.people.used("ann")[2] == 0
    finally:
        directory.close()


def test_runs_of_a_server_that_died_are_counted_from_their_project(
    tmp_path: Path, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = FolderHomes(tmp_path / "people")
    directory = PeopleDirectory(homes)
    try:
        people = directory.people
        people.add("ann")
        homes.make("ann")
        project = directory.of("ann")
        assert project is not None
        project.service.agents.create("ada", model="openai/scripted")
        people.bound("ann", runs_at_once=1)
        with acting(Actor("ann", "ann")):
            with monkeypatch.context() as dying:
                dying.setattr(people, "end", lambda run: None)
                dying.setattr(people, "took", lambda *told: None)
                scripted.say("hi")
                list(project.service.runs.send("ada", "hello"))
            assert people.used("ann")[0::2] == (0, 1), "it goes on, as far as is known"
            with pytest.raises(QuotaError):
                list(project.service.runs.send("ada", "again"))
            monkeypatch.setattr("letta_kernel.service.people._STALE", timedelta(0))
            scripted.say("hi")
            list(project.service.runs.send("ada", "again"))
        assert people.used("ann")[2] == 0
        [day] = people.figures(1, "ann")
        assert day.runs == 2
        assert day.tokens == sum(
            run.prompt_tokens + run.completion_tokens for run in project.service.runs.list()
        )
    finally:
        directory.close()
