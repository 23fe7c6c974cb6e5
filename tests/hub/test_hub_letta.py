"""``/letta/`` of users' servers under the hub's authentication: by token, by cookie, by WebSocket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hub_bench import PATIENCE, Hub, User
from scripted_server import ScriptedServer
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
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
