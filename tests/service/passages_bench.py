"""What tests of superseded and forgotten passages share."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from letta_kernel.records import Passage
from letta_kernel.service import AgentService

ZONE = "America/New_York"


def keep(service: AgentService, text: str, agent: str = "ada", **more: Any) -> Passage:
    return service.passages.create(text, agent=agent, **more)[0]


def found(service: AgentService, query: str, agent: str = "ada", **more: Any) -> list[str]:
    return [hit.passage.content for hit in service.passages.search(query, agent=agent, **more)]


def listed(service: AgentService, **more: Any) -> list[Passage]:
    return service.passages.list("ada", 100, **more)


def home_of(service: AgentService) -> Path:
    return service.database.home


def where(service: AgentService, text: str) -> list[str]:
    """The files of the project in which the text can be read."""
    found = []
    for path in home_of(service).rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # some come and go
            if text.encode() in path.read_bytes():
                found.append(path.name)
    return found
