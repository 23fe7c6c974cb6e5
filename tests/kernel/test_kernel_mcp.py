"""``%agent mcp`` in a real kernel, with a real MCP server in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from kernel_notebook import Notebook
from scripted_server import ScriptedServer

from letta_kernel.commands import at
from letta_kernel.commands.arguments import parse
from letta_kernel.commands.mcp import where
from letta_kernel.errors import InvalidInputError
from letta_kernel.records import McpServer

SERVER = Path(__file__).parent.parent / "tools" / "mcp_server.py"


def test_a_server_from_its_adding_to_its_removal(
    notebook: Notebook, server: ScriptedServer
) -> None:
    assert "No MCP servers yet" in notebook.run("%agent mcp").text
    notebook.run("%agent new ada")
    notebook.run(f"import sys\nserver = {str(SERVER)!r}")
    added = notebook.run("%agent mcp add test {sys.executable} {server} --env GREETING=hello")
    assert added.status == "ok"
    assert "ada can call add, search, a_tool_oddly_named" in added.text
    assert "of test now" in added.text
    server.call("variable", {"name": "GREETING"})
    server.say("It says hello.")
    ran = notebook.run("%%agent\nWhat is the greeting?")
    [call] = ran.items("tool_call")
    assert (call["result"], call["runs_in"]) == ("hello", "mcp")
    listed = notebook.run("%agent mcp list").text
    assert "hello" not in listed
    assert "connected" in listed
    assert notebook.complete("%agent mcp remove te") == ["test"]
    notebook.run("%agent tools detach slow")
    tools = notebook.run("%agent mcp tools test").text
    assert "%agent tools attach slow" in tools
    assert "test; ada had tools of it" in notebook.run("%agent mcp remove test").text
    assert "No MCP servers yet" in notebook.run("%agent mcp list").text


def test_servers_of_another_programs_file(notebook: Notebook, tmp_path: Path) -> None:
    run = {"command": sys.executable, "args": [str(SERVER)]}
    secret = "sk-proj-abcdefghijklmnop1234"
    (tmp_path / "deeper").mkdir()
    servers = {
        "my tools": {**run, "env": {"GREETING": "hello", "LEVEL": 3}, "cwd": "deeper"},
        "keyed": {**run, "type": "stdio", "env": {"SERVICE_API_KEY": secret, "PLAIN": secret}},
        "by-reference": {**run, "env": {"SERVICE_API_KEY": "${env:MY_KEY:-none}"}},
        "broken": {"comand": "npx"},
        "gone": {"command": "no-such-program-here"},
        "off": {**run, "disabled": True},
        "web": {
            "type": "http",
            "url": "http://127.0.0.1:9/mcp?api_key=abc",
            "headers": {"Authorization": f"Bearer {secret}"},
        },
        "odd": "npx",
    }
    file = tmp_path / "claude desktop.json"
    file.write_text("// from elsewhere\n" + json.dumps({"mcpServers": servers})[:-1] + ",}")
    notebook.run("%agent new reader")
    read = f'%agent mcp add --from "{file}"'
    first = notebook.run(read)
    assert first.status == "ok", first
    for name, said in {
        "my-tools": "reader can call add, search",
        "keyed": "was left out: set SERVICE_API_KEY, PLAIN in the environment",
        "by-reference": "was left out: set MY_KEY in the environment",
        "broken": "was left out: it needs either a command or a url",
        "gone": "there is no program 'no-such-program-here'",
        "off": "was left out: it is switched off there",
        "web": "was left out: set WEB_API_KEY, WEB_TOKEN in the environment",
        "odd": "was left out: it is no object",
    }.items():
        assert any(name in line and said in line for line in first.text.splitlines()), name
    before = notebook.run("%agent tools").text
    assert notebook.run(read).text == first.text
    assert notebook.run("%agent tools").text == before
    assert "hello" in notebook.run("%agent tools run variable name=GREETING").text
    assert "deeper" in notebook.run("%agent tools run folder").text

    notebook.run(f"import os\nos.environ |= dict(SERVICE_API_KEY={secret!r}, PLAIN='x')")
    assert "reader can call" in notebook.run(f'%agent mcp add keyed --from "{file}"').text
    for kept in notebook.home.rglob("*"):
        assert not kept.is_file() or secret.encode() not in kept.read_bytes(), kept
    for line, said in (
        (f'{read[:-1]}x"', "cannot be read"),
        (f'%agent mcp add nosuch --from "{file}"', "has no server 'nosuch'"),
        (f'%agent mcp add broken --from "{file}"', "needs either"),
        (f"%agent mcp add --from {SERVER}", "is no JSON"),
    ):
        ran = notebook.run(line)
        assert (ran.ename, said in ran.evalue) == ("AgentError", True), ran
    for name in ("my-tools", "keyed", "by-reference"):
        notebook.run(f"%agent mcp remove {name}")


def test_a_server_that_changes_its_tools_is_followed(
    notebook: Notebook, server: ScriptedServer
) -> None:
    notebook.run("%agent new swapper")
    notebook.run(f"import sys\nserver = {str(SERVER)!r}")
    assert notebook.run("%agent mcp add live {sys.executable} {server}").status == "ok"
    server.call("swap", {"out": "noise", "into": "later"})
    server.call("later", {})
    server.say("It came later.")
    ran = notebook.run("%%agent\nSwap them.")
    assert "I am later" in [call["result"] for call in ran.items("tool_call")][1]
    said = "The tools of the MCP server live have changed; new: later; gone: noise."
    assert said in [notice["text"] for notice in ran.items("notice")], ran.run["items"]
    offered = [tool["function"]["name"] for tool in server.requests[-1]["tools"]]
    assert ("later" in offered, "noise" in offered) == (True, False)
    listed = notebook.run("%agent tools").text
    assert ("later" in listed, "noise" in listed) == (True, False)
    # By hand, outside any run: the next message says so.
    notebook.run("%agent tools run swap out=later into=latest")
    server.say("Hello.")
    ran = notebook.run("%%agent\nHello")
    assert "new: latest; gone: later" in str(ran.items("notice"))
    notebook.run("%agent mcp remove live")


def test_what_goes_wrong_is_one_line(notebook: Notebook) -> None:
    notebook.run("%agent new bob")
    for line, said in [
        ("%agent mcp add x no-such-program", "there is no program 'no-such-program'"),
        ("%agent mcp add x http://127.0.0.1:9/mcp --token a-token", "not the token"),
        ("%agent mcp add", "NAME is missing"),
        ("%agent mcp add x", "COMMAND (or a URL) is missing"),
        ("%agent mcp remove y", "There is no MCP server 'y'"),
        ("%agent mcp ad x y", "Did you mean 'add'?"),
    ]:
        ran = notebook.run(line)
        assert ran.status == "error", (line, ran)
        assert said in ran.text
        assert "Traceback" not in ran.text


@pytest.mark.parametrize(
    ("line", "words", "options"),
    [
        ("fs npx -y --yes pkg /data", ["npx", "-y", "--yes", "pkg", "/data"], {}),
        ('fs "/opt/my tools/run" --x "a b"', ["/opt/my tools/run", "--x", "a b"], {}),
        (
            "fs run --env A=1 --env=B --approve",
            ["run"],
            {"env": ["A=1", "B"], "approve": True},
        ),
        ("--env A=1 fs -- run --env B=2", ["run", "--env", "B=2"], {"env": ["A=1"]}),
        (
            'web https://h/mcp --header "X-A: b" --token MY_TOKEN --time-limit 5',
            ["https://h/mcp"],
            {"header": ["X-A: b"], "token": "MY_TOKEN", "time_limit": 5.0},
        ),
    ],
)
def test_reading_the_line(line: str, words: list[str], options: dict[str, object]) -> None:
    given = parse(line, at("notebook")["mcp add"].takes("notebook"), usage="")
    name = line.replace("--env A=1 ", "").split()[0]
    assert given == {"name": name, "command": words, **options}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fs --envv A=1 run", "Did you mean '--env'"),
        ("fs run --env", "--env needs a value"),
        ("fs run --time-limit soon", "needs a number"),
        ("fs run --time-limit -1", "above 0"),
    ],
)
def test_lines_that_cannot_be_read(line: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse(line, at("notebook")["mcp add"].takes("notebook"), usage="")


def test_what_is_shown_of_a_server() -> None:
    command = ["run", "--in", "two words", "${MY_KEY}"]
    environment = {"GREETING": "hello", "API_KEY": "${MY_KEY}"}
    local = McpServer(name="x", command=command, environment=environment)
    assert where(local) == 'run --in "two words" ${MY_KEY} · GREETING=… · API_KEY=${MY_KEY}'
    headers = {"Authorization": "Bearer ${MY_KEY}", "X-Region": "eu"}
    web = McpServer(name="x", url="https://h/mcp", headers=headers)
    assert where(web) == "https://h/mcp · Authorization: ${MY_KEY} · X-Region: …"
