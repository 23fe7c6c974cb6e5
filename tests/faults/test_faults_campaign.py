"""kill -9 at any moment, of every kind of process in which agents work: what was shown is kept."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from agent_bench import kept_whole
from jupyter_client.manager import KernelManager
from scripted_server import ScriptedServer
from step_children import book, prepare

from letta_kernel.messages import DID_NOT_HAPPEN, MAY_HAVE_HAPPENED
from letta_kernel.service import AgentService

SCRIPT = """
from letta_kernel.messages import ToolReturned
from letta_kernel.service import AgentService

with AgentService() as service:
    for event in service.runs.send("ada", "Please."):
        if isinstance(event, ToolReturned):
            print(event.text, flush=True)
"""
TERMINAL = [sys.executable, "-m", "letta_kernel.cli"]
_SHOWN = re.compile(r"(\d{4,}) paid")


@contextmanager
def program(*command: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process, and the lines it has printed so far."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lines.extend, args=(process.stdout,))
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reader.join(10)


def script(kill: Callable[[int], None]) -> str:
    with program(sys.executable, "-c", SCRIPT) as (process, lines):
        kill(process.pid)
    return "".join(lines)


def terminal(kill: Callable[[int], None]) -> str:
    with program(*TERMINAL, "send", "ada", "Please.") as (process, lines):
        kill(process.pid)
    return "".join(lines)


def server(kill: Callable[[int], None]) -> str:
    with program(*TERMINAL, "serve", "--port", "0") as (process, lines):
        while not (token := re.search(r"token: (\S{20,})", "".join(lines))):
            assert process.poll() is None, lines
            time.sleep(0.05)
        url = re.search(r"http://127\.0\.0\.1:\d+", "".join(lines))
        assert url is not None
        client = httpx.Client(
            base_url=url[0], headers={"Authorization": f"Bearer {token[1]}"}, timeout=60
        )
        agent = client.get("/v1/agents", params={"name": "ada"}).json()[0]["id"]
        heard: list[str] = []

        def listen() -> None:
            body = {"input": "Please.", "stream_tokens": True}
            try:
                with client.stream(
                    "POST", f"/v1/agents/{agent}/messages/stream", json=body
                ) as reply:
                    heard.extend(reply.iter_text())
            except httpx.HTTPError:
                pass  # it was killed

        listener = threading.Thread(target=listen)
        listener.start()
        kill(process.pid)
        listener.join(30)
    return "".join(heard)


def kernel(kill: Callable[[int], None]) -> str:
    manager = KernelManager(kernel_name="letta")
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute("%%agent ada\nPlease.")
        assert manager.provisioner is not None
        kill(manager.provisioner.pid)
        heard = []
        while client.iopub_channel.msg_ready():
            heard.append(json.dumps(client.get_iopub_msg(timeout=1)["content"], default=str))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return "".join(heard)


KINDS = {"script": script, "terminal": terminal, "server": server, "kernel": kernel}


def take_turns_and_die(kind: str, home: Path, scripted: ScriptedServer, rounds: int) -> None:
    """Let an agent pay and remember in processes that are killed; compare what is known and what was done."""
    random.seed()
    with AgentService(home) as service:
        prepare(service, str(home), runs_in="sandbox")
        service.agents.update("ada", model="openai/scripted")
    shown: set[str] = set()
    for number in range(1000, 1000 + rounds):
        scripted.forget()
        before = len(scripted.requests)
        scripted.calls(
            [
                ("pay", {"euros": number * 10}),
                ("archival_memory_insert", {"content": f"Paid {number}."}),
                (
                    "core_memory_append",
                    {"label": "human", "content": f"Owes nothing for {number}."},
                ),
                ("pay", {"euros": number * 10 + 1}),
            ]
        )
        scripted.say("All is paid.")
        delay = random.uniform(0.0, 1.5)

        def kill(pid: int, before: int = before, delay: float = delay) -> None:
            deadline = time.monotonic() + 60
            while len(scripted.requests) == before and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)

        shown |= set(_SHOWN.findall(KINDS[kind](kill)))
        check(home, shown)
    with AgentService(home) as service:
        assert service.store.check().findings == []


def check(home: Path, shown: set[str]) -> None:
    with AgentService(home) as service:
        kept_whole(service)
        history = service.messages.history("ada", limit=10_000)
        results = {m.tool_call_id: m.content for m in history if m.role == "tool"}
        passages = [passage.content for passage in service.passages.list("ada", limit=10_000)]
        human = service.blocks.retrieve("human", agent="ada").value
    paid = book(home).read_text().split() if book(home).exists() else []
    assert len(set(paid)) == len(paid)  # nothing was done twice
    assert shown <= set(_SHOWN.findall("\n".join(results.values())))
    for message in history:
        for call in message.tool_calls:
            said, given = results[call.id], json.loads(call.arguments)
            if call.name == "pay":
                done = str(given["euros"]) in paid
            else:
                done = given["content"] in (passages if "archival" in call.name else human)
                assert said != MAY_HAVE_HAPPENED  # of our own store it is known
            assert done or said in (DID_NOT_HAPPEN, MAY_HAVE_HAPPENED), (call, said)
            assert not done or said != DID_NOT_HAPPEN, (call, said)
    said = "".join(str(call.arguments) for message in history for call in message.tool_calls)
    assert all(number in said for number in paid)  # nothing was done that history does not know


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(50, marks=(pytest.mark.slow, pytest.mark.timeout(3600)))]
)
@pytest.mark.parametrize(
    "kind",
    [
        "server",
        "kernel",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("script", "terminal")),
    ],
)
def test_kills_at_any_moment(
    kind: str,
    rounds: int,
    fresh_project: Callable[[Path], Path],
    tmp_path: Path,
    scripted: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = fresh_project(tmp_path / "home")
    monkeypatch.setenv("LETTA_HOME", str(home))
    take_turns_and_die(kind, home, scripted, rounds)
