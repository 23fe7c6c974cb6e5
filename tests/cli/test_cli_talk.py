"""Talking to an agent in a pipe and on a terminal: answers, approvals, Ctrl-C, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest
from cli_bench import PROGRAM, Cli
from PIL import Image
from scripted_server import ScriptedServer

from letta_kernel.records import Run, Tool
from letta_kernel.service import AgentService
from letta_kernel.store import agents, runs
from letta_kernel.store.lease import process_owner

SOURCE = '''\
def ring(times: int) -> str:
    """Ring the bell.

    Args:
        times: How often.
    """
    return "ding " * times
'''


def with_bell(cli: Cli) -> None:
    """Make ada, who may ring the bell if a person agrees."""
    with AgentService(cli.home) as service:
        service.agents.create("ada", model="openai/scripted")
        tool = Tool(
            name="ring",
            description="Ring the bell.",
            parameters={
                "type": "object",
                "properties": {"times": {"type": "integer", "description": "How often."}},
                "required": ["times"],
            },
            source=SOURCE,
            kind="source",
            runs_in="sandbox",
            requires_approval=True,
        )
        service.tools.attach(service.tools.upsert(tool).id, agent="ada")


def test_send_prints_the_answer_alone(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.reason("They greet me.", "Good morning.")
    done = cli("send", "ada", "-", given="Hello\nthere")
    assert done.stdout == "Good morning.\n"
    assert done.stderr == ""
    assert scripted.requests[0]["messages"][-1]["content"].endswith("Hello\nthere")
    scripted.reason("Again.", "Hello again.")
    done = cli("send", "ada", "Hello", "--verbose")
    assert done.stdout == "Hello again.\n"
    assert "Again." in done.stderr
    assert "1 step" in done.stderr
    assert "\x1b" not in done.stderr


def test_an_answer_in_heartbeat_style_is_printed_too(scripted: ScriptedServer, cli: Cli) -> None:
    cli("agent", "new", "hal", "--style", "heartbeat", "--model", "openai/scripted")
    scripted.call("send_message", {"thinking": "A greeting.", "message": "Good morning."})
    assert cli.out("send", "hal", "Hello") == "Good morning.\n"
    scripted.call("send_message", {"thinking": "A greeting.", "message": "Good day."})
    done = cli("send", "hal", "Hello", "--verbose")
    assert done.stdout == "Good day.\n"
    assert "send_message" not in done.stderr


def test_send_takes_images(scripted: ScriptedServer, cli: Cli, tmp_path: Path) -> None:
    with_bell(cli)
    Image.new("RGB", (20, 10), "red").save(tmp_path / "red.png")
    cli("send", "ada", "Look", "--image", str(tmp_path / "red.png"))
    content = scripted.requests[-1]["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]
    assert "'no.png' is no picture" in cli.fails("send", "ada", "Look", "--image", "no.png")
    assert "[image 20x10 PNG" in cli.out("agent", "history", "ada")


def test_send_for_programs(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.say("Forty-two.")
    answer = cli.json("send", "ada", "How many?")
    assert answer["answer"] == "Forty-two."
    assert answer["stop_reason"] == "end_turn"
    assert answer["usage"]["prompt_tokens"] > 0
    assert answer["run_id"].startswith("run-")
    scripted.say("Forty-three.")
    lines = cli.out("send", "ada", "And now?", "--events").splitlines()
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_ended"
    assert "text_delta" in kinds


def test_what_the_model_took_back_is_not_in_the_pipe(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.truncate("Half an ans", how="abort")
    scripted.say("A whole answer.")
    assert cli.out("send", "ada", "Hello") == "A whole answer.\n"


def test_a_failed_run_is_one(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.fault(401, message="bad key", times=5)
    assert cli.fails("send", "ada", "Hello").endswith("(letta-kernel help key-refused)\n")
    cli.fails("send", "nobody", "Hello")
    cli.fails("send", "ada", " ")


def test_a_model_that_is_not_to_be_had_is_told_of_in_this_places_words(cli: Cli) -> None:
    said = cli.fails("agent", "new", "ada", "--model", "nowhere/x")
    assert "no provider 'nowhere'" in said
    cli("agent", "new", "ada")
    cli("model", "set", "ada", "anthropic/claude-sonnet-5")
    said = cli.fails("send", "ada", "Hello")
    assert "letta-kernel model key ANTHROPIC_API_KEY" in said
    assert "letta-kernel model set" in said
    assert "%" not in said


def test_nobody_there_to_approve(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.call("ring", {"times": 1})
    assert cli.out("send", "ada", "Ring!") == "Done.\n"
    assert "nobody was there" in str(scripted.requests[-1]["messages"][-1]["content"])
    scripted.call("ring", {"times": 2})
    waiting = cli.json("send", "ada", "Ring!", "--approval", "wait")
    assert waiting["stop_reason"] == "requires_approval"
    assert waiting["pending"][0]["name"] == "ring"
    assert "%agent" not in cli.fails("send", "ada", "And?")
    terminal = cli.terminal("chat", "ada")  # asks about what waits
    terminal.expect("Allow ring.times=2.")
    terminal.expect("why not: ")
    terminal.sendline("y")
    terminal.expect("ding ding")
    terminal.expect("ada> ")
    terminal.sendeof()
    terminal.wait()
    scripted.call("ring", {"times": 3})
    cli("send", "ada", "Ring!", LETTA_APPROVAL="approve")
    assert "ding ding ding" in str(scripted.requests[-1]["messages"][-1]["content"])


def test_a_chat_stops_at_breakpoints(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    assert "tool:ring" in cli.out("break", "on", "ada", "tool:ring")
    scripted.call("ring", {"times": 1})
    terminal = cli.terminal("chat", "ada")
    terminal.expect("ada> ")
    terminal.sendline("Ring!")
    terminal.expect("why not: ")  # approvals come first
    terminal.sendline("y")
    terminal.expect("before the call of ring .* breakpoint tool:ring")
    terminal.expect("for more: ")
    terminal.sendline('arguments = {"times": 3}')
    terminal.expect("for more: ")
    terminal.sendline("c")
    terminal.expect("edited by hand: arguments ring")
    terminal.expect("ada> ")
    terminal.sendeof()
    terminal.wait()
    assert "ding ding ding" in str(scripted.requests[-1]["messages"][-1]["content"])


def test_a_chat_in_a_pipe(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.say("One.")
    scripted.say("Two.")
    assert cli.out("chat", "ada", given="first\n\nsecond\n") == "One.\nTwo.\n"
    scripted.say("Three.")
    events = [
        json.loads(line) for line in cli.out("chat", "ada", "--json", given="third\n").splitlines()
    ]
    assert events[-1]["type"] == "run_ended"


def test_a_chat_on_a_terminal(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.reason("A bell, I think.", "Shall I?")
    terminal = cli.terminal("chat", "ada")
    terminal.expect("ada> ")
    terminal.sendline("There is a bell.")
    terminal.expect("\x1b\\[2mA ")  # thoughts are dimmed
    terminal.expect("Shall I")
    terminal.expect("ada> ")
    # no, with a reason
    scripted.call("ring", {"times": 1})
    terminal.sendline("Ring it.")
    terminal.expect("why not: ")
    terminal.sendline("the neighbours sleep")
    terminal.expect("Done.")
    terminal.expect("ada> ")
    assert "the neighbours sleep" in str(scripted.requests[-1]["messages"][-1]["content"])
    # other arguments
    scripted.call("ring", {"times": 50})
    terminal.sendline("Ring it.")
    terminal.expect("why not: ")
    terminal.sendline("e")
    terminal.expect("times")
    terminal.send("\x01\x0b")  # to the beginning, and all away
    terminal.sendline("[1]")
    terminal.expect("JSON object")
    terminal.send("\x01\x0b")
    terminal.sendline('{"times": 4}')
    terminal.expect("ding ding ding ding")
    terminal.expect("ada> ")
    terminal.sendline("/memory persona")
    terminal.expect("persona")
    terminal.expect("ada> ")
    terminal.sendline("/history 2")
    terminal.expect("assistant")
    terminal.expect("ada> ")
    terminal.sendeof()
    terminal.wait()
    assert terminal.exitstatus == 0
    history = cli.home / "chat_history"
    assert history.stat().st_mode & 0o077 == 0
    said = history.read_text()
    assert "There is a bell." in said
    assert "neighbours" not in said


def test_no_colour_when_asked(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.reason("A thought.", "Words.")
    terminal = cli.terminal("send", "ada", "Hello", "-v", NO_COLOR="1")
    said = terminal.read()
    assert "A thought." in said
    assert "\x1b[2m" not in said


def test_ctrl_c_stops_the_answer_and_not_the_chat(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    terminal = cli.terminal("chat", "ada")
    terminal.expect("ada> ")
    scripted.hang_mid_stream(120, "Once upon a time")
    terminal.sendline("Tell me a story.")
    terminal.expect("Once upon a time")
    terminal.sendintr()
    terminal.expect("Stopped")
    terminal.expect("ada> ")
    # What arrives between the prompt and Python's waiting for a key is seen only at the next one.
    for _ in range(5):
        terminal.sendintr()
        if terminal.expect(["Ctrl-D leaves", pexpect.TIMEOUT], timeout=5) == 0:
            break
    else:
        pytest.fail("Ctrl-C at the prompt was not noticed.")
    scripted.say("At your service.")
    terminal.sendline("Are you there?")
    terminal.expect("At your service")
    terminal.expect("ada> ")
    terminal.sendline("/quit")
    terminal.wait()
    assert terminal.exitstatus == 0
    with AgentService(cli.home) as service:
        kept = [m.content for m in service.messages.history("ada")]
    assert any(text.startswith("Once upon a time") for text in kept)


def test_ctrl_c_ends_send_with_130(scripted: ScriptedServer, cli: Cli) -> None:
    with_bell(cli)
    scripted.hang(120)
    process = subprocess.Popen(
        [*PROGRAM, "send", "ada", "Hello"],
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    scripted.wait_for(1, 60)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_an_agent_that_a_notebook_has_is_waited_for(cli: Cli) -> None:
    with AgentService(cli.home) as service:
        state = service.agents.create("ada", model="demo")
        run = Run(agent_id=state.id, notebook="birds.ipynb")
        owner = f"{process_owner()}/{run.id}"
        service.database.run(lambda tx: agents.acquire(tx, state.id, owner, 600))
        service.database.run(lambda tx: runs.start(tx, run))
        with subprocess.Popen(
            [*PROGRAM, "send", "ada", "Hello."],
            cwd=cli.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as sending:
            assert sending.stderr is not None
            line = sending.stderr.readline()
            assert (
                line == "ada is busy in the notebook 'birds.ipynb'; this goes on when it is free.\n"
            )
            service.database.run(lambda tx: agents.release(tx, state.id, owner))
            answer, rest = sending.communicate(timeout=120)
    assert sending.returncode == 0, rest
    assert answer.strip()
