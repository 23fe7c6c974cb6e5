"""Forks and rewinds: what an agent was at a point in time, and that nothing of it is lost."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from agent_bench import Bench, ended

from letta_kernel.errors import AgentBusyError, InvalidInputError, NameTakenError, NotFoundError
from letta_kernel.records import Block, Tool, ToolRule
from letta_kernel.service import AgentService, restoring
from letta_kernel.tools.schema import schema_from_source

DATA = Path(__file__).parents[1] / "data"
PAY = '''
def pay(euros: float) -> str:
    """Pay an amount.

    Args:
        euros: How much.
    """
    return f"paid {euros}"
'''


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.service.agents.create("ada", human="Kim")
    return bench


def say(bench: Bench, text: str, answer: str, agent: str = "ada") -> str:
    """Send *text*, to which the model answers *answer*; return the run's id."""
    bench.server.say(answer)
    return ended(list(bench.service.runs.send(agent, text))).run_id


def remember(bench: Bench, text: str, fact: str, agent: str = "ada") -> str:
    bench.server.call("memory_insert", {"label": "human", "new_string": fact})
    return say(bench, text, "Noted.", agent)


def heard(bench: Bench, agent: str = "ada") -> list[str]:
    return [
        m.content for m in bench.service.messages.history(agent) if m.role != "tool" and m.content
    ]


def sent(bench: Bench) -> list[str]:
    """What the model was sent last, without the prompt."""
    return [m["content"] for m in bench.server.requests[-1]["messages"][1:] if m["content"]]


def human(bench: Bench, agent: str = "ada") -> str:
    return bench.service.blocks.retrieve("human", agent=agent).value


def steps(bench: Bench, run: str) -> list[str]:
    return [step.id for step in bench.service.steps.of_run(run)]


def sound(bench: Bench) -> None:
    assert [str(one) for one in bench.service.store.check().findings] == []


def test_a_fork_is_what_the_agent_was_and_both_go_on(bench: Bench) -> None:
    service = bench.service
    first = remember(bench, "I drink tea", "Drinks tea.")
    remember(bench, "I drink coffee", "Drinks coffee.")
    fork = service.forks.fork("ada", "eve", at=steps(bench, first)[-1])
    assert heard(bench, "eve") == ["I drink tea", "Noted."]
    assert human(bench, "eve") == "Kim\nDrinks tea."
    say(bench, "And now?", "Tea.", "eve")
    assert sent(bench)[-2:] == ["Noted.", "And now?"]
    assert "coffee" not in str(bench.server.requests[-1])
    say(bench, "And you?", "Coffee.")
    assert "And now?" not in sent(bench)
    assert "I drink coffee" in sent(bench)
    remember(bench, "No sugar", "No sugar.", "eve")
    assert "sugar" not in human(bench)
    again = service.forks.fork("eve")
    assert again.name == "eve-2"
    assert heard(bench, "eve-2") == heard(bench, "eve")
    assert fork.id != again.id
    with pytest.raises(NameTakenError):
        service.forks.fork("ada", "eve")
    anew = service.forks.fork("ada", "eve", fresh=True)
    assert service.agents.retrieve("eve").id == anew.id
    assert service.agents.retrieve(fork.id).set_aside
    with pytest.raises(NameTakenError):  # it does not set aside what it is made of
        service.forks.fork("ada", "ada", fresh=True)
    with pytest.raises(NotFoundError, match="timeline"):
        service.forks.fork("ada", "dan", at="step-12345678")
    sound(bench)


def test_a_rewind_keeps_the_old_end_and_redo_returns_to_it(bench: Bench) -> None:
    service = bench.service
    first = remember(bench, "I drink tea", "Drinks tea.")
    second = remember(bench, "I drink coffee", "Drinks coffee.")
    service.agents.update("ada", settings={"temperature": 0.9}, instructions="Be brief.")
    done = service.forks.undo("ada")
    assert ([run.id for run in done.runs], done.blocks) == ([second], ["human"])
    assert human(bench) == "Kim\nDrinks tea."
    assert heard(bench) == ["I drink tea", "Noted."]
    state = service.agents.retrieve("ada")
    assert (state.settings, state.instructions) == ({}, "")
    assert service.blocks.versions("human", agent="ada")[-1].reason.startswith("rewind to before")
    service.forks.undo("ada")
    assert heard(bench) == []
    assert human(bench) == "Kim"
    with pytest.raises(NotFoundError, match="no run"):
        service.forks.undo("ada")
    service.forks.redo("ada")
    assert heard(bench) == ["I drink tea", "Noted."]
    back = service.forks.redo("ada")
    assert back.blocks == ["human"]
    assert human(bench).endswith("coffee.")
    assert service.agents.retrieve("ada").instructions == "Be brief."
    assert heard(bench)[-2:] == ["I drink coffee", "Noted."]
    assert service.forks.branches("ada") == []
    with pytest.raises(NotFoundError, match="no redo"):
        service.forks.redo("ada")
    service.forks.rewind("ada", first[:12])
    say(bench, "What else?", "Nothing.")
    assert sent(bench) == ["I drink tea", "Noted.", "What else?"] or "coffee" not in str(
        sent(bench)
    )
    with pytest.raises(NotFoundError, match="said since"):
        service.forks.redo("ada")
    end = service.forks.branches("ada")[0]
    service.forks.rewind("ada", end.id)
    assert heard(bench)[-2:] == ["I drink coffee", "Noted."]
    assert len(service.forks.branches("ada")) == 1  # with "What else?" at its end
    sound(bench)


def test_steps_are_taken_back_and_effects_outside_are_told(bench: Bench) -> None:
    service = bench.service
    tool = service.tools.upsert(
        Tool(**schema_from_source(PAY), source=PAY, kind="source", runs_in="sandbox")
    )
    service.tools.attach(tool.id, agent="ada")
    bench.server.call("pay", {"euros": 5})
    run = say(bench, "Pay five", "Paid.")
    service.tools.update(tool.id, source=PAY.replace("paid", "PAID"))
    say(bench, "And thanks", "Welcome.")
    done = service.forks.rewind("ada", steps=1)
    assert done.outside == []
    assert heard(bench)[-1] == "Paid."
    assert "the source of pay" in done.changed
    now_has = next(one for one in service.tools.list("ada") if one.name == "pay")
    assert now_has.source == PAY
    assert now_has.id != tool.id
    seen = service.forks.preview("ada", steps=2)
    assert [one.tool for one in seen.outside] == ["pay"]
    assert heard(bench)[-1] == "Paid."  # nothing has happened
    done = service.forks.rewind("ada", steps=2)
    assert [(one.tool, one.arguments) for one in done.outside] == [("pay", '{"euros": 5}')]
    assert heard(bench) == []
    assert [one.id for one in done.runs] == [run]
    with pytest.raises(NotFoundError):
        service.forks.rewind("ada", steps=1)
    with pytest.raises(InvalidInputError):
        service.forks.rewind("ada")
    sound(bench)


def test_a_shared_block_is_left_unless_one_says_otherwise(bench: Bench) -> None:
    service = bench.service
    service.agents.create("bob")
    team = service.blocks.create(Block(label="team", value="We count birds."))
    for name in ("ada", "bob"):
        service.blocks.attach(team.id, agent=name)
    bench.server.call("memory_insert", {"label": "team", "new_string": "And seals."})
    say(bench, "Seals too", "Noted.")
    done = service.forks.undo("ada")
    assert "bob has it too" in done.left[0]
    assert "seals" in service.blocks.retrieve(team.id).value
    service.forks.redo("ada")
    service.forks.undo("ada", shared=True)
    assert service.blocks.retrieve(team.id).value == "We count birds."
    fork = service.forks.fork("ada", "eve")
    assert service.blocks.retrieve("team", agent=fork.id).id != team.id


def test_an_approval_that_waits_does_not_wait_on_the_new_line(bench: Bench) -> None:
    service = bench.service
    service.agents.update("ada", tool_rules=[ToolRule(type="requires_approval", tool_name="pay")])
    tool = service.tools.upsert(
        Tool(**schema_from_source(PAY), source=PAY, kind="source", runs_in="sandbox")
    )
    service.tools.attach(tool.id, agent="ada")
    say(bench, "Hello", "Hi.")
    bench.server.call("pay", {"euros": 5})
    waits = ended(list(bench.service.runs.send("ada", "Pay five"))).run_id
    fork = service.forks.fork("ada", "eve", at=steps(bench, waits)[-1])
    assert heard(bench, "eve") == ["Hello", "Hi.", "Pay five"]
    assert not service.agents.view(fork.id).pending
    assert service.agents.view("ada").pending
    done = service.forks.undo("ada")
    assert done.outside == []
    assert not service.agents.view("ada").pending
    say(bench, "Never mind", "Fine.")
    assert sent(bench) == ["Hello", "Hi.", "Never mind"]
    say(bench, "Go on", "Yes.", "eve")
    sound(bench)


def test_a_running_agent_is_refused_and_can_be_forked(bench: Bench) -> None:
    service = bench.service
    say(bench, "Hello", "Hi.")
    bench.server.call("memory_insert", {"label": "human", "new_string": "Busy."})
    bench.server.say("Done.")
    events = bench.service.runs.send("ada", "Go")
    next(events)
    with pytest.raises(AgentBusyError):
        service.forks.undo("ada")
    fork = service.forks.fork("ada", purpose="compare")
    assert heard(bench, fork.id)[:2] == ["Hello", "Hi."]
    list(events)
    assert [one.name for one in service.agents.list(set_aside=True)] == ["ada"]
    with pytest.raises(NotFoundError):
        service.agents.retrieve("ada-compare")
    service.agents.delete(fork.id)
    sound(bench)


def test_a_deleted_parent_stays_for_its_forks_alone(bench: Bench) -> None:
    service = bench.service
    say(bench, "Shared", "Yes.")
    service.forks.fork("ada", "eve")
    say(bench, "Not shared", "No.")
    gone = service.agents.retrieve("ada").id
    service.agents.delete("ada")
    assert [one.name for one in service.agents.list(set_aside=True)] == ["eve"]
    with pytest.raises(NotFoundError):
        service.agents.retrieve(gone)
    assert heard(bench, "eve") == ["Shared", "Yes."]
    say(bench, "Still there?", "Yes.", "eve")
    assert sent(bench) == ["Shared", "Yes.", "Still there?"]
    sound(bench)
    service.agents.delete("eve")
    rows = service.database.run(
        lambda tx: tx.query("SELECT count(*) FROM messages UNION ALL SELECT count(*) FROM agents")
    )
    assert [row[0] for row in rows] == [0, 0]
    sound(bench)


def test_clearing_a_history_leaves_forks_theirs(bench: Bench) -> None:
    service = bench.service
    say(bench, "Shared", "Yes.")
    service.forks.fork("ada", "eve")
    service.agents.reset("ada")
    assert heard(bench) == []
    assert heard(bench, "eve") == ["Shared", "Yes."]
    say(bench, "Anew", "Yes.")
    assert sent(bench) == ["Anew"]
    service.agents.reset("eve")
    assert heard(bench, "eve") == []
    service.agents.delete("eve")
    count: Any = service.database.run(lambda tx: tx.one("SELECT count(*) FROM messages"))
    assert count[0] == 2
    sound(bench)


def test_another_process_sees_the_rewind(bench: Bench) -> None:
    say(bench, "One", "1.")
    say(bench, "Two", "2.")
    with AgentService(bench.service.home) as other:
        other.forks.undo("ada")
    say(bench, "Three", "3.")
    assert sent(bench) == ["One", "1.", "Three"]


def test_the_timeline_is_a_tree(bench: Bench) -> None:
    service = bench.service
    first = remember(bench, "I drink tea", "Drinks tea.")
    second = say(bench, "And coffee", "Fine.")
    service.forks.undo("ada")
    third = say(bench, "And water", "Fine.")
    service.forks.fork("ada", "eve", at=steps(bench, first)[0])
    tree = service.timeline.of("ada")
    assert [(one.run.id, one.asked, len(one.steps)) for one in tree.runs] == [
        (third, "And water", 1),
        (first, "I drink tea", 2),
    ]
    parted = [(one.reason, one.agent, one.after, one.said) for one in tree.sides]
    assert parted == [("undo", "", first, 2), ("fork", "eve", first, 0)]
    page = service.timeline.of("ada", limit=1)
    assert page.more
    assert page.sides == []
    older = service.timeline.of("ada", before=third)
    assert [one.run.id for one in older.runs] == [first]
    of_eve = service.timeline.of("eve")
    assert (of_eve.origin, of_eve.runs[0].of, len(of_eve.runs[0].steps)) == ("ada", "ada", 1)
    assert second not in [one.run.id for one in tree.runs]


def test_what_an_agent_was_can_be_looked_at_and_compared(bench: Bench) -> None:
    service = bench.service
    first = remember(bench, "I drink tea", "Drinks tea.")
    service.agents.update("ada", settings={"temperature": 0.3})
    service.passages.create("The kettle is blue.", agent="ada")
    remember(bench, "I drink coffee", "Drinks coffee.")
    then = service.timeline.at("ada", first)
    assert (then.blocks["human"], then.settings, then.passage) == ("Kim\nDrinks tea.", {}, 0)
    assert [m.content for m in then.messages if m.role == "user"] == ["I drink tea"]
    assert "memory_insert" in [tool.name for tool in then.tools]
    found = service.timeline.diff(first, "now", agent="ada")
    assert found.shared == len(then.messages)
    assert [m.content for m in found.said[1] if m.role == "user"] == ["I drink coffee"]
    assert found.said[0] == []
    assert found.blocks == {"human": (then.blocks["human"], human(bench))}
    assert found.passages == ([], ["The kettle is blue."])
    assert found.fields == {"settings": ({}, {"temperature": 0.3})}
    service.forks.fork("ada", "eve", at=first)
    assert service.timeline.diff("eve", f"ada@{first}").nothing
    tool = service.tools.upsert(
        Tool(**schema_from_source(PAY), source=PAY, kind="source", runs_in="sandbox")
    )
    service.tools.attach(tool.id, agent="eve")
    assert service.timeline.diff("eve", f"ada@{first}").tools == {"pay": (PAY, None)}


@pytest.mark.parametrize("point", ["undo", "fork"])
def test_what_is_interrupted_has_not_happened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """One transaction each: whatever ends it, all is as it was."""
    service = bench.service
    remember(bench, "I drink tea", "Drinks tea.")
    before = service.database.run(lambda tx: tx.query("SELECT count(*) FROM blocks"))
    state = service.agents.retrieve("ada")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "attach", killed)
        with pytest.raises(KeyboardInterrupt):
            service.forks.undo("ada") if point == "undo" else service.forks.fork("ada", "eve")
    assert service.agents.retrieve("ada") == state
    assert human(bench) == "Kim\nDrinks tea."
    assert service.forks.branches("ada") == []
    assert service.database.run(lambda tx: tx.query("SELECT count(*) FROM blocks")) == before
    service.forks.undo("ada")
    assert human(bench) == "Kim"
    sound(bench)


@pytest.mark.duckdb
def test_a_store_of_before_can_be_rewound_too(bench: Bench, tmp_path: Path) -> None:
    """Its steps do not say what they ran with: the agent keeps what it has now."""
    home = tmp_path / "kept" / ".letta"
    home.mkdir(parents=True)
    kept = sorted(DATA.glob("store-v26.duckdb.gz"))[0]
    (home / "letta.duckdb").write_bytes(gzip.decompress(kept.read_bytes()))
    with AgentService(home) as service:
        runs = [run for run in service.runs.whole("ada") if run.conversation_id is None]
        first = next(run for run in runs if run.asked == "How many puffins?")
        then = service.timeline.at("ada", first.id)
        assert not then.known
        assert then.messages[-1].content == "Twelve puffins."
        fork = service.forks.fork("ada", "eve", at=first.id)
        assert [m.content for m in service.messages.history(fork.id)][-1] == "Twelve puffins."
        assert {tool.name for tool in service.tools.list(fork.id)} >= {"pay", "count_birds"}
        assert service.agents.view("ada").pending
        done = service.forks.undo("ada")
        assert done.agent.settings == {"temperature": 0.5}
        assert not service.agents.view("ada").pending
        service.forks.redo("ada")
        assert service.store.check().findings == []


def test_a_fork_is_not_led_to_what_its_parent_left(bench: Bench) -> None:
    service = bench.service
    say(bench, "One", "ONE")
    shared = service.steps.list()[0][0].id
    service.forks.fork("ada", "eve")
    secret = remember(bench, "Two", "The parent's secret.")
    later = service.steps.list()[0][0].id
    service.forks.undo("ada")
    (left,) = service.forks.branches("ada")
    for point in (left.id, later, secret, left.id[:12]):
        for act in (service.timeline.at, service.forks.rewind):
            with pytest.raises(NotFoundError):
                act("eve", point)
        assert "secret" not in human(bench, "eve")
    assert service.timeline.at("eve", shared).blocks["human"] == "Kim"


def test_who_may_change_one_agent_alone_gets_nothing_back_by_a_rewind(bench: Bench) -> None:
    """A token of one agent can rewind it: what its owner has taken from it stays taken."""
    service = bench.service
    tool = service.tools.upsert(
        Tool(**schema_from_source(PAY), source=PAY, kind="source", runs_in="sandbox")
    )
    service.tools.attach(tool.id, agent="ada")
    archive = service.archives.create("papers")
    service.archives.attach(archive.id, agent="ada")
    service.agents.update("ada", settings={"budget": 5.0})
    shared = service.blocks.create(Block(label="ours", value="then", read_only=True))
    lent = service.blocks.create(Block(label="lent", value="then"))
    service.agents.create("bob")
    for block, agent in ((shared, "ada"), (shared, "bob"), (lent, "ada"), (lent, "bob")):
        service.blocks.attach(block.id, agent=agent)
    say(bench, "One", "ONE")
    step = service.steps.list()[0][0].id
    remember(bench, "Two", "TWO")
    service.tools.detach(tool.id, agent="ada")
    service.archives.detach(archive.id, agent="ada")
    service.blocks.detach(lent.id, agent="ada")
    service.agents.update("ada", settings={"budget": 1.0})
    service.blocks.update(shared.id, value="now")
    service.blocks.update(lent.id, value="bob's")

    def has() -> tuple[list[str], list[str], list[str], Any]:
        return (
            [one.name for one in service.tools.list("ada") if one.name == "pay"],
            [one.name for one in service.archives.list(agent="ada")],
            sorted(
                one.value for one in service.blocks.list("ada") if one.label in ("ours", "lent")
            ),
            service.agents.retrieve("ada").settings["budget"],
        )

    done = service.forks.rewind("ada", step, shared=True, alone=True)
    assert (human(bench), has()) == ("Kim", ([], [], ["now"], 1.0))
    assert len(done.left) == 4
    assert "bob" not in "".join(done.left)
    service.forks.redo("ada", alone=True)
    assert "TWO" in human(bench)
    service.forks.undo("ada", alone=True)
    assert has() == ([], [], ["now"], 1.0)
    service.forks.rewind("ada", step, shared=True)
    assert has() == (["pay"], ["papers"], ["then", "then"], 5.0)
