"""Pictures in messages and results: what a model is sent, what is kept, what is described."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from agent_bench import Bench, ended
from PIL import Image
from scripted_judges import anthropic, openai

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import Message, Notice, RunStarted, ToolReturned
from letta_kernel.models.base import Cancel, ChatRequest
from letta_kernel.models.facts import facts_of
from letta_kernel.models.fallbacks import WithFallbacks
from letta_kernel.models.registry import open_model
from letta_kernel.models.scripted import scripted
from letta_kernel.pictures.picture import Picture, read
from letta_kernel.service import AgentService

PLOT = '''
def plot(colour: str) -> object:
    """Draw a square.

    Args:
        colour: Its colour.
    """
    from PIL import Image

    return Image.new("RGB", (40, 30), colour)
'''
PAIR = '''
def pair() -> dict:
    """Draw two squares."""
    from PIL import Image

    squares = [Image.new("RGB", (40, 30), one) for one in ("red", "blue")]
    return {"left": squares[0], "right": squares[1], "count": 2}
'''


def picture(colour: str = "red", size: tuple[int, int] = (64, 48)) -> Picture:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return read(buffer.getvalue())


def url_of(one: Picture) -> str:
    return f"data:{one.media_type};base64,{base64.b64encode(one.data).decode()}"


def images_in(message: dict[str, Any]) -> list[str]:
    """Return the URLs of the pictures of a message in OpenAI's form, which has nothing else in such parts."""
    content = message["content"] if isinstance(message["content"], list) else []
    found = [one for one in content if one["type"] == "image_url"]
    assert all(set(one) == {"type", "image_url"} for one in found)
    return [one["image_url"]["url"] for one in found]


def kept(bench: Bench) -> int:
    rows = bench.service.database.run(lambda tx: tx.query("SELECT id FROM pictures"))
    return len(rows)


def test_a_model_sees_a_picture_where_it_stands_in_the_message(bench: Bench) -> None:
    bench.server.judge = openai
    red, blue = picture(), picture("blue")
    text = f"What differs between {red.described} and {blue.described}?"
    events = bench.send("ada", text, pictures=[red, blue])
    assert not bench.server.refusals
    assert bench.server.requests[0]["messages"][-1]["content"] == [
        {"type": "text", "text": "What differs between"},
        {"type": "image_url", "image_url": {"url": url_of(red)}},
        {"type": "text", "text": "and"},
        {"type": "image_url", "image_url": {"url": url_of(blue)}},
        {"type": "text", "text": "?"},
    ]
    started = next(event for event in events if isinstance(event, RunStarted))
    assert [one.alt for one in started.pictures] == [red.described[1:-1], blue.described[1:-1]]
    assert all(one.src.startswith("data:image/jpeg;base64,") for one in started.pictures)
    assert sum(len(one.src) for one in started.pictures) < 3_000
    # The next request begins with the same bytes, and the store has each picture once.
    bench.send("ada", "And now?", pictures=[picture()])
    first, second = (one["messages"] for one in bench.server.requests)
    assert json.dumps(second).startswith(json.dumps(first)[:-1])
    assert images_in(second[-1]) == [url_of(red)]
    assert kept(bench) == 2
    said = [message for message in bench.history("ada") if message.role == "user"]
    assert [one.content for one in said] == [text, f"And now?\n{red.described}"]
    assert not any(one.data for message in said for one in message.pictures)


def test_what_a_tool_returns_as_a_picture_reaches_the_model(bench: Bench) -> None:
    bench.server.judge = openai
    bench.give("ada", PLOT, runs_in="notebook")
    bench.give("ada", PAIR, runs_in="sandbox")
    bench.server.calls([("plot", {"colour": "green"}), ("pair", {})])
    events = bench.send("ada", "Draw.")
    assert ended(events).stop_reason == "end_turn"
    assert not bench.server.refusals
    chat = bench.server.requests[1]["messages"]
    assert [one["role"] for one in chat[-4:]] == ["tool", "tool", "assistant", "user"]
    green = picture("green", (40, 30))
    assert f"shown to the user]\\n{green.described}" in chat[-4]["content"]
    assert len(images_in(chat[-1])) == 3
    assert images_in(chat[-1])[0] == url_of(green)
    shown = [event for event in events if isinstance(event, ToolReturned)]
    assert all("image/png" in (one.display or {}) for one in shown)
    results = [message for message in bench.history("ada") if message.role == "tool"]
    assert [len(one.pictures) for one in results] == [1, 2]
    _, replayed = bench.service.runs.replay(ended(events).run_id)
    again = [event for event in replayed if isinstance(event, ToolReturned)]
    assert [list(one.display or {}) for one in again] == [["image/jpeg", "text/plain"]] * 2


def test_a_picture_that_cannot_be_kept_is_left_out_of_a_result(bench: Bench) -> None:
    source = '''
def broken() -> bytes:
    """Return half a picture."""
    return b"\\x89PNG\\r\\n\\x1a\\n" + bytes(50)
'''
    bench.give("ada", source, runs_in="notebook")
    bench.server.call("broken")
    bench.send("ada", "Draw.")
    (result,) = [message for message in bench.history("ada") if message.role == "tool"]
    assert "[an image is left out: An image must be PNG" in result.content
    assert result.pictures == []


def test_an_answer_from_elsewhere_may_hold_pictures(bench: Bench) -> None:
    bench.give("ada", PLOT, runs_in="notebook", requires_approval=True)
    bench.server.call("plot", {"colour": "red"})
    bench.send("ada", "Draw.")
    (call,) = bench.service.runs.pending("ada")
    red = picture()
    word = Decision(call.id, True, result=f"Here: {red.described}", pictures=(red,))
    list(bench.service.runs.approve("ada", [word]))
    assert images_in(bench.server.requests[1]["messages"][-1]) == [url_of(red)]


def test_a_model_that_takes_none_reads_what_they_are(bench: Bench) -> None:
    red = picture()
    # litellm's table knows this one, and that it has no eyes.
    bench.send("ada", "What is it?", pictures=[red], model="openai/gpt-3.5-turbo")
    assert bench.server.requests[0]["messages"][-1]["content"] == f"What is it?\n{red.described}"
    for model in ("demo", "scripted"):
        assert not open_model(model).supports_images or model == "scripted"
    events = bench.send("ada", "What is it?", pictures=[red], model="demo")
    assert ended(events).stop_reason == "end_turn"
    assert facts_of("openai/gpt-4o").supports_images
    assert facts_of("anthropic/claude-sonnet-4-5").supports_images
    assert not facts_of("openai/o3-mini").supports_images


@pytest.mark.parametrize(
    "said",
    [
        "messages[1]: unknown variant `image_url`, expected `text`",
        "messages[1].content must be a string",
        "This model does not support image input",
        "gpt-x is not a multimodal model",
    ],
)
def test_a_model_that_refuses_them_is_told_what_they_are_from_then_on(
    bench: Bench, said: str
) -> None:
    red = picture()
    name = f"openai/blind-{abs(hash(said))}"
    bench.server.fault(400, body=json.dumps({"error": {"message": said}}))
    events = bench.send("ada", "What is it?", pictures=[red], model=name)
    assert ended(events).error is None
    assert any("described" in one.text for one in events if isinstance(one, Notice))
    bench.send("ada", "And?", pictures=[red], model=name)
    asked = [request["messages"][-1]["content"] for request in bench.server.requests]
    assert isinstance(asked[0], list)
    assert asked[1:] == [f"What is it?\n{red.described}", f"And?\n{red.described}"]


def test_a_fallback_without_eyes_reads_what_they_are(bench: Bench) -> None:
    bench.server.fault(401)
    model = WithFallbacks(("openai/scripted", "openai/gpt-3.5-turbo"), open_model)
    assert model.supports_images
    red = picture()
    part = {"type": "image_url", "image_url": {"url": url_of(red)}, "text": red.described}
    request = ChatRequest([{"role": "user", "content": [{"type": "text", "text": "Look"}, part]}])
    list(model.stream(request, Cancel()))
    assert bench.server.requests[-1]["messages"][-1]["content"] == f"Look\n{red.described}"


def test_anthropic_gets_pictures_inside_results(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test")
    monkeypatch.setenv("ANTHROPIC_API_BASE", bench.server.url.removesuffix("/v1"))
    bench.server.judge = anthropic
    bench.give("ada", PLOT, runs_in="notebook")
    bench.server.call("plot", {"colour": "red"})
    model = "anthropic/claude-sonnet-4-5"
    bench.send("ada", "Draw.", pictures=[picture("blue")], model=model)
    assert not bench.server.refusals
    bodies = [one.body for one in bench.server.received if one.path.endswith("/messages")]
    kinds = [block["type"] for block in bodies[0]["messages"][-1]["content"]]
    assert kinds == ["text", "image"]
    (result,) = bodies[1]["messages"][-1]["content"]
    assert result["type"] == "tool_result"
    assert [one["type"] for one in result["content"]] == ["text", "image"]
    source = result["content"][1]["source"]
    assert (source["type"], source["media_type"]) == ("base64", "image/png")
    assert base64.b64decode(source["data"]) == picture("red", (40, 30)).data


def test_gemini_gets_pictures_behind_results(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from letta_kernel.models.routes import resolve
    from letta_kernel.models.wire import shape

    monkeypatch.setenv("GEMINI_API_KEY", "test")
    red = picture()
    part = {"type": "image_url", "image_url": {"url": url_of(red)}, "text": ""}
    call = {"id": "c1", "type": "function", "function": {"name": "plot", "arguments": "{}"}}
    request = ChatRequest(
        [
            {"role": "user", "content": "Draw."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "text", "text": "ok"}, part],
            },
        ]
    )
    route = resolve("gemini/gemini-2.5-flash", request, {})
    _, _, body = route.send(shape(route.provider, route.model, request), {})
    last = body["contents"][-1]["parts"]
    assert [key for one in last for key in one] == ["text", "inline_data"]
    assert last[1]["inline_data"]["mime_type"] == "image/png"
    assert base64.b64decode(last[1]["inline_data"]["data"]) == red.data


def test_pictures_count_and_go_out_of_sight_in_time(bench: Bench) -> None:
    shots = [picture("red", (30 + n, 20)) for n in range(18)]
    bench.send("ada", "Look.", pictures=shots)
    bench.send("ada", "More.", pictures=shots[:4])
    asked = bench.server.requests[-1]["messages"]
    # 22 are more than a request holds: the five oldest are described, and stay so for a while.
    assert [len(images_in(one)) for one in asked if one["role"] == "user"] == [13, 4]
    assert shots[0].described in json.dumps(asked[1]["content"])
    used = {part.name: part.tokens for part in bench.service.runs.context("ada").parts}
    assert used["history"] > 22 * 85
    settings = {"context_window": 3_000}
    bench.service.agents.update("ada", settings=settings)
    events = bench.send("ada", "Small.", pictures=shots)
    assert ended(events).error is None
    assert any("what its images are" in one.text for one in events if isinstance(one, Notice))
    assert images_in(bench.server.requests[-1]["messages"][-1]) == []


def test_a_summary_reads_what_pictures_were(bench: Bench) -> None:
    red = picture()
    for _ in range(3):
        bench.send("ada", "Look.", pictures=[red])
    bench.server.say("She looked at a picture.")
    bench.service.messages.compact("ada")
    told = json.dumps(bench.server.requests[-1]["messages"])
    assert red.described in told
    assert "base64" not in told


def test_a_picture_goes_with_the_last_message_that_has_it(bench: Bench) -> None:
    service, red = bench.service, picture()
    service.agents.create("bob")
    talk = service.conversations.create("ada")
    for whom, where in (("ada", None), ("bob", None), ("ada", talk.id)):
        list(service.runs.send(whom, "Look.", pictures=[red], conversation=where))
    list(service.runs.send("bob", "And.", pictures=[picture("blue")]))
    assert kept(bench) == 2
    fork = service.conversations.fork("ada", talk.id)
    service.conversations.delete(talk.id)
    service.agents.reset("ada")
    assert kept(bench) == 2
    service.conversations.delete(fork.id)
    assert kept(bench) == 2  # bob has it still
    service.agents.delete("bob")
    assert kept(bench) == 0


def test_nothing_changes_where_there_are_too_many(bench: Bench) -> None:
    with pytest.raises(InvalidInputError, match="20 images"):
        bench.send("ada", "Look.", pictures=[picture()] * 21)
    assert bench.history("ada") == []
    assert kept(bench) == 0


@pytest.mark.duckdb
def test_a_copy_of_the_store_has_its_pictures(bench: Bench, tmp_path: Path) -> None:
    red = picture()
    bench.send("ada", "Look.", pictures=[red])
    bench.service.store.backup(tmp_path / "copy.duckdb")
    bench.service.agents.delete("ada")
    bench.service.store.restore(tmp_path / "copy.duckdb")
    (said,) = [one for one in bench.history("ada") if one.role == "user"]
    assert whole(bench.service, said) == [red.data]


def whole(service: AgentService, message: Message) -> list[bytes]:
    return [one.data for one in service.messages.with_pictures([message])[0].pictures]


def test_a_script_checks_what_pictures_were_sent(bench: Bench) -> None:
    red = picture()
    model = scripted(
        "expect last contains: Look [image 64x48 PNG\nsay: Red.\n\n"
        "expect conversation contains: 40x30 PNG\nsay: Green."
    )
    events = bench.send("ada", f"Look {red.described}", pictures=[red], model=model)
    assert ended(events).error is None
    events = bench.send("ada", "And this?", pictures=[picture("green", (40, 30))], model=model)
    assert ended(events).error is None
