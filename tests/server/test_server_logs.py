"""The log of a server: lines for programs, with ids and figures and without anybody's words."""

from __future__ import annotations

import ast
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted_server import ScriptedServer
from websockets.sync.client import connect

import letta_kernel
from letta_kernel.errors import StoreError
from letta_kernel.server import logs

TOKEN = "token-of-the-log-tests"
WORD = "Zwetschgenknoedel"
RUN = "run-6f1c0a52-7d0e-4d3a-9b11-0d5a3c2b1e00"


def line(*given: Any, message: str = "run %s ended", error: BaseException | None = None) -> Any:
    """One record of ours as its line."""
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord(
        "letta_kernel.x", logging.WARNING, __file__, 7, message, given, exc_info
    )
    return json.loads(logs.JsonForm().format(record))


def test_of_what_a_record_is_given_only_ids_and_figures_are_told() -> None:
    assert line(RUN)["event"] == f"run {RUN} ended"
    assert line(3, message="%d of %s")["event"] == "3 of …"
    assert line(2.5, WORD, message="100%% in %.1f s: %r")["event"] == "100% in 2.5 s: …"
    for hidden in (WORD, f"{RUN} {WORD}", f"{RUN}\n", "run-1", {"a": WORD}, [WORD], b"x", None):
        assert line(hidden)["event"] == "run … ended"
    assert WORD not in str(line({"word": WORD}, message="%(word)s was said"))


def test_of_an_error_its_kind_its_code_and_its_place_are_told() -> None:
    def fail() -> None:
        try:
            Path(f"/{WORD}").read_bytes()
        except OSError as error:
            raise StoreError(f"{WORD} cannot be read") from error

    with pytest.raises(StoreError) as caught:
        fail()
    told = line(RUN, error=caught.value)
    assert told["error"] == "StoreError < FileNotFoundError (ENOENT: No such file or directory)"
    assert told["frames"] == ["(other code)"] * 2, "that file is none of the package's"
    assert WORD not in str(told)
    assert line(caught.value)["event"].startswith("run StoreError < FileNotFoundError")

    class DriverError(Exception):
        sqlstate = "40001"

    assert line(DriverError(WORD))["event"] == "run DriverError (40001) ended"
    with pytest.raises(ZeroDivisionError) as inner:
        logs.Observation.__init__(1 / 0)  # type: ignore[misc]
    assert "frames" in line(error=inner.value, message="x")


def test_a_library_is_told_without_its_words() -> None:
    record = logging.LogRecord("httpx", logging.WARNING, "/x/_client.py", 7, WORD, (), None)
    told = json.loads(logs.JsonForm().format(record))
    assert told["event"] == "a library has logged something"
    assert told["logger"] == "httpx"
    assert told["at"] == "_client.py:7"
    assert WORD not in logs.TextForm().format(record)


def test_what_the_package_logs_has_a_fixed_form() -> None:
    """A text put together before it is logged would be told as it is."""
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    for path in Path(letta_kernel.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in levels
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("log", "_log", "logger")
            ):
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"


# -- a server that logs, as a process ----------------------------------------------------------------


class Logged:
    """What a server has logged, read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        for said in stream:
            with self._more:
                self.lines.append(said)
                self._more.notify_all()

    def wait(self, event: str, **fields: Any) -> dict[str, Any]:
        """Return the first record of this kind, once it is there."""

        def found() -> dict[str, Any] | None:
            for said in self.lines:
                one = json.loads(said)
                if one["event"] == event and fields.items() <= one.items():
                    return one
            return None

        with self._more:
            assert self._more.wait_for(lambda: found() is not None, 60), "".join(self.lines)
        record = found()
        assert record is not None
        return record


@contextmanager
def logging_server(folder: Path, model: ScriptedServer, **more: str) -> Iterator[Logged]:
    environment = {
        **os.environ,
        "LETTA_HOME": str(folder / "home"),
        "LETTA_SERVER_TOKEN": TOKEN,
        "LETTA_LOG": "json",
        "OPENAI_API_KEY": f"sk-{WORD}-key",
        "OPENAI_BASE_URL": model.url,
        "LETTA_MODEL_TRIES": "1",
        **more,
    }
    command = [sys.executable, "-m", "letta_kernel.cli", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, env=environment, cwd=folder, text=True, stdout=-1, stderr=subprocess.PIPE
    )
    logged = Logged(process)
    try:
        yield logged
    finally:
        process.terminate()
        said, _ = process.stdout.read(), process.wait(60)  # type: ignore[union-attr]
        logged._thread.join(60)
        assert said == "", "the log is all there is"


def test_nobodys_words_are_in_the_log(tmp_path: Path, scripted: ScriptedServer) -> None:
    with logging_server(tmp_path, scripted, LETTA_LOG_LEVEL="debug", LITELLM_LOG="DEBUG") as logged:
        url = f"http://127.0.0.1:{logged.wait('server started')['port']}"
        talk = httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"})
        assert talk.get("/v1/health").status_code == 200
        given = {"name": WORD, "model": "openai/scripted", "tools": ["archival_memory_search"]}
        agent = talk.post("/v1/agents", json=given).json()["id"]
        path = f"/v1/agents/{agent}/messages"
        scripted.call("archival_memory_search", {"query": WORD})
        scripted.call("archival_memory_search", {WORD: 1})
        scripted.say(WORD)
        asked = talk.post(path, json={"input": WORD}, headers={"X-Request-ID": "mine"})
        assert asked.status_code == 200
        record = logged.wait("request", request_id="mine")
        assert record["route"] == "/v1/agents/{agent_id}/messages"
        assert record["status"] == 200
        assert record["method"] == "POST"
        assert record["ms"] > 0
        assert record["client"] == "127.0.0.1"
        begun = logged.wait("run started", request_id="mine")
        ended = logged.wait("run ended", request_id="mine")
        assert begun["run_id"] == ended["run_id"] == record["run_id"]
        assert ended["stop_reason"] == "end_turn"
        assert ended["steps"] == 3
        scripted.fault(401, message=f"{WORD}: wrong key sk-{WORD}-key")
        failed = talk.post(path, json={"input": WORD}, headers={"X-Request-ID": "fails"})
        assert failed.status_code >= 400 or WORD in failed.text
        logged.wait("run ended", request_id="fails", level="warning")
        # What comes from outside and is no message.
        talk.get(f"/v1/agents/{WORD}?name={WORD}&token={WORD}")
        talk.get(f"/{WORD}", headers={"X-Request-ID": f"{WORD}!"})
        talk.post("/v1/agents", content=f"{{{WORD}")
        talk.post("/v1/agents", json={"name": [WORD], WORD: 1})
        httpx.get(f"{url}/v1/agents", headers={"Authorization": f"Bearer {WORD}"}, timeout=60)
        ws = url.replace("http", "ws", 1)
        with connect(f"{ws}/v1/agents/{agent}/ws?token={TOKEN}", open_timeout=60) as socket:
            socket.recv(60)
            socket.send(f"no JSON: {WORD}")
        logged.wait("socket", route="/v1/agents/{agent_id}/ws")
        with contextlib.suppress(Exception):
            connect(f"{ws}/v1/agents/{agent}/ws?token={WORD}", open_timeout=60)
        logged.wait("socket", route="(none)")
        talk.get("/v1/health", headers={"X-Request-ID": "last"})
        logged.wait("request", request_id="last", level="debug")
    records = [json.loads(said) for said in logged.lines]
    assert records[-1]["event"] == "server stopped"
    whole = "".join(logged.lines)
    for hidden in (WORD, WORD.lower(), TOKEN, "query", "Authorization"):
        assert hidden not in whole, hidden


def test_a_token_that_is_made_is_not_logged(tmp_path: Path) -> None:
    environment = {**os.environ, "LETTA_LOG": "text", "LETTA_HOME": str(tmp_path / "home")}
    environment.pop("LETTA_SERVER_TOKEN", None)
    command = [sys.executable, "-m", "letta_kernel.cli", "serve", "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "give one with --token-file" in done.stderr
    assert done.stdout == ""


# -- every route, with the word wherever a word may be -----------------------------------------------


def worded(value: Any) -> Any:
    """The same with the word for every text, and as a further field."""
    if isinstance(value, str):
        return WORD
    if isinstance(value, list):
        return [worded(one) for one in value]
    if isinstance(value, dict):
        return {**{key: worded(one) for key, one in value.items()}, WORD: WORD}
    return value


def half_worded(value: Any, at: str = "") -> Any:
    """The same with the word for what people write; what tells kinds and places apart stays."""
    kept = ("id", "type", "role", "model", "embedding", "kind", "rights", "order", "url", "effort")
    if isinstance(value, str):
        return value if at.endswith(kept) or at in ("source_code", "name") else f"{WORD} {value}"
    if isinstance(value, list):
        return [half_worded(one, at.removesuffix("s")) for one in value]
    if isinstance(value, dict):
        return {key: half_worded(one, key) for key, one in value.items()}
    return value


def bodies(operation: dict[str, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    """What is sent to one operation: arguments of `httpx.Client.request`."""
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        return [{"files": {"file": (f"{WORD}.txt", WORD.encode())}}, {"files": {WORD: WORD}}]
    if not content:
        return [{}]
    schema = content["application/json"].get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    examples = schemas.get(name, schema).get("examples") or [{"name": "x", "text": "y"}]
    made = [{"json": change(one)} for one in examples for change in (worded, half_worded)]
    return [*made, {"content": f"{{{WORD}"}, {"json": [WORD]}]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobodys_words_are_in_the_log_whatever_route_is_asked(
    tmp_path: Path, scripted: ScriptedServer
) -> None:
    with logging_server(tmp_path, scripted, LETTA_LOG_LEVEL="debug", LITELLM_LOG="DEBUG") as logged:
        url = f"http://127.0.0.1:{logged.wait('server started')['port']}"
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Request-ID": f"{WORD}:{WORD}"}
        headers |= {"User-Agent": WORD, "Cookie": f"a={WORD}", f"X-{WORD}": WORD, "Origin": WORD}
        talk = httpx.Client(base_url=url, timeout=120, headers=headers)
        document = talk.get("/openapi.json").json()
        schemas = document["components"]["schemas"]
        block = {"label": WORD, "value": WORD}
        given = {"name": WORD, "model": "letta/demo", "memory_blocks": [block], "tags": [WORD]}
        agent = talk.post("/v1/agents", json=given).json()["id"]
        source = f'def {WORD}(a: str) -> str:\n    """{WORD}."""\n    raise ValueError("{WORD}")\n'
        known = {"agent_id": agent}
        for kind, body in (
            ("block", block),
            ("tool", {"source_code": source}),
            ("archive", {"name": WORD}),
            ("folder", {"name": WORD}),
            ("group", {"agent_ids": [agent], "description": WORD}),
        ):
            made = talk.post(f"/v1/{kind}s/", json=body)
            assert made.status_code < 300, made.text
            known[f"{kind}_id"] = made.json()["id"]
        said = talk.post(f"/v1/agents/{agent}/messages", json={"input": WORD}).json()
        known["message_id"] = said["messages"][0]["id"]
        known["run_id"] = talk.get("/v1/runs/").json()[0]["id"]
        asked, answers = 0, set()
        for path, methods in document["paths"].items():
            for method, operation in sorted(methods.items(), key=lambda one: one[0] == "delete"):
                names = [one["name"] for one in operation.get("parameters", ())]
                query = {one: WORD for one in names if f"{{{one}}}" not in path}
                for body in bodies(operation, schemas):
                    for values in (known, {}):
                        if values and method == "delete":
                            continue  # they are needed further on
                        where = path
                        for one in names:
                            where = where.replace(f"{{{one}}}", values.get(one, WORD))
                        for more in ({}, query) if query else ({},):
                            answer = talk.request(method, where, params=more, **body)
                            asked += 1
                            answers.add((method, path, answer.status_code))
                            assert TOKEN not in answer.text
                            assert f"sk-{WORD}-key" not in answer.text
        good = {path for _, path, status in answers if status < 300}
        assert asked > 500
        assert len(good) > 60, "most of them come to what they are for"
        assert not [one for one in answers if one[2] == 500]
        figures = httpx.get(
            f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        )
        assert WORD not in figures.text
        talk.get("/v1/health", headers={"X-Request-ID": "last"})
        logged.wait("request", request_id="last", level="debug")
    whole = "".join(logged.lines)
    for hidden in (WORD, WORD.lower(), TOKEN):
        assert hidden not in whole, next(one for one in logged.lines if hidden in one)
