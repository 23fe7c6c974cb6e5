"""What a model said is recorded and said again, without the model."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from scripted_server import ScriptedServer

from letta_kernel.models.base import Cancel, ChatRequest, ModelError, Reply, Retrying
from letta_kernel.models.record import Recording, RecordingModel, ReplayModel
from letta_kernel.models.registry import open_model

pytestmark = pytest.mark.usefixtures("scripted")


def tool(name: str, description: str = "Does it") -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"id": {"type": "string"}}}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def request(
    *texts: str, tools: tuple[str, ...] = ("add",), choice: Any = None, **params: Any
) -> ChatRequest:
    messages = [{"role": "user", "content": text} for text in texts]
    return ChatRequest(messages, [tool(name) for name in tools], choice, params)


def run(model: Any, asked: ChatRequest) -> list:
    return list(model.stream(asked, Cancel()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recordings" / "talk.jsonl"


@pytest.fixture
def recorder(file: Path) -> RecordingModel:
    return RecordingModel(open_model("openai/scripted"), file)


def test_pieces_come_back_exactly(
    scripted: ScriptedServer, recorder: RecordingModel, file: Path
) -> None:
    scripted.calls(
        [("add", {"a": 1}), ("now", {})], text="Let me \u00e4dd \U0001f600", reasoning="hm"
    )
    scripted.say("three", usage={"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.25})
    first, second = run(recorder, request("add")), run(recorder, request("add", "go on"))
    scripted.close()
    recording = Recording(file)
    replay = ReplayModel(recording)
    assert run(replay, request("add")) == first
    assert run(replay, request("add", "go on")) == second
    assert replay.name == "openai/scripted"
    assert replay.context_window == recorder.context_window
    assert replay.count_tokens("one two") == recorder.count_tokens("one two")


def test_equal_calls_are_answered_in_order(
    scripted: ScriptedServer, recorder: RecordingModel, file: Path
) -> None:
    for text in ("first", "second"):
        scripted.say(text)
        run(recorder, request("again"))
    recording = Recording(file)
    texts = [run(ReplayModel(recording), request("again"))[-1].text for _ in range(2)]
    assert texts == ["first", "second"]
    with pytest.raises(ModelError, match="recorded 2 times"):
        run(ReplayModel(recording), request("again"))


def messages(run_id: str, time: str, call: str) -> list[dict[str, Any]]:
    result = json.dumps({"status": "OK", "message": f"<obj at 0x{run_id}>", "time": time})
    function = {"name": "add", "arguments": "{}"}
    return [
        {"role": "system", "content": f"agent-6f1c1111-1111-4111-8111-{run_id} at {time}"},
        {
            "role": "user",
            "content": "hello, 5 minutes ago" if call == "a" else "hello, 2 hours ago",
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call, "content": result},
    ]


def test_ids_times_and_addresses_may_differ(
    scripted: ScriptedServer, recorder: RecordingModel, file: Path
) -> None:
    scripted.say("found")
    run(recorder, ChatRequest(messages("00000000aaaa", "2026-01-02T03:04:05+00:00", "a")))
    other = ChatRequest(messages("00000000bbbb", "2027-11-22 08:01:02 PM UTC+0000", "b"))
    assert run(ReplayModel(file), other)[-1].text == "found"
    mixed = copy.deepcopy(other.messages)
    mixed[3]["tool_call_id"] = "another"
    with pytest.raises(ModelError, match="message 4"):
        run(ReplayModel(file), ChatRequest(mixed))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (request("one", "TWO"), "message 2 (user) is 'TWO', recorded was 'two'"),
        (request("one"), "there are 1 messages, recorded were 2"),
        (request("one", "two", tools=("add", "mul")), "the tool mul is new"),
        (request("one", "two", tools=()), "the tool add is missing"),
        (request("one", "two", choice="required"), "tool_choice is 'required'"),
        (request("one", "two", temperature=1), "sampling is {'temperature': 1}"),
    ],
)
def test_a_miss_names_what_changed(
    recorder: RecordingModel, file: Path, changed: ChatRequest, named: str
) -> None:
    run(recorder, request("one", "two"))
    with pytest.raises(ModelError) as caught:
        run(ReplayModel(file), changed)
    assert caught.value.kind == "replay_miss"
    assert named in str(caught.value)
    assert "Record it again" in str(caught.value)


def test_a_changed_tool_and_another_model_are_named(recorder: RecordingModel, file: Path) -> None:
    run(recorder, request("one"))
    asked = request("one")
    asked.tools = [tool("add", "Does something else")]
    with pytest.raises(ModelError, match="the tool add has changed"):
        run(ReplayModel(file), asked)
    with pytest.raises(ModelError, match="the model is openai/other, recorded was openai/scripted"):
        run(ReplayModel(file, "openai/other"), request("one"))


def test_retry_policy_and_address_do_not_count(
    scripted: ScriptedServer, recorder: RecordingModel, file: Path
) -> None:
    run(recorder, request("one", retry={"tries": 2}, api_base=scripted.url))
    assert isinstance(run(ReplayModel(file), request("one"))[-1], Reply)


def test_errors_and_retries_are_replayed_too(
    scripted: ScriptedServer, recorder: RecordingModel, file: Path
) -> None:
    scripted.fault(503)
    scripted.say("back")
    run(recorder, request("one"))
    scripted.overflow()
    with pytest.raises(ModelError) as recorded:
        run(recorder, request("two"))
    replay = ReplayModel(file)
    retry, *_ = run(replay, request("one"))
    assert isinstance(retry, Retrying)
    with pytest.raises(ModelError) as replayed:
        run(replay, request("two"))
    assert replayed.value.kind == recorded.value.kind == "context_overflow"
    assert str(replayed.value) == str(recorded.value)


def test_a_call_broken_off_is_not_recorded(
    scripted: ScriptedServer, recorder: RecordingModel, file: Path
) -> None:
    scripted.hang_mid_stream(30)
    stream = recorder.stream(request("one"), Cancel())
    next(stream)
    stream.close()
    assert scripted.received[0].over.wait(20)
    assert not file.exists()


def test_recordings_hold_no_secrets(
    scripted: ScriptedServer, recorder: RecordingModel, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "quite-secret-value")
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2hunter2")
    scripted.say("it is hunter2hunter2 and sk-proj-0123456789abcdefghij")
    scripted.call("add", {"key": "quite-secret-value"})
    run(recorder, request("my password is hunter2hunter2"))
    run(recorder, request("more"))
    text = file.read_text()
    for secret in ("hunter2", "0123456789abcdefghij", "quite-secret"):
        assert secret not in text
    assert "quite-secret-value" not in str(scripted.received[0].body)


def test_a_file_that_is_no_recording(tmp_path: Path) -> None:
    missing, empty, odd = (tmp_path / name for name in ("missing", "empty", "odd"))
    empty.touch()
    odd.write_text('{"key": 1}\n')
    for path, word in ((missing, "cannot be read"), (empty, "is empty"), (odd, "Line 1")):
        with pytest.raises(ModelError, match=word) as caught:
            ReplayModel(path)
        assert caught.value.kind == "replay_miss"


def test_the_demo_model_can_be_recorded(file: Path) -> None:
    asked = request("What is 2 + 2?", tools=())
    recorded = run(RecordingModel(open_model("demo"), file), asked)
    replay = ReplayModel(file)
    assert run(replay, asked) == recorded
    assert (replay.name, replay.label) == ("demo", open_model("demo").label)
    assert replay.count_tokens("abc def") == open_model("demo").count_tokens("abc def")


def test_replaying_can_be_stopped(recorder: RecordingModel, file: Path) -> None:
    run(recorder, request("one"))
    cancel = Cancel()
    stream = ReplayModel(file).stream(request("one"), cancel)
    next(stream)
    cancel.cancel()
    with pytest.raises(ModelError, match="stopped"):
        next(stream)
