"""Servers as processes of their own, over one store and the scripted model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from letta_client import Letta
from scripted_server import ScriptedServer

TOKEN = "a-token-of-the-fleet"


@dataclass
class Member:
    """One server of several."""

    url: str
    process: subprocess.Popen[str]

    def client(self, **options: Any) -> Letta:
        return Letta(base_url=self.url, api_key=TOKEN, **{"max_retries": 0, **options})

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=self.headers, timeout=60)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    def end(self) -> int:
        """Ask it to end as a supervisor does, and return what it ended with."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)


@contextmanager
def member(home: Path, scripted: ScriptedServer, **environment: str) -> Iterator[Member]:
    """Start a server of the project in *home*, and end it with the block if it still goes on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "letta_kernel.cli", "serve", "--json", "--port", "0"],
        env={
            **os.environ,
            "LETTA_HOME": str(home),
            "LETTA_SERVER_TOKEN": TOKEN,
            "LETTA_MODEL": "openai/scripted",
            "OPENAI_API_KEY": "test",
            "OPENAI_BASE_URL": scripted.url,
            **environment,
        },
        cwd=home.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield Member(json.loads(line)["url"], process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@contextmanager
def members(
    count: int, home: Path, scripted: ScriptedServer, **environment: str
) -> Iterator[list[Member]]:
    """Start several servers of one project."""
    with ExitStack() as stack:
        yield [stack.enter_context(member(home, scripted, **environment)) for _ in range(count)]
