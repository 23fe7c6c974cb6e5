"""A project in PostgreSQL is copied and put back by the commands that are named: its agents talk on."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from postgres import Cluster, programs, project
from scripted_server import ScriptedServer

from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.messages import RunEnded
from letta_kernel.service import AgentService
from letta_kernel.store import migrations

CLEARED = "DELETE FROM {0}.access_tokens; DELETE FROM {0}.grants"
"""As docs/how-to/deploy.md has it: what was revoked since the copy must not come back."""


def perform(command: str) -> None:
    words = shlex.split(command)
    environment = {**os.environ, "PATH": f"{programs()}:{os.environ['PATH']}"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def named(service: AgentService, path: Path) -> tuple[str, str]:
    """Return what `letta-kernel backup` and `restore` say is to be run."""
    with pytest.raises(InvalidInputError) as backup:
        service.store.backup(path)
    with pytest.raises(InvalidInputError) as restore:
        service.store.restore(path)
    found = [
        re.search(rf"({program} .*?)(?: \(the password|, puts| puts)", str(said.value))
        for program, said in (("pg_dump", backup), ("pg_restore", restore))
    ]
    assert found[0] is not None, backup.value
    assert found[1] is not None, restore.value
    return found[0][1], found[1][1]


def said(service: AgentService, text: str) -> RunEnded:
    events = list(service.runs.send("ada", text))
    assert isinstance(events[-1], RunEnded)
    assert events[-1].error is None
    return events[-1]


@pytest.mark.slow
def test_a_copy_is_put_back_and_the_agent_talks_on(
    cluster: Cluster, scripted: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_SECRET_KEY", "the key is nowhere in the copy")
    name, copy = project(), tmp_path / "ada.dump"
    url = cluster.url(name)
    with AgentService(tmp_path / "home", store=url) as service:
        secret = {"environment": {"API_KEY": "hunter2hunter2"}}
        service.agents.create("ada", model="openai/scripted", settings=secret)
        service.passages.create("The tea is in the blue tin.", agent="ada")
        scripted.say("Jasmine it is.")
        said(service, "I like jasmine tea.")
        service.tokens.create("old", "read")
        backup, restore = named(service, copy)
        perform(backup)
        # What comes after the copy goes when it is put back.
        said(service, "Forget that.")
        service.agents.create("bob")
        service.passages.create("This is of later.", agent="ada")
    perform(restore)
    with cluster.connect() as connection:
        connection.execute(CLEARED.format(name))
    with AgentService(tmp_path / "home", store=url) as service:
        assert service.store.check(repair=True)
        assert [one.name for one in service.agents.list()] == ["ada"]
        assert service.tokens.list() == []
        assert [one.content for one in service.passages.list("ada")] == [
            "The tea is in the blue tin."
        ]
        assert "blue tin" in str(service.passages.search("tea", agent="ada"))
        assert service.agents.retrieve("ada").settings["environment"] == secret["environment"]
        scripted.say("Tea.")
        said(service, "What do I like?")
        assert "I like jasmine tea." in str(scripted.requests[-1]["messages"])
    # In another database, where its schema is made first.
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}_other")
    with cluster.connect(f"{name}_other") as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    perform(restore.replace("dbname=postgres", f"dbname={name}_other"))
    other = cluster.url(name, database=f"{name}_other")
    with AgentService(tmp_path / "other", store=other) as service:
        said(service, "And now?")
    monkeypatch.setenv("LETTA_SECRET_KEY", "some other key that is long enough")
    with AgentService(tmp_path / "third", store=other) as service:
        said(service, "And without the key?")


def test_an_older_program_says_that_the_rows_are_of_a_newer_one(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = cluster.url(project())
    with AgentService(tmp_path / "home", store=url) as service:
        service.agents.create("ada")
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:-1])
    with (
        AgentService(tmp_path / "home", store=url) as service,
        pytest.raises(StoreError, match="was written by a newer letta-kernel"),
    ):
        service.agents.list()
