"""Tools of real MCP servers in processes of their own, over stdin and stdout and over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres
import psutil
import pytest
from mcp_bench import COMMAND, LATER, SERVER, Bench, gone
from scripted_server import ScriptedServer

from letta_kernel.errors import InvalidInputError, NotFoundError, ToolError
from letta_kernel.messages import ToolProgress, ToolReturned, ToolStarted
from letta_kernel.models.base import Cancel
from letta_kernel.service import AgentService, Decision
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.outcome import Outcome


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Ada with the tools of a server that stays for the whole module, unless a test ends it."""
    made = Bench(tmp_path_factory.mktemp("project") / ".letta")
    environment = {"GREETING": "hello", "TOKEN": "${MY_TOKEN}"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_TOKEN", "s3cr3t-value")
        patch.setenv("ANOTHER_SECRET", "x")
        made.service.mcp.create("test", COMMAND, environment=environment, agent="ada")
        yield made
        made.service.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / ".letta")
    yield made
    made.service.close()


# -- what a server offers ------------------------------------------------------------------------------


def test_its_tools_are_tools_of_the_agent(bench: Bench) -> None:
    tools = {tool.name: tool for tool in bench.service.tools.list("ada") if tool.kind == "mcp"}
    assert {"add", "search", "die", "a_tool_oddly_named"} <= set(tools)
    add = tools["add"]
    assert add.description == "Add two numbers."
    assert add.runs_in == "mcp"
    assert add.parallel_safe  # it says that it only reads
    assert not tools["search"].parallel_safe
    assert add.parameters == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {
                "type": "integer",
                "description": "what is added",
                "default": 1,
                "minimum": 0,
            },
        },
        "required": ["a"],
    }
    assert add.metadata["tool"] == "add"
    assert tools["a_tool_oddly_named"].metadata["tool"] == "a tool, oddly named"
    assert bench.run("a_tool_oddly_named").text == "odd"


def test_results(bench: Bench) -> None:
    assert bench.run("add", a=2, b=3) == Outcome("ok", "5", seconds=pytest.approx(0, abs=60))  # type: ignore[arg-type]
    found = bench.run("search", point={"x": 1})
    assert '"x": 1.0' in found.text
    assert '"m"' in found.text
    drawn = bench.run("picture")
    assert "one pixel\n[image/png, 70 bytes; shown to the user]" in drawn.text
    assert drawn.display is not None
    assert drawn.display["image/png"].startswith("iVBOR")
    failed = bench.run("fail", reason="the moon is\nin the way")
    assert failed.status == "error"
    assert "the moon is\nin the way" in failed.text
    assert "\n" not in (failed.error or "\n")


def test_a_long_result_is_cut(bench: Bench) -> None:
    bench.limit("long", return_limit=1000)
    text = bench.run("long", characters=100_000).text
    assert len(text) <= 1000
    assert "100,000 characters in all" in text
    assert bench.run("long", characters=3_000_000).status == "ok"


def test_arguments_are_checked_before_they_are_sent(bench: Bench) -> None:
    refused = bench.run("add", a="two", b=-1, c=3)
    assert refused.status == "error"
    for field in ("'a'", "'b'", "'c'"):
        assert field in refused.text
    assert "unit" in bench.run("search", point={"x": 1}, unit="miles").text


def test_prints_to_stdout_do_no_harm(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.run("noise").text == "quiet again"
    assert bench.run("add", a=1).text == "2"
    assert capfd.readouterr() == ("", "")


def test_progress_is_passed_on(bench: Bench) -> None:
    heard: list[tuple[str, str, threading.Thread]] = []
    bench.service.tools.run(
        "slow",
        {"seconds": 0.1},
        agent="ada",
        on_output=lambda kind, text: heard.append((kind, text, threading.current_thread())),
    )
    assert heard == [("progress", "a quarter (1 of 4)", threading.main_thread())]


def test_only_harmless_variables_are_handed_down(bench: Bench) -> None:
    assert os.environ["ANOTHER_SECRET"] == "x"
    assert bench.run("variable", name="GREETING").text == "hello"
    assert bench.run("variable", name="TOKEN").text == "s3cr3t-value"
    assert bench.run("variable", name="ANOTHER_SECRET").text == "(not set)"
    stored = postgres.stored(bench.service.database)
    assert b"s3cr3t" not in stored
    assert b"MY_TOKEN" in stored


# -- servers that die and hang -------------------------------------------------------------------------


def test_a_server_that_dies_in_a_call(bench: Bench) -> None:
    before = int(bench.run("process").text)
    died = bench.run("die", code=3)
    assert died.status == "error"
    assert died.error == (
        "The MCP server 'test' ended with exit code 3: Traceback: the disk is on fire"
    )
    assert bench.state() == died.error
    after = int(bench.run("process").text)  # it is there again
    assert after != before
    assert bench.state() == "connected"


def test_a_server_that_was_killed_between_calls(bench: Bench) -> None:
    before = int(bench.run("process").text)
    os.kill(before, signal.SIGKILL)
    assert gone(before)
    end = time.monotonic() + LATER
    while bench.state() == "connected" and time.monotonic() < end:
        time.sleep(0.01)
    assert int(bench.run("process").text) != before


def test_a_server_that_hangs(bench: Bench) -> None:
    before = int(bench.run("process").text)
    bench.limit("freeze", time_limit=0.3)
    hung = bench.run("freeze", seconds=100)
    assert hung.status == "error"
    assert "longer than its limit of 0.3 seconds" in hung.text
    assert bench.run("add", a=1).text == "2"  # by another process
    assert gone(before)


def test_a_call_that_takes_too_long_leaves_the_server_alone(bench: Bench) -> None:
    before = bench.run("process").text
    bench.limit("slow", time_limit=0.3)
    assert bench.run("slow", seconds=100).status == "error"
    assert bench.run("process").text == before
    bench.limit("slow", time_limit=60)


def test_cancelling(bench: Bench) -> None:
    cancel = Cancel()
    heard = threading.Event()

    def stop() -> None:
        heard.wait(LATER)
        cancel.cancel()

    threading.Thread(target=stop).start()
    ended = bench.service.tools.run(
        "slow", {"seconds": 100}, agent="ada", on_output=lambda *_: heard.set(), cancel=cancel
    )
    assert ended.status == "interrupted"
    assert bench.run("add", a=1).text == "2"


def test_the_stop_button(bench: Bench) -> None:
    def stop(kind: str, text: str) -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        bench.service.tools.run("slow", {"seconds": 100}, agent="ada", on_output=stop)
    assert bench.run("add", a=1).text == "2"


def test_calls_at_the_same_time(bench: Bench) -> None:
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(bench.run("add", a=n).text))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LATER)
    assert sorted(map(int, results)) == list(range(1, 13))


# What real servers send and the protocol does not know, and what the model is told of it.
ODD_ANSWERS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"content": [{"type": "text", "text": "before"}, {"type": "video", "data": "A" * 9_000}]},
        "ok",
        'before\n[video that cannot be shown here: {"data": "'
        + "A" * 40
        + '… (9,000 characters)"}]',
    ),
    (
        {"content": [{"type": "chart", "points": [1, 2]}, {"type": "text", "text": "after"}]},
        "ok",
        '[chart that cannot be shown here: {"points": [1, 2]}]\nafter',
    ),
    ({"content": [{"type": "markdown", "text": "# Hej"}]}, "ok", "# Hej"),
    ({"content": [{"type": "text", "text": "a", "annotations": {"priority": 7}}]}, "ok", "a"),
    ({"content": [{"type": "text", "text": "a", "_meta": []}]}, "ok", "a"),
    ({"content": ["a", None, {"text": "b"}]}, "ok", "a\nNone\nb"),
    ({"content": {"type": "text", "text": "alone"}}, "ok", "alone"),
    ({"content": "plain"}, "ok", "plain"),
    (
        {"content": [{"type": "image", "url": "http://h/a.png"}]},
        "ok",
        '[image that cannot be shown here: {"url": "http://h/a.png"}]',
    ),
    (
        {"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "t", "mimeType": 3}}]},
        "ok",
        "[resource a:b]\nt",
    ),
    ({"structuredContent": {"a": 1}}, "ok", '{"a": 1}'),
    ({"content": [], "structuredContent": [1, 2]}, "ok", "[1, 2]"),
    ({"content": None, "isError": "yes"}, "error", "The tool failed without saying why."),
    ({"toolResult": 3}, "ok", "None"),
    ({"content": [{"type": "text", "text": "a"}], "isError": None}, "ok", "a"),
]
ODD_SERVER = """
import json, sys
answers = json.loads(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = {}
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        about = {"name": "odd", "version": "1"}
        result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    elif asked["method"] == "tools/list":
        number = {"type": "object", "properties": {"number": {"type": "integer"}}}
        tools = [{"name": "odd", "inputSchema": number}]
        result = {"tools": json.loads(sys.argv[2]) if len(sys.argv) > 2 else tools}
    elif asked["method"] == "tools/call":
        result = answers[asked["params"]["arguments"]["number"]]
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


def test_what_the_protocol_does_not_know_does_not_lose_the_rest(empty: Bench) -> None:
    answers = json.dumps([answer for answer, _, _ in ODD_ANSWERS])
    empty.service.mcp.create(
        "odd", [sys.executable, "-c", ODD_SERVER, answers], agent="ada", start_limit=LATER
    )
    told = [empty.run("odd", number=number) for number in range(len(ODD_ANSWERS))]
    assert [(one.status, one.text) for one in told] == [row[1:] for row in ODD_ANSWERS]


ODD_TOOLS: dict[str, Any] = {
    "fine": {"inputSchema": {"type": "object", "properties": {"a": {"type": "array"}}}},
    "without": {},
    "null": {"inputSchema": None},
    "listed": {"inputSchema": []},
    "worded": {"inputSchema": "object"},
    "untyped": {"inputSchema": {"properties": {"a": {"type": "string"}}}},
    "mistyped": {"inputSchema": {"type": "string"}},
    "described": {"inputSchema": {}, "description": ["two", "lines"], "title": 3},
    "hinted": {"inputSchema": {}, "annotations": {"readOnlyHint": "yes", "title": None}},
    "marked": {"inputSchema": {}, "annotations": [], "icons": "x", "outputSchema": 1, "_meta": []},
}


def test_one_odd_tool_does_not_lose_the_others(empty: Bench) -> None:
    listed = [{"name": name, **rest} for name, rest in ODD_TOOLS.items()]
    listed += [{"inputSchema": {}}, "no tool", {"name": 7, "inputSchema": {}}]  # type: ignore[list-item]
    command = [sys.executable, "-c", ODD_SERVER, "[]", json.dumps(listed)]
    empty.service.mcp.create("odd", command, agent="ada", start_limit=LATER)
    found = [tool.name for tool in empty.service.tools.list("ada") if tool.kind == "mcp"]
    assert sorted(found) == sorted(ODD_TOOLS)


# -- servers that cannot be used -----------------------------------------------------------------------

SILENT = "import time; time.sleep(100)"
BROKEN = "raise SystemExit('no licence found')"
FLOOD = "import os\nwhile True: os.write(1, b'x' * 65536)"
CHATTER = "import os\nwhile True: os.write(1, b'Hello there!\\n' * 5000)"
ECHO = 'import sys\nfor line in sys.stdin: print(\'{"jsonrpc": "2.0", "id": 1, "result": {}}\', flush=True)'


@pytest.mark.parametrize(
    ("command", "limit", "said"),
    [
        ([sys.executable, "-c", SILENT], 0.5, "was not ready within 0.5 seconds"),
        ([sys.executable, "-c", BROKEN], LATER, "ended with exit code 1: no licence found"),
        ([sys.executable, "-c", FLOOD], LATER, "sent a message of more than 32 MB"),
        ([sys.executable, "-c", CHATTER], LATER, "prints to its stdout what is no MCP message"),
        ([sys.executable, "-c", ECHO], LATER, "cannot be used: its answer is no MCP answer"),
        (["no-such-program"], LATER, "cannot be started: there is no program 'no-such-program'"),
    ],
    ids=["silent", "broken", "flood", "chatter", "no answer", "missing"],
)
def test_a_server_that_cannot_be_used(
    empty: Bench, command: list[str], limit: float, said: str
) -> None:
    with pytest.raises(ToolError, match=said) as raised:
        empty.service.mcp.create("bad", command, agent="ada", start_limit=limit)
    assert "\n" not in str(raised.value)
    assert "'bad'" in str(raised.value)
    assert empty.service.mcp.list() == []
    assert not [tool for tool in empty.service.tools.list("ada") if tool.kind == "mcp"]
    left = [one for one in psutil.Process().children() if command[-1] in one.cmdline()]
    assert all(gone(one.pid) for one in left)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("9lives", {"command": ["x"]}, "begins with a letter"),
        ("a b", {"command": ["x"]}, "begins with a letter"),
        ("x", {}, "either a command or a URL"),
        ("x", {"command": ["x"], "url": "http://h/mcp"}, "either a command or a URL"),
        ("x", {"url": "ftp://h/mcp"}, "no URL"),
        ("x", {"url": "http://me:secret@h/mcp"}, "password in the URL"),
        ("x", {"command": ["x", "postgres://me:secret@h/db"]}, "password in the command"),
        ("x", {"command": ["x"], "environment": {"API_KEY": "abc"}}, r"API_KEY.*\${"),
        ("x", {"command": ["x"], "environment": {"A B": "abc"}}, "environment variable"),
        ("x", {"url": "http://h", "headers": {"Authorization": "Bearer abc"}}, r"\${NAME}"),
        ("x", {"url": "http://h", "headers": {"X-Api-Key": "abc"}}, "X-Api-Key"),
        ("x", {"url": "http://h", "headers": {"X-A": "b\nc"}}, "no header"),
        ("x", {"url": "http://h", "environment": {"A": "b"}}, "with a URL takes headers"),
        ("x", {"command": ["x"], "time_limit": 0.0}, "above 0"),
        ("x", {"command": ["x"], "agent": "nobody"}, "no agent 'nobody'"),
    ],
)
def test_what_is_refused(bench: Bench, name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises((InvalidInputError, NotFoundError), match=said):
        bench.service.mcp.create(name, **given)
    assert [one.server.name for one in bench.service.mcp.list()] == ["test"]


def test_a_variable_that_is_missing(empty: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(ToolError, match="needs the environment variable NOT_THERE"):
        empty.service.mcp.create("x", [*COMMAND, "${NOT_THERE}"])


def test_secrets_are_not_in_errors(empty: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    script = "import sys; sys.exit('cannot log in with ' + sys.argv[1])"
    with pytest.raises(ToolError, match=r"cannot log in with \${MY_TOKEN}$"):
        empty.service.mcp.create("x", [sys.executable, "-c", script, "${MY_TOKEN}"])


def test_without_the_sdk() -> None:
    script = (
        "import sys; sys.modules['mcp'] = None\n"
        "from pathlib import Path\n"
        "from letta_kernel.records import McpServer\n"
        "from letta_kernel.tools.mcp import Connections\n"
        "server = McpServer(name='x', command=['x'])\n"
        "Connections(lambda server_id: server, Path('.')).listing(server)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "ToolError: MCP servers need the package mcp" in ran.stderr.splitlines()[-1]
    assert "Install 'mcp>=2.3,<3'." in ran.stderr.splitlines()[-1]


# -- the life of servers -------------------------------------------------------------------------------


def test_adding_again_removing_and_names(empty: Bench) -> None:
    service = empty.service
    first = service.mcp.create("test", COMMAND, agent="ada", requires_approval=True)
    again = service.mcp.create("test", COMMAND, agent="ada")  # as Run All does
    assert [tool.id for tool in again.tools] == [tool.id for tool in first.tools]
    assert first.tools[0].requires_approval
    assert not again.tools[0].requires_approval
    service.tools.detach("add", agent="ada")
    assert "add" in [tool.name for tool in service.mcp.refresh("test").tools]
    assert "add" not in [tool.name for tool in service.tools.list("ada")]  # asking attaches nothing
    other = service.mcp.create("other", COMMAND, agent="ada")
    assert "other__add" in [tool.name for tool in other.tools]
    assert empty.run("other__add", a=1).text == "2"
    pid = int(empty.run("process").text)
    removed, agents = service.mcp.delete("test")
    assert (removed.name, agents) == ("test", ["ada"])
    assert gone(pid)
    assert [one.server.name for one in service.mcp.list()] == ["other"]
    assert "process" not in [tool.name for tool in service.tools.list()]
    with pytest.raises(NotFoundError, match="no MCP server 'test'"):
        service.mcp.delete("test")
    other_pid = int(empty.run("other__process").text)
    service.close()
    assert gone(other_pid)


def test_a_server_of_another_process_is_started_here_too(bench: Bench) -> None:
    with AgentService(bench.service.home) as second:
        here = second.tools.run("process", {}, agent="ada")
        assert here.status == "ok"
        assert here.text != bench.run("process").text
        assert [one.state for one in second.mcp.list()] == ["connected"]
    assert gone(int(here.text))


def test_servers_end_with_the_process(tmp_path: Path) -> None:
    script = (
        "import sys; from letta_kernel.service import AgentService\n"
        "service = AgentService(sys.argv[1]); service.agents.create('ada')\n"
        "service.mcp.create('test', [sys.executable, sys.argv[2]], agent='ada')\n"
        "print(service.tools.run('process', {}, agent='ada').text)"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "home"), str(SERVER)]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr == ""
    assert gone(int(ran.stdout))


def test_without_servers_a_tool_says_so(bench: Bench) -> None:
    tool = next(one for one in bench.service.tools.list("ada") if one.name == "add")
    alone = Executor().run(tool, {"a": 1})
    assert alone.status == "error"
    assert "MCP server cannot be reached from here" in alone.text


# -- an agent calls them -------------------------------------------------------------------------------


def test_a_run_with_approval(bench: Bench, scripted: ScriptedServer) -> None:
    service = bench.service
    service.tools.detach("a_tool_oddly_named", agent="ada")
    bench.limit("search", requires_approval=True)
    scripted.calls([("add", {"a": 20, "b": 22}), ("add", {"a": "x"}), ("slow", {"seconds": 0.1})])
    scripted.call("search", {"point": {"x": 1}})
    events = list(service.runs.send("ada", "Add and look around."))
    offered = [tool["function"]["name"] for tool in scripted.requests[0]["tools"]]
    assert {"add", "search"} <= set(offered)
    assert "a_tool_oddly_named" not in offered
    started = [event for event in events if isinstance(event, ToolStarted)]
    assert {event.runs_in for event in started} == {"mcp"}
    returned = [event for event in events if isinstance(event, ToolReturned)]
    assert [(event.name, event.status) for event in returned] == [
        ("add", "ok"),
        ("add", "error"),
        ("slow", "ok"),
    ]
    assert returned[0].text == "42"
    assert [event.text for event in events if isinstance(event, ToolProgress)]
    [waiting] = service.runs.pending("ada")
    assert waiting.name == "search"
    scripted.call("die", {})
    scripted.say("The server died, sorry.")
    after = list(service.runs.approve("ada", [Decision(waiting.id, approve=True)]))
    told = [event for event in after if isinstance(event, ToolReturned)]
    assert told[0].status == "ok"
    assert "ended with exit code 3" in told[1].text
    assert "ended with exit code 3" in str(scripted.requests[-1]["messages"][-1]["content"])
    stats = service.tools.stats("ada")
    assert (stats["die"].calls, stats["die"].failures) == (1, 1)
