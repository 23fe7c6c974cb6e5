"""Comparisons: variants side by side on forks, limits, failures, the stop button, and which one is kept."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from agent_bench import Bench
from scripted_server import Answer
from scripted_wire import Call

from letta_kernel.agent_messages import NOTIFY
from letta_kernel.display.comparison import comparison_panel
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.models.base import Cancel
from letta_kernel.records import FORK_OF, OWNER
from letta_kernel.service import AgentService
from letta_kernel.service.compared import Comparison
from letta_kernel.service.variants import Variant, read_settings, variants
from letta_kernel.store import invariants
from letta_kernel.store.lease import process_owner

PAY = '''
def pay(euros: int) -> str:
    """Pay somebody.

    Args:
        euros: How much.
    """
    return f"{euros} paid"
'''


def answers(body: dict[str, Any]) -> Answer:
    """Say what the model's name says is to be said."""
    model, last = body["model"], body["messages"][-1]
    if model == "broken":
        return Answer(status=400, body=b'{"error": {"message": "out of order"}}')
    if last["role"] == "user" and model == "keeper":
        added = '{"label": "human", "content": "Likes figs."}'
        return Answer(calls=[Call("call_1", "core_memory_append", added)])
    if last["role"] == "user" and model == "payer":
        return Answer(calls=[Call("call_1", "pay", '{"euros": 5}')])
    used = {"prompt_tokens": 600, "completion_tokens": 400, "total_tokens": 1000}
    return Answer(text=f"I am {model}.", usage=used)


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.server.default = answers
    bench.service.agents.create("ada", model="openai/own", human="Kim.")
    return bench


def models(*names: str) -> list[Variant]:
    return variants(["ada"], models=[f"openai/{name}" for name in names])


def hidden(bench: Bench) -> list[str]:
    """The forks that are still there."""
    return [one.id for one in bench.service.agents.hidden("compare")]


def human(bench: Bench) -> str:
    return next(one.value for one in bench.service.blocks.list("ada") if one.label == "human")


def compare(bench: Bench, *names: str, **options: Any) -> Comparison:
    return bench.service.compare.run("Who are you?", models(*names), **options)


def test_every_combination_is_a_variant_with_a_name_of_its_own() -> None:
    found = variants(
        ["ada"],
        models=["own", "openai/a"],
        settings=[{}, {"retrieval": False}],
        tools=["on", "off"],
    )
    assert [one.label for one in found] == [
        "own · as set · tools on",
        "own · as set · tools off",
        "own · retrieval=False · tools on",
        "own · retrieval=False · tools off",
        "openai/a · as set · tools on",
        "openai/a · as set · tools off",
        "openai/a · retrieval=False · tools on",
        "openai/a · retrieval=False · tools off",
    ]
    assert [one.model for one in found[3:5]] == [None, "openai/a"]
    assert read_settings("retrieval=off+temperature=0.5") == {
        "retrieval": False,
        "temperature": 0.5,
    }
    for wrong in ("retrieval", "retrieval=", "colour=red", "temperature=hot", "environment=x"):
        with pytest.raises(InvalidInputError):
            read_settings(wrong)
    with pytest.raises(InvalidInputError, match="16 variants"):
        variants(["ada"], models="abcdefgh", tools=["on", "off"])
    with pytest.raises(InvalidInputError, match="not 'some'"):
        variants(["ada"], tools=["some"])


def test_the_same_message_goes_to_a_fork_of_each_and_the_agent_stays_as_it_was(
    bench: Bench,
) -> None:
    bench.send("ada", "I am Kim.")
    before = bench.history("ada")
    told: list[float] = []
    found = compare(
        bench, "plain", "keeper", repeat=2, watch=lambda share, text: told.append(share)
    )
    assert [(run.number, run.column, run.repeat) for run in found.runs] == [
        (1, 0, 1),
        (2, 0, 2),
        (3, 1, 1),
        (4, 1, 2),
    ]
    assert [run.answer for run in found.runs] == ["I am plain."] * 2 + ["I am keeper."] * 2
    assert [run.problem for run in found.runs] == [""] * 4
    assert [run.changed for run in found.runs] == [[], [], ["human"], ["human"]]
    assert found.runs[2].calls == [("core_memory_append", "ok")]
    assert "Likes figs." in found.runs[2].memory["human"]
    assert found.runs[0].usage.total_tokens == 1000
    assert "I am Kim." in str(bench.server.requests[-1]["messages"])  # it knows what was said
    assert bench.history("ada") == before
    assert human(bench) == "Kim."
    assert [one.name for one in bench.service.agents.list(set_aside=True)] == ["ada"]
    assert len(hidden(bench)) == 4
    assert len(bench.service.blocks.list()) == 2  # persona and human: not the forks' copies
    assert told == sorted(told)
    rows = found.rows()
    assert [row["variant"] for row in rows] == ["openai/plain"] * 2 + ["openai/keeper"] * 2
    assert (rows[2]["calls"], rows[2]["memory_changed"]) == (["core_memory_append"], ["human"])


def test_the_columns_show_what_differs_from_the_first(bench: Bench) -> None:
    found = compare(bench, "plain", "keeper", "plain", "broken")
    assert len(found.variants) == 3  # each once
    panel = comparison_panel(found)
    html = panel.html
    assert html.count("flex:1 1 260px") == 3
    assert "differs from 1" in html
    assert "<ins>" in html
    assert "memory differs from 1: 1 block" in html
    assert "Likes figs." in html
    assert "out of order" in html
    assert panel.mime is not None
    assert panel.mime["choices"] == [1, 2, 3]
    assert "[2]" in panel.text
    assert "memory, human:" in panel.text
    found.runs[0].answer = "<script>alert(1)</script>\x1b[31m<img src=x>"  # stays text
    html = comparison_panel(found).html
    assert "<script" not in html
    assert "<img" not in html
    assert "\x1b" not in html


def test_one_is_kept_and_the_others_are_gone(bench: Bench) -> None:
    bench.send("ada", "Good morning.")
    found = compare(bench, "plain", "keeper")
    decided: list[int | None] = []
    found.decided.append(lambda one: decided.append(one.kept))
    bench.service.compare.decide(found.id, 2)
    assert decided == [2]
    assert hidden(bench) == []
    assert "Likes figs." in human(bench)
    said = [one.content for one in bench.history("ada")]
    assert said[0] == "Good morning."
    assert said[-1] == "I am keeper."
    assert "Who are you?" in said
    assert bench.service.agents.retrieve("ada").model == "openai/own"
    bench.send("ada", "Still there?")
    assert "I am keeper." in str(bench.server.requests[-1]["messages"])
    assert "Run 2 was kept" in comparison_panel(found).text
    assert comparison_panel(found).mime["choices"] == []  # type: ignore[index]
    with pytest.raises(NotFoundError, match="no decision"):
        bench.service.compare.decide(found.id, 1)
    assert bench.service.database.run(invariants.find) == []


def test_what_others_wrote_meanwhile_stays_when_one_is_kept(bench: Bench) -> None:
    service = bench.service
    compared = compare(bench, "idle", "other")
    service.blocks.update("human", agent="ada", value="Kim moved to Oslo.")
    service.compare.decide(compared.id, 1)
    assert human(bench) == "Kim moved to Oslo."  # the fork wrote nothing
    service.agents.create("bob")
    service.blocks.detach(service.blocks.retrieve("human", agent="bob").id, agent="bob")
    service.blocks.attach(service.blocks.retrieve("human", agent="ada").id, agent="bob")
    compared = compare(bench, "own", "keeper")
    service.blocks.update("human", agent="bob", value="Kim lives in Oslo.")
    service.compare.decide(compared.id, 2)
    assert human(bench) == "Kim lives in Oslo.\nLikes figs."
    # Both changed the same line: the one that is kept counts, and the other is in the history.
    compared = compare(bench, "own", "keeper")
    changed = "Kim lives in Oslo.\nLikes figs, and dates."
    service.blocks.update("human", agent="bob", value=changed)
    service.blocks.update("human", agent=compared.runs[1].agent_id, value="Likes plums.")
    service.compare.decide(compared.id, 2)
    assert human(bench) == "Likes plums."
    block = service.blocks.retrieve("human", agent="ada")
    assert changed in [one.value for one in service.blocks.versions(block.id)]


def test_what_is_tried_sends_no_message_to_other_agents(bench: Bench) -> None:
    bob = bench.service.agents.create("bob", model="openai/own")
    bench.service.tools.attach(NOTIFY, agent="ada")
    told = json.dumps({"message": "Remember me.", "other_agent_id": bob.id})

    def tell(body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["role"] == "user":
            return Answer(calls=[Call("call_1", NOTIFY, told)])
        return Answer(text=str(body["messages"][-1]["content"]))

    bench.server.default = tell
    for run in compare(bench, "a", "b").runs:
        assert run.calls == [(NOTIFY, "error")]
        assert "This is a trial: no message is sent to other agents." in run.answer


def test_a_call_that_needs_a_word_ends_its_run_and_says_so(bench: Bench) -> None:
    bench.give("ada", PAY, requires_approval=True)
    found = bench.service.compare.run(
        "Pay.", variants(["ada"], models=["openai/payer"], tools=["on", "off"])
    )
    on, off = found.runs
    assert on.problem == "It would have asked for your approval of pay; a comparison asks nobody."
    assert off.stop_reason == "end_turn"
    assert off.calls == [("pay", "error")]
    assert "tools" not in bench.server.requests[-1]


def test_functions_of_the_notebook_run_live_on_the_thread_that_compares(bench: Bench) -> None:
    bench.give("ada", PAY)
    where: list[threading.Thread] = []

    def pay(euros: int) -> str:
        where.append(threading.current_thread())
        return "paid"

    bench.host.live["pay"] = pay
    found = compare(bench, "payer", repeat=2, host=lambda agent_id: bench.host)
    assert [run.calls for run in found.runs] == [[("pay", "ok")]] * 2
    assert where == [threading.current_thread()] * 2


def test_a_budget_is_for_all_of_it(bench: Bench) -> None:
    found = compare(bench, "plain", "other", repeat=2, budget_tokens=2_400, at_once=1)
    assert [run.usage.total_tokens for run in found.runs] == [1000, 1000, 1000, 0]
    assert [bool(run.problem) for run in found.runs] == [False, False, False, True]
    assert "budget" in found.runs[3].problem
    assert not found.runs[3].run_id
    with pytest.raises(InvalidInputError, match="has not begun"):
        bench.service.compare.decide(found.id, 4)


def test_the_stop_button_ends_every_run_and_leaves_nothing(bench: Bench) -> None:
    bench.server.default = lambda body: Answer(text="Late.", before=60.0)
    switch = Cancel()

    def watch(share: float, text: str) -> None:
        if len(bench.server.received) == 3:  # all of them wait for their model
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(bench, "a", "b", "c", watch=watch, cancel=switch)
    assert switch.cancelled
    assert hidden(bench) == []
    running = bench.service.runs.list(statuses=["running", "created"])
    assert running == []
    assert bench.history("ada") == []


def test_what_makes_no_sense_is_refused_before_anything_is_made(bench: Bench) -> None:
    for options, why in (
        ({"max_steps": 0}, "max_steps is"),
        ({"repeat": 0}, "repeat is"),
        ({"repeat": 21}, "repeat is"),
        ({"budget": -1.0}, "budget is"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            compare(bench, "a", "b", **options)
    with pytest.raises(InvalidInputError, match="no comparison"):
        compare(bench, "a")
    with pytest.raises(InvalidInputError, match="empty"):
        bench.service.compare.run(" ", models("a", "b"))
    with pytest.raises(NotFoundError):
        bench.service.compare.run("Hi", variants(["nobody", "ada"]))
    assert hidden(bench) == []


def test_what_a_dead_process_left_is_thrown_away_at_the_next_opening(bench: Bench) -> None:
    compare(bench, "a", "b")
    first, second = hidden(bench)
    host = process_owner().partition("|")[0]
    gone = {FORK_OF: bench.service.agents.retrieve("ada").id, OWNER: f"{host}|999999999|1"}
    bench.service.agents.update(first, metadata=gone, namesakes="keep")
    with AgentService(bench.service.home) as opened:
        opened.deliveries.start()
        deadline = time.monotonic() + 30
        while first in hidden(bench):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert hidden(bench) == [second]  # its process lives, and may still keep it


def test_none_is_kept_and_forks_go_with_their_agent(bench: Bench) -> None:
    found = compare(bench, "plain", "keeper")
    assert bench.service.compare.newest() is found
    with pytest.raises(NotFoundError, match="1 to 2"):
        bench.service.compare.decide(found.id, 3)
    bench.service.compare.decide(found.id, None)
    assert (hidden(bench), human(bench), found.kept) == ([], "Kim.", 0)
    with pytest.raises(NotFoundError, match="No comparison waits"):
        bench.service.compare.newest()
    found = compare(bench, "a", "b")
    bench.service.agents.delete("ada")
    assert hidden(bench) == []
    bench.service.compare.decide(found.id, None)
    assert bench.service.database.run(invariants.find) == []
