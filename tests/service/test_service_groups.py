"""Groups: who speaks when, what each hears, and what becomes of a turn that fails, waits or is stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from agent_bench import Bench, kept_whole

from letta_kernel.agent_messages import WAIT
from letta_kernel.errors import AgentBusyError, InvalidInputError, NameTakenError, NotFoundError
from letta_kernel.messages import Event, GroupEnded, GroupStarted, RunStarted
from letta_kernel.models.base import Cancel
from letta_kernel.service import AgentService, Decision
from letta_kernel.store import invariants

NAMES = ("ada", "ben", "cho")


@pytest.fixture
def bench(bench: Bench) -> Iterator[Bench]:
    for name in NAMES:
        bench.service.agents.create(name, description=f"{name} knows it")
    yield bench
    kept_whole(bench.service)
    assert bench.service.database.run(invariants.find) == []


def team(bench: Bench, members: str = "ada ben cho", **options: Any) -> str:
    """Make a group called team."""
    return bench.service.groups.create(members.split(), name="team", **options).id


def say(bench: Bench, text: str, **options: Any) -> GroupEnded:
    """Say something to the team; return how its turn ended."""
    events = [*bench.service.groups.send("@team", text, **options)]
    assert isinstance(events[0], GroupStarted)
    assert isinstance(events[-1], GroupEnded)
    return events[-1]


def shown(bench: Bench, number: int = -1) -> list[str]:
    """What the model was shown of the conversation in a request, without the note: its own words marked."""
    found = []
    for one in bench.server.requests[number]["messages"][1:]:
        text = re.sub(r"<group name=.*?</group>\n\n", "", one["content"] or "", flags=re.DOTALL)
        mark = "> " if one["role"] == "assistant" else ""
        found += [mark + part for part in text.split("\n\n")]
    return found


def said(bench: Bench) -> list[tuple[str, str]]:
    """What was said in the team, and by whom."""
    ids = {one.id: one.name for one in bench.service.agents.list()}
    service = bench.service
    found = service.groups.messages(service.groups.message_ids("team"))
    return [
        (ids.get(one.agent_id, "you"), one.content)
        for one in found
        if one.role in ("user", "assistant")
    ]


def test_one_after_the_other_hears_what_was_said_before(bench: Bench) -> None:
    team(bench, description="Plan a trip.")
    for text in ("North", "South", "West"):
        bench.server.say(text)
    ended = say(bench, "Where to?")
    assert (ended.stop_reason, ended.turns, ended.steps) == ("end_turn", 3, 3)
    note = bench.server.requests[0]["messages"][1]["content"]
    assert "You are ada, one of 3 agents" in note
    assert "Plan a trip." in note
    assert "ben (ben knows it), cho (cho knows it)" in note
    assert note.endswith("</group>\n\nWhere to?")
    assert [shown(bench, n) for n in (1, 2)] == [
        ["Where to?", "ada: North"],
        ["Where to?", "ada: North", "ben: South"],
    ]
    assert said(bench) == [
        ("you", "Where to?"),
        ("ada", "North"),
        ("ben", "South"),
        ("cho", "West"),
    ]
    # All have all of it in their histories, also who spoke before the others did; nobody hears it twice.
    for text in ("By train", "By boat", "On foot"):
        bench.server.say(text)
    say(bench, "How?")
    assert shown(bench, 3) == [
        "Where to?",
        "> North",
        "ben: South",
        "cho: West",
        "How?",
    ]
    assert shown(bench, 5)[-3:] == ["How?", "ada: By train", "ben: By boat"]
    history = bench.history("ada")
    assert [(one.name, one.content) for one in history if one.sender_id][-1] == (
        "cho",
        "cho: On foot",
    )
    assert all(one.group_id for one in history)
    # Talked to alone it remembers, without the note.
    bench.server.say("On foot, I hear")
    bench.send("ada", "So how?")
    assert shown(bench)[-2:] == ["cho: On foot", "So how?"]
    assert "one of 3 agents" not in json.dumps(bench.server.requests[-1])


def test_max_turns_says_how_many_speak(bench: Bench) -> None:
    team(bench, "ada ben", max_turns=3)
    for text in ("One", "Two", "Three"):
        bench.server.say(text)
    assert say(bench, "Count").turns == 3
    assert [who for who, _ in said(bench)] == ["you", "ada", "ben", "ada"]
    service = bench.service
    service.groups.update("team", max_turns=1, description="Shorter")
    bench.server.say("Once")
    assert say(bench, "Again").turns == 1
    alone = service.groups.create(["cho"], max_turns=2)
    bench.server.say("First")
    bench.server.say("Second")
    assert [*service.groups.send(alone.id, "Twice")][-1].turns == 2  # type: ignore[union-attr]


def test_the_manager_of_a_dynamic_group_says_who_is_next(bench: Bench) -> None:
    bench.service.agents.create("lea")
    team(bench, manager_type="dynamic", manager="lea", max_turns=5)
    for text in ("ben", "I begin", "Cho is next.", "I end. DONE!"):
        bench.server.say(text)
    ended = say(bench, "Begin")
    assert (ended.stop_reason, ended.turns, ended.steps) == ("end_turn", 2, 4)
    asked = json.dumps(bench.server.requests[0]["messages"])
    assert "Who speaks next?" in asked
    assert "ada, ben, cho" in asked
    assert "ada, cho" in shown(bench, 2)[-1]  # not the one that spoke last
    assert shown(bench, 3) == ["Begin", "ben: I begin"]
    assert said(bench)[-1] == ("cho", "I end. DONE!")
    assert [who for who, _ in said(bench)] == ["you", "lea", "ben", "lea", "cho"]
    # The manager may end it, and is asked once more where it names nobody.
    for text in ("Nobody I know", "DONE!"):
        bench.server.say(text)
    assert say(bench, "More?").turns == 0
    bench.server.say("who")
    bench.server.say("what")
    ended = say(bench, "And now?")
    assert ended.stop_reason == "error"
    assert ended.error == "lea: lea named nobody who could speak next: ada, ben, cho."


def test_a_supervisor_asks_all_and_answers(bench: Bench) -> None:
    bench.service.agents.create("lea")
    team(bench, "ada ben", manager_type="supervisor", manager="lea")
    bench.server.call("send_message_to_all_agents_in_group", {"message": "Your view?"})
    for text in ("Yes", "No", "They differ."):
        bench.server.say(text)
    events = [*bench.service.groups.send("team", "Is it?")]
    ended = events[-1]
    assert isinstance(ended, GroupEnded)
    assert (ended.stop_reason, ended.turns, ended.steps) == ("end_turn", 2, 4)
    assert [one.agent_name for one in events if isinstance(one, RunStarted)] == [
        "lea",
        "ada",
        "ben",
    ]
    request = bench.server.requests[0]
    assert request["tool_choice"] == "required" or isinstance(request["tool_choice"], dict)
    assert shown(bench, 1) == ["lea: Your view?"]
    result = json.loads(bench.server.requests[-1]["messages"][-1]["content"])
    assert json.loads(result["message"]) == ["ada: Yes", "ben: No"]
    assert "send_message_to_all" not in json.dumps(bench.server.requests[1].get("tools", []))
    assert [who for who, _ in said(bench)] == ["you", "lea", "ada", "ben", "lea"]
    # Next time it does not hear what was the result of its call.
    bench.server.call("send_message_to_all_agents_in_group", {"message": "Sure?"})
    say(bench, "Sure?")
    assert shown(bench, 4)[-2:] == ["> They differ.", "Sure?"]
    assert bench.service.agents.retrieve("lea").tool_rules == []


def test_nobody_asks_a_supervisor_that_waits_for_its_answer(bench: Bench) -> None:
    lea = bench.service.agents.create("lea")
    team(bench, "ada", manager_type="supervisor", manager="lea")
    bench.service.tools.attach(WAIT, agent="ada")
    bench.server.call("send_message_to_all_agents_in_group", {"message": "Well?"})
    bench.server.call(WAIT, {"message": "Why me?", "other_agent_id": lea.id})
    bench.server.say("Then I say yes")
    bench.server.say("Yes")
    assert say(bench, "Is it?").stop_reason == "end_turn"
    (refused,) = [m.content for m in bench.history("ada") if m.role == "tool"]
    assert "waits for an answer already" in refused
    (run,) = [one for one in bench.service.runs.list() if one.asked_by]
    assert bench.service.runs.retrieve(run.asked_by or "").agent_id == lea.id


def test_a_member_that_fails_ends_the_turn_and_says_so(bench: Bench) -> None:
    team(bench)
    bench.server.say("North")
    bench.server.fault(400, message="The model is on strike")
    ended = say(bench, "Where to?")
    assert ended.stop_reason == "llm_api_error"
    assert ended.error is not None
    assert ended.error.startswith("ben: ")
    assert "on strike" in ended.error
    # The next message finds everybody where they were.
    for text in ("Still north", "Sorry. South", "West"):
        bench.server.say(text)
    assert say(bench, "And now?").stop_reason == "end_turn"
    assert shown(bench)[-4:] == ["ada: North", "And now?", "ada: Still north", "ben: Sorry. South"]


PAY = 'def pay(euros: int) -> str:\n    """Pay."""\n    return "paid"\n'


@pytest.mark.parametrize("approve", [True, False])
def test_a_turn_that_waits_for_an_approval_goes_on_from_there(bench: Bench, approve: bool) -> None:
    team(bench)
    service = bench.service
    bench.give("ben", PAY, requires_approval=True)
    bench.server.say("North")
    bench.server.call("pay", {"euros": 5})
    ended = say(bench, "Where to?", each=lambda agent: {"host": bench.host})
    ben = service.agents.retrieve("ben")
    assert (ended.stop_reason, ended.waits) == ("requires_approval", ben.id)
    with pytest.raises(InvalidInputError, match="ben wants your word"):
        service.groups.send("team", "Hello?")
    ((waiting, calls),) = service.groups.pending("team")
    assert (waiting.name, [call.name for call in calls]) == ("ben", ["pay"])
    bench.server.say("Paid or not")
    bench.server.say("West")
    words = [Decision(calls[0].id, approve=approve)]
    events = [*service.groups.approve("team", words, each=lambda agent: {"host": bench.host})]
    assert isinstance(events[-1], GroupEnded)
    assert events[-1].stop_reason == "end_turn"
    assert [who for who, text in said(bench) if text] == ["you", "ada", "ben", "cho"]
    assert shown(bench)[1:] == ["ada: North", "ben: Paid or not"]
    with pytest.raises(InvalidInputError, match="waits for no approval"):
        service.groups.approve("team", words)


def test_an_approval_given_elsewhere_is_heard_at_the_next_turn(bench: Bench) -> None:
    team(bench, "ben ada")
    bench.give("ben", PAY, requires_approval=True)
    bench.server.call("pay", {"euros": 5})
    say(bench, "Pay, please")
    bench.server.say("It is paid")
    calls = bench.service.runs.pending("ben")
    list(bench.service.runs.approve("ben", [Decision(calls[0].id, approve=False)]))
    for text in ("As I said", "Fine"):
        bench.server.say(text)
    say(bench, "And?")
    assert shown(bench) == ["Pay, please", "ben: It is paid", "And?", "ben: As I said"]


def test_stopping_ends_all_of_it(bench: Bench) -> None:
    team(bench)
    switch = Cancel()
    bench.server.say("North")
    bench.server.say("A long answer", pieces=8, delay=0.05)

    def live(event: Event) -> None:
        if event.type == "text_delta" and len(bench.server.requests) == 2:
            assert bench.service.groups.cancel("team") == "cancelling"

    ended = say(bench, "Where to?", live=live, cancel=switch)
    assert (ended.stop_reason, ended.turns) == ("cancelled", 2)
    assert bench.service.groups.cancel("team") == "ended"
    assert len(bench.server.requests) == 2
    for text in ("One", "Two", "Three"):
        bench.server.say(text)
    assert say(bench, "Again").stop_reason == "end_turn"


def test_a_turn_nobody_follows_any_more_is_over(bench: Bench) -> None:
    team(bench)
    with closing(bench.service.groups.send("team", "Hello")) as events:  # type: ignore[type-var]
        for event in events:
            if event.type == "step_started":
                break
    assert say(bench, "Hello?").stop_reason == "end_turn"
    assert bench.service.runs.retrieve(bench.service.runs.list()[-1].id).status == "cancelled"


def test_a_group_deleted_in_its_turn_leaves_nothing(bench: Bench) -> None:
    team(bench)

    def live(event: Event) -> None:
        if isinstance(event, RunStarted):
            bench.service.groups.delete("team")

    ended = say(bench, "Where to?", live=live)
    assert (ended.stop_reason, ended.turns) == ("error", 1)
    assert "@team was deleted meanwhile" in (ended.error or "")
    assert len(bench.server.requests) == 1  # and `bench` looks at what is left in the store


def test_a_group_hears_nothing_while_a_turn_begins(bench: Bench) -> None:
    team(bench, "ada ben")
    groups = bench.service.groups
    first = groups.send("team", "One")
    with pytest.raises(AgentBusyError, match="in the middle of a turn"):
        groups.send("team", "Two")
    assert [*first][-1].type == "group_ended"
    groups.send("team", "Three")  # nobody asks what happens: the group is free again
    assert say(bench, "Four").stop_reason == "end_turn"
    assert [text for who, text in said(bench) if who == "you"] == ["One", "Three", "Four"]


def test_a_shared_block_is_everybodys(bench: Bench) -> None:
    service = bench.service
    plan = service.blocks.upsert("plan", "Go north.", agent="ada")
    made = service.groups.create(["ada", "ben"], shared_block_ids=[plan.id])
    assert [b.label for b in service.blocks.list("ben")][-1] == "plan"
    service.groups.update(made.id, agent_ids=["ben", "cho"])
    assert [b.label for b in service.blocks.list("cho")][-1] == "plan"
    with pytest.raises(NotFoundError, match="no block"):
        service.groups.create(["ada"], shared_block_ids=["block-1"])


def test_a_group_begins_anew(bench: Bench) -> None:
    team(bench, "ada ben")
    bench.server.say("Hello alone")
    bench.send("ada", "Alone")
    for text in ("Hi", "Ho"):
        bench.server.say(text)
    say(bench, "Hello")
    bench.service.groups.reset("team")
    assert said(bench) == []
    bench.server.say("What group?")
    bench.send("ada", "Still there?")
    assert shown(bench) == ["Alone", "> Hello alone", "Still there?"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"members": []}, "from 1 to 50"),
        ({"members": ["ada", "ada"]}, "named twice"),
        ({"members": ["nobody"]}, "no agent"),
        ({"name": "two words"}, "one word"),
        ({"name": "-x"}, "one word"),
        ({"max_turns": 0}, "max_turns"),
        ({"max_turns": 201}, "max_turns"),
        ({"manager_type": "supervisor"}, "needs an agent"),
        ({"manager": "cho"}, "has no manager"),
        ({"manager_type": "supervisor", "manager": "ada"}, "not one of the members"),
        ({"manager_type": "voice_sleeptime"}, "no kind of manager"),
        ({"manager_type": "supervisor", "manager": "cho", "max_turns": 3}, "has no max_turns"),
        ({"manager_type": "dynamic", "manager": "cho", "termination_token": ""}, "from 1 to 200"),
        ({"description": "x" * 10_001}, "10,000 characters"),
    ],
)
def test_what_is_no_group_is_refused(bench: Bench, given: dict[str, Any], problem: str) -> None:
    with pytest.raises((InvalidInputError, NotFoundError), match=problem):
        bench.service.groups.create(**{"members": ["ada", "ben"], **given})
    assert bench.service.groups.list(hidden=True) == []


def test_names_of_groups_and_agents_do_not_clash(service: AgentService) -> None:
    service.agents.create("ada")
    service.agents.create("@tea")
    service.groups.create(["ada"], name="@team")
    assert service.groups.retrieve("@team") == service.groups.retrieve("team")
    for taken in ("team", "tea"):
        with pytest.raises(NameTakenError):
            service.groups.create(["ada"], name=taken)
    with pytest.raises(NameTakenError):
        service.agents.create("@team")
    with pytest.raises(NameTakenError):
        service.agents.update("ada", name="@team")
    with pytest.raises(NotFoundError, match="Did you mean '@team'"):
        service.groups.retrieve("@teams")
    service.groups.update("team", name="crew")
    service.groups.delete("crew")
    with pytest.raises(NotFoundError):
        service.groups.retrieve("team")


def test_groups_are_listed_by_what_they_are(bench: Bench) -> None:
    groups = bench.service.groups
    one = groups.create(["ada", "ben"], name="one")
    two = groups.create(["ada"], manager_type="dynamic", manager="cho", termination_token="Over")
    hidden = groups.create(["ben"], hidden=True)
    assert groups.list() == [one, two]
    assert groups.list(hidden=True) == [one, two, hidden]
    assert groups.list(agent="cho") == groups.list(manager="cho") == [two]
    assert groups.list(manager_type="round_robin") == [one]
    assert two.termination_token == "Over"
    resting = groups.create(
        ["ada"], manager_type="sleeptime", manager="cho", sleeptime_agent_frequency=5
    )
    assert resting.turns_counter == -1
