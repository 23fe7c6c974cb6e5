"""``%agent serve``: the agents over HTTP from the kernel, with its functions, until it ends."""

from __future__ import annotations

import re
import socket
import stat
import threading
from pathlib import Path

import httpx
import pytest
from kernel_notebook import Notebook, Ran
from letta_client import Letta
from ports import free_port
from scripted_server import ScriptedServer

TOOL = '''
%agent new keeper
def lamp_state(room: str) -> str:
    """Say whether a lamp is lit.

    Args:
        room: Where the lamp is.
    """
    import os
    return f"the lamp of the {room} is lit, says {os.getpid()}, {counted}"
'''


def url_in(ran: Ran) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", ran.stdout)
    assert found is not None, ran
    return found[0]


def ask(client: Letta, agent: str, text: str) -> list[str]:
    answer = client.agents.messages.create(agent, input=text)
    return [m.tool_return for m in answer.messages if m.message_type == "tool_return_message"]


def test_a_notebook_serves_its_agents(
    notebook: Notebook, server: ScriptedServer, tmp_path: Path
) -> None:
    assert "%agent serve begins it" in notebook.run("%agent serve status").text
    assert "Nothing to stop" in notebook.run("%agent serve stop").text
    log = tmp_path / "mine.log"
    notebook.run(
        "import logging; counted = 1\n"
        f"logging.getLogger('mine').addHandler(logging.FileHandler({str(log)!r}, mode='w'))"
    )
    notebook.run(TOOL)
    port = free_port()
    began = notebook.run(f"%agent serve --port {port}")
    assert began.status == "ok", began
    url, file = url_in(began), notebook.home / "server-token"
    token = file.read_text()
    assert url == f"http://127.0.0.1:{port}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in began.stdout
    assert token not in began.text
    assert httpx.get(f"{url}/v1/agents/", timeout=60).status_code == 401
    notebook.run("logging.getLogger('mine').warning('still mine')")
    assert log.read_text() == "still mine\n", "the process is the person's"

    # What it says works as it is, in a cell of this very kernel.
    assert f'!curl -H "Authorization: Bearer $(cat {file})" {url}/v1/agents/' in began.stdout
    shown = began.stdout.splitlines()
    python = "\n".join(line.strip() for line in shown if "import" in line or "client =" in line)
    server.call("lamp_state", {"room": "tower"})
    server.say("It is lit.")
    cell = f"{python}\n[a] = [a for a in client.agents.list() if a.name == 'keeper']\n"
    cell += "print([m for m in client.agents.messages.create(a.id, input='Lit?').messages])"
    ran = notebook.run(cell)
    kernel = notebook.run("import os; print(os.getpid())").stdout.strip()
    assert f"the lamp of the tower is lit, says {kernel}, 1" in ran.stdout

    # While a cell runs, and after the stop button, it answers; functions are what they are now.
    client = Letta(base_url=url, api_key=token, max_retries=0)
    [keeper] = [agent for agent in client.agents.list() if agent.name == "keeper"]
    gate = tmp_path / "gate"
    busy = f"import time, pathlib\ncounted = 2\npathlib.Path({str(gate)!r}).touch()\nprint('on')\n"
    server.call("lamp_state", {"room": "hall"})
    server.say("That one too.")
    said: list[str] = []

    def meanwhile() -> None:
        said.extend(ask(client, keeper.id, "And that of the hall?"))
        notebook.interrupt()

    asking = threading.Thread(target=meanwhile)
    ran = notebook.finish(
        notebook.send(f"{busy}time.sleep(60)"), when=lambda r: "on" in r.stdout, then=asking.start
    )
    asking.join(60)
    assert ran.ename == "KeyboardInterrupt"
    assert said == [f"the lamp of the hall is lit, says {kernel}, 2"]
    assert url_in(notebook.run("%agent serve status")) == url
    assert url_in(notebook.run("%agent serve")) == url
    assert "serve stop" in notebook.run(f"%agent serve --port {free_port()}").evalue

    # Stopped and begun again, after a restart too, it has the same token.
    assert url in notebook.run("%agent serve stop").text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/v1/health", timeout=60)
    with socket.create_server(("127.0.0.1", port)):
        taken = notebook.run(f"%agent serve --port {port}")
        assert (taken.status, len(taken.traceback)) == ("error", 1)
        assert "another --port" in taken.evalue
    assert notebook.run(f"%agent serve --port {port}").status == "ok"
    notebook.restart()
    assert notebook.run(f"%agent serve --port {port}").status == "ok"
    assert [agent.name for agent in client.agents.list() if agent.id == keeper.id] == ["keeper"]
    notebook.run("%agent serve stop")


def test_the_token_may_be_one_s_own(notebook: Notebook) -> None:
    notebook.run("%env LETTA_SERVER_TOKEN=one-of-my-own")
    try:
        began = notebook.run("%agent serve --port 0")
        assert "one-of-my-own" not in began.text
        assert "LETTA_SERVER_TOKEN" in began.stdout
        headers = {"Authorization": "Bearer one-of-my-own"}
        assert httpx.get(f"{url_in(began)}/v1/agents/", headers=headers, timeout=60).is_success
        notebook.run("%agent serve stop")
        for port in ("-1", "65536", "x"):
            assert "--port needs a number" in notebook.run(f"%agent serve --port {port}").evalue
        notebook.run("%env LETTA_SERVER_TOKEN=short")
        assert "8 printable" in notebook.run("%agent serve").evalue
    finally:
        notebook.run("import os; os.environ.pop('LETTA_SERVER_TOKEN', None)")
