"""Persons, set up at the terminal: each with a project in a folder, a token, quotas."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import httpx
import pytest
from cli_bench import Cli
from test_cli_serve import serving

from letta_kernel.service import AgentService
from letta_kernel.service.homes import FolderHomes


def test_persons_are_entered_bounded_served_and_removed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "course")
    assert "Nobody is entered" in cli.fails("people", "list", "--people", where)
    assert not Path(where).exists(), "looking makes nothing"
    assert "Say where the persons are" in cli.fails("people", "token", "ann")
    # Without a place it is about those with tokens of this project.
    assert "There is no project" in cli.fails("people", "list")
    with AgentService(cli.folder / ".letta") as service:
        service.agents.create("ada")
    assert "bob may use 5 tokens" in cli("people", "quota", "bob", "--tokens", "5").stdout
    assert [one["name"] for one in cli.json("people", "list")] == ["bob"]
    assert "any tokens" in cli("people", "quota", "bob", "--none").stdout
    assert cli.json("people", "list") == []
    assert "cannot be called" in cli.fails("people", "add", "../ann", "--people", where)
    ann = cli.json("people", "add", "ann", "--people", where)
    assert ann["token"].startswith("lk-")
    assert "already" in cli.fails("people", "add", "ann", "--people", where)
    tess = cli.json("people", "add", "tess", "--people", where)
    teach = cli.json("people", "token", "tess", "--teach", "--rights", "read", "--people", where)
    assert "no person 'an'. Did you mean 'ann'" in cli.fails(
        "people", "quota", "an", "--runs", "1", "--people", where
    )
    said = cli("people", "quota", "ann", "--tokens", "5000", "--people", where).stdout
    assert "5,000 tokens and any dollars a day, with any runs at once" in said
    named = tmp_path / "people"  # a database's URL may hold a password: not for the command line
    named.write_text(f"{where}\n")
    named.chmod(0o600)
    monkeypatch.setenv("LETTA_PEOPLE_FILE", str(named))
    with serving(cli, "--port", "0", "--json") as process:
        assert process.stdout is not None
        begun = json.loads(process.stdout.readline())
        with httpx.Client(base_url=begun["url"], timeout=60) as web:

            def ask(token: str, path: str, **asked: str) -> httpx.Response:
                headers = {"Authorization": f"Bearer {token}"}
                if asked:
                    return web.post(path, headers=headers, json=asked)
                return web.get(path, headers=headers)

            made = ask(ann["token"], "/v1/agents", name="ada", model="demo").json()
            assert made["created_by_id"] == "ann"
            told = ask(ann["token"], f"/v1/agents/{made['id']}/messages", input="hi")
            assert told.status_code == 200, told.text
            assert ask(tess["token"], "/v1/agents").json() == []
            assert ask(ann["token"], "/v1/me").json()["quota"]["tokens_a_day"] == 5000
            usage = ask(teach["token"], "/v1/people/usage").json()
            assert [(one["person"], one["runs"]) for one in usage] == [("ann", 1)]
            cli("people", "revoke", teach["name"], "--people", where)
            assert ask(begun["token"], "/v1/agents").status_code == 403
    [day] = cli.json("people", "report", "--people", where)
    assert (day["person"], day["runs"]) == ("ann", 1)
    rows = list(csv.reader(io.StringIO(cli("people", "report", "--csv", "--people", where).stdout)))
    assert rows[0] == ["day", "person", "runs", "tokens", "dollars"]
    assert rows[1][1:3] == ["ann", "1"]
    people = {one["name"]: one for one in cli.json("people", "list", "--people", where)}
    assert people["ann"]["used_today"]["tokens"] > 0
    asked = cli.fails("people", "remove", "ann", "--people", where)
    assert "1 agents are lost for good (ada)" in asked
    assert FolderHomes(Path(where)).exists()
    assert (Path(where) / "ann").exists()
    cli("people", "remove", "ann", "--yes", "--people", where)
    assert not (Path(where) / "ann").exists()
    assert [one["name"] for one in cli.json("people", "list", "--people", where)] == ["tess"]
