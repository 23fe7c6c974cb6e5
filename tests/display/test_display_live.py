"""The live view in a real kernel: what front ends are sent, what they can say, what is left behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from front_end import VIEW, Cell, FrontEnd, Say, Screen
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook
from sample_run import ANSWER

from letta_kernel.display.live import MIME, bundle
from letta_kernel.display.transcript import Transcript

SAVED = {MIME, "text/html", "text/plain"}
WHOLE_RUN = """
with LiveView("hello") as view:
    for event in events():
        view.handle(event)
        time.sleep(0.01)
"""
START = """
view = LiveView("hello")
view.handle(RunStarted(run_id="r", agent_id="a", agent_name="ada", model="m"))
view.handle(StepStarted(step_id="s", number=1))
"""
CALLS = """
calls = [ToolCall(id="c1", name="pay", arguments='{"euros": 5}'), ToolCall(id="c2", name="go", arguments="{}")]
view.handle(ApprovalRequested(calls=calls))
"""


@pytest.fixture(scope="module")
def front_end() -> Iterator[FrontEnd]:
    opened = FrontEnd()
    yield opened
    opened.close()


def final_bundle(cell: Cell) -> dict[str, Any]:
    shown, updates = cell.of("display_data"), cell.of("update_display_data")
    assert len(shown) == 1
    assert {u["transient"]["display_id"] for u in updates} == {shown[0]["transient"]["display_id"]}
    return updates[-1]["data"]


def put_together(cell: Cell) -> Screen:
    screen = Screen()
    for message in cell.told:
        screen.receive(message)
    return screen


def test_a_run_is_streamed_and_only_the_saved_form_is_left(front_end: FrontEnd) -> None:
    cell = front_end.run(WHOLE_RUN)
    assert cell.reply["content"]["status"] == "ok"
    assert set(cell.of("display_data")[0]["data"]) == SAVED | {VIEW}
    assert set(final_bundle(cell)) == SAVED
    assert len(cell.of("update_display_data")) == 1
    assert final_bundle(cell)[MIME]["items"][-1]["text"] == ANSWER
    kinds = [m["msg_type"] for m in cell.messages]
    assert kinds.count("comm_open") == kinds.count("comm_close") == 2  # the widget and its layout
    assert kinds.index("update_display_data") < kinds.index("comm_close")
    assert len(cell.told) > 5


def test_the_events_add_up_to_the_run(front_end: FrontEnd) -> None:
    cell = front_end.run(WHOLE_RUN)
    screen = put_together(cell)
    kinds = [event["type"] for event in screen.events]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_ended"
    assert bundle(screen.snapshot())[MIME] == final_bundle(cell)[MIME]


def test_a_front_end_that_comes_late_or_misses_something_gets_what_it_has_not_seen(
    front_end: FrontEnd,
) -> None:
    late = Screen()
    lost: list[int] = []
    asked: list[int] = []

    def react(message: dict[str, Any], say: Say) -> None:
        if message["type"] == "events" and message["after"] > 3 and not lost:
            lost.append(message["after"])
            return
        late.receive(message)
        if late.missed and not asked:
            asked.append(late.seen)
            say({"type": "follow", "run_id": "run-1", "after": late.seen})

    cell = front_end.run(WHOLE_RUN.replace("0.01", "0.04"), react=react)
    assert put_together(cell).events[-1]["type"] == "run_ended"
    assert asked == lost
    assert late.snapshot() == put_together(cell).snapshot()


def test_a_long_answer_costs_little(front_end: FrontEnd) -> None:
    code = START + (
        "words = ANSWER.replace('|', ' ').split(' ') * 30\n"
        "for word in words[:2000]:\n"
        "    view.handle(TextDelta(text=word + ' '))\n"
        "    time.sleep(0.002)\n"
        "view.close()"
    )
    cell = front_end.run(code)
    assert set(final_bundle(cell)) == SAVED
    assert cell.bytes_told < 200_000


def test_calls_are_decided_by_buttons_while_the_cell_runs(front_end: FrontEnd) -> None:
    def react(message: dict[str, Any], say: Say) -> None:
        if ask := message.get("ask"):
            answer = {"type": "answer", "ask": ask["id"]}
            say({**answer, "ask": "another"})  # not this question: passed over
            first = {"id": "c1", "approve": True, "arguments": {"euros": 4}}
            second = {"id": "c2", "approve": False, "reason": "not now"}
            say({**answer, "decisions": [first, second]})
            say({**answer, "decisions": [{"id": "c1", "approve": False}]})  # too late

    cell = front_end.run(
        START + CALLS + "print(view.ask_approval(calls))\ntime.sleep(0.5)\nview.close()",
        react=react,
    )
    assert "Choice(call_id='c1', approve=True, reason='', arguments={'euros': 4}, " in cell.stdout
    assert "Choice(call_id='c2', approve=False, reason='not now', arguments=None, " in cell.stdout
    asks = [m["ask"] for m in cell.told if "ask" in m]
    asked = next(ask for ask in asks if ask)
    assert asked["calls"][0]["arguments"] == '{"euros": 5}'
    assert asks[-1] is None  # gone from every screen


def test_what_is_not_decided_is_denied(front_end: FrontEnd) -> None:
    def react(message: dict[str, Any], say: Say) -> None:
        if ask := message.get("ask"):
            say(
                {
                    "type": "answer",
                    "ask": ask["id"],
                    "decisions": [{"id": "c1", "approve": "yes"}, 7],
                }
            )

    cell = front_end.run(
        START + CALLS + "print(view.ask_approval(calls))\nview.close()", react=react
    )
    assert cell.stdout.count("approve=False") == 2


def test_a_question_is_answered(front_end: FrontEnd) -> None:
    def react(message: dict[str, Any], say: Say) -> None:
        if ask := message.get("ask"):
            say({"type": "answer", "ask": ask["id"], "text": ask["text"].upper()})

    cell = front_end.run(START + "print(view.ask('which city?'))\nview.close()", react=react)
    assert cell.stdout == "WHICH CITY?\n"


def test_a_run_that_has_stopped_goes_on_by_a_button(front_end: FrontEnd) -> None:
    def react(message: dict[str, Any], say: Say) -> None:
        if ask := message.get("ask"):
            said = {"action": "next", "changes": {"result": ask["texts"][0]["text"].upper()}}
            say({"type": "answer", "ask": ask["id"], **said})

    stop = {"kind": "stop", "texts": [{"key": "result", "label": "", "text": "five"}]}
    asks = f"print(as_move(view.ask_at_stop({stop}, lambda: False)))\n"
    code = f"{START}from letta_kernel.notebook.debugger import as_move\n{asks}view.close()"
    cell = front_end.run(code, react=react)
    assert cell.stdout == "Move(action='next', changes={'result': 'FIVE'}, name='')\n"


def test_a_stop_is_over_when_somebody_has_answered_elsewhere(front_end: FrontEnd) -> None:
    code = f"{START}print(view.ask_at_stop({{'kind': 'stop'}}, lambda: True))\nview.close()"
    assert front_end.run(code).stdout == "None\n"


def test_the_stop_button_of_the_view_stops_a_tool_and_a_question(front_end: FrontEnd) -> None:
    for waiting in ("time.sleep(30)", "view.ask('which city?')"):

        def react(message: dict[str, Any], say: Say, waiting: str = waiting) -> None:
            if message["type"] == "ask":
                say({"type": "stop"})

        cell = front_end.run(f"{START}try:\n    {waiting}\nfinally:\n    view.close()", react=react)
        assert cell.reply["content"]["ename"] == "KeyboardInterrupt"
        assert set(final_bundle(cell)) == SAVED
        assert final_bundle(cell)[MIME]["state"] == "interrupted"


def test_an_error_in_the_cell_leaves_the_saved_form_too(front_end: FrontEnd) -> None:
    cell = front_end.run(START + "with view:\n    1 / 0")
    assert cell.reply["content"]["ename"] == "ZeroDivisionError"
    assert set(final_bundle(cell)) == SAVED


def test_nobody_asks_and_nothing_is_streamed_where_no_input_is_taken(front_end: FrontEnd) -> None:
    code = START + CALLS + "print(view.ask_approval(calls), view.ask('?'))\nview.close()"
    cell = front_end.run(code, allow_stdin=False)
    assert cell.stdout == "None None\n"
    assert not cell.of("comm_open")
    assert not cell.of("update_display_data")
    assert [set(shown["data"]) for shown in cell.of("display_data")] == [SAVED]


def test_without_a_widget_the_whole_is_sent_again_and_questions_go_back() -> None:
    silent = FrontEnd()
    try:
        code = START + CALLS + "print(view.ask_approval(calls))\ntime.sleep(0.4)\nview.close()"
        for _ in range(3):
            cell = silent.run(code, ready=False)
            assert cell.stdout == "None\n"
            updates = [set(u["data"]) for u in cell.of("update_display_data")]
            assert len(updates) >= 2
            assert all(u == SAVED for u in updates)
        cell = silent.run(code, ready=False)
        assert not cell.of("comm_open")  # it has learned that there is none
        assert set(cell.of("display_data")[0]["data"]) == SAVED
    finally:
        silent.close()


def test_a_notebook_run_from_end_to_end_keeps_no_widget_and_converts(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    code = f"""
import sys
sys.path.insert(0, {here!r})
from letta_kernel.display.live import LiveView
from sample_run import events
with LiveView("hello") as view:
    for event in events():
        view.handle(event)
"""
    notebook = new_notebook(cells=[new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "p", "language": "python"}
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "widgets" not in notebook.metadata
    (output,) = notebook.cells[0].outputs
    assert set(output["data"]) == SAVED
    nbformat.validate(notebook)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "three warmest days" in page
    assert "model not found" not in page


def test_without_a_front_end_the_transcript_is_printed_once(tmp_path: Path) -> None:
    import subprocess

    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from letta_kernel.display.live import LiveView\n"
        "from sample_run import events\n"
        "with LiveView() as view:\n"
        "    [view.handle(event) for event in events()]\n"
    )
    plain = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert plain.stdout == ""
    script = tmp_path / "cell.ipy"
    script.write_text(code)
    command = [
        sys.executable,
        "-m",
        "IPython",
        "--quick",
        "--no-banner",
        "--colors=NoColor",
        str(script),
    ]
    terminal = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"IPYTHONDIR": str(tmp_path), "PATH": "", "HOME": str(tmp_path)},
    )
    assert terminal.stdout.count("three warmest days") == 1
    assert "\x1b" not in terminal.stdout


def test_a_terminal_shows_a_run_while_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    from sample_run import events

    from letta_kernel.display.live import LiveView

    grown: list[str] = []
    shown = ""
    with LiveView("hello", shell=object()) as view:
        for event in events():
            view.handle(event)
            shown += capsys.readouterr().out
            grown.append(shown)
    assert len(set(grown)) > 10  # not all at once
    lines = shown.splitlines()
    assert lines[0].startswith("ada · ")
    assert any(line.startswith("  ~ The user wants") for line in lines)
    for sign in ("  ◌ ", "  ✓ "):  # a tool begins and ends
        assert any(line.startswith(f"{sign}forecast(") for line in lines), shown
    assert any(line.startswith("  ✎ memory") for line in lines)
    assert ANSWER.strip() in shown
    assert "end_turn]" in lines[-1]
    assert "\x1b" not in shown


def test_a_run_cut_short_in_a_terminal_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    from letta_kernel.display.live import LiveView
    from letta_kernel.messages import TextDelta, ToolProgress, ToolStarted

    with LiveView("hello", shell=object()) as view:
        view.handle(TextDelta(text="I am\nabout to"))
        view.handle(ToolStarted(call_id="c", name="look", arguments={"at": "\x1b[31mred\n"}))
        view.handle(ToolProgress(call_id="c", text="one\ntwo\n"))
        view.handle(TextDelta(text="\x1b]0;title\x07say"))
    out = capsys.readouterr().out.split("\n")
    assert out[:3] == ["", "I am", "about to"]
    assert out[4:9] == ["      | one", "      | two", "", "say", "  ■ interrupted here"]
    assert "\x1b" not in "".join(out)


def test_what_a_tool_prints_reaches_a_terminal_once(capsys: pytest.CaptureFixture[str]) -> None:
    from letta_kernel.display.live import LiveView
    from letta_kernel.messages import ToolProgress
    from letta_kernel.tools.output import captured

    with LiveView("hello", shell=object()) as view:

        def tell(stream: str, text: str) -> None:
            view.handle(ToolProgress(call_id="c", text=text))

        with captured(tell):
            print("from within")
    assert capsys.readouterr().out.count("from within") == 1


def test_where_clicks_are_held_back_the_view_says_so(front_end: FrontEnd) -> None:
    """The page shows the question, but nothing it says about it arrives while the cell is busy."""
    code = (
        "import letta_kernel.display.channel as channel\n"
        "channel._SEEN_SECONDS = 0.5\n" + START + CALLS + "print(view.ask_approval(calls))\n"
        "view.close()\nchannel._SEEN_SECONDS = 6.0"
    )
    cell = front_end.run(code)
    assert cell.stdout == "None\n"
    notices = [i["text"] for i in final_bundle(cell)[MIME]["items"] if i["kind"] == "notice"]
    assert len(notices) == 1
    assert "Buttons do not work here while a cell runs" in notices[0]


def test_a_page_that_shows_the_question_is_given_time(front_end: FrontEnd) -> None:
    def react(message: dict[str, Any], say: Say) -> None:
        if ask := message.get("ask"):
            say({"type": "shown", "ask": ask["id"]})
            time.sleep(1.5)
            say({"type": "answer", "ask": ask["id"], "decisions": [{"id": "c1", "approve": True}]})

    code = (
        "import letta_kernel.display.channel as channel\n"
        "channel._SEEN_SECONDS = 0.7\n" + START + CALLS + "print(view.ask_approval(calls))\n"
        "view.close()\nchannel._SEEN_SECONDS = 6.0"
    )
    cell = front_end.run(code, react=react)
    assert "Choice(call_id='c1', approve=True" in cell.stdout


def test_a_page_that_comes_late_is_asked_where_somebody_looks(front_end: FrontEnd) -> None:
    def react(message: dict[str, Any], say: Say) -> None:
        if ask := message.get("ask"):
            say({"type": "answer", "ask": ask["id"], "decisions": [{"id": "c1", "approve": True}]})

    code = (
        "import letta_kernel.display.channel as channel\n"
        "channel._READY_KNOWN = 0.3\n"
        + START
        + CALLS
        + "print(view.ask_approval(calls, alone=lambda: print('alone', flush=True)))\nview.close()\n"
        "channel._READY_KNOWN = 4.0"
    )
    cell = front_end.run(code, ready=None, react=react)
    assert cell.stdout.startswith("alone\n")
    assert "Choice(call_id='c1', approve=True" in cell.stdout


def test_what_a_page_says_on_a_subshell_that_is_gone_arrives(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_end, "subshell", "gone")  # as JupyterLab does when it has miscounted
    decisions = [{"id": one, "approve": True} for one in ("c1", "c2")]

    def react(message: dict[str, Any], say: Say) -> None:
        if ask := message.get("ask"):
            say({"type": "answer", "ask": ask["id"], "decisions": decisions})

    code = START + CALLS + "print(view.ask_approval(calls))\nview.close()"
    cell = front_end.run(code, react=react)
    assert "Choice(call_id='c2', approve=True" in cell.stdout


def test_the_saved_form_grows_with_what_was_said() -> None:
    from letta_kernel.messages import StepStarted, TextDelta

    transcript = Transcript()
    transcript.handle(StepStarted(step_id="s", number=1))
    transcript.handle(TextDelta(text="plain words " * 1_000))
    data = bundle(transcript.snapshot())
    assert len(str(data)) < 3 * 12_000 + 4_000
