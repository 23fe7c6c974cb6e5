"""Prometheus reads what a server tells of itself, and wakes where docs/deploy/alerts.yaml says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from deploy_bench import FILES, changed, free_port, listens, run
from server_bench import serving, until

from letta_kernel.service import AgentService


def grows(name: str, every: int, minutes: int = 30) -> dict[str, str]:
    """A figure for promtool, read each minute: it grows by so much."""
    return {"series": name, "values": f"0+{every}x{minutes}"}


CASES = {
    "LettaServerDown": [{"series": 'up{job="letta-kernel"}', "values": "1 1 0x28"}],
    "LettaServerDiesAgainAndAgain": [
        {"series": 'process_start_time_seconds{job="letta-kernel"}', "values": "0+100x30"}
    ],
    "LettaDefects": [
        # One, of which nothing was told before: `rate` would not see it.
        {"series": 'letta_http_requests_total{status="500",route="/v1/a"}', "values": "_x24 1x5"}
    ],
    "LettaTurnsAway": [grows('letta_http_requests_total{status="503"}', 60)],
    "LettaReadsSlowly": [
        grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="0.5"}', 8),
        grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="2.5"}', 10),
        grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="+Inf"}', 10),
    ],
    "LettaModelFails": [
        grows('letta_model_calls_total{model="m",outcome="ok"}', 7),
        grows('letta_model_calls_total{model="m",outcome="timeout"}', 3),
    ],
    "LettaStoreWaits": [
        grows('letta_store_wait_seconds_bucket{le="1.0"}', 8),
        grows('letta_store_wait_seconds_bucket{le="2.5"}', 10),
        grows('letta_store_wait_seconds_bucket{le="+Inf"}', 10),
    ],
    "LettaStoreFails": [grows('letta_store_transactions_total{outcome="busy"}', 10)],
    "LettaConnectionsUsedUp": [
        {"series": "letta_store_connections_busy", "values": "8x30"},
        {"series": "letta_store_connections_limit", "values": "8x30"},
    ],
    "LettaIndexBehind": [{"series": "letta_outbox_rows", "values": "1001x30"}],
    "LettaRunsWait": [{"series": "letta_runs_waiting", "values": "21x30"}],
    "LettaTokensGuessed": [grows('letta_refused_total{status="401"}', 400)],
    "LettaCosts": [grows("letta_cost_dollars_total", 1)],
}
"""What each alert is for; and what must wake nobody."""
CALM = [
    {"series": 'up{job="letta-kernel"}', "values": "1x30"},
    {"series": 'process_start_time_seconds{job="letta-kernel"}', "values": "100x15 1000x15"},
    {"series": 'letta_http_requests_total{status="500"}', "values": "3x30"},
    grows('letta_http_requests_total{status="200"}', 6000),
    grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="0.5"}', 100),
    grows('letta_http_request_seconds_bucket{method="GET",route="/v1/a",le="+Inf"}', 100),
    grows('letta_http_request_seconds_bucket{method="POST",route="/v1/a",le="0.5"}', 0),
    grows('letta_http_request_seconds_bucket{method="POST",route="/v1/a",le="+Inf"}', 100),
    grows('letta_model_calls_total{model="m",outcome="ok"}', 100),
    grows('letta_model_calls_total{model="m",outcome="cancelled"}', 100),
    grows('letta_store_wait_seconds_bucket{le="1.0"}', 100),
    grows('letta_store_wait_seconds_bucket{le="+Inf"}', 100),
    grows('letta_store_transactions_total{outcome="done"}', 1000),
    {"series": "letta_store_connections_busy", "values": "1x30"},
    {"series": "letta_store_connections_limit", "values": "8x30"},
    {"series": "letta_outbox_rows", "values": "900x30"},
    {"series": "letta_runs_waiting", "values": "3x30"},
    grows('letta_refused_total{status="404"}', 1000),
    {"series": "letta_cost_dollars_total", "values": "0+0.1x30"},
]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_an_alert_wakes_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    told = yaml.safe_load((FILES / "alerts.yaml").read_text())
    assert [rule["alert"] for rule in told["groups"][0]["rules"]] == [*CASES]
    # Which labels an alert has is not the point: it is asked for whether it goes off at all.
    cases = [
        {
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": "30m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if series is not CALM else [],
                }
            ],
        }
        for name, mine in CASES.items()
        for series in (mine, CALM)
    ]
    shutil.copy(FILES / "alerts.yaml", tmp_path)
    tests = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "tests.yaml").write_text(json.dumps(tests))
    run("promtool", "test", "rules", tmp_path / "tests.yaml")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")
def test_prometheus_asks_a_server_as_it_is_told_to(
    service: AgentService, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_METRICS_TOKEN", "the-metrics-token")
    (tmp_path / "token").write_text("the-metrics-token\n")
    shutil.copy(FILES / "alerts.yaml", tmp_path)
    with serving(service, scripted) as server:
        text = changed(
            "prometheus.yaml",
            ("/etc/prometheus/letta-metrics-token", str(tmp_path / "token")),
            ("127.0.0.1:8283", server.url.rpartition("/")[2]),
            ("scrape_interval: 15s", "scrape_interval: 100ms"),
        )
        (tmp_path / "prometheus.yaml").write_text(text)
        run("promtool", "check", "config", tmp_path / "prometheus.yaml")
        headers = {"Authorization": "Bearer the-metrics-token"}
        figures = httpx.get(f"{server.url}/metrics", headers=headers, timeout=60).text
        said = run("promtool", "check", "metrics", input=figures)
        assert said == "", "it also says what is no good form"
        port = free_port()
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path / 'prometheus.yaml'}",
                f"--storage.tsdb.path={tmp_path / 'figures'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )
        try:
            until(lambda: listens(port))

            def found(query: str) -> list[Any]:
                asked = httpx.get(
                    f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=60
                )
                return asked.json()["data"]["result"] if asked.status_code == 200 else []

            until(lambda: found('up{job="letta-kernel"} == 1'))
            until(lambda: found("letta_build_info"))
        finally:
            process.terminate()
            process.wait(60)
