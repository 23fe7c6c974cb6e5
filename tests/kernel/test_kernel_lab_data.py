"""`%agent sql`, `%%agentsql`, `%agent trace` and `%agent report` in a real kernel."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from extras import needs
from kernel_notebook import Notebook
from otlp_receiver import collector
from scripted_server import ScriptedServer


@pytest.fixture(scope="module", autouse=True)
def _told(notebook: Notebook, server: ScriptedServer) -> None:
    notebook.run("%agent new ada --human ''")
    server.call("core_memory_append", {"label": "human", "content": "Name: Kim"})
    server.say("Hello, <b>Kim</b>.")
    assert notebook.run("%%agent\nMy name is Kim.").status == "ok"


def test_a_query_is_a_table(notebook: Notebook) -> None:
    ran = notebook.run("%agent sql SELECT agent, tool, status FROM calls")
    assert "core_memory_append" in ran.text
    (shown,) = ran.displays
    assert "<table>" in shown["text/html"]
    ran = notebook.run("%agent sql SELECT content FROM messages --limit 1")
    assert "more than 1 rows" in ran.text
    html = notebook.run(
        "%agent sql SELECT content FROM messages WHERE role = 'assistant'"
    ).displays[0]
    assert "<b>Kim" not in html["text/html"]
    ran = notebook.run("%agent sql SELECT agnet FROM runs")
    assert (ran.ename, ran.evalue) == (
        "AgentError",
        "There is no column 'agnet' in runs. Did you mean 'agent'?",
    )


def test_a_cell_or_a_line_gives_a_dataframe(notebook: Notebook) -> None:
    notebook.run("whose = 'ada'")
    query = "-- the calls of one agent\nSELECT tool, seconds\nFROM calls WHERE agent = '{whose}'"
    ran = notebook.run(f"%%agentsql df <<\n{query}")
    assert (ran.status, ran.text.strip()) == ("ok", "")
    assert (
        "('core_memory_append', 1, 'float64')"
        in notebook.run("df.tool[0], len(df), str(df.seconds.dtype)").text
    )
    notebook.run(
        "%agentsql df << SELECT 'It''s', count(*) AS n FROM runs --seconds 20\nn = df.n[0]"
    )
    assert notebook.run("n").text.strip() in ("1", "np.int64(1)")
    ran = notebook.run("%agentsql SELECT label FROM memory_versions WHERE step_id IS NOT NULL")
    assert "human" in ran.text
    notebook.run("kept = df")
    for wrong in (
        "%agentsql 1x << SELECT 1",
        "%agentsql class << SELECT 1",
        "%%agentsql df <<\n \n",
        "%agentsql df << SELEC",
    ):
        assert notebook.run(wrong).ename == "AgentError", wrong
    assert notebook.run("df is kept").text.strip() == "True"
    assert "VARIABLE <<" in notebook.inspect("%agentsql")


def test_the_stop_button_ends_a_query(notebook: Notebook) -> None:
    slow = "%agent sql SELECT count(*) FROM range(10000000) a, range(10000000) b --seconds 600"
    waiting = notebook.send(slow)
    threading.Timer(1.0, notebook.manager.interrupt_kernel).start()
    ran = notebook.finish(waiting)
    assert ran.status == "error"
    assert notebook.run("%agent sql SELECT 40 + 2").text.split()[-1] == "42"


def test_a_report_is_written_and_written_over(notebook: Notebook, tmp_path: Path) -> None:
    page = tmp_path / "ada.html"
    for _ in range(2):
        assert "tells the conversation with ada" in notebook.run(f"%agent report {page}").text
    assert "Name: Kim" in page.read_text("utf-8")
    other = tmp_path / "notes.html"
    other.write_text("mine")
    assert "--force" in notebook.run(f"%agent report {other}").evalue
    assert other.read_text() == "mine"


@needs("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
def test_runs_reach_a_collector_until_it_is_turned_off(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    assert "to nobody" in notebook.run("%agent trace").text
    with collector() as otlp:
        assert otlp.url in notebook.run(f"%agent trace on --endpoint {otlp.url}").text
        server.say("Yes.")
        notebook.run("%%agent\nAgain?")
        assert "to nobody" in notebook.run("%agent trace off").text
        names = [one["name"] for one in otlp.until("invoke_agent ada")]
    assert names == ["chat scripted", "invoke_agent ada"]
    file = tmp_path / "runs.jsonl"
    assert "6 spans" in notebook.run(f"%agent trace save {file}").text
    assert {json.loads(line)["agent"] for line in file.read_text().splitlines()} == {"ada"}
