"""Sentences about an agent's state: each form, its contrary, what was found, and what is no sentence."""

from __future__ import annotations

import pytest
from agent_bench import Bench

from letta_kernel.errors import InvalidInputError
from letta_kernel.service.assertions import FORMS

COUNT = '''
def count_birds(species: str, days: int = 7) -> int:
    """Count birds.

    Args:
        species: Which.
        days: How many.
    """
    if species == "dodo":
        raise ValueError("there are none")
    return 3
'''

TRUE = (
    "block human contains Ada",
    "block human contains 'works   at the STATION'",
    "block human lacks Grace",
    "block human is Ada works at the station.",
    "block human exists",
    "block human has at least 1 versions",
    "block 'human' has exactly 2 versions",
    "archive contains gulls nest",
    "archive has one passage",
    "archive has at most 3 passages",
    "history contains How many puffins",
    "history contains three puffins",
    "answer contains three",
    "answer lacks four",
    "answer is There are three puffins.",
    "tool count_birds exists",
    "tool count_birds was called",
    "tool count_birds was called at least 1 time",
    "tool count_birds was called 1 time with species=puffin, days=7",
    "tool count_birds was called with species='puffin'",
    "tool count_birds failed",
    "run ended with end_turn",
    "run had 3 steps",
    "run had at least 2 steps",
    "setting model is openai/scripted",
    "setting retrieval is off",
    "agent ada exists",
    "timeline has no branches",
    '"block human contains Ada"',
)


@pytest.fixture
def told(bench: Bench) -> Bench:
    """Ada was told a name, counted puffins well and dodos badly, and keeps one passage."""
    service, server = bench.service, bench.server
    service.agents.create("ada", human="Ada", settings={"retrieval": False})
    bench.give("ada", COUNT)
    service.passages.create("Gulls nest in May.", agent="ada")
    server.call("core_memory_append", {"label": "human", "content": "works at the station."})
    server.calls(
        [
            ("count_birds", {"species": "puffin", "days": 7}),
            ("count_birds", {"species": "dodo"}),
        ]
    )
    server.say("There are three puffins.")
    bench.send("ada", "How many puffins?")
    return bench


def test_each_form_holds_or_not_and_says_what_was_found(told: Bench) -> None:
    check = told.service.assertions.check
    for sentence in TRUE:
        found = check(sentence, agent="ada")
        assert found, str(found)
        contrary = check(f"not {sentence.strip(chr(34))}", agent="ada")
        assert not contrary, sentence
        assert contrary.found in str(contrary)
    shapes = {form.split()[0] for form in FORMS}
    assert {sentence.strip(chr(34)).split()[0] for sentence in TRUE} == shapes


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("block human contains Grace", "block human is “Ada"),
        ("block humor contains Ada", "ada has no block humor"),
        ("block humor exists", "its blocks are human, persona"),
        (
            "archive contains puffins",
            "none of 1 passage has it; the newest is “Gulls nest in May.”",
        ),
        ("archive has at least 2 passages", "the archive has 1 passage"),
        (
            "tool weigh was called",
            "weigh was not called; called were core_memory_append, count_birds",
        ),
        (
            "tool count_birds was called with species=gull",
            "count_birds was called 2 times, 0 of them as asked; last with “species='dodo'”",
        ),
        ("tool count_birds was called 2 times", "2 times, 1 of them as asked"),
        ("run ended with max_steps", "the last run ended with end_turn"),
        ("run had one step", "the last run had 3 steps"),
        ("setting temperatur is 1", "temperatur is not set; set are model"),
        ("agent eve exists", "agents are ada"),
        ("timeline has at least one branch", "the timeline has 0 branches"),
        ("answer is four", "it said “There are three puffins.”"),
    ],
)
def test_what_does_not_hold_says_what_is_there(told: Bench, sentence: str, found: str) -> None:
    finding = told.service.assertions.check(sentence, agent="ada")
    assert not finding
    assert found in str(finding)
    assert str(finding).startswith("✗ ")
    assert "\n" not in str(finding)


def test_forks_and_rewinds_are_branches(told: Bench) -> None:
    service = told.service
    told.server.say("Yes.")
    told.send("ada", "Sure?")
    service.forks.fork("ada", "eve")
    service.forks.undo("ada")
    for sentence in ("timeline has at least 2 branches", "agent eve exists", "history lacks Sure?"):
        if sentence.startswith("history"):
            sentence = "not history contains Sure?"
        assert service.assertions.check(sentence, agent="ada"), sentence


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("", "Say one of: block LABEL contains TEXT"),
        ("the human block has Ada in it", "Say one of: block LABEL contains TEXT"),
        ("block human has Ada", "Say one of: block LABEL contains TEXT; block LABEL lacks TEXT"),
        ("tool count_birds ran", "tool NAME was called"),
        ("tool count_birds was called with puffin", "Say arguments as name=value, not 'puffin'."),
        ('tool count_birds was called with species="puffin', "cannot be read"),
        ("block human contains \x1b[31m" + "x" * 5000, ""),
    ],
)
def test_what_is_no_sentence_is_refused_in_one_line(told: Bench, sentence: str, said: str) -> None:
    if not said:
        assert len(str(told.service.assertions.check(sentence, agent="ada"))) < 6000
        return
    with pytest.raises(InvalidInputError) as refused:
        told.service.assertions.check(sentence, agent="ada")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_of_an_agent_that_is_not_there_nothing_holds(told: Bench) -> None:
    for sentence in ("block human exists", "not block human exists"):
        finding = told.service.assertions.check(sentence, agent="eve")
        assert str(finding) == f"✗ {sentence}: there is no agent eve"


def test_of_what_is_not_there_nothing_holds_nor_its_contrary(bench: Bench) -> None:
    bench.service.agents.create("ada", human="Ada")
    for sentence, found in (
        ("block humor lacks Grace", "ada has no block humor"),
        ("block humor contains Grace", "ada has no block humor"),
        ("block humor has no versions", "ada has no block humor"),
        ("answer lacks four", "ada has not answered yet"),
        ("run ended with max_steps", "ada has had no run"),
        ("run had no steps", "ada has had no run"),
    ):
        for said in (sentence, f"not {sentence}"):
            finding = bench.service.assertions.check(said, agent="ada")
            assert str(finding) == f"✗ {said}: {found}"
