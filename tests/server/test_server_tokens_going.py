"""What goes on with a token: on sockets, how much at a time, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from server_bench import until
from token_field import Field
from websockets.exceptions import ConnectionClosed, InvalidStatus

from letta_kernel.errors import ConflictError, InvalidInputError
from letta_kernel.server.authorization import Authenticator
from letta_kernel.server.request_limits import TokenLimits
from letta_kernel.store.lock import HomeLock


def test_sockets_need_what_is_said_on_them(field: Field) -> None:
    with field.socket(field.token("read", "ada"), "ada") as reader:
        assert json.loads(reader.recv(90))["agent_name"] == "ada"
        for said in ({"type": "send", "text": "x"}, {"type": "cancel"}):
            reader.send(json.dumps({"id": "1", **said}))
            told = json.loads(reader.recv(90))
            assert told["message"] == "This token may read, not talk."
        reader.send('{"type": "ping", "id": "2"}')
        assert json.loads(reader.recv(90))["type"] == "pong"
    with field.socket({}, "bob") as other:  # by the first message
        token = field.token("write", "ada")["Authorization"].removeprefix("Bearer ")
        other.send(json.dumps({"type": "auth", "token": token}))
        with pytest.raises(ConnectionClosed) as closed:
            other.recv(90)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "agent-" in closed.value.rcvd.reason) == (4404, False)
    with field.socket(field.token("talk"), "bob") as talker:
        talker.recv(90)
        field.scripted.say("Heard.")
        talker.send('{"type": "send", "id": "1", "text": "Hello"}')
        kinds: list[str] = []
        while "run_ended" not in kinds:
            message = json.loads(talker.recv(90))
            kinds.append(message.get("event", message)["type"])
        assert "ack" in kinds


def revoke(field: Field, name: str) -> None:
    field.service.tokens.revoke(name)


def expire(field: Field, name: str) -> None:
    field.service.database.run(
        lambda tx: tx.execute(
            "UPDATE access_tokens SET expires_at = TIMESTAMPTZ '2020-01-01 00:00:00Z' WHERE name = $1",
            (name,),
        )
    )


@pytest.mark.parametrize("end", [revoke, expire])
def test_a_token_that_ends_takes_what_is_open_with_it(
    field: Field, end: Callable[[Field, str], None]
) -> None:
    who, bob = field.token("talk", "bob"), field.bob["agent_id"]
    path, asked = f"/v1/agents/{bob}/messages", {"input": "Wait", "stream_tokens": True}
    field.scripted.hang_mid_stream(600)
    with ExitStack() as stack:
        socket = stack.enter_context(field.socket(who, "bob"))
        socket.recv(90)
        stream = stack.enter_context(
            field.web.stream("POST", f"{path}/stream", headers=who, json=asked)
        )
        lines = stream.iter_lines()
        assert "Half" in next(line for line in lines if "content" in line)
        end(field, field.last)
        assert "revoked, or has expired" in list(lines)[-2]
        with pytest.raises(ConnectionClosed):
            list(socket)  # what it heard of the run, until it is closed
        assert socket.close_code == 4401
    assert field.web.get("/v1/agents", headers=who).status_code == 401
    field.web.post(f"{path}/cancel", headers=field.server.headers)
    until(lambda: not field.service.runs.list(agent_ids=[bob], statuses=["running"]))
    # The next holder is let in at once, and it is noted, to the hour.
    next_one = field.token("read")
    assert field.web.get("/v1/agents", headers=next_one).status_code == 200
    until(lambda: field.service.tokens.list()[-1].used_at is not None)
    used = field.service.tokens.list()[-1].used_at
    assert used is not None
    assert (used.minute, used.second) == (0, 0)


def test_one_token_has_its_share_and_the_owner_the_rest(field: Field) -> None:
    who, ada = field.token("talk"), field.ada["agent_id"]
    threads = [field.service.conversations.create(ada).id for _ in range(5)]
    asked = {"input": "Wait", "stream_tokens": True, "streaming": True}
    heard = len(field.scripted.requests)
    with ExitStack() as stack:
        for thread in threads[:2]:
            field.scripted.hang_mid_stream(600)
            path = f"/v1/conversations/{thread}/messages"
            stream = stack.enter_context(field.web.stream("POST", path, headers=who, json=asked))
            assert stream.status_code == 200
        until(lambda: len(field.scripted.requests) == heard + 2)
        busy = field.web.post(f"/v1/conversations/{threads[2]}/messages", headers=who, json=asked)
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
        assert busy.json() == {
            "detail": "2 streams go on with this token, as many as may.",
            "page": "server-busy",
        }
        words = {"model": "bob", "messages": [{"role": "user", "content": "x"}]}
        busy = field.web.post("/v1/chat/completions", headers=who, json=words)
        assert busy.status_code == 429
        assert "2 streams" in busy.json()["error"]["message"]
        # Runs in the background count with those that are followed.
        field.scripted.hang_mid_stream(600)
        background = f"/v1/agents/{field.bob['agent_id']}/messages/async"
        assert field.web.post(background, headers=who, json={"input": "x"}).status_code == 200
        busy = field.web.post(background, headers=who, json={"input": "x"})
        assert (busy.status_code, "3 runs" in busy.text) == (429, True)
        for _ in range(2):
            stack.enter_context(field.socket(who, "ada"))
        with pytest.raises(InvalidStatus) as refused:
            stack.enter_context(field.socket(who, "ada"))
        assert refused.value.response.status_code == 429
        # A socket that shows its token late is closed; another token, and the owner, have their own.
        late = stack.enter_context(field.socket({}, "ada"))
        late.send(json.dumps({"type": "auth", "token": who["Authorization"].partition(" ")[2]}))
        with pytest.raises(ConnectionClosed) as closed:
            late.recv(90)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
        assert field.web.get("/v1/agents", headers=field.token("read")).status_code == 200
        stack.enter_context(field.socket(field.server.headers, "ada"))
        until(lambda: len(field.scripted.requests) == heard + 3)
        for path in (*(f"/v1/conversations/{one}" for one in threads[:2]), background[:-15]):
            cancelled = f"{path}/cancel" if "conv" in path else f"{path}/messages/cancel"
            field.web.post(cancelled, headers=field.server.headers)
    again = f"/v1/conversations/{threads[3]}/messages"

    def free() -> bool:
        field.scripted.say("Free.")
        answer = field.web.post(again, headers=who, json={**asked, "streaming": False})
        return "Free." in answer.text

    until(free)
    field.scripted.forget()


def test_wrong_tokens_of_the_right_form_are_not_looked_up_in_vain(field: Field) -> None:
    for wrong in ("lk-", "lk-" + "x" * 43, "lk-" + "y" * 5000, "lk-\u00e9"):
        answer = field.web.get("/v1/agents", headers={"Authorization": f"Bearer {wrong}".encode()})  # type: ignore[dict-item]
        assert answer.status_code == 401
    for change, error in (
        ({"name": " "}, InvalidInputError),
        ({"name": "a\nb"}, InvalidInputError),
        ({"name": "x", "rights": "all"}, InvalidInputError),
    ):
        with pytest.raises(error):
            field.service.tokens.create(**change)  # type: ignore[arg-type]
    field.service.tokens.create("once")
    with pytest.raises(ConflictError):
        field.service.tokens.create("once")
    gone = field.service.agents.create("eve")
    who = field.token("read", gone.id)
    assert field.web.get("/v1/agents", headers=who).json()[0]["name"] == "eve"
    field.service.agents.delete(gone.id)
    assert field.web.get("/v1/agents", headers=who).status_code == 401


@pytest.mark.duckdb
@pytest.mark.parametrize("made", [False, True], ids=["none is", "one is right"])
def test_while_the_store_is_not_to_be_had_nobody_queues_and_strangers_learn_nothing(
    field: Field, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, made: bool
) -> None:
    right = field.token("read")["Authorization"].partition(" ")[2]
    lock = HomeLock(field.service.home)

    async def come() -> list[Any]:
        """Let many come, and the store be free again once the first of them is answered."""
        known = Authenticator("owner", field.service, TokenLimits())
        given = [f"lk-{number}" for number in range(8)] + ([right] if made else [])
        lock.acquire(60)
        try:
            tasks = [asyncio.ensure_future(known.who(one)) for one in given]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lock.release()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert await known.who("lk-none") is None  # what failed is not kept
        found = await known.who(right)
        assert found is not None
        assert found.name == field.last
        return answers

    monkeypatch.setenv("LETTA_STORE_WAIT", "0.5")
    for answer in asyncio.run(come()):
        assert str(answer) == "The tokens cannot be read now: try again later."
    assert f"the tokens cannot be read: {field.service.home}" in caplog.text
    if made:  # a wrong one and a right one, over HTTP
        lock.acquire(60)
        try:
            for token in ("lk-x", right):
                os.utime(field.service.home / "letta.duckdb")
                answer = field.web.get("/v1/agents", headers={"Authorization": f"Bearer {token}"})
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.json() == {
                    "detail": "The tokens cannot be read now: try again later.",
                    "page": "store-in-use",
                }
        finally:
            lock.release()
