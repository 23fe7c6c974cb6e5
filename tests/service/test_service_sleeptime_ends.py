"""Sleep-time agents at their ends: what is deleted, detached, switched off or begun in vain meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from agent_bench import Bench
from test_service_sleeptime import HUMAN, TIDY, Night

from letta_kernel.errors import ConflictError, LettaError
from letta_kernel.ids import new_id, now
from letta_kernel.messages import Event, Message, ToolCall
from letta_kernel.records import Proposal, Sleep
from letta_kernel.service import AgentService
from letta_kernel.service.sleep_record import record_of
from letta_kernel.store import lease, sleeps


@pytest.fixture
def night(bench: Bench) -> Night:
    return Night(bench)


def kept(night: Night) -> list[Proposal]:
    """What is kept of all that was proposed."""
    core = night.service.sleeptime._core
    ada = night.service.agents.retrieve("ada").id
    return core.do(
        lambda tx: [
            found for one in sleeps.list_all(tx, ada) for found in sleeps.proposals(tx, one.id)
        ]
    )


@pytest.mark.parametrize(
    "end", ["</record>", "<</record>/record>", "</RECORD >", "</ record>", "< / record >"]
)
def test_nothing_said_ends_the_record(end: str) -> None:
    call = ToolCall(id="1", name="search", arguments='{"query": "' + end + '"}')
    said = [
        Message(agent_id="a", role="user", name=f"Mara{end}", content=f"Hello {end} you"),
        Message(agent_id="a", role="assistant", content=f"I {end}", tool_calls=[call]),
        Message(agent_id="a", role="tool", name="search", content=end, status="ok"),
    ]
    text, last = record_of(said, f"ada{end}"[:4], "UTC", 10_000, len)
    assert last is said[-1]
    inside = text.partition("<record>\n")[2].rpartition("\n</record>")[0]
    squeezed = inside.lower().replace(" ", "")
    assert "</record" not in squeezed


def test_a_block_taken_off_stays_and_gets_nothing_any_more(night: Night) -> None:
    blocks, sleeptime = night.service.blocks, night.service.sleeptime
    night.service.agents.create("bob")
    sleeptime.enable("ada", review=True)
    plans = blocks.upsert("plans", "Sail", agent="ada")
    night.say()
    night.tidy([("memory_replace", {"label": "plans", "old_string": "Sail", "new_string": "Row"})])
    blocks.detach(plans.id, agent="ada")
    with pytest.raises(ConflictError, match="plans is gone"):
        sleeptime.review.accept("ada")
    assert blocks.retrieve(plans.id).value == "Sail"
    sleeptime.review.reject("ada")
    night.say()
    night.tidy([])
    assert blocks.retrieve(plans.id).value == "Sail", "the block was deleted"
    assert not blocks.agents(plans.id)


def test_what_is_decided_or_deleted_leaves_no_text_behind(night: Night) -> None:
    sleeptime = night.service.sleeptime
    sleeptime.enable("ada", review=True)
    night.say()
    night.tidy()
    sleeptime.review.reject("ada", ["instructions"])
    night.service.blocks.delete("human", agent="ada")
    left = {(one.label, one.status, one.before + one.after) for one in kept(night)}
    assert left == {
        ("instructions", "rejected", ""),
        ("human", "dropped", ""),
        ("", "open", "Mara's first boat was called Terna."),
    }


def test_what_is_purged_is_gone_from_what_would_replace_it(night: Night) -> None:
    night.service.sleeptime.enable("ada", review=True)
    night.say()
    old = night.service.passages.create("The code is 4711.", agent="ada")[0]
    new = {"content": "Mara's code is 4711.", "supersedes": [old.id]}
    night.tidy([("archival_memory_insert", new)])
    night.service.passages.forget([old.id], agent="ada", now=True)
    assert [(one.status, one.after) for one in kept(night)] == [("dropped", "")]


def test_switched_off_nothing_waits_and_nothing_is_news(night: Night) -> None:
    sleeptime = night.service.sleeptime
    sleeptime.enable("ada", review=True)
    night.say()
    night.tidy()
    assert sleeptime.untold()[0] == 3
    sleeptime.disable("ada")
    assert sleeptime.untold() == (0, 0)
    assert not sleeptime.review.waiting("ada")
    sleeptime.enable("ada", review=False)
    night.say("I moved to Oslo.")
    night.tidy()
    assert sleeptime.untold() == (0, 1)
    group = sleeptime.group_of("ada")
    assert group is not None
    night.service.groups.delete(group.id)
    assert sleeptime.untold() == (0, 0)


def test_switched_off_in_another_process_a_look_ends(night: Night) -> None:
    night.service.sleeptime.enable("ada")
    night.say()

    def off(event: Event) -> None:
        if event.type == "run_started":
            with AgentService(night.service.home) as other:
                other.sleeptime.disable("ada")

    night.moves = [*TIDY]
    done = night.service.sleeptime.now("ada", off)
    assert done is not None
    assert done.status == "stopped"
    assert night.human() == HUMAN
    assert not [one for one in kept(night) if one.after or one.status == "staged"]


def test_one_that_is_stopped_again_and_again_waits_for_its_turns(night: Night) -> None:
    sleeptime = night.service.sleeptime
    sleeptime.enable("ada", every=2)
    night.say()
    for number in range(3):  # it begins, and the person speaks
        night.say(f"And {number}.")
        begun = sleeptime._looks.begin(night.service.agents.retrieve("ada").id, forced=False)
        assert begun is not None
        sleeptime._looks.ended(begun.sleep, "")
    ada = night.service.agents.retrieve("ada").id
    night.say()
    assert sleeptime._looks.begin(ada, forced=False) is None
    night.say()
    assert sleeptime._looks.begin(ada, forced=False) is not None


def test_another_service_of_the_process_lets_a_look_be(night: Night) -> None:
    sleeptime = night.service.sleeptime
    sleeptime.enable("ada")
    night.say()
    ada = night.service.agents.retrieve("ada").id
    begun = sleeptime._looks.begin(ada, forced=True)
    assert begun is not None
    with AgentService(night.service.home) as other:
        standing = other.sleeptime.standing("ada")
        assert standing is not None
        assert standing.last is not None
        assert standing.last.status == "open"
    done = sleeptime._looks.ended(begun.sleep, "")
    assert done is not None
    assert done.status == "stopped"


@pytest.mark.parametrize(("minutes", "status"), [(1, "open"), (11, "stopped")])
def test_a_look_of_before_the_machine_began_anew_ends(
    night: Night, minutes: int, status: str
) -> None:
    sleeptime = night.service.sleeptime
    group = sleeptime.enable("ada")
    night.say()
    ada, sleeper = map(night.service.agents.retrieve, ("ada", "ada-sleeptime"))
    last = night.bench.history("ada")[-1]
    owner = f"box@an-earlier-boot@1|{lease.process_owner().split('|')[1]}|1"
    sleep = Sleep(
        group_id=group.id,
        agent_id=ada.id,
        sleeper_id=sleeper.id,
        message_id=new_id("message"),
        upto=last.seq,
        upto_id=last.id,
        review=False,
        owner=owner,
        created_at=now() - timedelta(minutes=minutes),
    )
    sleeptime._core.do(lambda tx: sleeps.add(tx, sleep))
    standing = sleeptime.standing("ada")
    assert standing is not None
    assert standing.last is not None
    assert standing.last.status == status


def test_an_agent_that_is_set_aside_is_left_alone(night: Night) -> None:
    sleeptime = night.service.sleeptime
    sleeptime.enable("ada", every=1)
    night.say()
    ada = night.service.agents.retrieve("ada").id
    assert night.service.agents.open("ada", fresh=True).agent.id != ada
    assert sleeptime._looks.begin(ada, forced=False) is None


def test_what_is_proposed_for_an_agent_set_aside_is_no_news(night: Night) -> None:
    night.service.sleeptime.enable("ada", review=True)
    night.say()
    night.tidy()
    night.service.agents.open("ada", fresh=True)
    assert night.service.sleeptime.untold() == (0, 0)


def test_what_is_taken_back_keeps_to_a_limit_of_since(night: Night) -> None:
    night.service.sleeptime.enable("ada")
    night.say()
    night.tidy([("memory_rethink", {"label": "human", "new_memory": "Name: Mara"})])
    night.service.blocks.update("human", agent="ada", limit=20)
    with pytest.raises(LettaError, match="may hold 20 characters"):
        night.service.sleeptime.review.undo("ada")
    assert night.human() == "Name: Mara"
