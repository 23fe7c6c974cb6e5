"""What a panel can ask a kernel over a comm, also while a cell runs, and what it is told."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked_kernels import PLAIN
from kernel_notebook import TIMEOUT, Notebook
from kernel_panel import TARGET, Panel, PanelFailure
from PIL import Image
from scripted_server import ScriptedServer


@pytest.fixture
def panel(notebook: Notebook) -> Iterator[Panel]:
    opened = Panel(notebook).open()
    yield opened
    opened.close()


def test_a_panel_says_hello_with_what_it_can_be_asked(panel: Panel) -> None:
    assert panel.hello["project"].startswith("project")
    assert {"agents", "blocks", "talk", "approve"} <= set(panel.hello["methods"])
    assert panel.hello["protocol"] == 1
    assert panel.hello["asking"] == []


def test_looking_makes_no_project(server: ScriptedServer, tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / ".letta", LETTA_MODEL="demo")
    try:
        panel = Panel(notebook).open()
        assert panel.ask("agents") == []
        assert panel.ask("cost", since="today")["runs"] == 0
        assert panel.ask("models")[0]["name"] == "demo"
        with pytest.raises(PanelFailure, match="NotFoundError: There is no agent 'ada'"):
            panel.ask("blocks", agent="ada")
        assert not (tmp_path / ".letta").exists()
        assert panel.ask("agent.create", name="ada")["state"] == "idle"
        panel.until(lambda: panel.of("changed"))
        assert [agent["name"] for agent in panel.ask("agents")] == ["ada"]
        panel.close()
    finally:
        notebook.close()


def test_what_is_wrong_is_said_in_one_line(panel: Panel) -> None:
    for method, params, said in (
        (
            "blok",
            {},
            "NotFoundError: This kernel cannot be asked for 'blok'. Did you mean 'blocks'?",
        ),
        ("blocks", {}, "InvalidInputError: blocks: agent: Field required."),
        (
            "blocks",
            {"agent": 3},
            "InvalidInputError: blocks: agent: Input should be a valid string.",
        ),
        ("agents", {"x": 1}, "InvalidInputError: agents: x: Extra inputs are not permitted."),
    ):
        with pytest.raises(PanelFailure) as failure:
            panel.ask(method, **params)
        assert str(failure.value) == said
    panel.send({"type": "request", "id": None, "method": None, "params": "no"})
    panel.post("comm_msg", data="no object")
    assert isinstance(panel.ask("agents"), list)


def test_a_busy_cell_does_not_hold_up_answers(
    notebook: Notebook, panel: Panel, tmp_path: Path
) -> None:
    panel.ask("agent.create", name="busy")
    begun = tmp_path / "begun"
    request = notebook.send(
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
        "until = time.time() + 60\nwhile time.time() < until: time.sleep(0.05)"
    )
    panel.until(begun.exists)  # before, ipykernel would not hear the stop button
    block = panel.ask("blocks", agent="busy")[1]
    written = panel.ask(
        "block.write", agent="busy", label="human", value="Kim", expected_version=block["version"]
    )
    assert written["value"] == "Kim"
    with pytest.raises(PanelFailure, match=r"ConflictError: .*\(%agent help changed-meanwhile\)$"):
        panel.ask("block.write", agent="busy", label="human", value="Lee", expected_version=1)
    notebook.interrupt()
    assert notebook.finish(request).ename == "KeyboardInterrupt"


def test_panels_do_not_make_the_kernel_look_busy_or_idle(notebook: Notebook) -> None:
    panel = Panel(notebook).open()
    panel.ask("agents")
    panel.statuses.clear()  # of what was asked before the panel was connected
    panel.ask("agents")
    panel.post("comm_close", data={})
    notebook.run("1")
    panel.until(lambda: "idle" in panel.statuses)
    panel.listen(0.2)
    assert panel.statuses == ["busy", "idle"]  # of the cell
    assert signs(notebook)  # asking for the sign has an end that front ends wait for
    panel.until(lambda: panel.statuses == ["busy", "idle"] * 2)
    panel.client.stop_channels()


def test_a_kernel_in_a_cell_looks_busy_after_it_has_answered_something_else(
    notebook: Notebook, tmp_path: Path
) -> None:
    panel = Panel(notebook).open()
    panel.ask("agents")
    begun = tmp_path / "begun"
    request = notebook.send(
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\nwhile True: time.sleep(0.05)"
    )
    panel.statuses.clear()
    panel.until(lambda: panel.statuses == ["busy"])
    asked = panel.client.session.msg("create_subshell_request", {})  # as a page does for a view
    panel.client.control_channel.send(asked)
    panel.until(lambda: panel.statuses[1:] == ["busy", "idle", "busy"])
    panel.until(
        begun.exists
    )  # the sign comes before the cell, in which alone ipykernel can be stopped
    notebook.interrupt()
    notebook.finish(request)
    panel.until(lambda: panel.statuses[-1] == "idle")
    panel.client.stop_channels()


def test_a_message_for_a_subshell_that_is_gone_has_an_end(notebook: Notebook) -> None:
    panel = Panel(notebook)
    panel.subshell = "gone"
    asked = panel.post("comm_msg", data={})
    panel.until(lambda: asked in panel.replies)
    panel.client.stop_channels()


def test_a_run_in_a_cell_is_told_as_it_happens(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    panel.ask("agent.create", name="told")
    server.say("One answer in several pieces, which come as few messages.")
    assert notebook.run("%%agent told\nHello").status == "ok"
    panel.until(lambda: panel.events("run_ended"))
    told = list(panel.of("events"))
    assert [m["after"] for m in told] == [0, *(m["until"] for m in told[:-1])]
    assert {m["run_id"] for m in told} == {told[0]["events"][0]["run_id"]}
    text = "".join(event["text"] for event in panel.events("text_delta"))
    assert text == "One answer in several pieces, which come as few messages."


def test_a_front_end_that_missed_something_of_a_run_gets_it(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    panel.ask("agent.create", name="missed")
    notebook.run("%%agent missed\nHello")
    panel.until(lambda: panel.events("run_ended"))
    run_id = panel.of("events")[0]["run_id"]
    last = panel.of("events")[-1]["until"]
    kinds = [event["type"] for message in panel.of("events") for event in message["events"]]
    late = Panel(notebook).open()
    late.send({"type": "follow", "run_id": "run-unknown", "after": 0})
    for odd in ("x", None, last, 10**9):
        late.send({"type": "follow", "run_id": run_id, "after": odd})
    for number, after in enumerate((0, 3, -5), start=1):
        late.send({"type": "follow", "run_id": run_id, "after": after})
        late.until(lambda number=number: len(late.of("events")) == number)
    whole, rest, again = late.of("events")
    assert (whole["after"], whole["until"]) == (0, last)
    assert {event["type"] for event in whole["events"]} == set(kinds)
    assert (rest["after"], rest["until"]) == (3, last)
    assert again == whole
    assert len({event["type"] for event in rest["events"]}) < len(set(kinds))
    late.close()


SEATS = '''
def seats(row: int) -> str:
    """Count seats.

    Args:
        row: which row
    """
    return f"{row * 7} seats in {hall}"
'''


def test_talking_without_a_cell(notebook: Notebook, panel: Panel, server: ScriptedServer) -> None:
    notebook.run("hall = 'the hall'\n%agent new host")
    notebook.run(SEATS)
    server.call("seats", {"row": 2})
    server.say("Fourteen.")
    assert panel.ask("talk", agent="host", text="How many {seats}?") is None
    assert server.requests[-2]["messages"][-1]["content"].endswith("How many {seats}?")
    returned = panel.until(lambda: panel.events("tool_returned"))[0]
    assert returned["text"] == "14 seats in the hall"
    roles = [m["role"] for m in panel.ask("messages", agent="host")]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert notebook.run("print(In[-2:])").stdout.count("do(") == 0  # not in the history
    server.say("Red.")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 4), "red").save(buffer, "PNG")
    red = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    panel.ask("talk", agent="host", text="Which colour?", images=[red])
    content = server.requests[-1]["messages"][-1]["content"]
    assert content[1] == {"type": "image_url", "image_url": {"url": red}}
    with pytest.raises(PanelFailure, match="this is an SVG"):
        panel.plain("talk", agent="host", text="Look", images=["data:image/png;base64,PHN2Zy8+"])


def test_tools_are_tried_by_hand_where_the_variables_are(notebook: Notebook, panel: Panel) -> None:
    notebook.run("hall = 'the yard'")
    own = panel.ask("tools")
    assert [(tool["name"], tool["place"]) for tool in own] == [("seats", "notebook")]
    outcome = panel.ask("tool.run", agent="host", name="seats", arguments={"row": 1})
    assert (outcome["status"], outcome["text"]) == ("ok", "7 seats in the yard")
    outcome = panel.ask("tool.run", agent="host", name="seats", arguments={})
    assert outcome["status"] == "error"
    assert "row" in outcome["text"]
    names = [tool["name"] for tool in panel.ask("tools", agent="host")]
    assert "seats" in names
    assert "core_memory_append" in names
    panel.ask("tool.detach", agent="host", name="seats")
    assert "seats" not in [tool["name"] for tool in panel.ask("tools", agent="host")]


def test_work_that_was_not_done_says_so(panel: Panel) -> None:
    panel.ask("agent.create", name="later")
    ticket = panel.plain("talk", agent="later", text="Hi")
    with pytest.raises(PanelFailure, match="This was not done"):
        panel.ask("job", ticket=ticket["ticket"])


APPROVED = '''
from letta_kernel import tool

@tool(requires_approval=True)
def shout(word: str) -> str:
    """Say a word loudly.

    Args:
        word: the word
    """
    return word.upper()
'''


def test_a_call_that_waits_in_a_busy_cell_is_answered_in_the_panel(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    notebook.run("%agent new asker\n" + APPROVED)
    notebook.run(APPROVED)
    server.call("shout", {"word": "tea"})
    server.say("TEA it is.")
    request = notebook.send("%%agent asker\nShout")
    agent = panel.until(lambda: [a for m in panel.of("asking") for a in m["agents"]])[0]
    [call] = panel.ask("pending", agent=agent)
    with pytest.raises(PanelFailure, match="No call 'other' waits"):
        panel.ask("approve", agent=agent, decisions=[{"call_id": "other", "approve": True}])
    late = Panel(notebook).open()
    assert late.hello["asking"] == [agent]
    decision = {"call_id": call["id"], "approve": True, "arguments": {"word": "milk"}}
    assert late.plain("approve", agent=agent, decisions=[decision]) is None
    late.close()
    ran = notebook.finish(request)
    assert ran.status == "ok", ran.text
    assert panel.until(lambda: panel.events("tool_returned"))[0]["text"] == "MILK"
    panel.until(lambda: panel.of("asking")[-1]["agents"] == [])


def test_a_run_that_stopped_waiting_is_gone_on_with(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    server.call("shout", {"word": "tea"})
    panel.ask("talk", agent="asker", text="Shout")  # does not hold the notebook up
    [call] = panel.ask("pending", agent="asker")
    [state] = [a["state"] for a in panel.ask("agents") if a["name"] == "asker"]
    assert state == "waiting"
    server.say("Then not.")
    no = {"call_id": call["id"], "approve": False, "reason": "too loud"}
    assert panel.ask("approve", agent="asker", decisions=[no]) is None
    assert server.requests[-1]["messages"][-1]["role"] == "tool"
    assert "too loud" in server.requests[-1]["messages"][-1]["content"]
    assert panel.ask("pending", agent="asker") == []
    with pytest.raises(PanelFailure, match="waits for no approval"):
        panel.ask("approve", agent="asker", decisions=[no])


def test_changes_by_other_processes_are_noticed(notebook: Notebook, panel: Panel) -> None:
    agent = panel.ask("agent.create", name="watched")["id"]
    panel.until(lambda: [m for m in panel.of("changed") if "agents" in m["what"]])
    other = Notebook(notebook.home, LETTA_MODEL="demo")
    try:
        before = len(panel.heard)
        other.run("%agent use watched\n%agent memory human 'Kim, from afar'")
        changed = panel.until(lambda: [m for m in panel.of("changed") if m in panel.heard[before:]])
        assert "blocks" in changed[0]["what"]
        assert changed[0]["agents"] in ([agent], None)
    finally:
        other.close()
    # Looking is no change: once the other is gone, nothing more is said.
    ends = time.monotonic() + TIMEOUT
    said, quiet = len(panel.of("changed")), time.monotonic() + 2
    while time.monotonic() < quiet:
        panel.listen(0.2)
        if len(panel.of("changed")) > said:
            said, quiet = len(panel.of("changed")), time.monotonic() + 2
        assert time.monotonic() < ends


def test_a_panel_that_closes_is_forgotten(notebook: Notebook, panel: Panel) -> None:
    count = "print(get_ipython()._letta_magics.session.approvals.panels)"
    before = int(notebook.run(count).stdout)
    other = Panel(notebook).open()
    assert int(notebook.run(count).stdout) == before + 1
    other.close()
    panel.until(lambda: int(notebook.run(count).stdout) == before)


HALF = '''
def half(word: str) -> str:
    """Say half a character.

    Args:
        word: which word
    """
    print(word + "\\ud83d")

    class Odd:
        def _repr_mimebundle_(self, **more):
            return {"text/plain": object(), "application/x-odd": b"\\xff"}

    display(Odd())
    return word
'''


def test_what_cannot_be_told_does_not_end_the_telling(
    notebook: Notebook, panel: Panel, server: ScriptedServer
) -> None:
    notebook.run("%agent new odd")
    notebook.run("from IPython.display import display\n" + HALF)
    server.call("half", {"word": "moon"})
    server.say("Half a moon.")
    notebook.run("%%agent odd\nSay it")
    panel.until(lambda: panel.events("run_ended"))
    server.say("Here.")
    notebook.run("%%agent odd\nStill there?")
    panel.until(lambda: len(panel.events("run_ended")) == 2)


def test_a_panel_opened_soon_after_the_last_one_went_is_told_all(
    notebook: Notebook, server: ScriptedServer
) -> None:
    """As a page does that is loaded again: the threads that tell may be gone, or just going."""
    for pause in (0.0, 0.4, 0.8, 1.1):
        _is_told(Panel(notebook).open(), f"again-{pause}", server)
        time.sleep(pause)


def _is_told(panel: Panel, name: str, server: ScriptedServer) -> None:
    panel.ask("agent.create", name=name)
    panel.until(lambda: panel.of("changed"))
    server.say("Here.")
    panel.ask("talk", agent=name, text="Still there?")
    panel.until(lambda: panel.events("run_ended"))
    panel.close()


def test_a_panel_that_says_nothing_for_long_is_closed(notebook: Notebook, panel: Panel) -> None:
    silent = Panel(notebook).open()
    notebook.run("from letta_kernel.notebook.panel import connections\nconnections.SILENCE = 2.0")
    panel.until(lambda: (panel.send({"type": "ping"}), silent.listen(0.1), silent.closed)[-1])
    assert not panel.closed
    notebook.run("connections.SILENCE = 200.0")


def test_a_plain_kernel_has_a_panel_once_the_extension_is_loaded(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / ".letta", PLAIN, LETTA_MODEL="demo")
    try:
        assert not signs(notebook)
        notebook.run("%load_ext letta_kernel")
        assert signs(notebook)
        panel = Panel(notebook).open()
        assert panel.ask("agents") == []
        panel.close()
    finally:
        notebook.close()


def signs(notebook: Notebook) -> list[str]:
    """What a front end sees without connecting a panel."""
    reply = notebook.client.comm_info(TARGET, reply=True, timeout=TIMEOUT)
    return list(reply["content"]["comms"])
