"""Fallbacks in order, and limits that all agents of a process share."""

from __future__ import annotations

import time

import pytest
from failing_calls import closed_port, error_of, retries
from scripted_server import ScriptedServer

from letta_kernel.models import retry
from letta_kernel.models.base import Reply
from letta_kernel.models.registry import open_model

pytestmark = pytest.mark.usefixtures("scripted")


def test_fallbacks_in_order(scripted: ScriptedServer, ask) -> None:
    scripted.fault(401)
    scripted.fault(404)
    scripted.say("third")
    pieces = ask(fallbacks=("openai/second", "openai/third"))
    reasons = [r.reason for r in retries(pieces)]
    assert [r.split("Asking ")[-1] for r in reasons] == [
        "openai/second instead.",
        "openai/third instead.",
    ]
    assert [r["model"] for r in scripted.requests] == ["scripted", "second", "third"]
    assert (pieces[-1].text, pieces[-1].model) == ("third", "openai/third")


def test_the_demo_model_can_be_the_last_resort(scripted: ScriptedServer, ask) -> None:
    scripted.fault(401)
    assert isinstance(ask(fallbacks=("demo",))[-1], Reply)


def test_a_fallback_that_is_not_there_is_passed_over(scripted: ScriptedServer, ask) -> None:
    scripted.fault(401)
    pieces = ask(fallbacks=("local/nowhere", "openai/third"))
    assert "no local model 'nowhere'" in retries(pieces)[1].reason
    assert pieces[-1].model == "openai/third"


def test_a_local_model_has_fallbacks_too(scripted: ScriptedServer, ask) -> None:
    pieces = ask(model="local//no/such.gguf", fallbacks=("openai/second",))
    assert "/no/such.gguf" in retries(pieces)[0].reason
    assert (pieces[-1].text, pieces[-1].model) == ("Done.", "openai/second")
    error = error_of(ask, model="local/nowhere", fallbacks=("local//no/such.gguf",))
    assert "nowhere" in str(error)


def test_a_fallback_without_tool_calling_is_told_how_to_write_one(
    scripted: ScriptedServer, ask
) -> None:
    scripted.fault(401)
    scripted.say('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
    reply = ask(tools=True, fallbacks=("openai/gpt-3.5-turbo-16k",))[-1]
    assert "tools" not in scripted.requests[1]
    assert [(c.name, c.arguments) for c in reply.tool_calls] == [("add", '{"a": 1}')]


def test_an_empty_answer_is_one_only_where_nobody_else_can_be_asked(
    scripted: ScriptedServer, ask
) -> None:
    for _ in range(2):
        scripted.empty()
    scripted.say("second")
    assert ask(fallbacks=("openai/second",))[-1].text == "second"


def test_no_fallback_for_what_another_model_would_not_mend(scripted: ScriptedServer, ask) -> None:
    scripted.overflow()
    assert error_of(ask, fallbacks=("openai/second",)).kind == "context_overflow"
    assert len(scripted.requests) == 1


def test_the_last_error_is_raised(scripted: ScriptedServer, ask) -> None:
    scripted.fault(401)
    scripted.fault(404, message="no such model")
    assert error_of(ask, fallbacks=("openai/second",)).kind == "unknown_model"


def test_what_one_agent_is_told_holds_for_all(scripted: ScriptedServer, ask) -> None:
    retry.rate_limit_of("openai").close_for(0.4)
    begun = time.monotonic()
    pieces = ask(model="openai/another")
    assert "rate limit of openai" in retries(pieces)[0].reason
    assert scripted.received[-1].at - begun >= 0.35


def test_a_429_closes_the_door_for_the_others(scripted: ScriptedServer, ask) -> None:
    scripted.fault(429, headers={"Retry-After": "0.5"}, times=1)
    error_of(ask, retry={"tries": 1})
    assert retry.rate_limit_of("openai").ask() > 0
    assert retry.rate_limit_of("groq").ask() == 0


def test_what_nobody_waits_for_closes_no_door(scripted: ScriptedServer, ask) -> None:
    scripted.fault(429, headers={"Retry-After": "500"}, message="come back later")
    assert "asks to wait 500 s: come back later" in str(error_of(ask))
    assert retry.rate_limit_of("openai").ask() == 0


def test_a_retry_is_told_in_whole_sentences(scripted: ScriptedServer, ask) -> None:
    scripted.fault(500, message="no full stop")
    assert retries(ask())[0].reason.endswith("no full stop. Trying again.")


def test_nothing_remaining_closes_the_door(scripted: ScriptedServer, ask) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2s"}
    scripted.say("last one", headers=headers)
    ask()
    assert 60 < retry.rate_limit_of("openai").ask() < 63


def test_a_limit_of_ones_own(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_RATE_LIMITS", "groq=5, openai=20")
    limit = retry.rate_limit_of("openai")
    assert [limit.ask(), limit.ask()] == [0, 0]
    assert 2 < limit.ask() <= 3
    assert retry.rate_limit_of("mistral").ask() == 0
    for wrong in ("openai=lots", "groq=5, openai 60", "groq=0", "groq=nan"):
        monkeypatch.setenv("LETTA_RATE_LIMITS", wrong)
        with pytest.raises(Exception, match="LETTA_RATE_LIMITS"):
            limit.ask()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m30.5s", 90.5), ("20ms", 0.02), ("6", 6.0), ("2h", 7200.0), ("soon", None), ("1x", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert retry.duration(text) == seconds


def test_a_model_is_open_before_its_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{closed_port()}/v1")
    model = open_model("openai/scripted")
    assert (model.context_window, model.supports_tools) == (32_768, True)
