"""A step explained over REST: what the server of the model got, and only to who may see it."""

from __future__ import annotations

import json

import httpx
from server_bench import Server


def test_a_step_is_explained_over_rest(server: Server) -> None:
    service = server.service
    ada = service.agents.create("ada")
    other = service.agents.create("bob")
    server.scripted.call("core_memory_append", {"label": "human", "content": "Likes figs."})
    server.scripted.say("Noted.")
    list(service.runs.send("ada", "I like figs."))
    [first, last] = service.steps.list(agent_id=ada.id, newest_first=False)
    with httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=60) as client:
        told = client.get(f"/steps/{first[0].id}/explain").json()
        assert client.get(f"/steps/{last[0].id}/explain").json()["said"] == "Noted."
        assert client.get("/steps/step-none/explain").status_code == 404
        _, key = service.tokens.create("bob's", "read", agent=other.id)
        refused = client.get(
            f"/steps/{first[0].id}/explain", headers={"Authorization": f"Bearer {key}"}
        )
        assert refused.status_code in (403, 404)
    assert (told["exact"], told["missing"]) == (True, [])
    assert json.loads(told["body"]) == server.scripted.requests[0]
    assert told["changes"][0]["after"] == "Likes figs."
    assert {"block", "tools", "message"} <= {part["kind"] for part in told["parts"]}
