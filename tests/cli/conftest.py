"""The command line over a fresh project folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_bench import Cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in ("LETTA_HOME", "LETTA_APPROVAL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LETTA_MODEL", "demo")
    return Cli(tmp_path)
