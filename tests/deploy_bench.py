"""What the tests of docs/deploy share."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILES = ROOT / "docs" / "deploy"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(*command: str | Path, **options: Any) -> str:
    """Run a command, which must succeed, and return what it printed."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}"
    return done.stdout


def changed(file: str, *replacements: tuple[str, str]) -> str:
    """Return a file of docs/deploy with other places in it, each of which it names."""
    text = (FILES / file).read_text("utf-8")
    for was, becomes in replacements:
        assert was in text
        text = text.replace(was, becomes)
    return text


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as talk:
        return talk.connect_ex(("127.0.0.1", port)) == 0
