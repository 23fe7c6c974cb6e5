"""A kernel that cannot do anything, just after a turn: nobody else has to wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_notebook import TIMEOUT, Notebook

from letta_kernel.messages import RunEnded
from letta_kernel.service import AgentService


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook with the agent ada, which is killed in the end."""
    folder = tmp_path_factory.mktemp("project")
    opened = Notebook(folder / ".letta", cwd=folder)
    opened.run("%agent new ada --model demo")
    yield opened
    opened.kill()


def debug(notebook: Notebook, command: str, **arguments: Any) -> dict[str, Any]:
    """Ask the kernel's debugger something, as JupyterLab does."""
    content = {"type": "request", "seq": 1, "command": command, "arguments": arguments}
    message = notebook.client.session.msg("debug_request", content)
    notebook.client.control_channel.send(message)
    while True:
        reply = notebook.client.get_control_msg(timeout=TIMEOUT)
        if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return dict(reply["content"])


def stopped_thread(notebook: Notebook) -> int:
    while True:
        message = notebook.client.get_iopub_msg(timeout=TIMEOUT)
        if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
            return int(message["content"]["body"]["threadId"])


def turn_of_another(notebook: Notebook) -> str:
    """How a turn ends that another process takes with the same agent."""
    with AgentService(notebook.home) as service:
        events = list(service.runs.send("ada", "Hello"))
    (ended,) = [event for event in events if isinstance(event, RunEnded)]
    return ended.stop_reason


def wait_for(file: Path) -> None:
    ends = time.monotonic() + TIMEOUT
    while not file.exists():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_one_at_a_breakpoint(own: Notebook) -> None:
    after = own.home.parent / "after the breakpoint"
    code = f"number = 1\nnumber += 1\nopen({str(after)!r}, 'w').close()"
    own.run("1")  # the debugger needs a cell that has run
    debug(own, "initialize", clientID="test", adapterID="", pathFormat="path")
    debug(own, "attach")
    source = debug(own, "dumpCell", code=code)["body"]["sourcePath"]
    debug(own, "setBreakpoints", breakpoints=[{"line": 2}], source={"path": source})
    debug(own, "configurationDone")
    assert own.run("%%agent\nHello").status == "ok"
    request = own.send(code)
    thread = stopped_thread(own)
    assert turn_of_another(own) == "end_turn"
    assert not after.exists()
    debug(own, "continue", threadId=thread)
    assert own.finish(request).status == "ok"
    assert after.exists()
    debug(own, "disconnect", restart=False, terminateDebuggee=False)


def test_one_in_a_call_that_keeps_every_thread_still(own: Notebook) -> None:
    before, after = own.home.parent / "before the call", own.home.parent / "after the call"
    assert own.run("%%agent\nHello").status == "ok"
    own.send(
        f"import ctypes\nopen({str(before)!r}, 'w').close()\nctypes.PyDLL(None).sleep(900)\n"
        f"open({str(after)!r}, 'w').close()"
    )
    wait_for(before)
    assert turn_of_another(own) == "end_turn"
    assert not after.exists()
