"""The official OpenAI client, with an agent as the model."""

from __future__ import annotations

import time

import httpx
import openai
import pytest
from server_bench import Server

from letta_kernel.records import Tool


@pytest.fixture
def ada(server: Server) -> Server:
    server.service.agents.create("ada", model="openai/scripted", human="Kim.")
    return server


def client(server: Server, prefix: str = "/openai/v1", **options: object) -> openai.OpenAI:
    settings = {"api_key": server.token, "max_retries": 0, **options}
    return openai.OpenAI(base_url=f"{server.url}{prefix}", **settings)  # type: ignore[arg-type]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_an_answer(ada: Server, prefix: str) -> None:
    ada.scripted.call("core_memory_append", {"label": "human", "content": "Likes tea."})
    ada.scripted.reason("Tea, then.", "Noted: tea.")
    answer = client(ada, prefix).chat.completions.create(
        model="ada",
        messages=[
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": "Never said."},
            {"role": "assistant", "content": "Nor this."},
            {"role": "user", "content": [{"type": "text", "text": "I like tea."}]},
        ],
        temperature=0.1,
    )
    choice = answer.choices[0]
    assert choice.message.content == "Noted: tea."
    assert choice.message.reasoning_content == "Tea, then."  # type: ignore[attr-defined]
    assert choice.finish_reason == "stop"
    assert answer.model == "ada"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    shown = str(ada.scripted.requests)
    assert "I like tea." in shown
    for unread in ("pirate", "Never said.", "Nor this."):
        assert unread not in shown
    assert "Likes tea." in ada.service.blocks.retrieve("human", agent="ada").value
    history = [m.role for m in ada.service.messages.history("ada")]
    assert history.count("user") == 1


def test_of_agents_of_one_name_the_newest_answers(ada: Server) -> None:
    older = ada.service.agents.retrieve("ada")
    newer = ada.service.agents.create("ada", model="openai/scripted", namesakes="keep")
    for model, agent in (("ada", newer), (older.id, older)):
        ada.scripted.say(f"I am {agent.id}.")
        answer = client(ada).chat.completions.create(model=model, messages=said("Who?"))
        assert answer.choices[0].message.content == f"I am {agent.id}."
        assert ada.service.messages.history(agent.id)[-1].content == f"I am {agent.id}."
    assert {model.id for model in client(ada).models.list()} == {"ada", older.id}
    assert client(ada).models.retrieve("ada").created == int(newer.created_at.timestamp())


def test_an_answer_in_heartbeat_style(ada: Server) -> None:
    ada.service.agents.update("ada", style="heartbeat")
    ada.scripted.call("send_message", {"thinking": "Hm.", "message": "Good morning."})
    answer = client(ada).chat.completions.create(model="ada", messages=said("Hello"))
    assert answer.choices[0].message.content == "Good morning."


def test_a_stream(ada: Server) -> None:
    ada.scripted.call("core_memory_append", {"label": "human", "content": "x"}, text="First.")
    ada.scripted.reason("Hm.", "Then this.")
    chunks = list(
        client(ada).chat.completions.create(
            model="ada",
            messages=said("Go."),  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "First.\n\nThen this."
    thought = "".join(
        getattr(c.choices[0].delta, "reasoning_content", "") or "" for c in chunks if c.choices
    )
    assert thought == "Hm."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert len({c.id for c in chunks}) == 1


def test_agents_are_the_models(ada: Server) -> None:
    listed = client(ada).models.list()
    assert [m.id for m in listed] == ["ada"]
    assert client(ada).models.retrieve("ada").owned_by == "letta-kernel"
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client(ada).models.retrieve("nobody")


def test_errors_are_those_the_client_knows(ada: Server) -> None:
    complete = client(ada).chat.completions.create
    with pytest.raises(openai.AuthenticationError):
        client(ada, api_key="wrong").models.list()
    with pytest.raises(openai.NotFoundError, match="Did you mean 'ada'"):
        complete(model="adda", messages=said("x"))  # type: ignore[arg-type]
    for messages in ([], [{"role": "system", "content": "x"}], said(" "), [*said("x"), {}]):
        with pytest.raises(openai.UnprocessableEntityError):
            complete(model="ada", messages=messages)  # type: ignore[arg-type]
    odd = httpx.post(
        f"{ada.url}/v1/chat/completions",
        headers=ada.headers,
        content=b'{"model": "ada\\ud800", "messages": [{"role": "user", "content": "\\ud800"}]}',
        timeout=60,
    )
    assert odd.status_code in (200, 404, 422)
    ada.scripted.received.clear()
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    with pytest.raises(openai.UnprocessableEntityError, match="no address of an image"):
        complete(model="ada", messages=image)  # type: ignore[arg-type]
    with pytest.raises(openai.InternalServerError, match="one answer"):
        complete(model="ada", messages=said("x"), n=2)  # type: ignore[arg-type]
    assert ada.scripted.requests == []
    ada.scripted.fault(401, message="bad key", times=9)
    with pytest.raises(openai.InternalServerError, match="refused the key"):
        complete(model="ada", messages=said("x"))  # type: ignore[arg-type]
    with pytest.raises(openai.APIError, match="refused the key"):
        list(complete(model="ada", messages=said("x"), stream=True))  # type: ignore[arg-type]


def test_every_refusal_has_openais_shape(ada: Server) -> None:
    bad = {"model": "ada", "messages": []}
    told = {
        path: httpx.post(f"{ada.url}{path}", headers=headers, json=bad, timeout=60).json()["error"]
        for path, headers in (
            ("/openai/v1/chat/completions", ada.headers),
            ("/v1/chat/completions", {}),
            ("/openai/v1/embeddings", ada.headers),
        )
    }
    assert "body.messages: " in told["/openai/v1/chat/completions"]["message"]
    assert told["/v1/chat/completions"]["type"] == "authentication_error"
    assert told["/openai/v1/embeddings"]["message"] == "Not Found"
    nobody = httpx.get(f"{ada.url}/openai/v1/models/nobody", headers=ada.headers, timeout=60).json()
    assert "nobody" in nobody["error"]["message"]


def test_a_model_may_have_a_slash_in_its_name(ada: Server) -> None:
    ada.service.agents.create("team/ada")
    assert client(ada).models.retrieve("team/ada").id == "team/ada"


def test_a_call_that_waits_says_so(ada: Server) -> None:
    tool = Tool(
        name="ring",
        description="Ring.",
        parameters={"type": "object", "properties": {}, "required": []},
        source='def ring() -> str:\n    """Ring."""\n    return "ding"\n',
        kind="source",
        runs_in="sandbox",
        requires_approval=True,
    )
    ada.service.tools.attach(ada.service.tools.upsert(tool).id, agent="ada")
    ada.scripted.call("ring", {})
    answer = client(ada).chat.completions.create(model="ada", messages=said("Ring!"))  # type: ignore[arg-type]
    assert "Waits for approval of ring" in str(answer.choices[0].message.content)
    with pytest.raises(openai.UnprocessableEntityError, match="ring"):
        client(ada).chat.completions.create(model="ada", messages=said("Well?"))  # type: ignore[arg-type]


def test_hanging_up_ends_the_run(ada: Server) -> None:
    ada.scripted.hang_mid_stream(120, "Once upon a time")
    stream = client(ada).chat.completions.create(
        model="ada",
        messages=said("A story."),  # type: ignore[arg-type]
        stream=True,
    )
    for chunk in stream:
        if chunk.choices and "time" in (chunk.choices[0].delta.content or ""):
            break
    stream.close()
    assert ada.scripted.received[0].over.wait(90)
    assert ada.scripted.received[0].disconnected
    ada.scripted.say("Here.")
    deadline = time.monotonic() + 90
    while True:  # until the run has let go of the agent
        try:
            answer = client(ada).chat.completions.create(model="ada", messages=said("Hello?"))  # type: ignore[arg-type]
            break
        except openai.ConflictError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert answer.choices[0].message.content == "Here."
