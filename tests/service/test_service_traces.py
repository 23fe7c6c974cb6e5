"""Runs as OpenTelemetry spans: at a real collector in its own process, and in files."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from agent_bench import ADD, Bench, ended
from extras import needs
from otlp_receiver import Collector, collector

from letta_kernel.agent_messages import WAIT
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import Notice
from letta_kernel.service import AgentService

pytestmark = needs("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

KEY = "sk-abcdefghijklmnopqrstuvwx"
USAGE = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}


@pytest.fixture(scope="module")
def otlp() -> Iterator[Collector]:
    with collector() as running:
        yield running


def spans_of(otlp: Collector, bench: Bench, events: list[Any]) -> dict[str, dict[str, Any]]:
    """End the tracing and return the spans of a run by name, which its own ends."""
    bench.service.traces.close()
    trace = ended(events).run_id.removeprefix("run-").replace("-", "")
    found = otlp.until("invoke_agent ada", trace)
    assert len({one["id"] for one in found}) == len(found)
    return {
        f"{one['name']} {one['attributes'].get('letta.step.number', '')}".strip(): one
        for one in found
    }


def test_a_run_is_a_tree_of_spans_without_what_was_said(bench: Bench, otlp: Collector) -> None:
    ada = bench.service.agents.create("ada")
    bench.give("ada", ADD)
    bench.server.calls([("add", {"a": 40, "b": 2})], usage=USAGE)
    bench.server.call("add", {"a": "many", "b": 2}, usage=USAGE)
    bench.server.say("It is forty-two.", usage=USAGE)
    assert bench.service.events.listeners == []
    status = bench.service.traces.turn_on(otlp.url)
    assert (status.on, status.endpoint, status.content) == (True, otlp.url, False)
    events = bench.send("ada", "What is the confidential sum?")
    came = spans_of(otlp, bench, events)
    assert sorted(came) == [
        "chat scripted 1",
        "chat scripted 2",
        "chat scripted 3",
        "execute_tool add",
        "invoke_agent ada",
    ]
    run, chat = came["invoke_agent ada"], came["chat scripted 1"]
    assert (run["parent"], run["kind"], run["status"]) == (
        "",
        "SPAN_KIND_INTERNAL",
        "STATUS_CODE_UNSET",
    )
    assert (chat["parent"], chat["kind"]) == (run["id"], "SPAN_KIND_CLIENT")
    assert run["attributes"] == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "scripted",
        "gen_ai.agent.id": ada.id,
        "gen_ai.agent.name": "ada",
        "gen_ai.conversation.id": ada.id,
        "gen_ai.usage.input_tokens": 300,
        "gen_ai.usage.output_tokens": 21,
        "letta.run.id": ended(events).run_id,
        "letta.run.steps": 3,
        "letta.run.stop_reason": "end_turn",
    }
    assert chat["attributes"]["gen_ai.usage.input_tokens"] == 100
    assert chat["attributes"]["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert came["chat scripted 3"]["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]
    assert chat["attributes"]["gen_ai.response.time_to_first_chunk"] > 0
    for one in came.values():
        assert run["start"] <= one["start"] <= one["end"] <= run["end"]
        assert one["scope"] == "letta_kernel"
        assert one["resource"]["service.name"] == "letta-kernel"
    tools = [
        one for one in otlp.spans() if one["trace"] == run["trace"] and "execute" in one["name"]
    ]
    good, bad = sorted(tools, key=lambda one: one["start"])
    assert good["parent"] == bad["parent"] == run["id"]
    assert (good["status"], good["attributes"]["gen_ai.tool.name"]) == ("STATUS_CODE_UNSET", "add")
    assert (bad["status"], bad["attributes"]["error.type"]) == ("STATUS_CODE_ERROR", "error")
    assert not [
        word
        for word in ("confidential", "forty-two", '"a"')
        if word in json.dumps([*came.values()])
    ]


def test_content_goes_along_if_asked_without_secrets(bench: Bench, otlp: Collector) -> None:
    bench.service.agents.create("ada", settings={"environment": {"TEA_KEY": "hunter22-of-tea"}})
    bench.give("ada", ADD)
    bench.server.call("add", {"a": 40, "b": 2})
    bench.server.say("It is forty-two.")
    bench.service.traces.turn_on(otlp.url, content=True)
    events = bench.send("ada", f"My key is {KEY}, and TEA_KEY is hunter22-of-tea. Add!")
    came = spans_of(otlp, bench, events)
    run = came["invoke_agent ada"]["attributes"]
    (asked,) = json.loads(run["gen_ai.input.messages"])
    assert asked["role"] == "user"
    assert asked["parts"][0]["content"].startswith("My key is [hidden]")
    assert json.loads(run["gen_ai.output.messages"])[-1]["parts"] == [
        {"type": "text", "content": "It is forty-two."}
    ]
    tool = came["execute_tool add"]["attributes"]
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"a": 40, "b": 2}
    assert tool["gen_ai.tool.call.result"] == "42"
    second = json.loads(came["chat scripted 2"]["attributes"]["gen_ai.input.messages"])
    assert second[0]["parts"][0]["response"] == "42"
    assert not [word for word in (KEY, "hunter22") if word in json.dumps([*came.values()])]


def test_what_goes_wrong_is_told(
    bench: Bench, otlp: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_MODEL_TRIES", "1")
    bench.service.agents.create("ada")
    bench.server.fault(500)
    bench.service.traces.turn_on(otlp.url)
    came = spans_of(otlp, bench, bench.send("ada", "Hello"))
    assert sorted(came) == ["chat scripted 1", "invoke_agent ada"]
    for one in came.values():
        assert one["status"] == "STATUS_CODE_ERROR"
        assert one["attributes"]["error.type"] == "llm_api_error"
        assert one["error"]


def test_an_agent_that_is_asked_is_inside_the_call_that_asks(bench: Bench, otlp: Collector) -> None:
    for name in ("ada", "bob"):
        bench.service.agents.create(name, model="openai/scripted")
    bench.service.tools.attach(WAIT, agent="ada")
    bob = bench.service.agents.retrieve("bob").id
    bench.server.call(WAIT, {"message": "What is new?", "other_agent_id": bob})
    bench.server.say("Nothing.")
    bench.server.say("Bob says: nothing.")
    bench.service.traces.turn_on(otlp.url)
    came = spans_of(otlp, bench, bench.send("ada", "Ask bob"))
    call = came[f"execute_tool {WAIT}"]
    assert came["invoke_agent bob"]["parent"] == call["id"]
    assert came["invoke_agent bob"]["trace"] == came["invoke_agent ada"]["trace"]
    path = bench.service.home / "runs.jsonl"
    bench.service.traces.save(path)
    kept = {
        one["span_id"]: one["parent_id"] for one in map(json.loads, path.read_text().splitlines())
    }
    told = {one["id"]: one["parent"] or None for one in came.values()}
    assert told.items() <= kept.items()


def test_a_dead_collector_is_said_once_and_holds_up_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        bench.service.agents.create("ada")
        bench.service.traces.turn_on(url)
        notices = []
        for _ in range(3):
            bench.server.say("Hello.")
            events = bench.send("ada", "Hello")
            assert ended(events).error is None
            notices += [one.text for one in events if isinstance(one, Notice)]
            dropped(bench.service)
        assert len([one for one in notices if url in one]) == 1
        said = bench.service.traces.status()
        assert said.problem
        assert said.sent == 0


def dropped(service: AgentService) -> None:
    """Wait until some spans have been dropped."""
    while not service.traces.status().dropped:
        threading.Event().wait(0.02)


def test_it_is_off_and_can_be_turned_off(
    bench: Bench, otlp: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = bench.service
    assert not service.traces.status().on
    for wrong in (
        "collector",
        "ftp://collector",
        "http://user:secret@collector",
        "http://c/?key=1",
    ):
        with pytest.raises(InvalidInputError):
            service.traces.turn_on(wrong)
    assert not service.traces.status().on
    service.traces.turn_on(otlp.url)
    with AgentService(service.home) as other:
        assert other.traces.status().on
        service.traces.turn_off()
        assert not other.traces.status().on
    assert service.events.listeners == []
    monkeypatch.setenv("LETTA_TRACE", "content")
    assert service.traces.status().content
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not service.traces.status().on


def test_runs_are_saved_as_lines_and_as_a_table(bench: Bench, tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    bench.service.agents.create("ada")
    bench.give("ada", ADD)
    bench.server.call("add", {"a": 40, "b": 2}, usage=USAGE)
    bench.server.say(f"It is {KEY}.", usage=USAGE)
    bench.send("ada", "What is the confidential sum?")
    save = bench.service.traces.save
    lines, table = tmp_path / "runs.jsonl", tmp_path / "runs.parquet"
    assert save(lines) == save(table, "ada") == 4
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [one["name"] for one in rows] == [
        "chat scripted",
        "chat scripted",
        "execute_tool add",
        "invoke_agent ada",
    ]
    assert {one["parent_id"] for one in rows[:3]} == {rows[3]["span_id"]}
    assert [one["input_tokens"] for one in rows] == [100, 100, None, 200]
    assert "confidential" not in lines.read_text()
    read = parquet.read_table(table)
    assert read.column_names == list(rows[0])
    assert [json.loads(one) for one in read["attributes"].to_pylist()] == [
        one["attributes"] for one in rows
    ]
    assert [one.isoformat() for one in read["start"].to_pylist()] == [one["start"] for one in rows]
    assert lines.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidInputError, match="already"):
        save(lines)
    with pytest.raises(InvalidInputError, match=r"\.parquet"):
        save(tmp_path / "runs.csv")
    save(lines, content=True, overwrite=True)
    assert "confidential" in lines.read_text()
    assert KEY not in lines.read_text()


class _LeadsElsewhere(BaseHTTPRequestHandler):
    """Answers as a server does that has moved, which is no arrival."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(307)
        self.send_header("Location", "http://127.0.0.1:1/v1/traces")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be still."""


def test_who_leads_elsewhere_was_not_reached_and_no_password_is_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with ThreadingHTTPServer(("127.0.0.1", 0), _LeadsElsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://kim:{KEY}@{place}?key={KEY}")
        bench.service.agents.create("ada")
        assert bench.service.traces.turn_on().endpoint == f"http://{place}"
        bench.service.traces.turn_on(f"http://{place}")
        bench.server.say("Hello.")
        bench.send("ada", "Hello")
        dropped(bench.service)
        status = bench.service.traces.status()
        server.shutdown()
    assert status.sent == 0
    assert "elsewhere" in (status.problem or "")
