"""One hub for all its tests, with two users; once with projects in folders, once in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_bench import Hub, User, hub
from postgres import Cluster
from scripted_server import ScriptedServer


@pytest.fixture(scope="session")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(autouse=True)
def unsaid(server: ScriptedServer) -> None:
    """What a test that failed did not hear is not said to the next."""
    server.forget()


@pytest.fixture(scope="session", params=["folder", "postgresql"])
def running(
    request: pytest.FixtureRequest,
    server: ScriptedServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Hub]:
    told = {
        "LETTA_MODEL": "openai/scripted",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "test",
    }
    folder = tmp_path_factory.mktemp("hub")
    people = str(folder / "people")
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        with cluster.connect() as admin:
            admin.execute("CREATE DATABASE hub TEMPLATE template0 ENCODING 'UTF8'")
        people = cluster.url(database="hub")
    with hub(folder, people, **told) as made:
        yield made


@pytest.fixture(scope="session")
def ann(running: Hub) -> User:
    user = running.user("ann")
    user.start()
    return user


@pytest.fixture(scope="session")
def bob(running: Hub) -> User:
    user = running.user("bob")
    user.start()
    return user
