"""A server with two agents, each with one of everything, for tests of what tokens let in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from scripted_server import ScriptedServer
from server_bench import Server, serving
from websockets.sync.client import ClientConnection, connect

from letta_kernel.records import Rights, Tool
from letta_kernel.server.request_limits import RequestLimits, TokenLimits
from letta_kernel.service import AgentService

LIMITS = RequestLimits(token=TokenLimits(requests=4, streams=2, sockets=2, runs=3))
MARK = "kittiwake"
"""In all that is the other agent's."""
OPEN = {"/v1/health", "/v1/health/ready"}


class Field:
    """A server with two agents, each with one of everything, and what a test asks of it."""

    def __init__(self, server: Server) -> None:
        self.server, self.service, self.scripted = server, server.service, server.scripted
        self.ada, self.bob = (
            self._agent(name, mark) for name, mark in (("ada", "auk"), ("bob", MARK))
        )
        self.document = httpx.get(
            f"{server.url}/openapi.json", headers=server.headers, timeout=60
        ).json()
        self._made = 0

    def _agent(self, name: str, mark: str) -> dict[str, str]:
        service = self.service
        agent = service.agents.create(
            name, model="openai/scripted", description=mark, tags=[f"{mark}-tag"]
        )
        block = service.blocks.upsert(f"{mark}_block", mark, agent=agent.id)
        archive = service.archives.create(f"{mark} archive")
        service.archives.attach(archive.id, agent=agent.id)
        passage = service.passages.create(
            f"a passage on the {mark}", [f"{mark}-t"], agent=agent.id
        )[0]
        folder = service.folders.create(f"{mark} folder")
        service.folders.attach(folder.id, agent=agent.id)
        file = service.files.create(f"{mark}.txt", mark.encode(), folder=folder.id)
        tool = service.tools.upsert(
            Tool(
                name=f"{mark}_tool",
                description=mark,
                source=f'def {mark}_tool() -> str:\n    """{mark}"""\n    return "{mark}"\n',
                kind="source",
                runs_in="sandbox",
            )
        )
        service.tools.attach(tool.id, agent=agent.id)
        identity = service.identities.create(f"{mark}-key", mark, agents=[agent.id])
        thread = service.conversations.create(agent.id, summary=f"about the {mark}")
        self.scripted.say(f"Hello from the {mark}.")
        for _ in service.runs.send(agent.id, f"Where is the {mark}?", conversation=thread.id):
            pass
        run = service.runs.list(agent_ids=[agent.id])[0]
        step = service.steps.of_run(run.id)[0]
        return {
            "agent_id": agent.id,
            "block_id": block.id,
            "block_label": f"{mark}_block",
            "archive_id": archive.id,
            "passage_id": passage.id,
            "memory_id": passage.id,
            "folder_id": folder.id,
            "folder_name": folder.name,
            "file_id": file.id,
            "tool_id": tool.id,
            "tool_name": f"{mark}_tool",
            "identity_id": identity.id,
            "conversation_id": thread.id,
            "run_id": run.id,
            "step_id": step.id,
            "message_id": service.messages.list(agent.id, thread.id)[0].id,
            "model": name,
            "mcp_server_id": "nothing",
            "group_id": "nothing",
        }

    def token(
        self, rights: Rights, agent: str | None = None, user: str | None = None
    ) -> dict[str, str]:
        """Make a token and return the header that carries it; its name is `last`."""
        self._made += 1
        self.last = f"token {self._made}"
        _, token = self.service.tokens.create(self.last, rights, agent=agent, user=user)
        return {"Authorization": f"Bearer {token}"}

    def operations(self) -> Iterator[tuple[str, str, str]]:
        """Yield id, method and path of all that the server does and does not leave out."""
        for path, methods in self.document["paths"].items():
            for method, one in methods.items():
                if "left out" not in one["tags"] and path not in OPEN:
                    yield one["operationId"], method, path

    def ask(
        self, method: str, path: str, who: dict[str, str], has: dict[str, str]
    ) -> httpx.Response:
        """Ask for a path filled from *has*, with an empty object where there is a body."""
        filled = re.sub(r"{(\w+)}", lambda found: has[found[1]], path)
        content = (
            None if method in ("get", "delete") or "upload" in path or "import" in path else b"{}"
        )
        headers = {**who, "Content-Type": "application/json"} if content else who
        params = {"query": "bird"} if path.endswith("-memory/search") else None
        return self.web.request(method, filled, headers=headers, content=content, params=params)

    def socket(self, who: dict[str, str], agent: str, query: str = "") -> ClientConnection:
        url = f"{self.server.url.replace('http', 'ws', 1)}/v1/agents/{agent}/ws{query}"
        return connect(url, additional_headers=who)


@contextmanager
def fields(home: Path) -> Iterator[Field]:
    """Serve a project in the folder *home*, with its two agents."""
    with (
        ScriptedServer() as scripted,
        pytest.MonkeyPatch.context() as patch,
        AgentService(home) as service,
    ):
        patch.setenv("LETTA_MODEL", "openai/scripted")
        patch.setenv("OPENAI_BASE_URL", scripted.url)
        patch.setenv("OPENAI_API_KEY", "test")
        with serving(service, scripted, limits=LIMITS) as server:
            found = Field(server)
            with httpx.Client(base_url=server.url, timeout=90) as found.web:
                yield found
