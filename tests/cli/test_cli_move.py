"""``letta-kernel move``, as processes: what it says, how it is stopped, and how it goes on."""

from __future__ import annotations

import os
import signal
import subprocess

import duckdb
import pytest
from cli_bench import PROGRAM, Cli

pytestmark = pytest.mark.duckdb


def test_a_project_moves_and_comes_back(cli: Cli) -> None:
    cli("agent", "new", "ada")
    new = cli.folder / "elsewhere" / "new"
    planned = cli.json("move", "--to", str(new), "--dry-run")
    assert planned["rows"] > 10
    assert planned["there"] == "nothing"
    assert "agents\t1\n" in cli.out("move", "--to", str(new), "--dry-run")
    assert not new.exists()
    assert "--to" in cli.fails("move")
    done = cli("move", "--to", str(new))
    assert f"Moved {planned['rows']} rows to {new} in " in done.stdout
    assert "Set LETTA_HOME to that to go on there." in done.stdout
    assert "The search index is made anew" in done.stderr
    assert "ada" in cli.out("agent", "list", "--home", str(new))
    assert "ada" in cli.out("agent", "list")
    said = cli.fails("agent", "new", "bob")
    assert f"moved to {new} on " in said
    assert "letta-kernel move --back" in said
    cli("agent", "new", "bob", LETTA_HOME=str(new))
    assert "add --yes" in cli.fails("move", "--back")
    assert "can be written again" in cli.out("move", "--back", "--yes")
    cli("agent", "new", "carl")
    assert "There is a project in" in cli.fails("move", "--to", str(new))


def test_stopped_it_says_how_to_go_on(cli: Cli) -> None:
    cli("agent", "new", "ada")
    with duckdb.connect(cli.home / "letta.duckdb") as connection:
        connection.execute(
            "INSERT INTO passage_versions SELECT uuid()::text, 'a', 'b', i, i, NULL, NULL"
            " FROM range(300000) t(i)"
        )
    new = cli.folder / "new"
    command = [*PROGRAM, "move", "--to", str(new)]
    process = subprocess.Popen(
        command, cwd=cli.folder, env=dict(os.environ), text=True, stderr=subprocess.PIPE
    )
    while not (new / "letta.duckdb.wal").exists() and process.poll() is None:
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said == (
        f"Stopped. The project in {cli.home} is as it was; letta-kernel move --to {new} goes on.\n"
    )
    assert "rows): letta-kernel move --home" in cli.fails("agent", "list", "--home", str(new))
    cli("agent", "new", "bob")
    assert "all were compared" in cli.out("move", "--to", str(new))
    assert "bob" in cli.out("agent", "list", "--home", str(new))
