"""Blocks that agents share: whose edit it was, and that no edit of one is lost by another's."""

from __future__ import annotations

import pytest
from agent_bench import Bench

from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import ToolReturned
from letta_kernel.records import BlockStanding

PAUSE = '''
def pause() -> str:
    """Wait for the others."""
    return "They are done."
'''


@pytest.fixture(autouse=True)
def team(bench: Bench) -> None:
    """A block that ada shares with bob."""
    bench.service.agents.create("bob")
    bench.service.blocks.upsert("team", "We count birds.\nWe meet on Mondays.", agent="ada")
    bench.service.blocks.share("team", agent="ada", other="bob")
    bench.give("ada", PAUSE)


def text(bench: Bench) -> str:
    return bench.service.blocks.retrieve("team", agent="ada").value


def bob_adds_while_ada_works(bench: Bench, line: str) -> None:
    """Queue a call of ada's in the middle of which bob has a turn and adds a line to the block."""

    def pause() -> str:
        bench.send("bob", "Add it.")
        return "They are done."

    bench.host.live["pause"] = pause
    bench.server.call("pause")
    bench.server.call("memory_insert", {"label": "team", "new_string": line})
    bench.server.say("Added.")


def returned(bench: Bench) -> list[ToolReturned]:
    """Let ada do what is queued; what her calls of memory tools returned."""
    events = bench.send("ada", "Go on.")
    assert not bench.server.waiting
    return [e for e in events if isinstance(e, ToolReturned) and e.name != "pause"]


def standing(bench: Bench) -> BlockStanding:
    block = bench.service.blocks.retrieve("team", agent="ada")
    return bench.service.blocks.standing("ada")[block.id]


def test_a_block_knows_who_shares_it_and_whose_edit_it_was(bench: Bench) -> None:
    assert standing(bench).others == ["bob"]
    assert standing(bench).by == "you"
    bench.server.call("memory_insert", {"label": "team", "new_string": "Bob is back."})
    bench.server.say("Noted.")
    bench.send("bob", "I am back.")
    run = bench.service.runs.whole("bob")[0]
    now = standing(bench)
    assert (now.others, now.written, now.run_id) == (["bob"], "bob, memory_insert", run.id)
    version, origin = bench.service.blocks.history("team", agent="ada")[-1]
    assert (version.step_id, origin.who) == (now.step_id, "bob")
    assert origin.asked is not None
    assert (origin.asked.run_id, origin.asked.message) == (run.id, "I am back.")
    human = bench.service.blocks.retrieve("human", agent="ada")
    assert bench.service.blocks.standing("ada")[human.id].others == []


def test_an_edit_works_on_what_another_wrote_meanwhile(bench: Bench) -> None:
    bob_adds_while_ada_works(bench, "Bob is back.")
    edit = {"label": "team", "old_string": "on Mondays", "new_string": "on Fridays"}
    bench.server.call("memory_replace", edit)
    (edited,) = returned(bench)
    assert text(bench) == "We count birds.\nWe meet on Fridays.\nBob is back."
    assert (
        f"changed by bob, too, since you last saw it. It reads now:\n{text(bench)}" in edited.text
    )


def test_a_text_that_is_there_no_more_is_an_error_and_changes_nothing(bench: Bench) -> None:
    bob_adds_while_ada_works(bench, "Bob is back.")
    bench.server.call("memory_replace", {"label": "team", "old_string": "ducks", "new_string": ""})
    (refused,) = returned(bench)
    assert refused.status == "error"
    assert text(bench).endswith("Bob is back.")


def test_a_block_is_not_rewritten_over_what_another_wrote_meanwhile(bench: Bench) -> None:
    bob_adds_while_ada_works(bench, "Bob is back.")
    bench.server.calls([("memory_rethink", {"label": "team", "new_memory": "We count."})] * 2)
    bench.server.call("memory_rethink", {"label": "team", "new_memory": "We count. Bob is back."})
    refused, again, done = returned(bench)
    # Both calls of one reply were written before their results were read.
    for one in (refused, again):
        assert one.status == "error"
        assert one.text.startswith("The block 'team' was changed by bob since you last saw it.")
        assert "It reads now:\nWe count birds.\nWe meet on Mondays.\nBob is back.\n" in one.text
    assert done.status == "ok", done.text
    assert text(bench) == "We count. Bob is back."


def test_an_agent_rewrites_what_it_wrote_itself(bench: Bench) -> None:
    bench.server.call("memory_insert", {"label": "team", "new_string": "One."})
    bench.server.call("memory_rethink", {"label": "team", "new_memory": "Two."})
    bench.server.calls(
        [
            ("memory_insert", {"label": "team", "new_string": "Three."}),
            ("memory_rethink", {"label": "team", "new_memory": "Four."}),
        ]
    )
    bench.server.say("Done.")
    assert [one.status for one in returned(bench)] == ["ok"] * 4
    assert text(bench) == "Four."


def test_what_a_person_wrote_meanwhile_is_not_rewritten_either(bench: Bench) -> None:
    def pause() -> str:
        bench.service.blocks.upsert("team", "No birds.", agent="bob")
        return "They are done."

    bench.host.live["pause"] = pause
    bench.server.call("pause")
    bench.server.call("memory_rethink", {"label": "team", "new_memory": "Mine."})
    (refused,) = returned(bench)
    assert "was changed by the user since you last saw it" in refused.text
    assert text(bench) == "No birds."


def test_what_is_too_long_to_be_told_is_rewritten_in_another_turn(bench: Bench) -> None:
    long = "x" * 30_000
    bench.service.blocks.update("team", agent="ada", limit=100_000)

    def pause() -> str:
        bench.service.blocks.upsert("team", long, agent="bob")
        return "They are done."

    bench.host.live["pause"] = pause
    bench.server.call("pause")
    rewrite = ("memory_rethink", {"label": "team", "new_memory": "Short."})
    bench.server.call(*rewrite)
    bench.server.call(*rewrite)
    for refused in returned(bench):
        assert "or rewrite it in your next turn" in refused.text
    assert text(bench) == long
    bench.server.call(*rewrite)
    (done,) = returned(bench)
    assert done.status == "ok"
    assert text(bench) == "Short."


@pytest.mark.parametrize("who", ["ada", "bob"])
def test_a_rewrite_that_waited_for_a_person_knows_what_it_saw(bench: Bench, who: str) -> None:
    bench.service.tools.require_approval("memory_rethink", True, agent="ada")
    bench.server.call("memory_insert", {"label": "team", "new_string": "Mine."})
    bench.server.call("memory_rethink", {"label": "team", "new_memory": "All mine."})
    bench.send("ada", "Tidy up.")
    (call,) = bench.service.runs.pending("ada")
    if who == "bob":
        bench.server.call("memory_insert", {"label": "team", "new_string": "Bob is back."})
        bench.server.say("Added.")
        bench.send("bob", "Add it.")
    bench.server.call("memory_rethink", {"label": "team", "new_memory": "All ours."})
    bench.server.say("Done.")
    decisions = [Decision(call.id, approve=True)]
    events = [*bench.service.runs.approve("ada", decisions, host=bench.host)]
    (first,) = (event for event in events if isinstance(event, ToolReturned))
    if who == "ada":
        assert (first.status, text(bench)) == ("ok", "All mine.")
    else:
        assert "changed by bob since you last saw it" in first.text
        assert text(bench) == "We count birds.\nWe meet on Mondays.\nMine.\nBob is back."
    # What the model sees as it goes on, it may rewrite.
    (call,) = bench.service.runs.pending("ada")
    bench.server.say("Done.")
    [*bench.service.runs.approve("ada", [Decision(call.id, approve=True)], host=bench.host)]
    assert text(bench) == "All ours."


def test_a_block_is_shared_and_taken_back(bench: Bench) -> None:
    service = bench.service
    service.blocks.unshare("team", agent="ada", other="bob")
    assert standing(bench).others == []
    assert [one.label for one in service.blocks.list("bob")] == ["persona", "human"]
    for other in ("bob", "ada"):
        with pytest.raises(InvalidInputError, match="it is shared with: nobody"):
            service.blocks.unshare("team", agent="ada", other=other)
    service.blocks.upsert("team", "Mine.", agent="bob")
    with pytest.raises(InvalidInputError, match="'bob' has a block 'team' of its own already"):
        service.blocks.share("team", agent="ada", other="bob")
    first, second = (service.agents.create("cyd", namesakes="keep") for _ in range(2))
    for one in (first, second):
        service.blocks.share("team", agent="ada", other=one.id)
    assert standing(bench).others == sorted(f"cyd ({one.id})" for one in (first, second))
