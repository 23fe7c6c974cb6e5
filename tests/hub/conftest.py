"""One hub for all its tests, with two users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_bench import Hub, User, hub
from scripted_server import ScriptedServer


@pytest.fixture(scope="session")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(scope="session")
def running(server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    told = {
        "LETTA_MODEL": "openai/scripted",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "test",
    }
    with hub(tmp_path_factory.mktemp("hub"), **told) as made:
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
