"""Tools of a real MCP server over streamable HTTP: tokens, restarts, failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from mcp_bench import Bench, HttpServer

from letta_kernel.errors import ToolError


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / ".letta")
    yield made
    made.service.close()


def test_over_http(empty: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    service, server = empty.service, HttpServer(token="s3cr3t-value")
    headers = {"Authorization": "Bearer ${WEB_TOKEN}"}
    with pytest.raises(ToolError, match="needs the environment variable WEB_TOKEN"):
        service.mcp.create("web", url=server.url, headers=headers)
    monkeypatch.setenv("WEB_TOKEN", "wrong-value")
    with pytest.raises(ToolError, match="'web' cannot be reached"):
        service.mcp.create("web", url=server.url, headers=headers)
    server.start()
    try:
        with pytest.raises(ToolError, match=r"answered 401 Unauthorized \(is its token right\?\)"):
            service.mcp.create("web", url=server.url, headers=headers)
        monkeypatch.setenv("WEB_TOKEN", "s3cr3t-value")
        with pytest.raises(ToolError, match="answered 404 Not Found"):
            service.mcp.create("web", url=server.url + "/nowhere", headers=headers)
        assert service.mcp.list() == []
        service.mcp.create("web", url=server.url, headers=headers, agent="ada")
        assert empty.run("add", a=2, b=3).text == "5"
        assert len(empty.run("long", characters=2_000_000).text) == 50_000  # one large event
        heard: list[str] = []
        service.tools.run(
            "slow", {"seconds": 0.1}, agent="ada", on_output=lambda _, text: heard.append(text)
        )
        assert heard == ["a quarter (1 of 4)"]
        before = empty.run("process").text
        server.stop()
        server.start()
        assert empty.run("process").text != before  # the new one knows no session: asked once more
        died = empty.run("die")
        assert died.status == "error"
        assert died.text.startswith("The MCP server 'web' ")
        assert "\n" not in died.text
        down = empty.run("add", a=1)
        assert "cannot be reached" in down.text
        assert empty.state("web") == down.text
        server.stop()
        server.start()
        assert empty.run("add", a=1).text == "2"
        empty.limit("freeze", time_limit=0.3)
        assert "longer than its limit" in empty.run("freeze", seconds=4).text
    finally:
        server.stop()
    stored = postgres.stored(service.database)
    service.close()
    assert b"s3cr3t" not in stored
