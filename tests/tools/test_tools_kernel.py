"""Tools in a real kernel: what they print is theirs, what another cell prints stays that cell's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import forked_kernels
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager


@pytest.fixture(scope="module")
def client() -> Iterator[BlockingKernelClient]:
    manager = KernelManager()
    assert manager.kernel_spec is not None
    manager.kernel_spec.metadata = forked_kernels.METADATA
    manager.start_kernel()
    found = manager.blocking_client()
    found.start_channels()
    found.wait_for_ready(timeout=60)
    yield found
    found.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> tuple[str, dict[str, Any]]:
    """Run a cell and return its message id and reply."""
    reply = client.execute_interactive(code, timeout=60, output_hook=gathered.append)
    return reply["parent_header"]["msg_id"], reply["content"]


gathered: list[dict[str, Any]] = []

SETUP = """
import asyncio, sys, threading, time
from letta_kernel.tools.live import run_function

def noise():
    for number in range(40):
        print("noise", number)
        time.sleep(0.02)

def tool():
    for number in range(10):
        print("tool", number)
        time.sleep(0.02)

async def later():
    for number in range(10):
        print("later", number)
        await asyncio.sleep(0.02)

pieces = []
def gather(stream, text):
    pieces.append(text)
"""


def test_output_is_the_tools_own_and_other_cells_keep_theirs(client: BlockingKernelClient) -> None:
    gathered.clear()
    run(client, SETUP)
    run(client, "thread = threading.Thread(target=noise); thread.start(); time.sleep(0.05)")
    _, content = run(
        client,
        "first = run_function(tool, {}, on_output=gather)\n"
        "second = run_function(later, {}, on_output=gather)\n"
        "print(f'cell: {first.text} {second.text} {type(sys.stdout).__name__}')",
    )
    assert content["status"] == "ok"
    _, content = run(
        client,
        "thread.join()\n"
        "expected = [f'{name} {n}\\n' for name in ('tool', 'later') for n in range(10)]\n"
        "assert pieces == expected, pieces",
    )
    assert content["status"] == "ok", content
    time.sleep(0.3)
    while True:
        try:
            gathered.append(client.get_iopub_msg(timeout=0.3))
        except Exception:
            break
    # The exact pieces were compared in the kernel: no noise among them. And none of theirs in a cell:
    # (A line may stand inside another: print writes its pieces one by one, and two threads print here.)
    text = "".join(one["content"]["text"] for one in gathered if one["msg_type"] == "stream")
    assert "cell: None None OutStream" in text
    assert "tool" not in text
    assert "later" not in text


def test_the_stop_button_ends_a_tool_and_the_next_cell_works(client: BlockingKernelClient) -> None:
    run(client, SETUP)
    # A kernel aborts what comes right after an error, which the next cell here may do.
    message = client.execute(
        "print('go', flush=True); run_function(lambda: time.sleep(60), {})", stop_on_error=False
    )
    while True:
        found = client.get_iopub_msg(timeout=30)
        if found["msg_type"] == "stream" and found["content"]["text"].startswith("go"):
            break
    time.sleep(0.2)
    client.session.send(client.control_channel.socket, "interrupt_request", {})
    while True:
        reply = client.get_shell_msg(timeout=30)
        if reply["parent_header"]["msg_id"] == message:
            break
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    _, content = run(
        client,
        "assert run_function(lambda: 5, {}).text == '5'\nassert type(sys.stdout).__name__ == 'OutStream'",
    )
    assert content["status"] == "ok"
