"""The table of commands: whatever stands in it is found at every door that it is for."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner
from table_bench import ADDED
from typer.main import get_command

from letta_kernel.cli.root import build
from letta_kernel.commands import GROUPS, TABLE, Command, at, reference
from letta_kernel.commands.spec import DOORS, TERMINAL_GROUPS

EVERY = [(door, name, one) for door in DOORS for name, one in at(door).items()]
NAMES = [f"{door}: {name}" for door, name, _ in EVERY]


@cache
def program() -> Any:
    return get_command(build())


@cache
def terminal_help(*words: str) -> str:
    done = CliRunner().invoke(program(), [*words, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize(("door", "name", "one"), EVERY, ids=NAMES)
def test_a_command_and_all_it_takes_are_explained(door: str, name: str, one: Command) -> None:
    assert one.group in GROUPS
    assert one.help.endswith((".", "off")), "a sentence says what it does"
    for taken in one.takes("notebook" if door == "notebook" else "terminal"):
        assert taken.takes.help, taken.key
        assert not taken.takes.help.endswith("."), taken.key


def test_percent_agent_tells_every_command_in_the_order_of_a_persons_work() -> None:
    told = reference.line_help()
    overview = reference.overview().text
    places = [told.index(f"\n{one.short('notebook')}") for one in at("notebook").values()]
    assert places == sorted(places)
    for name, one in reference.lines().items():
        assert one.short("notebook")[:60] in overview
        explained = reference.explained(name)
        assert one.help in explained
        for taken in one.takes("notebook"):
            assert taken.takes.help in explained
    titles = [overview.index(group) for group in GROUPS if f"{group}\n" in told]
    assert titles == sorted(titles)
    for name, one in at("notebook").items():
        if name.startswith("%%"):
            assert one.help in reference.cell_help(name)


def test_the_terminals_help_tells_every_command_and_option() -> None:
    first = terminal_help()
    for name, one in at("terminal").items():
        words = name.split()
        assert f" {words[0]} " in first
        if len(words) == 2:
            assert words[0] in TERMINAL_GROUPS
            assert f" {words[1]} " in terminal_help(words[0])
        told = terminal_help(*words)
        assert one.help in told
        for taken in one.takes("terminal"):
            assert taken.takes.help in told, (name, taken.key)
            for spelling in taken.spelled:
                assert spelling.split("/")[0] in told


def test_the_table_is_light() -> None:
    code = (
        "import sys, letta_kernel.commands\n"
        "heavy = ('pydantic', 'duckdb', 'numpy', 'rich', 'httpx', 'typer', 'IPython', 'ipykernel')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_that_is_added_is_at_the_terminal() -> None:
    code = f"{ADDED}\nimport sys\nfrom letta_kernel.cli import main\nsys.argv[0] = 'letta-kernel'\nmain()"

    def run(*words: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200", **environment},
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    assert "Say hello to somebody." in run("--help")
    assert "In capitals." in run("greet", "--help")
    assert run("greet", "ada", "--loud") == "HELLO ADA\n"
    assert run("greet", "ada", "--json") == '{\n  "said": "Hello ada"\n}\n'
    completing = {"_LETTA_KERNEL_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert run(**completing, COMP_WORDS="letta-kernel gre").split() == ["greet"]
    completing["COMP_CWORD"] = "2"
    assert run(**completing, COMP_WORDS="letta-kernel greet heart").split() == ["heartbeat"]


def test_a_command_that_is_added_is_in_the_list() -> None:
    known = list(TABLE)
    try:
        exec(ADDED, {"__name__": "added"})
        line = "| `%agent greet WHOM` | `letta-kernel greet WHOM` | Say hello to somebody. |"
        assert line in reference.listing()
    finally:
        TABLE[:] = known
