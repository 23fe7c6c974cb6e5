"""``letta-kernel serve`` as a process: what it prints, who it lets in, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from cli_bench import PROGRAM, Cli
from letta_client import Letta
from websockets.sync.client import connect

from letta_kernel.service import AgentService


@contextmanager
def serving(
    cli: Cli, *words: str, token: str = "", umask: int = -1, program: Sequence[str] = PROGRAM
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*program, "serve", *words],
        cwd=cli.folder,
        env={**os.environ, "LETTA_SERVER_TOKEN": token},
        umask=umask,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode in (0, 130)
    assert "Traceback" not in said, said


DROP = "from letta_kernel.tools.sandbox_walls import drop_privileges\ndrop_privileges()\n"
# Root without privileges is a user like any other: what they may do to each other is what counts.
UNPRIVILEGED = f"import os, sys\n{DROP}os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
LOOK = f"""import subprocess, sys
{DROP}
def read(pid):
    open(f"/proc/{{pid}}/environ", "rb").read(1)

with subprocess.Popen(["sleep", "60"]) as other:
    read(other.pid)
    other.kill()
try:
    read(sys.argv[1])
except PermissionError:
    print("closed")
"""


def test_serve_prints_what_a_client_needs(cli: Cli) -> None:
    program = [sys.executable, "-c", UNPRIVILEGED, *PROGRAM[1:]]
    with serving(cli, "--port", "0", umask=0, program=program) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        said = "".join(lines)
        url = re.search(r"http://127\.0\.0\.1:\d+", said)
        token = re.search(r"token: (\S{20,})", said)
        assert url is not None
        assert token is not None
        client = Letta(base_url=url[0], api_key=token[1], max_retries=0)
        human = {"label": "human", "value": ""}
        agent = client.agents.create(
            name="ada", model="letta/demo", memory_blocks=[human], tools=["core_memory_append"]
        )
        assert "tea" in str(client.agents.messages.create(agent.id, input="I like tea.").messages)
        assert httpx.get(f"{url[0]}/v1/agents", timeout=60).status_code == 401
        if sys.platform == "linux":
            look = [sys.executable, "-c", LOOK, str(process.pid)]
            assert subprocess.check_output(look, text=True) == "closed\n"
        # Beside it, the command line works with the same agents.
        assert [a["name"] for a in cli.json("agent", "list")] == ["ada"]
        # Where rows are in a database, the first file that lies in it makes the folder.
        made = [one for one in (cli.home, *cli.home.rglob("*")) if one.exists()]
        modes = [path.stat().st_mode for path in made]
        assert not any(mode & 0o077 for mode in modes), "whatever the umask"


def test_serve_for_programs_and_two_at_once(cli: Cli) -> None:
    secret = "a-token-of-my-own"
    with serving(cli, "--json", token=secret) as one, serving(cli, "--json") as two:
        assert one.stdout is not None
        assert two.stdout is not None
        first, second = json.loads(one.stdout.readline()), json.loads(two.stdout.readline())
        assert first["token"] == secret
        assert Path(first["home"]) == cli.home
        assert first["pid"] == one.pid
        assert second["url"] != first["url"], "the next free port"
        assert second["token"] != first["token"]
        cli("agent", "new", "ada")
        url = first["url"].replace("http", "ws", 1)
        with connect(f"{url}/v1/agents/ada/ws?token={secret}", open_timeout=60) as talk:
            assert json.loads(talk.recv(90))["agent_name"] == "ada"
        tokens_of_the_project_hold_at_each(cli, [first["url"], second["url"]])


def tokens_of_the_project_hold_at_each(cli: Cli, urls: list[str]) -> None:
    """Made, listed and revoked in processes of their own, while servers run."""
    made = cli("token", "new", "reader", "--days", "2")
    token = made.stdout.strip()
    assert made.stdout.count("\n") == 1
    assert "'reader' may read in the project, until" in made.stderr
    assert "this once" in made.stderr
    headers = {"Authorization": f"Bearer {token}"}
    for url in urls:
        assert httpx.get(f"{url}/v1/agents", headers=headers, timeout=60).status_code == 200
        refused = httpx.post(f"{url}/v1/agents", headers=headers, json={}, timeout=60)
        assert refused.status_code == 403
        assert refused.json() == {
            "detail": "This token may read, not write.",
            "page": "not-allowed",
        }
    bound = cli.json("token", "new", "ada's", "--rights", "talk", "--agent", "ada")
    assert bound["token"].startswith("lk-")
    assert bound["rights"] == "talk"
    assert bound["agent_id"].startswith("agent-")
    assert "already" in cli.fails("token", "new", "reader")
    assert "nobody" in cli.fails("token", "new", "x", "--agent", "nobody")
    assert "--days" in cli.fails("token", "new", "x", "--days", "-1", code=2)
    listed = cli("token", "list").stdout
    assert re.search(r"reader\t\tthe project\tread\t20\d\d-", listed)
    assert "ada's\t\tada\ttalk\tnever\tnever" in listed
    assert "no view 'access_tokens'" in cli.fails("sql", "SELECT * FROM access_tokens")
    kept = cli("token", "list", "--json").stdout
    for secret in (token, bound["token"]):
        assert secret not in kept + listed
    for name in ("reader", bound["id"]):
        assert "Revoked" in cli.out("token", "revoke", name)
    assert "no token 'reader'" in cli.fails("token", "revoke", "reader")
    for url in urls:
        assert httpx.get(f"{url}/v1/agents", headers=headers, timeout=60).status_code == 401
    assert cli.json("token", "list") == []


def test_a_token_of_one_s_own_is_in_a_file_and_shown_nowhere(cli: Cli) -> None:
    file = cli.folder / "token"
    file.write_text("a-token-of-my-own\n")
    file.chmod(0o444)  # as Docker hands one over
    with serving(cli, "--port", "0", "--token-file", str(file)) as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(5))
        assert "a-token" not in said
        assert "a-token" not in " ".join(psutil.Process(process.pid).cmdline())
        url = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert url is not None
        headers = {"Authorization": "Bearer a-token-of-my-own"}
        assert httpx.get(f"{url[0]}/v1/agents", headers=headers, timeout=60).status_code == 200


def test_no_secret_is_a_word_of_a_command(cli: Cli) -> None:
    """Every user of a machine can read those."""
    cli("agent", "new", "ada")
    file = cli.folder / "token"
    for words in (("serve",), ("mcp", "--http")):
        assert "--token-file" in cli.fails(*words, "--token", "a-token-of-my-own", code=2)
        assert "cannot be read" in cli.fails(*words, "--token-file", str(file))
    file.write_text("a-token-of-my-own")
    file.chmod(0o640)
    refused = cli.fails("serve", "--token-file", str(file))
    assert "chmod 600" in refused
    assert "LETTA_SERVER_TOKEN" in refused
    said = cli.fails("agent", "set", "ada", "environment", "TEA_KEY=hunter22")
    assert "letta-kernel agent set ada environment NAME" in said
    assert "hunter22" not in said
    cli("agent", "set", "ada", "environment", "TEA_KEY", given="hunter22\n")
    told = cli.out("agent", "set", "ada", "environment", "-", "--json", given="POT_KEY=hunter=23")
    shown = told + cli.out("agent", "set", "ada") + cli.out("agent", "show", "ada", "--json")
    assert "TEA_KEY=…, POT_KEY=…" in shown
    assert "hunter" not in shown + cli.out("agent", "export", "ada", "-")
    assert "no column 'settings'" in cli.fails("sql", "SELECT settings FROM agents")
    with AgentService(cli.home) as service:
        kept = service.agents.retrieve("ada").settings["environment"]
    assert kept == {"TEA_KEY": "hunter22", "POT_KEY": "hunter=23"}
    assert "kernelspec" in cli.fails("install", "--env", "OPENAI_API_KEY=sk-0123456789abcdef")


def test_an_origin_is_what_browsers_send(cli: Cli) -> None:
    words = ("--port", "0", "--json", "--no-token", "--origin", "https://Example.org/")
    with serving(cli, *words) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        page = {"Origin": "https://example.org"}
        answer = httpx.get(f"{url}/v1/agents", headers=page, timeout=60)
        assert answer.headers["access-control-allow-origin"] == "https://example.org"


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/app", "ftp://x", ""])
def test_what_is_no_origin(cli: Cli, origin: str) -> None:
    assert "no origin of web pages" in cli.fails("serve", "--port", "0", "--origin", origin)


def test_serve_refuses(cli: Cli) -> None:
    assert "this machine" in cli.fails("serve", "--no-token", "--host", "0.0.0.0")
    assert "8 printable" in cli.fails("serve", LETTA_SERVER_TOKEN="short")
    cli.fails("serve", "--token-file", "token", "--no-token", code=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "another --port" in cli.fails("serve", "--port", port)


def test_the_other_doors_refuse(cli: Cli) -> None:
    for words in (("mcp",), ("mcp", "--http"), ("acp",)):
        assert "no project" in cli.fails(*words), "a client's folder stays as it is"
    assert not cli.home.exists()
    assert "go with --http" in cli.fails("mcp", "--port", "1", code=2)
    assert "mcp" in cli.fails("mcp", "serve", code=2)
    cli("agent", "new", "ada")
    assert "8 printable" in cli.fails("mcp", "--http", LETTA_SERVER_TOKEN="short")
    for words in (("mcp",), ("acp",), ("acp", "ada")):
        assert cli.out(*words, given="") == "", "nothing is said before a client asks"
