"""One kernel and one scripted model per test module; each test has an agent of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel_notebook import Notebook
from scripted_server import ScriptedServer


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(scope="module")
def notebook(
    server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Notebook]:
    """A notebook whose agents answer with what the scripted server was told to say."""
    opened = Notebook(
        tmp_path_factory.mktemp("project") / ".letta",
        LETTA_MODEL="openai/scripted",
        OPENAI_BASE_URL=server.url,
        OPENAI_API_KEY="test",
    )
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _nothing_left_to_say(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames or "notebook" in request.fixturenames:
        server = request.getfixturevalue("server")
        waiting, server._queue[:] = server.waiting, []
        assert waiting == 0, "a queued answer was not asked for"
