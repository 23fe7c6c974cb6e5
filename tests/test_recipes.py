"""CONTRIBUTING's recipes, followed step by step in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import letta_kernel

PACKAGE = Path(letta_kernel.__file__).parent
TEXT = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
STEP = re.compile(
    r"(?:In|A new) `(?P<path>[^`]+)`(?:, (?P<how>above|instead of) `(?P<line>[^`]+)`)?:\n\n"
    r"```(?:python|text)\n(?P<code>.*?)```",
    re.DOTALL,
)


def follow(recipe: str, where: Path) -> None:
    """Do what a recipe says to a copy of the package in *where*."""
    shutil.copytree(
        PACKAGE,
        where / "letta_kernel",
        ignore=shutil.ignore_patterns("labextension", "__pycache__"),
    )
    section = TEXT.split(f"\n## {recipe}\n", 1)[1].split("\n## ", 1)[0]
    steps = list(STEP.finditer(" ".join(section.split(" "))))
    assert steps, f"{recipe} has no steps"
    for step in steps:
        path, code = where / step["path"], step["code"]
        if step["how"] is None:
            assert not path.exists()
            path.write_text(code, "utf-8")
            continue
        text, line = path.read_text("utf-8"), step["line"]
        if step["how"] == "above":
            code, line = f"\n{code}{line}", f"\n{line}"
        else:
            code = code.strip()
        assert text.count(line) == 1, f"{line!r} stands {text.count(line)} times in {path}"
        path.write_text(text.replace(line, code), "utf-8")


def python(where: Path, code: str) -> str:
    """Run *code* with the copy, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(where), "LETTA_HOME": str(where / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_built_in_tool_more(tmp_path: Path) -> None:
    follow("A built-in tool more", tmp_path)
    said = python(
        tmp_path,
        "from letta_kernel.service import AgentService\n"
        "with AgentService() as service:\n"
        "    service.agents.create(name='ada')\n"
        "    tool = service.tools.attach('roll_dice', agent='ada')\n"
        "    print(tool.parameters['properties']['sides']['description'])\n"
        "    print(service.tools.run('roll_dice', {'sides': 1}, agent='ada').text)\n",
    )
    assert said.split("\n")[:2] == ["How many sides it has.", "1"]


def test_a_route_more(tmp_path: Path) -> None:
    follow("A route more", tmp_path)
    said = python(
        tmp_path,
        "from fastapi.testclient import TestClient\n"
        "from letta_kernel.server.app import create_app\n"
        "from letta_kernel.service import AgentService\n"
        "with AgentService() as service:\n"
        "    service.agents.create(name='ada')\n"
        "    with TestClient(create_app(service, token=None), base_url='http://127.0.0.1') as client:\n"
        "        print(client.get('/v1/counts').json())\n"
        "        print('/v1/counts' in client.get('/openapi.json').json()['paths'])\n",
    )
    assert said == "{'agents': 1}\nTrue\n"
