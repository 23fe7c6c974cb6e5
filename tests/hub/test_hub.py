"""The recipe of docs/hub: users of a real JupyterHub, their agents, and agents that they share.

In one module, so that each hub is started once. At the end ``/letta/`` of users' servers under the hub's
authentication: by token, by cookie, by WebSocket.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_bench import PATIENCE, Hub, User, until
from scripted_server import ScriptedServer
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

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
    until(lambda: "ann/ada" in bob.run("%agent list"), running)
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
    running: Hub, ann: User, bob: User, server: ScriptedServer
) -> None:
    ann.run("%agent new slow")
    ann.run("%agent grant slow bob talk")
    until(lambda: "ann/slow" in bob.run("%agent list"), running)
    server.say("This takes a very long time.", pieces=20, delay=0.5)
    ended = bob.notebook().stop_at("%%agent ann/slow\nTell me.", "This")
    assert ended == "Stopped; what was said and done so far is kept."
    found = ann.get("/letta/v1/runs").json()[0]
    assert found["stop_reason"] == "cancelled"


def test_a_service_that_is_killed_in_the_middle_is_a_line_and_the_talk_goes_on(
    running: Hub, ann: User, bob: User, server: ScriptedServer
) -> None:
    ann.run("%agent new lasting")
    ann.run("%agent grant lasting bob talk")
    until(lambda: "ann/lasting" in bob.run("%agent list"), running)
    server.say("This takes a very long time.", pieces=20, delay=0.5)
    ended = bob.notebook().stop_at("%%agent ann/lasting\nTell me.", "This", running.end_service)
    assert ended.count("\n") == 0
    assert "ann/lasting" in ended
    known = ("LETTA_SERVER", "history of ann/lasting", "try again")
    assert any(one in ended for one in known), ended
    server.forget()
    until(lambda: "ann/lasting" in bob.run("%agent list"), running)  # the hub has started it anew
    # What the run held is free once its process is known to be gone.
    server.say("Where were we?")
    assert "Where were we?" in bob.run("%%agent ann/lasting\nThere you are.")


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
    until(lambda: "ann/counted" in bob.run("%agent list"), running)
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
    # With PostgreSQL, what is no row is in a folder of the service's for each user.
    found = [running.folder / one for one in ("people", "state", "state/service")]
    for top in filter(Path.exists, found):
        # What lies in a closed folder is closed, whatever its own mode.
        opened = [one for one in (top, *top.iterdir()) if one.stat().st_mode & 0o077]
        assert opened == []


# -- a user's own server ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def agents(ann: User) -> str:
    """Where ann's agents are served, with one in it."""
    url = f"{ann.url}/letta/v1/agents"
    made = httpx.post(url, headers=ann.headers, json={"name": "eve"}, timeout=PATIENCE)
    assert made.is_success, made.text
    return url


def names(found: httpx.Response) -> list[str]:
    assert found.is_success, (found.status_code, found.text[:500])
    return [str(one["name"]) for one in found.json()]


def socket_of(user: User, **options: Any) -> Any:
    url = f"{user.url.replace('http', 'ws', 1)}/letta/v1/agents/eve/ws"
    return connect(url, open_timeout=PATIENCE, **options)


def test_a_token_of_the_user_comes_in_and_another_user_s_does_not(
    ann: User, bob: User, running: Hub, agents: str
) -> None:
    for headers in (ann.headers, {"Authorization": f"Bearer {ann.token}"}):
        found = httpx.get(agents, headers=headers, timeout=PATIENCE)
        assert "eve" in names(found)
    for headers in (bob.headers, {"Authorization": "token nobody"}, {}):
        refused = httpx.get(agents, headers=headers, timeout=PATIENCE)
        assert refused.status_code == 403, refused.text
        assert "eve" not in refused.text
        refused = httpx.post(agents, headers=headers, json={"name": "x"}, timeout=PATIENCE)
        assert refused.status_code == 403, refused.text
    narrow = running.token("ann", "read:users!user=ann")
    refused = httpx.get(agents, headers={"Authorization": f"token {narrow}"}, timeout=PATIENCE)
    assert refused.status_code == 403


def test_a_page_comes_in_by_cookie_and_writes_with_its_xsrf_token_alone(
    ann: User, bob: User, agents: str
) -> None:
    page = ann.page()
    path = httpx.URL(agents).path
    assert "eve" in names(page.get(path))
    block = {"label": "note", "value": "by a page"}
    blocks = path.replace("/agents", "/blocks")
    refused = page.post(blocks, json=block)
    assert refused.status_code == 403, refused.text
    token = next(
        one.value for one in page.cookies.jar if one.name == "_xsrf" and one.path == "/user/ann/"
    )
    made = page.post(blocks, json=block, headers={"X-XSRFToken": str(token)})
    assert made.is_success, made.text
    wrong = page.post(blocks, json=block, headers={"X-XSRFToken": str(token)[:-4] + "AAAA"})
    assert wrong.status_code == 403
    other = bob.page()
    refused = other.get(path)
    assert "eve" not in refused.text
    assert not other.get(path, follow_redirects=False).is_success


def test_a_websocket_is_joined_by_those_who_may(
    ann: User, bob: User, server: ScriptedServer, agents: str
) -> None:
    server.say("By the socket.")
    with socket_of(ann, additional_headers=ann.headers) as socket:
        hello = json.loads(socket.recv(timeout=PATIENCE))
        assert hello["agent_name"] == "eve"
        socket.send(json.dumps({"type": "send", "id": "1", "text": "Hello."}))
        kinds = []
        while "run_ended" not in kinds:
            told = json.loads(socket.recv(timeout=PATIENCE))
            kinds.append(told.get("event", {}).get("type"))
    for headers in (bob.headers, {}, {"Authorization": "token nobody"}):
        with pytest.raises(InvalidStatus) as refused, socket_of(ann, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
    page = ann.page()
    page.get(httpx.URL(agents).path)
    cookies = "; ".join(f"{one.name}={one.value}" for one in page.cookies.jar)
    foreign = {"Cookie": cookies, "Origin": "http://evil.example"}
    with pytest.raises(InvalidStatus) as refused, socket_of(ann, additional_headers=foreign):
        pass
    assert refused.value.response.status_code == 403


def test_what_a_helper_does_at_a_user_s_server_is_written_down_as_theirs(
    ann: User, running: Hub, agents: str
) -> None:
    kim = {"Authorization": f"token {running.token('kim')}"}
    blocks = agents.replace("/agents", "/blocks")
    for headers, name in ((kim, "kim"), (ann.headers, "ann")):
        asked = {"label": "by", "value": name}
        made = httpx.post(blocks, headers=headers, json=asked, timeout=PATIENCE)
        assert made.json()["created_by_id"] == name, made.text
