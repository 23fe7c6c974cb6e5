"""The command line as a process of its own, over one project folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
from forks import run_command

PROGRAM = [sys.executable, "-m", "letta_kernel.cli"]


class Cli:
    """Runs ``letta-kernel`` in *folder*; ``home`` is the project in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".letta"

    def __call__(
        self, *words: str, code: int | None = 0, given: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        everything = {**os.environ, **environment}
        done = run_command(list(words), str(self.folder), given or "", everything)
        assert code in (None, done.returncode), (words, done.returncode, done.stdout, done.stderr)
        return done

    def out(self, *words: str, **options: Any) -> str:
        return self(*words, **options).stdout

    def json(self, *words: str, **options: Any) -> Any:
        return json.loads(self(*words, "--json", **options).stdout)

    def fails(self, *words: str, code: int = 1, **options: Any) -> str:
        """Run what must go wrong with one line on stderr; return the line."""
        done = self(*words, code=code, **options)
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def terminal(self, *words: str, **environment: str) -> pexpect.spawn:
        return pexpect.spawn(
            PROGRAM[0],
            [*PROGRAM[1:], *words],
            cwd=str(self.folder),
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **environment},
            encoding="utf-8",
            timeout=60,
            dimensions=(40, 200),
        )
