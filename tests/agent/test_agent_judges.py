"""A conversation in which everything happens that breaks one, before strict judges of what is sent."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import scripted_judges as judges
from agent_bench import Bench, ended

from letta_kernel.messages import RunEnded
from letta_kernel.models.base import Cancel
from letta_kernel.service import Decision

ADD = '''
def add(a: int, b: int, pairs: list = None, spot: tuple[float, str] = (0.0, "")) -> int:
    """Add numbers.

    Args:
        a: one
        b: another
        pairs: anything
        spot: a place
    """
    return a + b
'''
STOP = '''
def stop() -> str:
    """Stop the run that called it."""
    raise KeyboardInterrupt
'''
DELETE = '''
def delete(name: str) -> str:
    """Delete a file.

    Args:
        name: which
    """
    return name
'''

OPENAI = {"OPENAI_BASE_URL": "/v1"}
MISTRAL = {"MISTRAL_API_KEY": "key", "MISTRAL_API_BASE": "/v1"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "key", "ANTHROPIC_BASE_URL": ""}
GEMINI = {"GEMINI_API_KEY": "key", "GEMINI_API_BASE": ""}
CASES: dict[str, tuple[judges.Judge, str, dict[str, str], str]] = {
    "openai": (judges.openai, "openai/scripted", OPENAI, "native"),
    "mistral": (judges.mistral, "mistral/mistral-medium-latest", MISTRAL, "native"),
    "mistral behind vLLM": (judges.mistral_template, "openai/mistral-7b", OPENAI, "native"),
    "gemma": (judges.gemma_template, "openai/gemma-3", OPENAI, "written"),
    "the first gemma": (judges.gemma_1_template, "openai/gemma-1", OPENAI, "written"),
    "anthropic": (judges.anthropic, "anthropic/claude-sonnet-5", ANTHROPIC, "native"),
    "gemini": (judges.gemini, "gemini/gemini-3.5-flash", GEMINI, "native"),
}


class Talk:
    """Ada talking to a judged server, whose calls are real or written into the answer."""

    def __init__(self, bench: Bench, *, written: bool) -> None:
        self.bench, self.server = bench, bench.server
        self.written = written

    def calls(self, *calls: tuple[str, dict[str, Any]]) -> None:
        """Let the model call tools in its next answer, all with one id, as careless servers give."""
        if self.written:
            tags = [{"name": name, "arguments": given} for name, given in calls]
            self.server.say("".join(f"<tool_call>{json.dumps(one)}</tool_call>" for one in tags))
        else:
            self.server.calls(list(calls), ids=["call_0"] * len(calls))

    def send(self, text: str, **options: Any) -> RunEnded:
        return ended(self.bench.send("ada", text, **options))

    def fine(self, text: str) -> None:
        """A plain turn, which must be answered."""
        self.server.say(f"Answer to {text}")
        found = self.send(text)
        assert found.stop_reason == "end_turn", found.error


@pytest.fixture(params=CASES)
def talk(request: pytest.FixtureRequest, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Talk:
    judge, model, variables, calls = CASES[request.param]
    root = bench.server.url.removesuffix("/v1")
    for name, value in variables.items():
        monkeypatch.setenv(name, f"{root}{value}" if name.endswith(("BASE", "URL")) else value)
    monkeypatch.setenv("LETTA_MODEL_TRIES", "1")
    bench.server.judge = judge
    bench.service.agents.update("ada", model=model, settings={"tool_calls": calls})
    for source in (ADD, STOP):
        bench.give("ada", source)
    bench.give("ada", DELETE, requires_approval=True)
    return Talk(bench, written=calls == "written")


def test_every_turn_is_taken_whatever_happened_before(talk: Talk) -> None:
    server, bench = talk.server, talk.bench
    talk.fine("Hello")
    taken_before = len(
        server.refusals
    )  # the first Gemma has said by now that it knows no system role
    assert taken_before == (bench.server.judge is judges.gemma_1_template)

    talk.calls(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}))
    assert talk.send("Add", max_steps=1).stop_reason == "max_steps"
    talk.fine("after the last step")

    talk.calls(("add", {"a": 1, "b": 2}), ("stop", {}), ("add", {"a": 1, "b": 2}))
    with pytest.raises(KeyboardInterrupt):
        talk.send("Add and stop")
    talk.fine("after a stop inside a tool")

    server.fault(400, message="that went wrong")
    assert talk.send("This fails").stop_reason == "llm_api_error"
    talk.fine("after a failed request")

    gone = Cancel()
    gone.cancel()
    talk.send("Stopped before the first token", cancel=gone)
    talk.send("and once more", cancel=gone)
    talk.fine("after a stop before the first token")

    talk.calls(("delete", {"name": "x"}))
    assert talk.send("Delete x").stop_reason == "requires_approval"
    server.say("Then not.")
    asked = bench.service.runs.pending("ada")
    denied = [Decision(call.id, approve=False, reason="no") for call in asked]
    assert ended(list(bench.service.runs.approve("ada", denied, host=bench.host))).error is None
    talk.fine("after a denial")

    talk.calls(("nowhere.to be found", {}))
    server.say("There is none.")
    assert talk.send("Call what is not there").error is None

    server.empty()
    server.say("Here I am.")
    assert talk.send("Say nothing at first").error is None
    server.say("Noted, an event.")
    assert talk.send("the file changed", role="event").error is None

    server.say("They talked of much.")
    assert bench.service.messages.compact("ada") is not None
    talk.fine("after a compaction")
    assert server.refusals[taken_before:] == []


def test_heartbeat_style_is_taken_too(talk: Talk) -> None:
    talk.bench.service.agents.update("ada", style="heartbeat")
    for turn in range(2):
        talk.calls(("add", {"thinking": "", "a": 1, "b": turn, "request_heartbeat": True}))
        talk.calls(("send_message", {"thinking": "", "message": "Done."}))
        found = talk.send(f"Turn {turn}")
        assert (found.stop_reason, found.error) == ("end_turn", None)
    assert len(talk.server.refusals) <= 1


def test_the_first_gemma_is_asked_to_take_a_system_role_once(bench: Bench) -> None:
    bench.server.judge = judges.gemma_1_template
    bench.service.agents.update("ada", model="openai/gemma-1b", settings={"tool_calls": "written"})
    for turn in range(3):
        bench.server.say("Hello.")
        assert ended(bench.send("ada", f"Turn {turn}")).error is None
    assert bench.server.refusals == ["System role not supported"]
    assert "<memory_blocks>" in bench.server.requests[-1]["messages"][0]["content"]


def test_a_fallback_of_another_provider_takes_the_same_history(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = bench.server.url.removesuffix("/v1")
    for variables in (MISTRAL, ANTHROPIC, GEMINI):
        for name, value in variables.items():
            monkeypatch.setenv(name, value if "KEY" in name else f"{root}{value}")
    monkeypatch.setenv("LETTA_MODEL_TRIES", "1")
    bench.give("ada", ADD)
    bench.server.call("add", {"a": 1, "b": 2})
    bench.send("ada", "Add", max_steps=1)
    for model, judge in (
        ("mistral/mistral-medium-latest", judges.mistral),
        ("anthropic/claude-sonnet-5", judges.anthropic),
        ("gemini/gemini-3.5-flash", judges.gemini),
    ):
        bench.service.agents.update("ada", model="openai/scripted", settings={"fallbacks": [model]})

        def by_path(path: str, body: dict[str, Any], judge: judges.Judge = judge) -> None:
            if body.get("model") == "scripted":
                raise judges.Refused("down", 503, {"error": {"message": "down"}})
            judge(path, body)

        bench.server.judge = by_path
        bench.server.say(f"I am {model}.")
        found = ended(bench.send("ada", f"Who are you, {model}?"))
        assert (found.error, found.model) == (None, model)
    assert set(bench.server.refusals) == {"down"}


def test_a_longer_history_begins_with_the_bytes_of_the_shorter_one(bench: Bench) -> None:
    bench.give("ada", ADD)
    for turn in range(3):
        bench.server.calls([("add", {"a": turn, "b": 2})], ids=["call_0"])
        bench.server.say("Sum.")
        bench.send("ada", f"Turn {turn}")
    sent = [json.dumps(request["messages"])[:-1] for request in bench.server.requests]
    for shorter, longer in pairwise(sent):
        assert longer.startswith(shorter)
