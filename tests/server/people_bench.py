"""A server of several persons, each with a project in a folder of its own, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from scripted_server import ScriptedServer
from server_bench import running

from letta_kernel.project import FOLDER
from letta_kernel.server.app import create_app
from letta_kernel.server.people import PeopleDirectory
from letta_kernel.service.homes import REGISTRY, FolderHomes, Homes

TOKEN = "the-operators-own-token"


@dataclass
class People:
    """The server, and what a test asks of it in somebody's name."""

    url: str
    homes: Homes
    directory: PeopleDirectory
    scripted: ScriptedServer
    web: httpx.Client
    tokens: dict[str, str] = field(default_factory=dict)
    fresh: Callable[[Path], Path] | None = None  # makes an empty store quicker than the homes do

    def add(self, name: str, **how: Any) -> str:
        """Enter a person, or make a further token of theirs; return the token."""
        registry = self.directory.registry
        if name not in {one.name for one in self.directory.people.list()}:
            self.directory.people.add(name)
            if self.fresh is not None and isinstance(self.homes, FolderHomes):
                self.fresh(self.homes.root / name / FOLDER)
            self.homes.make(name)
            self.directory.refresh()
        rights = how.pop("rights", "write")
        number = len(registry.tokens.list())
        _, token = registry.tokens.create(f"{name} {number}", rights, user=name, **how)
        self.tokens.setdefault(name, token)
        return token

    def ask(self, name: str, method: str, path: str, **how: Any) -> httpx.Response:
        """Ask in the name of a person, or with a token."""
        token = self.tokens.get(name, name)
        headers = {"Authorization": f"Bearer {token}"}
        return self.web.request(method, path, headers=headers, **how)

    def agent(self, owner: str, name: str) -> str:
        """Make an agent of a person's; return its id."""
        asked = {"name": name, "model": "openai/scripted", "include_base_tools": True}
        made = self.ask(owner, "post", "/v1/agents", json=asked)
        assert made.status_code == 200, made.text
        return str(made.json()["id"])

    def grant(self, owner: str, agent: str, guest: str, *rights: str, **more: Any) -> None:
        """Grant what is another's to somebody."""
        asked = {"agent_id": agent, "user": guest, "rights": list(rights), **more}
        assert self.ask(owner, "post", "/v1/grants", json=asked).status_code == 200

    def say(self, who: str, agent: str, text: str, answer: str = "Fine.") -> httpx.Response:
        """Send a message in somebody's name, which is answered with *answer*."""
        if answer:
            self.scripted.say(answer)
        path = f"/v1/agents/{agent.replace('/', '%2F')}/messages"
        return self.ask(who, "post", path, json={"input": text})


@contextmanager
def serving_people(
    homes: Homes, scripted: ScriptedServer, fresh: Callable[[Path], Path] | None = None
) -> Iterator[People]:
    """Serve the persons of *homes*."""
    if fresh is not None and isinstance(homes, FolderHomes) and not homes.exists():
        fresh(homes.root / REGISTRY)
    directory = PeopleDirectory(homes)
    with (
        running(create_app(None, token=TOKEN, directory=directory)) as url,
        httpx.Client(base_url=url, timeout=60) as web,
    ):
        yield People(url, homes, directory, scripted, web, {"operator": TOKEN}, fresh)
