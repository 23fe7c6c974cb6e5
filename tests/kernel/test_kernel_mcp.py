"""``%agent mcp`` in a real kernel, with a real MCP server in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_notebook import Notebook
from scripted_server import ScriptedServer

from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook.mcp_commands import AddServer, where
from letta_kernel.notebook.registry import COMMANDS
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


def test_what_goes_wrong_is_one_line(notebook: Notebook) -> None:
    notebook.run("%agent new bob")
    for line, said in [
        ("%agent mcp add x no-such-program", "there is no program 'no-such-program'"),
        ("%agent mcp add x http://127.0.0.1:9/mcp --token a-token", "not the token"),
        ("%agent mcp remove y", "There is no MCP server 'y'"),
        ("%agent mcp ad x y", "Did you mean 'add'?"),
    ]:
        ran = notebook.run(line)
        assert ran.status == "error"
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
            {"environment": ["A=1", "B"], "approve": True},
        ),
        ("--env A=1 fs -- run --env B=2", ["run", "--env", "B=2"], {"environment": ["A=1"]}),
        (
            'web https://h/mcp --header "X-A: b" --token MY_TOKEN --time-limit 5',
            ["https://h/mcp"],
            {"header": ["X-A: b"], "token": "MY_TOKEN", "time_limit": 5.0},
        ),
    ],
)
def test_reading_the_line(line: str, words: list[str], options: dict[str, object]) -> None:
    add = COMMANDS["mcp add"]
    assert isinstance(add, AddServer)
    given = add.parse(line)
    assert given.options["server"] == words
    assert given.words["name"] == line.replace("--env A=1 ", "").split()[0]
    for key, value in options.items():
        assert given.option(key) == value


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "NAME is missing"),
        ("fs", "COMMAND .or a URL. is missing"),
        ("fs --envv A=1 run", "Did you mean '--env'"),
        ("fs run --env", "--env needs a value"),
        ("fs run --time-limit soon", "needs a number"),
        ("fs run --time-limit -1", "above 0"),
    ],
)
def test_lines_that_cannot_be_read(line: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        COMMANDS["mcp add"].parse(line)


def test_what_is_shown_of_a_server() -> None:
    command = ["run", "--in", "two words", "${MY_KEY}"]
    environment = {"GREETING": "hello", "API_KEY": "${MY_KEY}"}
    local = McpServer(name="x", command=command, environment=environment)
    assert where(local) == 'run --in "two words" ${MY_KEY} · GREETING=… · API_KEY=${MY_KEY}'
    headers = {"Authorization": "Bearer ${MY_KEY}", "X-Region": "eu"}
    web = McpServer(name="x", url="https://h/mcp", headers=headers)
    assert where(web) == "https://h/mcp · Authorization: ${MY_KEY} · X-Region: …"
