"""What a rewind gives back where blocks, tools and histories went their own ways meanwhile."""

from __future__ import annotations

import pytest
from agent_bench import Bench
from test_service_forks import heard, human, remember, say, sent, sound

from letta_kernel.records import Block

CHIRP = '''
def chirp(times: int) -> str:
    """Chirp.

    Args:
        times: How often.
    """
    return "old"
'''


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.service.agents.create("ada", human="Kim")
    return bench


def blocks_of(bench: Bench, agent: str = "ada") -> dict[str, str]:
    return {block.label: block.value for block in bench.service.blocks.list(agent=agent)}


def source_of(bench: Bench, agent: str) -> str:
    (tool,) = [one for one in bench.service.tools.list(agent) if one.name == "chirp"]
    return tool.source


def test_an_agent_goes_on_behind_a_fork_that_said_more(bench: Bench) -> None:
    service = bench.service
    say(bench, "Hello", "Hi.")
    service.forks.fork("ada", "eve")
    for number in range(3):
        say(bench, f"Question {number}", f"Answer {number}", "eve")
        service.passages.create(f"Fact {number}", agent="eve")
    service.forks.adopt("ada", "eve")
    say(bench, "And now?", "On.")
    service.passages.create("Ada's own", agent="ada")
    assert heard(bench)[-4:] == ["Question 2", "Answer 2", "And now?", "On."]
    say(bench, "Last?", "Yes.")
    assert sent(bench)[-3:] == ["And now?", "On.", "Last?"]
    service.forks.undo("ada")
    assert heard(bench)[-2:] == ["And now?", "On."]
    known = [one.content for one in service.passages.list("ada", 10)]
    assert sorted(known) == ["Ada's own", "Fact 0", "Fact 1", "Fact 2"]
    sound(bench)


def test_what_was_said_as_a_fork_can_be_returned_to_from_an_old_end(bench: Bench) -> None:
    service = bench.service
    say(bench, "Hello", "Hi.")
    service.forks.fork("ada", "eve")
    run = say(bench, "Question", "Answer", "eve")
    service.forks.adopt("ada", "eve")
    service.forks.undo("ada")
    service.agents.delete("eve")
    assert [one.content for one in service.timeline.at("ada", run).messages][-1] == "Answer"
    service.forks.rewind("ada", run)
    assert heard(bench) == ["Hello", "Hi.", "Question", "Answer"]
    sound(bench)


def test_a_block_that_was_renamed_has_its_name_and_text_again(bench: Bench) -> None:
    service = bench.service
    run = remember(bench, "I drink tea", "Drinks tea.")
    service.blocks.update("human", agent="ada", label="person")
    say(bench, "So?", "So.")
    after = blocks_of(bench)
    done = service.forks.rewind("ada", run)
    assert done.changed == ["the block person is called human"]
    assert human(bench) == "Kim\nDrinks tea."
    service.forks.redo("ada")
    assert blocks_of(bench) == after
    sound(bench)


def test_a_block_that_took_anothers_place_is_not_overwritten(bench: Bench) -> None:
    service = bench.service
    service.agents.create("bob", human="Bob's own")
    run = say(bench, "Hello", "Hi.")
    old = service.blocks.retrieve("human", agent="ada")
    service.blocks.detach(old.id, agent="ada")
    service.blocks.attach(service.blocks.retrieve("human", agent="bob").id, agent="ada")
    say(bench, "So?", "So.")
    service.forks.rewind("ada", run, shared=True)
    assert service.blocks.retrieve("human", agent="ada").id == old.id
    assert (human(bench), human(bench, "bob")) == ("Kim", "Bob's own")
    service.forks.redo("ada")
    assert human(bench) == "Bob's own"
    sound(bench)


def test_a_rewound_fork_does_not_write_into_what_it_was_forked_from(bench: Bench) -> None:
    service = bench.service
    service.blocks.create(Block(label="notes", value="Ours."), agent="ada")
    run = say(bench, "Hello", "Hi.")
    service.forks.fork("ada", "eve")
    service.blocks.delete("notes", agent="eve")
    service.forks.rewind("eve", run)
    assert blocks_of(bench, "eve")["notes"] == "Ours."
    notes = service.blocks.retrieve("notes", agent="eve")
    assert service.blocks.agents(notes.id) == [service.agents.retrieve("eve").id]
    sound(bench)


def test_the_source_of_then_is_not_one_that_somebody_changed(bench: Bench) -> None:
    service = bench.service
    bench.give("ada", CHIRP)
    run = say(bench, "Chirp", "No.")
    bench.give("ada", CHIRP.replace("old", "new"))
    say(bench, "Again", "No.")
    service.forks.rewind("ada", run)
    assert '"old"' in source_of(bench, "ada")
    beside = next(one for one in service.tools.list("ada") if one.name == "chirp")
    service.tools.update(beside.id, source=CHIRP.replace("old", "else"))
    service.forks.fork("ada", "eve", at=run)
    assert '"old"' in source_of(bench, "eve")
    assert '"else"' in source_of(bench, "ada")
    sound(bench)


def test_a_fork_of_a_deleted_agent_keeps_its_memory_when_it_goes_back(bench: Bench) -> None:
    service = bench.service
    first = say(bench, "Hello", "Hi.")
    remember(bench, "I drink tea", "Drinks tea.")
    service.forks.fork("ada", "eve")
    remember(bench, "I drink coffee", "Drinks coffee.", "eve")
    service.agents.delete("ada")
    done = service.forks.rewind("eve", first)
    assert "not known any more" in done.left[0]
    assert human(bench, "eve") == "Kim\nDrinks tea."  # the earliest that is known: at the fork
    assert service.timeline.at("eve", first).blocks["human"] == "Kim\nDrinks tea."
    service.forks.redo("eve")
    assert human(bench, "eve").endswith("coffee.")
    sound(bench)


def test_a_block_that_was_deleted_is_told_of_and_another_of_its_name_stays(bench: Bench) -> None:
    service = bench.service
    service.blocks.create(Block(label="notes", value="Old."), agent="ada")
    run = say(bench, "Hello", "Hi.")
    service.blocks.delete("notes", agent="ada")
    assert service.forks.rewind("ada", run).left == [
        "The block notes: what it was is not known any more."
    ]
    sound(bench)


def test_blocks_that_changed_names_and_sizes_are_as_they_were(bench: Bench) -> None:
    service = bench.service
    for label, text in (("cats", "Two."), ("dogs", "Three of them.")):
        service.blocks.create(Block(label=label, value=text), agent="ada")
    run = say(bench, "Hello", "Hi.")
    for old, new in (("cats", "birds"), ("dogs", "cats"), ("birds", "dogs")):
        service.blocks.update(old, agent="ada", label=new)
    service.blocks.update("cats", agent="ada", value="None.", limit=5)
    service.forks.rewind("ada", run)
    now = blocks_of(bench)
    assert (now["cats"], now["dogs"]) == ("Two.", "Three of them.")
    dogs = service.blocks.retrieve("dogs", agent="ada")
    assert service.blocks.update(dogs.id, description="Dogs").limit == len("Three of them.")
    sound(bench)


def test_agents_with_the_longest_names_can_be_forked(bench: Bench) -> None:
    service = bench.service
    service.agents.create("x" * 100)
    for purpose in ("", "", "compare"):
        assert service.forks.fork("x" * 100, purpose=purpose).name.startswith("x" * 80)


def test_an_agent_with_an_at_in_its_name_is_not_taken_for_a_point(bench: Bench) -> None:
    bench.service.agents.create("ada@home", human="Kim")
    say(bench, "Hello", "Hi.", "ada@home")
    difference = bench.service.timeline.diff("ada@home", "ada")
    assert (difference.a, difference.b) == ("ada@home", "ada")


def test_a_fork_of_an_agent_whose_history_was_cleared_hears_what_it_is_told(bench: Bench) -> None:
    service = bench.service
    for number in range(3):
        say(bench, f"Question {number}", "Answer")
    service.agents.reset("ada")
    service.forks.fork("ada", "eve")
    say(bench, "Hello", "Hi.", "eve")
    say(bench, "Again", "Yes.", "eve")
    assert sent(bench) == ["Hello", "Hi.", "Again"]
    sound(bench)


def test_a_deleted_agent_with_a_summary_behind_its_forks_is_no_damage(bench: Bench) -> None:
    service = bench.service
    runs = [say(bench, f"Question {number} " + "word " * 50, "Answer") for number in range(4)]
    service.forks.fork("ada", "eve", at=runs[0])
    bench.server.say("What was said.")
    assert service.messages.compact("ada") is not None
    service.agents.delete("ada")
    sound(bench)
