"""What a live function raises, as the model is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from live_calls import call, forever


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
