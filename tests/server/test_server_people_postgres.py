"""Persons in PostgreSQL: the database itself keeps their projects apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from people_bench import People, serving_people
from postgres import Cluster
from scripted_server import ScriptedServer

from letta_kernel.errors import ConflictError, InvalidInputError
from letta_kernel.server.people import PeopleDirectory
from letta_kernel.service import AgentService
from letta_kernel.service.homes import SchemaHomes
from letta_kernel.store import migrations, pg_people


@pytest.fixture(scope="module")
def people(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with cluster.connect() as admin:
        admin.execute("CREATE DATABASE persons TEMPLATE template0 ENCODING 'UTF8'")
    with pytest.MonkeyPatch.context() as patch, ScriptedServer() as scripted:
        patch.setenv("LETTA_MODEL", "openai/scripted")
        patch.setenv("OPENAI_BASE_URL", scripted.url)
        patch.setenv("OPENAI_API_KEY", "test")
        homes = SchemaHomes(cluster.url(database="persons"), tmp_path_factory.mktemp("people"))
        with serving_people(homes, scripted) as found:
            yield found


def test_persons_have_schemas_that_others_do_not_see(people: People, cluster: Cluster) -> None:
    people.add("ann")
    people.add("bob-2")
    ada = people.agent("ann", "ada")
    people.agent("bob-2", "bea")
    assert [one["name"] for one in people.ask("ann", "get", "/v1/agents").json()] == ["ada"]
    with psycopg.connect(
        host=str(cluster.folder), user="bob-2", dbname="persons", autocommit=True
    ) as bob:
        row = bob.execute('SELECT name FROM "bob-2".agents').fetchall()
        assert row == [("bea",)]
        for statement in (
            "SELECT * FROM ann.agents",
            "SELECT * FROM ann.grants",
            "SELECT * FROM letta_people.access_tokens",
            "INSERT INTO ann.grants SELECT * FROM ann.grants",
            "CREATE TABLE ann.mine (x int)",
            "SET ROLE ann",
            "DROP SCHEMA ann CASCADE",
            "CREATE ROLE eve",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                bob.execute(statement)
    # The server's own connection to a project acts as its role.
    with people.homes.open("bob-2") as service:
        found = service.database.run(lambda tx: tx.one("SELECT current_user, session_user"))
        assert found == ("bob-2", "postgres")
    people.grant("ann", "ada", "bob-2", "talk")
    assert people.say("bob-2", "ann/ada", "hello", "Hello bob.").status_code == 200
    me = people.ask("bob-2", "get", "/v1/me").json()
    assert [one["agent"] for one in me["shared"]] == ["ann/ada"]
    assert me["quota"]["tokens_used"] > 0
    listed = people.ask("bob-2", "get", "/v1/agents?order=asc").json()
    assert [one["name"] for one in listed] == ["bea", "ann/ada"]
    assert people.ask("bob-2", "get", f"/v1/agents/{ada}").json()["name"] == "ann/ada"
    people.ask("ann", "delete", "/v1/grants?agent_id=ada&user=bob-2")
    assert people.say("bob-2", "ann/ada", "again", "").status_code == 404


def test_a_person_works_with_their_own_role(
    people: People, tmp_path: Path, cluster: Cluster
) -> None:
    people.directory.people.add("gus")
    told = people.homes.make("gus")
    variable, _, store = told.partition("=")
    assert variable == "LETTA_STORE"
    assert store.startswith("postgresql://gus:")
    with AgentService(tmp_path / "notebook", store=store) as own:
        own.agents.create("mine")
        assert own.database.run(lambda tx: tx.one("SELECT current_user")) == ("gus",)
    people.directory.refresh()
    people.add("gus")
    assert [one["name"] for one in people.ask("gus", "get", "/v1/agents").json()] == ["mine"]
    with cluster.connect("persons") as admin:
        [(kept,)] = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'gus'")
    assert kept.startswith("SCRAM-SHA-256$"), "the password itself is kept nowhere"


def test_what_is_there_is_not_taken_over_and_what_is_removed_is_gone(people: People) -> None:
    homes = people.homes
    assert isinstance(homes, SchemaHomes)
    homes.make("kim")
    with pytest.raises(ConflictError, match="role 'kim'"):
        homes.make("kim")
    homes.remove("kim")
    homes.make("kim")
    homes.remove("kim")
    for name in ('a"; DROP SCHEMA ann; --', "pg_x", "letta_people", "0abc", "Ann"):
        with pytest.raises(InvalidInputError):
            people.directory.people.add(name) and homes.make(name)


def test_projects_are_brought_up_to_date_one_by_one_as_they_are_used(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster.connect() as admin:
        admin.execute("CREATE DATABASE upgraded TEMPLATE template0 ENCODING 'UTF8'")
    homes = SchemaHomes(cluster.url(database="upgraded"), tmp_path / "people")
    with closing(PeopleDirectory(homes)) as before:
        for name in ("dora", "evan", "fay"):
            before.people.add(name)
            homes.make(name)
    old = len(migrations.MIGRATIONS)
    step = "ALTER TABLE agents ADD COLUMN of_tomorrow text DEFAULT ''"
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, step])
    with cluster.connect("upgraded") as admin:

        def versions() -> dict[str, int]:
            text = "SELECT version FROM {}.schema_version"
            return {one: admin.execute(text.format(one)).fetchone()[0] for one in homes_of}

        homes_of = ("dora", "evan", "fay")
        admin.execute("ALTER TABLE evan.agents ADD COLUMN of_tomorrow int")  # not by us
        with ScriptedServer() as scripted, serving_people(homes, scripted) as people:
            for name in homes_of:
                people.add(name)
            assert versions() == dict.fromkeys(homes_of, old), "nothing is done before it is needed"
            assert people.ask("dora", "get", "/v1/agents").json() == []
            assert versions() == {"dora": old + 1, "evan": old, "fay": old}
            refused = people.ask("evan", "get", "/v1/agents")
            assert refused.status_code >= 500
            assert "of_tomorrow" in refused.json()["detail"]
            assert people.ask("fay", "get", "/v1/agents").json() == []
            assert people.ask("dora", "get", "/v1/me").status_code == 200
            assert versions() == {"dora": old + 1, "evan": old, "fay": old + 1}
            admin.execute("ALTER TABLE evan.agents DROP COLUMN of_tomorrow")
            assert people.ask("evan", "get", "/v1/agents").json() == [], "without another start"
            assert versions()["evan"] == old + 1


def test_what_is_granted_is_found_in_more_schemas_than_one_statement_may_name(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_people, "_AT_ONCE", 2)
    people.add("kay")
    for name in ("hal", "ida", "joe"):
        people.add(name)
        people.agent(name, f"of {name}")
        people.grant(name, f"of {name}", "kay", "talk")
    shared = people.ask("kay", "get", "/v1/me").json()["shared"]
    assert [one["agent"] for one in shared] == ["hal/of hal", "ida/of ida", "joe/of joe"]


def test_addresses_keep_their_parts() -> None:
    url = "postgresql://admin:s%2Fx@db:5/x?sslmode=require&options=-c%20a%3D1&project=old"
    assert pg_people.with_project(url, "ann", "ann") == (
        "postgresql://admin:s%2Fx@db:5/x?sslmode=require&options=-c%20a%3D1%20-c%20role%3Dann&project=ann"
    )
    assert pg_people.with_role(url, "ann", "p/w") == (
        "postgresql://ann:p/w@db:5/x?sslmode=require".replace("p/w", "p/w")
    )
