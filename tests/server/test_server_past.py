"""An agent's past over REST: its timeline, what it was, rewinds, forks, differences."""

from __future__ import annotations

from typing import Any

import httpx
from server_bench import Server


def test_an_agent_is_rewound_forked_and_compared(server: Server) -> None:
    ada = server.service.agents.create("ada", human="Kim")
    for text in ("One", "Two"):
        server.scripted.say(f"{text}!")
        list(server.service.runs.send("ada", text))
    with httpx.Client(base_url=f"{server.url}/v1/agents/", headers=server.headers) as web:

        def post(path: str, **asked: Any) -> Any:
            answer = web.post(path, json=asked)
            assert answer.status_code == 200, answer.text
            return answer.json()

        line = web.get(f"{ada.id}/timeline").json()
        assert [run["asked"] for run in line["runs"]] == ["Two", "One"]
        step = line["runs"][1]["steps"][0]["id"]
        then = web.get(f"{ada.id}/at/{step}").json()
        assert then["blocks"]["human"] == "Kim"
        assert then["known"] is True
        eve = post(f"{ada.id}/fork", name="eve", at=step)
        done = post(f"{ada.id}/undo")
        assert done["run_ids"] == [line["runs"][0]["id"]]
        listed = web.get(f"{ada.id}/messages").json()
        assert not [one for one in listed if one.get("content") == "Two"]
        found = web.get(f"{ada.id}/differences", params={"one": "eve"}).json()
        assert (found["said"], found["shared_messages"]) == ([[], []], 2)
        post(f"{ada.id}/redo")
        found = web.get(f"{ada.id}/differences", params={"one": "eve"}).json()
        assert len(found["said"][1]) == 2
        sides = web.get(f"{ada.id}/timeline").json()["branches"]
        assert [side["agent"] for side in sides] == ["eve"]
        assert web.get(f"{eve['id']}/timeline").json()["origin"] == "ada"
        assert web.post(f"{ada.id}/rewind", json={}).status_code == 422
        assert web.post(f"{ada.id}/rewind", json={"to": "step-00000000"}).status_code == 404
        post(f"{ada.id}/rewind", to=step)
