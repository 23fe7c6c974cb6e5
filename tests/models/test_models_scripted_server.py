"""The scripted server itself: what other tests believe of it must be true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from scripted_server import ScriptedServer

BODY = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "stream": True}
USAGE = {"stream_options": {"include_usage": True}}


def post(server: ScriptedServer, **more: object) -> httpx.Response:
    url = f"{server.url}/chat/completions"
    return httpx.post(url, json={**BODY, **more}, trust_env=False, timeout=60)


def chunks(response: httpx.Response) -> list[dict]:
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_streams_text_in_pieces_with_usage_and_finish(scripted: ScriptedServer) -> None:
    scripted.say("Hello there")
    found = chunks(post(scripted, **USAGE))
    texts = [c["choices"][0]["delta"].get("content") for c in found if c["choices"]]
    assert "".join(t for t in texts if t) == "Hello there"
    assert len([t for t in texts if t]) == 4
    assert found[-2]["choices"][0]["finish_reason"] == "stop"
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] > 0
    assert scripted.requests[0]["messages"] == BODY["messages"]


def test_calls_interleave(scripted: ScriptedServer) -> None:
    scripted.calls([("add", {"first": 1, "second": 2}), ("join", {"words": "a b c"})])
    found = chunks(post(scripted))
    deltas = [
        d for c in found if c["choices"] for d in c["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert [d["index"] for d in deltas][:6] == [0, 1, 0, 1, 0, 1]
    whole = "".join(d["function"]["arguments"] for d in deltas if d["index"] == 1)
    assert json.loads(whole) == {"words": "a b c"}


def test_answers_done_when_nothing_is_queued_and_without_streaming(
    scripted: ScriptedServer,
) -> None:
    answer = post(scripted, stream=False).json()
    assert answer["choices"][0]["message"]["content"] == "Done."


def test_faults_and_models(scripted: ScriptedServer) -> None:
    scripted.fault(429, headers={"Retry-After": "7"}, message="slow down")
    scripted.overflow("anthropic")
    first, second = post(scripted), post(scripted)
    assert (first.status_code, first.headers["retry-after"]) == (429, "7")
    assert first.json()["error"]["message"] == "slow down"
    assert "prompt is too long" in second.text
    models = httpx.get(f"{scripted.url}/models", trust_env=False, timeout=60).json()
    assert models["data"][0]["id"] == "scripted"


def test_sees_at_once_that_the_client_went(scripted: ScriptedServer) -> None:
    scripted.hang(30)
    scripted.hang_mid_stream(30)
    for _ in range(2):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{scripted.url}/chat/completions", json=BODY, timeout=0.2, trust_env=False)
    for record in scripted.received:
        assert record.over.wait(20)
        assert record.disconnected


def test_truncates(scripted: ScriptedServer) -> None:
    scripted.truncate()
    scripted.truncate(how="abort")
    assert "[DONE]" not in post(scripted).text
    with pytest.raises(httpx.RemoteProtocolError):
        post(scripted)


def test_as_a_process(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"say": "Hello"}, {"calls": [["add", {"a": 1}]]}]))
    program = Path(__file__).parent.parent / "scripted_server.py"
    process = subprocess.Popen(
        [sys.executable, str(program), "--script", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        say = httpx.post(
            f"{url}/chat/completions", json={"messages": []}, trust_env=False, timeout=60
        ).json()
        assert say["choices"][0]["message"]["content"] == "Hello"
        call = httpx.post(
            f"{url}/chat/completions", json={"messages": []}, trust_env=False, timeout=60
        ).json()
        assert call["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "add"
        root = url.removesuffix("/v1")
        httpx.post(f"{root}/script", json=[{"say": "More"}], trust_env=False, timeout=60)
        more = httpx.post(
            f"{url}/chat/completions", json={"messages": []}, trust_env=False, timeout=60
        ).json()
        assert more["choices"][0]["message"]["content"] == "More"
        assert len(httpx.get(f"{root}/requests", trust_env=False, timeout=60).json()) == 3
    finally:
        process.terminate()
        process.wait(20)


def test_waits_between_pieces() -> None:
    with ScriptedServer(delay=0.05) as server:
        server.say("slowly", pieces=3)
        begun = time.monotonic()
        post(server)
        assert time.monotonic() - begun >= 0.2
