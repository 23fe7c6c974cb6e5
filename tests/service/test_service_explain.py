"""A step explained: the request it was made of, byte for byte, and what it took, found, did and changed."""

from __future__ import annotations

import io
import json

import pytest
import scripted_judges as judges
from agent_bench import ADD, Bench
from PIL import Image

from letta_kernel.agent.beside import Ahead
from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import NotFoundError
from letta_kernel.memory.scoring import PARTS
from letta_kernel.pictures.picture import read
from letta_kernel.records import Beside, Passage, Run, Step
from letta_kernel.service import AgentService
from letta_kernel.service.debug import Debug, Move, Stop
from letta_kernel.service.rebuild import Rebuilt, rebuild
from letta_kernel.store import runs
from letta_kernel.tools.answers import of_type

LONG = '''
def long(size: int) -> str:
    """Return a long text.

    Args:
        size: Its characters.
    """
    return "long " * (size // 5)
'''


class Placed:
    """What a notebook places beside a message."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def gather(self, ahead: Ahead) -> list[Beside]:
        variable = Beside(kind="variable", name="x", text="x = 1")
        return [variable, Beside(kind="cell", name="2", text="!", lasting=False)]

    def went(self) -> None:
        pass


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def _steps(bench: Bench) -> list[Step]:
    """All steps in which a model was asked, in the order in which they were made."""
    found = bench.service.steps.list(limit=1000, newest_first=False)
    return [step for step, _ in found if step.number]


def _rebuilt(bench: Bench, step: Step) -> Rebuilt:
    def work(tx):  # type: ignore[no-untyped-def]
        run = runs.get(tx, step.run_id)
        assert isinstance(run, Run)
        return rebuild(tx, step, run)

    return bench.service.database.run(work)


def _all_exact(bench: Bench) -> list[Step]:
    """Check that each step's request is made anew as the server got it, byte for byte."""
    sent = [one.raw for one in bench.server.received]
    steps = _steps(bench)
    for step in steps:
        found = _rebuilt(bench, step)
        assert (found.missing, found.exact) == ([], True), step.number
        assert found.body in sent
    return steps


def test_plain_and_tool_calling_requests_are_made_anew(bench: Bench) -> None:
    bench.service.agents.create("ada", human="Kim")
    bench.give("ada", ADD)
    bench.server.say("Hello.")
    bench.send("ada", "Hi")
    bench.server.call("add", {"a": 1, "b": 2})
    bench.server.call("core_memory_append", {"label": "human", "content": "Likes sums."})
    bench.server.say("3")
    bench.send("ada", "1 + 2?")
    bench.server.say("Bye.")
    bench.send("ada", "Bye")
    assert len(_all_exact(bench)) == 5


def test_requests_of_all_kinds_are_made_anew_after_later_edits(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada", human="Kim")
    service.agents.create("ben")
    service.blocks.delete("human", agent="ben")
    service.blocks.share("human", agent="ada", other="ben")
    bench.give("ada", ADD)
    # Retried, with parameters of its own.
    service.agents.update("ada", settings={"temperature": 0.5, "max_tokens": 900})
    server.fault(500, headers={"Retry-After": "0"})
    server.say("Hello.")
    bench.send("ada", "Hi")
    # In the form that is asked for, after an answer that did not fit.
    form = of_type(list[int])
    server.call("give_answer", {"value": "no"})
    server.call("give_answer", {"value": [1, 2]})
    bench.send("ada", "Two numbers?", form=form)
    # Asked by another agent's edit of a block that both have.
    server.call("core_memory_append", {"label": "human", "content": "Has a boat."})
    server.say("Noted.")
    bench.send("ben", "Kim has a boat")
    server.say("A boat.")
    bench.send("ada", "What have I?")
    # Waiting for a word, and going on.
    service.agents.update("ada", tool_rules=[{"type": "requires_approval", "tool_name": "add"}])
    server.calls([("add", {"a": 1, "b": 1})], ids=["call-add"])
    bench.send("ada", "1 + 1?", beside=Placed())
    server.say("2.")
    list(service.runs.approve("ada", [Decision("call-add", approve=True)], host=bench.host))
    # A conversation, and a fork of it.
    talk = service.conversations.create("ada").id
    server.say("Here.")
    bench.send("ada", "Are you there?", conversation=talk)
    fork = service.conversations.fork("ada", talk).id
    server.say("Here too.")
    bench.send("ada", "And here?", conversation=fork)
    # In a group, with what is known of it, and a picture.
    service.groups.create(["ada", "ben"], name="team", max_turns=2)
    server.say("I am ada.")
    server.say("I am ben.")
    list(service.groups.send("@team", "Who is there?"))
    server.say("A square.")
    bench.send("ada", "What is this?", pictures=[read(_png())])
    # Calls as text, and a prompt for this run alone.
    service.agents.update("ada", settings={"tool_calls": "written", "temperature": 0.1})
    server.say("All right.")
    bench.send("ada", "And now?")
    server.say("Aye.")
    bench.send("ada", "As a pirate?", system="You are a pirate.")

    steps = _all_exact(bench)
    assert len(steps) == 15
    # What is edited, taken away and set otherwise later changes nothing of it.
    service.agents.update(
        "ada", name="eva", instructions="Be brief.", settings={"temperature": 1.0}, tool_rules=[]
    )
    for _ in range(2):
        service.blocks.upsert("human", "Somebody else.", agent="ben", reason="test")
    persona = service.blocks.update("persona", agent="eva", description="Other", limit=9000)
    service.blocks.detach(persona.id, agent="eva")
    service.tools.detach("add", agent="eva")
    _all_exact(bench)
    with AgentService() as other:
        bench.service = other
        assert len(_all_exact(bench)) == 15
        assert other.store.check().findings == []


def test_compacted_and_shortened_requests_are_made_anew(bench: Bench) -> None:
    bench.service.agents.create("ada", settings={"context_window": 4096})
    bench.give("ada", LONG)
    for turn in range(5):
        bench.server.say(f"Answer {turn} " + "and more. " * 60)
        bench.send("ada", f"Question {turn} " + "with words. " * 60)
    bench.server.call("long", {"size": 30_000})
    bench.server.say("Long.")
    bench.send("ada", "How long? " + "Say it. " * 3000)
    bench.server.overflow()
    bench.server.say("They talked.")
    bench.server.say("Fine.")
    bench.send("ada", "Still there?")
    for step in _all_exact(bench)[5:]:
        found = _rebuilt(bench, step)
        assert found.shortened or "summary" in step.request


def test_what_a_step_took_did_and_changed_is_told(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada", human="Kim")
    bench.give("ada", ADD)
    server.calls(
        [
            ("add", '```json\n{"a": 1, "b": 2,}\n```'),
            ("add", {"a": "one"}),
            ("core_memory_append", {"label": "human", "content": "Likes figs."}),
            ("archival_memory_insert", {"content": "Figs grow in Izmir."}),
        ],
        usage={"prompt_tokens": 2000, "completion_tokens": 10},
    )
    server.say("Noted.")
    bench.send("ada", "I like figs")

    last = service.explain.step(agent="ada")
    assert (last.number, last.said, last.calls, last.exact) == (2, "Noted.", [], True)
    first = service.explain.step(1, agent="ada")
    assert first == service.explain.step(first.step_id)
    assert first == service.explain.step(first.step_id[5:15])
    assert service.explain.step(first.run_id).step_id == last.step_id
    mended, refused, *_ = first.calls
    assert (mended.arguments, mended.raw) == ('{"a": 1, "b": 2}', '```json\n{"a": 1, "b": 2,}\n```')
    assert (mended.status, mended.result) == ("ok", "3")
    assert (refused.raw, refused.status) == (None, "error")
    assert "b" in refused.result
    [change] = first.changes
    assert (change.label, change.version, change.before) == ("human", 2, "Kim")
    assert change.after == "Kim\nLikes figs."
    assert [one.text for one in first.kept] == ["Figs grow in Izmir."]

    parts = {(one.kind, one.name): one for one in first.parts}
    human = parts["block", "human"]
    assert (human.version, "Kim" in human.text) == (1, True)
    assert {kind for kind, _ in parts} >= {"instructions", "block", "tools", "metadata", "message"}
    assert abs(sum(one.real or 0 for one in first.parts) - 2000) < 10
    assert first.body is not None
    assert json.loads(first.body) == server.requests[0]

    # From words to the step that wrote them, and on to what it was asked.
    [reason] = service.explain.why("human", "likes  FIGS", agent="ada")
    assert (reason.step_id, reason.message, reason.version) == (first.step_id, "I like figs", 2)
    [by_hand] = service.explain.why("human", "kim", agent="ada")
    assert by_hand.step_id is None
    service.blocks.upsert("human", "Kim", agent="ada", reason="panel")
    with pytest.raises(NotFoundError, match="Versions 2 to 2 did; version 3 took them out"):
        service.explain.why("human", "figs", agent="ada")
    with pytest.raises(NotFoundError, match="no step or run 'step-none'"):
        service.explain.step("step-none", agent="ada")
    with pytest.raises(NotFoundError, match="2 steps"):
        service.explain.step("3", agent="ada")


def test_what_retrieval_looked_at_is_told_with_the_score_of_each_part(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada", settings={"retrieval_budget": 60})
    for place in ("Bergen", "Oslo", "Rome"):
        service.passages.create(f"The boat to {place} leaves at nine on Monday.", agent="ada")
    service.passages.create("Figs grow in Izmir.", agent="ada")
    server.say("At nine.")
    bench.send("ada", "When does the boat to Bergen leave?")
    told = service.explain.step(agent="ada")
    shown = [one for one in told.considered if one.outcome == "shown"]
    dropped = [one for one in told.considered if one.outcome == "budget"]
    assert [one.text for one in shown] == ["The boat to Bergen leaves at nine on Monday."]
    assert {one.text for one in dropped} >= {"The boat to Oslo leaves at nine on Monday."}
    best = shown[0].scores
    assert set(best) == set(PARTS)
    assert best["words"] > dropped[0].scores["words"] > 0
    assert best["time"] > 0  # it is asked when
    # The parts are what the rank was made of.
    archive = service._memories.of(service.agents.retrieve("ada"))[0]
    for hit in archive.considered(told.agent_id, "When does the boat to Bergen leave?", 60)[1]:
        assert sum(hit.parts) == pytest.approx(hit.score, abs=1e-4)

    # What is forgotten for good is a gap that is told; the rest is there.
    service.passages.forget([shown[0].id], agent="ada", now=True)
    after = service.explain.step(told.step_id)
    assert after.exact is False
    assert after.missing == ["1 of the passages that were shown are forgotten for good."]
    assert after.said == "At nine."


def test_a_step_of_before_says_so_and_shows_what_is_left(bench: Bench) -> None:
    bench.service.agents.create("ada")
    bench.server.say("Hello.")
    bench.send("ada", "Hi")
    bench.service.database.run(lambda tx: tx.execute("UPDATE steps SET request = '{}'"))
    told = bench.service.explain.step(agent="ada")
    assert (told.exact, told.body, told.said) == (None, None, "Hello.")
    assert len(told.missing) == 1


def test_requests_of_forks_and_of_rewound_agents_are_made_anew(bench: Bench) -> None:
    service, server = bench.service, bench.server
    service.agents.create("ada", human="Kim")
    server.call("memory_insert", {"label": "human", "new_string": "Drinks tea."})
    server.say("Noted.")
    bench.send("ada", "I drink tea")
    tea = _steps(bench)[-1]
    server.say("Coffee.")
    bench.send("ada", "Or coffee?", beside=Placed())
    service.forks.fork("ada", "eve", at=tea.id)
    server.say("Tea.")
    bench.send("eve", "What do I drink?")
    service.forks.rewind("ada", tea.id)
    assert service.explain.step(agent="ada").step_id == tea.id
    service.forks.fork("ada", "joe")
    assert service.explain.step(agent="joe").step_id == tea.id
    server.say("Tea, I think.")
    bench.send("ada", "What is it?")
    server.say("Yes.")
    bench.send("eve", "Sure?")
    steps = _all_exact(bench)
    assert len(steps) == 6
    assert "Or coffee?" not in str(_rebuilt(bench, steps[-1]).request.messages)
    assert service.explain.step(agent="eve").said == "Yes."
    # What a fork shares stays explained when the agent that it comes from is gone.
    service.agents.delete("ada")
    shared = service.explain.step(tea.id)
    assert shared.said == "Noted."
    assert len(shared.messages) == 4
    assert service.store.check().findings == []


def test_what_a_person_changed_by_hand_is_part_of_it(bench: Bench) -> None:
    bench.service.agents.create("ada")

    def ask(stop: Stop, over: object) -> Move:
        if stop.point == "request":
            return Move("step", {stop.editable[-1].key: "What is 2 + 3?"})
        return Move("continue")

    bench.server.say("5")
    bench.send("ada", "What is 2 + 2?", debug=Debug(ask, True))
    _all_exact(bench)
    told = bench.service.explain.step(agent="ada")
    assert [(one["before"], one["after"]) for one in told.edits] == [
        ("What is 2 + 2?", "What is 2 + 3?")
    ]
    assert told.messages[-1]["content"] == "What is 2 + 3?"


@pytest.mark.parametrize(
    ("model", "variables", "settings"),
    [
        ("anthropic/claude-sonnet-5", ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"), {}),
        ("gemini/gemini-3.5-flash", ("GEMINI_API_KEY", "GEMINI_API_BASE"), {}),
        ("openai/gemma-1", (), {"tool_calls": "written"}),  # it learns that no system role is taken
        ("openai/gone", (), {"fallbacks": ["openai/scripted"]}),
    ],
)
def test_requests_to_other_servers_are_made_anew(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    variables: tuple[str, ...],
    settings: dict[str, object],
) -> None:
    root = bench.server.url.removesuffix("/v1")
    for name in variables:
        monkeypatch.setenv(name, "key" if name.endswith("KEY") else root)
    monkeypatch.setenv("LETTA_MODEL_TRIES", "1")
    bench.service.agents.create("ada", model=model, settings=settings)
    bench.give("ada", ADD)
    if model == "openai/gemma-1":
        bench.server.judge = judges.gemma_1_template
        bench.server.say('<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>')
    else:
        if "fallbacks" in settings:
            bench.server.fault(404)
        bench.server.call("add", {"a": 1, "b": 2})
    if "fallbacks" in settings:
        bench.server.fault(404)
    bench.server.say("3")
    bench.send("ada", "1 + 2?", pictures=[read(_png())] if variables else [])
    assert len(_all_exact(bench)) == 2


def test_what_others_made_of_a_passage_since_is_not_told(bench: Bench) -> None:
    """An archive may be taken from an agent: its steps show what it looked at, and nothing later."""
    service, server = bench.service, bench.server
    service.agents.create("ada", settings={"retrieval_budget": 60})
    shared = service.archives.create("boats")
    service.archives.attach(shared.id, agent="ada")
    then = "The boat to {} leaves at nine on Monday."
    new = [Passage(agent_id=shared.id, content=then.format(x)) for x in ("Bergen", "Oslo", "Rome")]
    service.passages.insert(new, archive=shared.id)
    server.say("At nine.")
    bench.send("ada", "When does the boat to Bergen leave?")
    step = service.explain.step(agent="ada").step_id
    service.archives.detach(shared.id, agent="ada")
    for one in service.passages.list(archive=shared.id):
        service.passages.update(one.id, archive=shared.id, content="A secret of others.")
    told = service.explain.step(step).considered
    assert {one.text for one in told} == {then.format(x) for x in ("Bergen", "Oslo", "Rome")}
