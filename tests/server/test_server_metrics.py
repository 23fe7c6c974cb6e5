"""What `/metrics` tells: figures that Prometheus's own parser reads, with few labels, and nobody's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scripted_server import ScriptedServer
from server_bench import Server, serving, until
from websockets.sync.client import connect

from letta_kernel import metrics
from letta_kernel.service import AgentService

KEY = "a-key-of-the-scraper"
SECRET = "Zwetschgenknoedel"


@pytest.fixture
def watched(
    service: AgentService, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("LETTA_METRICS_TOKEN", KEY)
    with serving(service, scripted) as running:
        yield running


def told(server: Server, token: str = KEY) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{server.url}/metrics", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


class Scrape:
    """One reading; what a test asks of it is how much more there is than in the one before."""

    def __init__(self, text: str, before: Scrape | None = None) -> None:
        self.before = before
        self.text = text
        self.samples = {
            (one.name, *sorted(one.labels.items())): one.value
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }

    def now(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name with these labels."""
        return sum(
            value
            for (found, *given), value in self.samples.items()
            if found == name and labels.items() <= dict(given).items()
        )

    def more(self, name: str, **labels: str) -> float:
        assert self.before is not None
        return self.now(name, **labels) - self.before.now(name, **labels)


def test_a_run_is_counted(watched: Server) -> None:
    client = watched.client()
    agent = client.agents.create(
        name=SECRET, model="openai/scripted", tools=["archival_memory_search"]
    ).id
    before = Scrape(told(watched))
    usage = {"prompt_tokens": 11, "completion_tokens": 7}
    watched.scripted.call("archival_memory_search", {"query": SECRET}, usage=usage)
    watched.scripted.call("no_such_tool", {"x": SECRET})
    watched.scripted.say(SECRET)
    client.agents.messages.create(agent, input=SECRET)
    after = Scrape(told(watched), before)
    path = "/v1/agents/{agent_id}/messages"
    assert after.more("letta_http_requests_total", route=path, method="POST", status="200") == 1
    assert after.more("letta_http_request_seconds_count", route=path) == 1
    assert after.more("letta_runs_started_total") == 1
    assert after.more("letta_runs_ended_total", stop_reason="end_turn") == 1
    assert after.more("letta_run_seconds_count") == 1
    assert after.more("letta_steps_total") == 3
    assert after.more("letta_tokens_total", direction="in") >= 11
    assert after.more("letta_tokens_total", direction="out") >= 7
    assert after.more("letta_model_calls_total", model="openai/scripted", outcome="ok") == 3
    assert after.more("letta_model_call_seconds_count", model="openai/scripted") == 3
    assert after.more("letta_tool_calls_total", kind="core", outcome="ok") == 1
    assert after.more("letta_tool_calls_total", kind="none", outcome="error") == 1
    assert after.more("letta_tool_call_seconds_count", kind="core") == 1
    assert after.now("letta_runs_going") == 0
    assert after.now("letta_build_info") == 1
    assert after.now("process_resident_memory_bytes") > 1e6
    assert after.more("letta_store_transactions_total", outcome="done") > 5
    assert after.more("letta_store_wait_seconds_count") >= after.more(
        "letta_store_transactions_total", outcome="done"
    )
    until(lambda: "letta_outbox_rows" in told(watched))


def test_nobodys_words_are_in_it(watched: Server) -> None:
    client = watched.client()
    agent = client.agents.create(name=SECRET, model="openai/scripted", tags=[SECRET]).id
    watched.scripted.fault(400, message=SECRET)
    with pytest.raises(Exception, match=r"502|400"):
        client.agents.messages.create(agent, input=SECRET)
    odd = {**watched.headers, "X-Request-ID": SECRET}
    for path in (
        f"/{SECRET}",
        f"/v1/{SECRET}",
        f"/v1/agents/{SECRET}",
        f"/v1/agents?name={SECRET}",
    ):
        httpx.request("GET", watched.url + path, headers=odd, timeout=60)
        httpx.request(SECRET.upper(), watched.url + path, headers=odd, timeout=60)
        httpx.get(watched.url + path, headers={"Authorization": f"Bearer {SECRET}"}, timeout=60)
    text = told(watched)
    assert SECRET.lower() not in text.lower()
    assert agent not in text
    assert KEY not in text
    found = Scrape(text)
    assert found.now("letta_http_requests_total", method="other") >= 4
    assert found.now("letta_refused_total", status="401") >= 4


def test_streams_and_sockets_that_go_on(watched: Server) -> None:
    agent = watched.client().agents.create(name="ada", model="openai/scripted").id
    watched.scripted.hang_mid_stream(60)
    ws = watched.url.replace("http", "ws", 1)
    path = f"{watched.url}/v1/agents/{agent}/messages/stream"
    with (
        connect(f"{ws}/v1/agents/ada/ws", additional_headers=watched.headers, open_timeout=60),
        httpx.stream("POST", path, json={"input": "Hi"}, headers=watched.headers, timeout=60),
    ):
        found = Scrape(told(watched))
        assert found.now("letta_streams_open") == 1
        assert found.now("letta_runs_going") == 1
        assert found.now("letta_websockets_open") == 1
        before = found
    watched.client().agents.messages.cancel(agent)
    until(lambda: Scrape(told(watched)).now("letta_runs_going") == 0)
    after = Scrape(told(watched), before)
    assert after.more("letta_runs_ended_total", stop_reason="cancelled") == 1
    assert after.more("letta_model_calls_total", outcome="cancelled") == 1
    until(
        lambda: (
            (now := Scrape(told(watched))).now("letta_streams_open")
            == now.now("letta_websockets_open")
            == 0
        )
    )


def test_who_may_read_it(watched: Server) -> None:
    def status(token: str, path: str = "/metrics") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(watched.url + path, headers=headers, timeout=60).status_code

    _, writer = watched.service.tokens.create("writer", "write")
    assert status(KEY) == 200
    assert status(watched.token) == 200
    assert status(writer) == 403, "it is of the whole server"
    assert status("") == status("wrong") == 401
    assert status(KEY, "/v1/agents") == 401, "that token opens nothing else"
    assert status(KEY, "/metrics/../v1/agents") == 401


def test_without_a_token_of_its_own_only_the_owner(server: Server) -> None:
    assert httpx.get(f"{server.url}/metrics", timeout=60).status_code == 401
    empty = {"Authorization": "Bearer"}
    assert httpx.get(f"{server.url}/metrics", headers=empty, timeout=60).status_code == 401
    assert "letta_steps_total" in told(server, server.token)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("openai/gpt-5", "openai/gpt-5"),
        ("demo", "demo"),
        ("local//home/ann/models/tiny.gguf", "local/tiny.gguf"),
        ("openai/http://10.0.0.1/v1", "other"),
        ("x/" + "y" * 500, "x/" + "y" * 58),
        ('a"\n\\b/ü', 'a"\\b/'),
    ],
)
def test_a_models_label(monkeypatch: pytest.MonkeyPatch, name: str, label: str) -> None:
    monkeypatch.setattr(metrics, "_models", {})
    assert metrics.model_label(name) == label


def test_labels_from_outside_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_models", {})
    labels = {metrics.model_label(f"openai/model-{number}") for number in range(10_000)}
    assert len(labels) == metrics.MOST_VALUES + 1
    assert metrics.model_label("openai/model-3") == "openai/model-3", "those that are known stay"


def test_what_is_odd_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    families: Mapping[str, Any] = {}
    monkeypatch.setattr(metrics, "FAMILIES", families)
    one = metrics.Counter("odd_total", "Odd.", "of")
    one.add('a"b\\c\nd', amount=2.5)
    some = metrics.Histogram("took_seconds", "Took.", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        some.observe(seconds)
    found = Scrape(metrics.render({"there": {"x": 1.0, "y": float("nan")}}, {"there": "There."}))
    assert found.now("odd_total", of='a"b\\c\nd') == 2.5
    assert found.now("took_seconds_bucket", le="0.1") == 2
    assert (
        found.now("took_seconds_bucket", le="1.0") + found.now("took_seconds_bucket", le="1") == 3
    )
    assert found.now("took_seconds_bucket", le="+Inf") == found.now("took_seconds_count") == 4
    assert found.now("took_seconds_sum") == pytest.approx(7.65)
    assert found.now("there", of="x") == 1
