"""The recipe of docs/hub: users of a real JupyterHub, their agents, and agents that they share."""

from __future__ import annotations

import httpx
import pytest
from hub_bench import PATIENCE, Hub, User
from scripted_server import ScriptedServer

pytestmark = pytest.mark.slow


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_kernels_run_behind_the_proxy_each_with_a_project_of_its_own(
    ann: User, bob: User, server: ScriptedServer
) -> None:
    assert "Made ada" in ann.run("%agent new ada")
    server.say("Good morning, Ann.")
    assert "Good morning, Ann." in ann.run("%%agent\nHello.")
    listed = bob.run("%agent list")
    assert "ada" not in listed


def test_an_agent_that_is_granted_is_talked_to_by_another_user(
    running: Hub, ann: User, bob: User, server: ScriptedServer
) -> None:
    ann.run("%agent new ada")
    assert "bob may talk" in ann.run("%agent grant ada bob talk")
    listed = bob.run("%agent list")
    assert "ann/ada" in listed, listed
    chosen = bob.run("%agent use ann/ada")
    assert "ann and whoever runs the server can read it" in chosen
    assert "Whoever keeps or teaches this server sees how many runs you begin" in chosen
    server.say("Good morning, Bob.")
    assert "Good morning, Bob." in bob.run("%%agent\nHello.")
    # It is in ann's project, under bob's name; in the agent's own thread stands what ann said alone.
    found = ann.get("/letta/v1/conversations?agent_id=ada").json()
    assert [one["created_by_id"] for one in found] == ["bob"]
    assert "Good morning, Bob." not in ann.run("%agent history")
    ann.run("%agent revoke ada bob")
    refused = bob.run("%%agent\nAnd now?")
    assert "There is no agent 'ann/ada'" in refused, refused


def test_the_stop_button_ends_the_run_at_the_service(
    ann: User, bob: User, server: ScriptedServer
) -> None:
    ann.run("%agent new slow")
    ann.run("%agent grant slow bob talk")
    server.say("This takes a very long time.", pieces=20, delay=0.5)
    ended = bob.notebook().stop_at("%%agent ann/slow\nTell me.", "This")
    assert ended == "Stopped; what was said and done so far is kept."
    found = ann.get("/letta/v1/runs").json()[0]
    assert found["stop_reason"] == "cancelled"


def test_the_service_knows_users_by_the_hub_s_tokens_and_their_scopes(
    running: Hub, ann: User, bob: User
) -> None:
    me = f"{running.letta}/v1/me"
    for user in (ann, bob):
        found = httpx.get(me, headers=bearer(user.token), timeout=PATIENCE).json()
        assert (found["user"], found["owner"], found["teach"]) == (user.name, True, False)
    for bad in ("nobody", running.token("bob", "read:users!user=bob")):
        assert httpx.get(me, headers=bearer(bad), timeout=PATIENCE).status_code == 401
    page = bob.page()
    assert page.get("/services/letta/v1/me").status_code == 401  # a cookie is none


def test_who_teaches_sees_what_everybody_uses_and_nothing_that_was_said(
    running: Hub, ann: User, bob: User, server: ScriptedServer
) -> None:
    ann.run("%agent new counted")
    ann.run("%agent grant counted bob talk")
    server.say("A secret of theirs.")
    assert "A secret of theirs." in bob.run("%%agent ann/counted\nHello.")
    tess = running.token("tess")
    usage = f"{running.letta}/v1/people/usage"
    found = httpx.get(usage, headers=bearer(tess), timeout=PATIENCE)
    assert found.status_code == 200, found.text
    assert any(one["person"] == "bob" and one["runs"] for one in found.json())
    assert "secret" not in found.text
    assert httpx.get(usage, headers=bearer(bob.token), timeout=PATIENCE).status_code == 403


def test_nobody_else_of_the_machine_reads_a_user_s_files(running: Hub, ann: User) -> None:
    ann.run("%agent new ada")
    for place in ("people", "state"):
        top = running.folder / place
        # What lies in a closed folder is closed, whatever its own mode.
        opened = [one for one in (top, *top.iterdir()) if one.stat().st_mode & 0o077]
        assert opened == []
