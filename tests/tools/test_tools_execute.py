"""Running live functions: output, errors, limits, async, generators, the stop button."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from letta_kernel.models.base import Cancel
from letta_kernel.records import Tool
from letta_kernel.tools.execute import Executor
from letta_kernel.tools.live import run_function
from letta_kernel.tools.outcome import Outcome


class Host:
    """Holds live functions, as a kernel does."""

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self.functions = {one.__name__: one for one in functions}

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        return self.functions.get(tool.name)


class Pieces(list[tuple[str, str]]):
    """Gathers what a tool prints."""

    def __call__(self, stream: str, text: str) -> None:
        self.append((stream, text))

    def text(self, stream: str) -> str:
        return "".join(text for name, text in self if name == stream)


def call(function: Callable[..., Any], **more: Any) -> Outcome:
    return run_function(function, more.pop("kwargs", {}), **more)


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
        started.wait(5)
        print("from elsewhere")
        go_on.set()

    def talk() -> None:
        print("one", "two")
        print("err", file=sys.stderr)
        started.set()
        assert go_on.wait(5)
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
            barrier.wait(5)
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


def test_an_exception_is_one_line_and_a_traceback_that_starts_at_the_author() -> None:
    def fail() -> None:
        raise ValueError("first line\nsecond line")

    outcome = call(fail)
    assert outcome.status == "error"
    assert outcome.text == "ValueError: first line\nsecond line"
    assert outcome.error == "ValueError: first line second line"
    assert outcome.traceback is not None
    frames = [line for line in outcome.traceback.splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert "in fail" in frames[0]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (RecursionError("deep"), "RecursionError: deep"),
        (
            ExceptionGroup("several", [ValueError("a"), ExceptionGroup("two", [OSError("b\nc")])]),
            "ExceptionGroup: several (2 sub-exceptions)\n- ValueError: a\n"
            "- ExceptionGroup: two (1 sub-exception)\n  - OSError: b\n    c",
        ),
    ],
    ids=lambda one: type(one).__name__,
)
def test_nothing_a_tool_raises_gets_out(error: BaseException, text: str) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        raise error

    assert call(fail).text == text
    assert call(fail_later).text == text


def raised(error: BaseException, **given: Any) -> Any:
    """Return a function that raises *error*, as it was given its cause and context."""
    for name, value in given.items():
        setattr(error, name, value)

    def fail() -> None:
        raise error

    return fail


def noted(error: BaseException, *notes: str) -> BaseException:
    for note in notes:
        error.add_note(note)
    return error


def test_an_error_says_what_its_message_alone_does_not() -> None:
    reset = ConnectionError("reset by peer")
    chain = noted(RuntimeError("cannot load"), "Asked for 'gulls'.", "Twice.")
    assert call(raised(chain, __cause__=noted(reset, "port 80"))).text == (
        "RuntimeError: cannot load\nAsked for 'gulls'.\nTwice.\n"
        "caused by ConnectionError: reset by peer\nport 80"
    )
    assert call(raised(ValueError("x"), __cause__=TimeoutError())).text == (
        "ValueError: x\ncaused by TimeoutError"
    )
    # An error that was merely being handled counts only where there is no message.
    assert call(raised(ValueError(), __context__=KeyError("a"))).text == (
        "ValueError\ncaused by KeyError: 'a'"
    )
    assert call(raised(ValueError("x"), __context__=KeyError("a"))).text == "ValueError: x"
    silent = raised(ValueError(), __context__=KeyError("a"), __suppress_context__=True)
    assert call(silent).text == "ValueError"
    same = raised(OSError("load: reset by peer"), __cause__=ConnectionError("reset by peer"))
    assert call(same).text == "OSError: load: reset by peer"
    circle = ValueError()
    assert call(raised(circle, __cause__=circle)).text.count("caused by") < 10
    many = call(raised(ExceptionGroup("all", [ValueError(str(n)) for n in range(30)])))
    assert many.text.endswith("- ValueError: 19\n- … and 10 more")
    assert many.error is not None
    assert "\n" not in many.error


def test_a_task_group_says_what_failed_in_it() -> None:
    async def find(name: str) -> None:
        raise LookupError(f"no {name}")

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(find("gulls"))
            tasks.create_task(find("terns"))

    outcome = call(work)
    assert outcome.status == "error"
    assert outcome.text.splitlines()[1:] == ["- LookupError: no gulls", "- LookupError: no terns"]

    async def gathered() -> Any:
        return await asyncio.gather(find("gulls"), return_exceptions=True)

    assert call(gathered).text == '["LookupError: no gulls"]'


def test_the_stop_button_and_a_time_limit_are_themselves_inside_a_group() -> None:
    with pytest.raises(KeyboardInterrupt):
        call(raised(BaseExceptionGroup("g", [ValueError(), KeyboardInterrupt()])))

    def late() -> None:
        try:
            forever()
        except BaseException as error:
            raise BaseExceptionGroup("g", [error]) from None

    assert "0.2 seconds" in call(late, time_limit=0.2).text


def test_an_exception_that_cannot_be_shown() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def fail() -> None:
        raise Odd

    assert call(fail).text == "Odd: (its message cannot be shown)"


def test_long_results_and_errors_are_cut() -> None:
    def long() -> str:
        return "x" * 1_000_000

    def fail() -> None:
        raise ValueError("y" * 1_000_000)

    assert len(call(long, limit=1_000).text) <= 1_000
    outcome = call(fail, limit=1_000)
    assert len(outcome.text) <= 1_000
    assert outcome.error is not None
    assert len(outcome.error) <= 300


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


def forever() -> None:
    while True:
        time.sleep(10)


def stubborn() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(10)


async def forever_async() -> None:
    await asyncio.sleep(100)


async def blocking_async() -> None:
    time.sleep(3)


@pytest.mark.parametrize("function", [forever, stubborn, forever_async, blocking_async])
def test_a_time_limit_ends_a_call(function: Callable[..., Any]) -> None:
    started = time.monotonic()
    outcome = call(function, time_limit=0.2)
    assert outcome.status == "error"
    assert "0.2 seconds" in outcome.text
    assert time.monotonic() - started < 30

    async def after() -> str:
        return "still works"

    assert call(after).text == "still works"


@pytest.mark.parametrize("function", [forever, forever_async])
def test_a_cancelled_run_ends_a_call(function: Callable[..., Any]) -> None:
    cancel = Cancel()
    threading.Timer(0.2, cancel.cancel).start()
    assert call(function, cancel=cancel).status == "interrupted"
    assert (
        Executor(Host(function)).run(Tool(name=function.__name__), {}, cancel=cancel).status
        == "interrupted"
    )


def test_a_time_limit_away_from_the_main_thread() -> None:
    def spin() -> None:
        while True:
            time.sleep(0.01)

    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(call(spin, time_limit=0.2)))
    thread.start()
    thread.join(30)
    assert found[0].status == "error"
    assert "0.2 seconds" in found[0].text


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_an_alarm_of_the_users_own_goes_on() -> None:
    rung = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rung.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        assert "0.1 seconds" in call(forever, time_limit=0.1).text
        assert not rung.is_set()
        time.sleep(1)
        assert rung.is_set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("function", ["forever", "forever_async"])
def test_the_stop_button_passes_through(function: str, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_tools_execute import {function}
        from letta_kernel.tools.live import run_function
        print("ready", flush=True)
        before = sys.stdout
        try:
            run_function({function}, {{}})
        except KeyboardInterrupt:
            print("stopped", sys.stdout is before, run_function(lambda: 5, {{}}).text, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "stopped True 5\n"


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
    outcome = Executor(None).run(tool, {})
    assert outcome.text.startswith(
        "NameError: name 'rows' is not defined (the cell that defines this tool"
    )


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
