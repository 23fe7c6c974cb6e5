"""Running live functions: output, async, generators, and where a tool runs."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from typing import Any

import pytest
from live_calls import Host, Pieces, call

from letta_kernel.records import Tool
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.outcome import Outcome


def test_an_executor_finds_the_live_function() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    executor = Executor(Host(add))
    tool = Tool(name="add")
    assert executor.place(tool) == "notebook"
    assert executor.function(tool) is add
    outcome = executor.run(tool, {"a": 1, "b": 2}, call_id="c")
    assert (outcome.status, outcome.text, outcome.error, outcome.note) == ("ok", "3", None, None)
    assert 0 < outcome.seconds < 60


def test_output_is_caught_by_line_and_only_the_tools_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def elsewhere() -> None:  # another cell's thread, printing while the tool runs
        started.wait(20)
        print("from elsewhere")
        go_on.set()

    def talk() -> None:
        print("one", "two")
        print("err", file=sys.stderr)
        started.set()
        assert go_on.wait(20)
        print("partial", end="")
        print("", end="", flush=True)
        print(" rest", end="")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    pieces = Pieces()
    assert call(talk, on_output=pieces).text == "None"
    thread.join()
    assert pieces == [
        ("stdout", "one two\n"),
        ("stderr", "err\n"),
        ("stdout", "partial"),
        ("stdout", " rest"),
    ]
    assert capsys.readouterr().out == "from elsewhere\n"


def test_streams_are_put_back_also_after_errors_and_when_nested() -> None:
    before = sys.stdout, sys.stderr

    def inner() -> None:
        print("inner")
        raise ValueError

    inside, outside = Pieces(), Pieces()

    def outer() -> None:
        print("before")
        call(inner, on_output=inside)
        print("after")

    call(outer, on_output=outside)
    assert (sys.stdout, sys.stderr) == before
    assert inside.text("stdout") == "inner\n"
    assert outside.text("stdout") == "before\nafter\n"


def test_parallel_calls_do_not_mix_their_output() -> None:
    barrier = threading.Barrier(2)

    def talk(name: str) -> None:
        for number in range(50):
            barrier.wait(20)
            print(name, number)

    pieces = {"a": Pieces(), "b": Pieces()}
    threads = [
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(lambda n=name: call(talk, kwargs={"name": n}, on_output=pieces[n]),),
        )
        for name in pieces
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for name, found in pieces.items():
        assert found.text("stdout") == "".join(f"{name} {number}\n" for number in range(50))


def test_output_without_end_is_cut_and_counted() -> None:
    def flood() -> None:
        for _ in range(3_000):
            print("x" * 999)

    pieces = Pieces()
    call(flood, on_output=pieces)
    assert len(pieces.text("stdout")) == 200_000
    assert "2,800,000 more characters" in pieces.text("stderr")


# -- errors ----------------------------------------------------------------------------------------


# -- async and generators --------------------------------------------------------------------------


def test_an_async_tool_runs_beside_a_running_loop_with_the_callers_context() -> None:
    colour = contextvars.ContextVar("colour", default="none")

    async def work() -> str:
        print("printing")
        await asyncio.sleep(0.01)
        return f"{colour.get()} {threading.current_thread() is threading.main_thread()}"

    pieces = Pieces()

    async def cell() -> Outcome:  # a notebook's cell runs inside a loop
        colour.set("blue")
        return call(work, on_output=pieces)

    assert asyncio.run(cell()).text == "blue False"
    assert pieces == [("stdout", "printing\n")]


def test_what_an_async_tool_keeps_between_calls_goes_on_working() -> None:
    kept: dict[str, Any] = {}

    async def first() -> None:
        kept["queue"] = asyncio.Queue()
        kept["task"] = asyncio.create_task(kept["queue"].get())

    async def second() -> str:
        await kept["queue"].put("passed on")
        return str(await kept["task"])

    call(first)
    assert call(second).text == "passed on"


def test_a_function_that_returns_an_awaitable_is_awaited() -> None:
    async def inner() -> int:
        return 3

    assert call(lambda: inner()).text == "3"


def test_generators_report_progress() -> None:
    def steps() -> Any:
        yield "one"
        yield {"done": 2}
        return "result"

    def without_return() -> Any:
        yield 1
        yield 2

    async def later() -> Any:
        yield "a"
        yield "b"

    pieces = Pieces()
    assert call(steps, on_output=pieces).text == "result"
    assert pieces == [("progress", "one"), ("progress", '{"done": 2}')]
    assert call(without_return).text == "[1, 2]"
    assert call(later).text == '["a", "b"]'
    assert call(lambda: map(str, [1, 2])).text == '["1", "2"]'


def test_an_endless_generator_is_stopped_and_its_result_says_so() -> None:
    closed: list[str] = []

    def endless() -> Any:
        try:
            while True:
                yield "x"
        finally:
            closed.append("sync")

    async def endless_later() -> Any:
        try:
            while True:
                yield "x"
        finally:
            closed.append("async")

    for function in (endless, endless_later):
        outcome = call(function)
        assert outcome.status == "ok"
        assert outcome.text.endswith('"… the generator was stopped after 10,000 items"]')
    assert closed == ["sync", "async"]


def test_agent_state_is_filled_in_where_it_is_asked_for() -> None:
    def asks(agent_state: Any) -> str:
        return str(agent_state)

    def may(agent_state: str = "default") -> str:
        return agent_state

    assert call(asks, agent_state="state").text == "state"
    assert call(asks).text == "None"
    assert call(may).text == "default"


# -- limits, cancelling, the stop button -----------------------------------------------------------


# -- where it runs ---------------------------------------------------------------------------------

SOURCE = 'def add(a: int, b: int = 1) -> int:\n    """Add."""\n    return a + b\n'


def test_a_tool_whose_cell_has_not_run_runs_from_its_source_and_says_so() -> None:
    executor = Executor(Host())
    tool = Tool(name="add", source=SOURCE)
    assert executor.place(tool) == "sandbox"
    assert executor.function(tool) is None
    outcome = executor.run(tool, {"a": 2})
    assert (outcome.status, outcome.text) == ("ok", "3")
    assert outcome.note is not None
    assert "process of its own" in outcome.note


def test_a_missing_notebook_variable_is_explained() -> None:
    tool = Tool(name="f", source='def f():\n    """F."""\n    return rows\n')
    outcome = Executor(Host()).run(tool, {})
    assert outcome.text.startswith(
        "NameError: name 'rows' is not defined (the cell that defines this tool"
    )
    elsewhere = Executor(None).run(tool, {})
    assert "names of the notebook that defines it, which is not here" in elsewhere.text


def test_a_tool_without_source_cannot_run() -> None:
    outcome = Executor(None).run(Tool(name="f"), {})
    assert outcome.status == "error"
    assert "run the cell" in outcome.text


def test_a_sandboxed_tool_never_runs_live() -> None:
    def add(a: int, b: int = 1) -> int:
        raise AssertionError

    executor = Executor(Host(add), environment={"KEY": "value"})
    source = SOURCE.replace("return a + b", "import os; return os.environ['KEY'] + str(a)")
    tool = Tool(name="add", source=source, runs_in="sandbox")
    assert executor.place(tool) == "sandbox"
    outcome = executor.run(tool, {"a": 1})
    assert (outcome.text, outcome.note) == ("value1", None)
